"""The Audio Spectrogram Transformer (Gong, Chung and Glass, 2021) from ``transformers``, to compare with.

It needs the extra ``[baselines]``. Nothing is ever downloaded: its weights are random, or come from a folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from audioinceptionnext.errors import FileError, ModelError, ParameterError
from audioinceptionnext.network.base import CLIP_FRAMES, BaseConfig, Network
from audioinceptionnext.network.frontend import BANDS


@dataclass(frozen=True)
class TransformerConfig(BaseConfig):
    """The settings of a `SpectrogramTransformer`. The defaults are the published size (Gong, Chung and Glass, 2021).

    Attributes:
        hidden, layers, heads: width, depth, and attention heads.
        intermediate: width between the two linear maps of a layer.
        patch: side of a patch, in bands and frames.
        frequency_stride, time_stride: from one patch to the next, in bands and frames.
        activation, qkv_bias, layer_norm_eps: as in ``transformers.ASTConfig``.
        dropout: in front of the linear layer. There is none inside the transformer, as published.
        clip_frames, bands: as in `NetworkConfig`.
    """

    architecture: ClassVar[str] = "ast"
    num_classes: int
    hidden: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    patch: int = 16
    frequency_stride: int = 10
    time_stride: int = 10
    activation: str = "gelu"
    qkv_bias: bool = True
    layer_norm_eps: float = 1e-12
    dropout: float = 0.0
    clip_frames: int = CLIP_FRAMES
    bands: int = BANDS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden % self.heads:
            raise ParameterError("hidden", self.hidden, f"give a multiple of the number of heads, {self.heads}")
        if self.clip_frames < self.patch or self.bands < self.patch:
            size = f"{self.clip_frames} frames and {self.bands} bands"
            raise ParameterError("patch", self.patch, f"a clip of {size} is smaller than a patch")

    @property
    def grid(self) -> tuple[int, int]:
        """Number of patches along frequency and along time."""
        return (
            (self.bands - self.patch) // self.frequency_stride + 1,
            (self.clip_frames - self.patch) // self.time_stride + 1,
        )

    @property
    def tokens(self) -> int:
        """Number of patches, and the two tokens that stand for the whole clip."""
        return self.grid[0] * self.grid[1] + 2


class SpectrogramTransformer(Network):
    """The Audio Spectrogram Transformer, ``transformers.ASTModel``, with a linear layer on the mean of its two tokens.

    It sees one clip at a time. Longer input is cut into clips that start half a clip apart, one step per clip; if the
    last one reaches beyond the end, the last frame is repeated. The input is standardised to (x - mean) / (2 std), with
    a deviation of 1/2, as its published weights expect.
    """

    convolutional = False
    config: TransformerConfig

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config)
        from transformers import ASTConfig, ASTModel

        self.body = ASTModel(
            ASTConfig(
                hidden_size=config.hidden,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=config.intermediate,
                hidden_act=config.activation,
                layer_norm_eps=config.layer_norm_eps,
                patch_size=config.patch,
                qkv_bias=config.qkv_bias,
                frequency_stride=config.frequency_stride,
                time_stride=config.time_stride,
                max_length=config.clip_frames,
                num_mel_bins=config.bands,
            )
        )
        self.norm = nn.LayerNorm(config.hidden, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.hidden, config.num_classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    @property
    def clip_steps(self) -> int:
        return 1

    @property
    def step_frames(self) -> int:
        return max(1, self.config.clip_frames // 2)

    def steps(self, frames: Tensor) -> Tensor:
        """Number of clips, half a clip apart. The last one may have only one frame of its own."""
        return -(-(frames - self.config.clip_frames).clamp(min=0) // self.step_frames) + 1

    def features(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, 1, frames, bands) to (batch, hidden, clips, 1).

        Raises:
            ValueError: the input is shorter than a clip.
        """
        clips = self._clips(log_mel)
        pooled = self.body((clips.flatten(0, 1) - self.mean) / (2 * self.std)).pooler_output
        return self.norm(pooled).unflatten(0, (-1, clips.shape[1])).transpose(1, 2).unsqueeze(3)

    def _clips(self, log_mel: Tensor) -> Tensor:
        """(batch, 1, frames, bands) to (batch, clips, clip_frames, bands)."""
        frames, clip = log_mel.shape[2], self.config.clip_frames
        if frames == clip:
            return log_mel
        starts = torch.arange(self._clip_count(frames), device=log_mel.device) * self.step_frames
        place = starts[:, None] + torch.arange(clip, device=log_mel.device)
        return log_mel[:, 0, place.clamp(max=frames - 1)]

    def _clip_count(self, frames: int) -> int:
        clip = self.config.clip_frames
        if frames < clip:
            raise ValueError(f"{frames} frames, but a clip has {clip}: repeat the last frame")
        return 1 - (clip - frames) // self.step_frames

    def product_macs(self, frames: int) -> int:
        """Those of attention: each token with each, once for the weights (q k) and once for the sum (weights v)."""
        clips, config = self._clip_count(frames), self.config
        return clips * config.layers * 2 * config.tokens**2 * config.hidden


def load_transformer(folder: str, num_classes: int, changes: dict[str, Any]) -> SpectrogramTransformer:
    """Load a transformer that ``save_pretrained`` wrote, for our clips and classes.

    Its position embeddings are interpolated to the length of our clip. Its linear layer is not used: the new one is
    freshly initialised.

    Args:
        changes: ``dropout``, ``clip_frames`` or ``bands``.

    Raises:
        ParameterError: another setting is to be changed.
        ModelError, FileError: the folder does not hold such a transformer.
    """
    name = f"ast:{folder}"
    changeable = ("dropout", "clip_frames", "bands")
    for key, value in changes.items():
        if key not in changeable:
            raise ParameterError(key, value, f"{name} fixes it; only {', '.join(changeable)} can be changed")
    config = replace(_read_config(Path(folder), name, num_classes), **changes)
    body, norm, stored = _read_weights(folder, name)
    net = SpectrogramTransformer(config)
    grid = replace(config, clip_frames=stored.max_length, bands=stored.num_mel_bins).grid
    positions = body.pop("embeddings.position_embeddings")
    body["embeddings.position_embeddings"] = resize_positions(positions, grid, config.grid)
    net.body.load_state_dict(body)
    net.norm.load_state_dict(norm)
    return net


def _read_config(folder: Path, name: str, num_classes: int) -> TransformerConfig:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(name, "the folder has no config.json; give one that has it and model.safetensors")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kind = values.get("model_type")
    except (ValueError, AttributeError) as error:
        raise FileError(path, f"not the JSON configuration of a model ({error})") from error
    if kind != "audio-spectrogram-transformer":
        raise FileError(path, f"model_type is {kind!r}; give an audio-spectrogram-transformer")
    from transformers import ASTConfig

    try:
        stored = ASTConfig.from_pretrained(folder, local_files_only=True)
        return TransformerConfig(
            num_classes,
            hidden=stored.hidden_size,
            layers=stored.num_hidden_layers,
            heads=stored.num_attention_heads,
            intermediate=stored.intermediate_size,
            patch=int(stored.patch_size),  # type: ignore[arg-type]
            frequency_stride=stored.frequency_stride,
            time_stride=stored.time_stride,
            activation=stored.hidden_act,
            qkv_bias=stored.qkv_bias,
            layer_norm_eps=stored.layer_norm_eps,
        )
    except (ValueError, TypeError) as error:
        raise FileError(path, " ".join(str(error).split())[:200]) from error


def _read_weights(folder: str, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor], Any]:
    """The weights of the transformer, those of the normalisation behind it, and the stored configuration."""
    from transformers import ASTForAudioClassification

    try:
        with _silent_transformers():
            loaded: Any = ASTForAudioClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:  # a file may be missing, cut short or of another kind, each with its own exception
        reason = " ".join(str(error).split())[:200]
        raise ModelError(name, f"its weights cannot be loaded ({reason})") from error
    found, report = loaded
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("classifier."))
    if missing:
        raise ModelError(name, f"{len(missing)} weights are missing, e.g. {missing[0]}")
    norm = found.classifier.layernorm.state_dict()
    return found.audio_spectrogram_transformer.state_dict(), norm, found.config


def resize_positions(positions: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """Interpolate position embeddings bilinearly from one grid of patches to another.

    Args:
        positions: (1, 2 + patches, hidden), of which the first two belong to the tokens that stand for the whole clip.
        before, after: patches along frequency and along time.

    Returns:
        (1, 2 + patches, hidden), with the number of patches of ``after``.
    """
    if before == after:
        return positions
    tokens, patches = positions[:, :2], positions[:, 2:]
    plane = patches.transpose(1, 2).unflatten(2, before)  # (1, hidden, frequency, time)
    plane = nn.functional.interpolate(plane, size=after, mode="bilinear", align_corners=False)
    return torch.cat([tokens, plane.flatten(2).transpose(1, 2)], dim=1)


@contextmanager
def _silent_transformers() -> Iterator[None]:
    """Turn off the progress bar of ``transformers`` and its report of unused weights."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()

"""Networks to compare with: a plain CNN, and the Audio Spectrogram Transformer through ``transformers``.

MobileNetV2, which is made here as well, has a file of its own (`mobilenet`).

They offer what `AudioInceptionNeXt` does, so that training, evaluation and export take them as they are. The
transformer needs the extra ``[baselines]``; nothing is ever fetched.
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

from audioinceptionnext.errors import AinextError
from audioinceptionnext.network.base import CLIP_FRAMES, STEP_FRAMES, Config, Network
from audioinceptionnext.network.blocks import ConvNorm
from audioinceptionnext.network.frontend import BANDS
from audioinceptionnext.network.mobilenet import MobileNet, MobileNetConfig

BASELINES = ("cnn", "ast", "mobilenet")
# Average pooling after each stage, time x frequency. The first takes four frames: at a hop of 5 ms they are closer than
# the bands tell apart. The four make STEP_FRAMES frames a step, as in our network.
POOLS = ((4, 2), (2, 2), (2, 2), (2, 2))


@dataclass(frozen=True)
class CNNConfig(Config):
    """What makes a `PlainCNN`; ``dropout``, ``clip_frames``, ``bands`` as in `NetworkConfig`.

    Attributes:
        widths: channels of the four stages.
    """

    architecture: ClassVar[str] = "cnn"
    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512)
    dropout: float = 0.5
    clip_frames: int = CLIP_FRAMES
    bands: int = BANDS

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "widths", tuple(self.widths))  # a list, as JSON gives it
        if len(self.widths) != len(POOLS):
            raise ValueError(f"{len(self.widths)} widths; the plain CNN has {len(POOLS)} stages")


class PlainCNN(Network):
    """Four stages of two 3x3 convolutions, each normalised and with a ReLU, then average pooling (as VGG, Simonyan and
    Zisserman 2014, and the CNNs of PANNs, Kong et al. 2020); global average pooling, a linear layer.

    It steps over time as our network does, 32 frames, so it can be trained for and run ``dense``.
    """

    config: CNNConfig

    def __init__(self, config: CNNConfig) -> None:
        super().__init__(config)
        inputs = (1, *config.widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNorm(before, width, (3, 3)), nn.ReLU(), ConvNorm(width, width, (3, 3)), nn.ReLU())
            for before, width in zip(inputs, config.widths, strict=True)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.widths[-1], config.num_classes)
        self.reset_parameters()

    def features(self, log_mel: Tensor) -> Tensor:
        """(batch, 1, frames, bands) to (batch, channels, frames / 32 rounded up, bands / 16)."""
        x = (log_mel - self.mean) / self.std
        x = nn.functional.pad(x, (0, 0, 0, -x.shape[2] % STEP_FRAMES))
        for stage, pool in zip(self.stages, POOLS, strict=True):
            x = nn.functional.avg_pool2d(stage(x), pool)
        return x


@dataclass(frozen=True)
class TransformerConfig(Config):
    """What makes a `SpectrogramTransformer`. The defaults are the published size (Gong, Chung and Glass, 2021).

    Attributes:
        hidden, layers, heads, intermediate: width, depth, attention heads, width between a layer's two linear maps.
        patch, frequency_stride, time_stride: side of a patch and steps between patches, in bands and frames.
        activation, qkv_bias, layer_norm_eps: as in ``transformers.ASTConfig``.
        dropout: before the linear layer. Inside there is none, as published.
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
            raise ValueError(f"hidden is {self.hidden}, which {self.heads} heads cannot share evenly")
        if self.clip_frames < self.patch or self.bands < self.patch:
            raise ValueError(f"a clip of {self.clip_frames} x {self.bands} is smaller than a patch of {self.patch}")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along frequency and time."""
        return (
            (self.bands - self.patch) // self.frequency_stride + 1,
            (self.clip_frames - self.patch) // self.time_stride + 1,
        )

    @property
    def tokens(self) -> int:
        """Patches, and the two tokens that gather what is heard."""
        return self.grid[0] * self.grid[1] + 2


class SpectrogramTransformer(Network):
    """The Audio Spectrogram Transformer, ``transformers.ASTModel``, with a linear layer on the mean of its two tokens.

    It hears one clip at a time: of longer input a step is a clip, half a clip after the one before; where the last ones
    reach beyond the end, the last frame is repeated. Input is (x - mean) / (2 std), of deviation 1/2, as its published
    weights expect.
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
        """Half a clip apart, a last one however little follows."""
        return -(-(frames - self.config.clip_frames).clamp(min=0) // self.step_frames) + 1

    def features(self, log_mel: Tensor) -> Tensor:
        """(batch, 1, frames, bands) to (batch, hidden, clips, 1); shorter than a clip is a ``ValueError``."""
        clips = self._clips(log_mel)
        heard = self.body((clips.flatten(0, 1) - self.mean) / (2 * self.std)).pooler_output
        return self.norm(heard).unflatten(0, (-1, clips.shape[1])).transpose(1, 2).unsqueeze(3)

    def _clips(self, log_mel: Tensor) -> Tensor:
        """(batch, 1, frames, bands) to (batch, clips, clip_frames, bands)."""
        frames, clip = log_mel.shape[2], self.config.clip_frames
        if frames == clip:
            return log_mel
        starts = torch.arange(self._count(frames), device=log_mel.device) * self.step_frames
        place = starts[:, None] + torch.arange(clip, device=log_mel.device)
        return log_mel[:, 0, place.clamp(max=frames - 1)]

    def _count(self, frames: int) -> int:
        """Clips in so many frames."""
        clip = self.config.clip_frames
        if frames < clip:
            raise ValueError(f"{frames} frames, but a clip has {clip}: repeat the last frame")
        return 1 - (clip - frames) // self.step_frames

    def product_macs(self, frames: int) -> int:
        """Of attention: each token with each, once for the weights (q k) and once for the sum (weights v)."""
        clips, config = self._count(frames), self.config
        return clips * config.layers * 2 * config.tokens**2 * config.hidden


def create(name: str, num_classes: int, changes: dict[str, Any]) -> Network:
    """``cnn``, ``ast``, ``ast:FOLDER`` or ``mobilenet``, as `create_model` gives them.

    Raises:
        ValueError: unknown settings. AinextError: a folder without such a network.
    """
    kind, _, folder = name.partition(":")
    if folder or kind != name:
        return _from_folder(folder, num_classes, changes)
    return build_baseline({"architecture": kind, "num_classes": num_classes} | changes)


def build_baseline(values: dict[str, Any]) -> Network:
    """From a configuration's `as_dict`; raises ``ValueError``."""
    if values["architecture"] == "cnn":
        return PlainCNN(CNNConfig.from_dict(values))
    if values["architecture"] == "ast":
        return SpectrogramTransformer(TransformerConfig.from_dict(values))
    if values["architecture"] == "mobilenet":
        return MobileNet(MobileNetConfig.from_dict(values))
    raise ValueError(f"unknown architecture {values['architecture']!r}; this version has {', '.join(BASELINES)}")


def _from_folder(folder: str, num_classes: int, changes: dict[str, Any]) -> SpectrogramTransformer:
    """A transformer that ``save_pretrained`` wrote, for our clips and classes.

    Its position embeddings are interpolated to our clip; its linear layer is made anew, its weights are not used.
    """
    where = f"ast:{folder}"
    free = ("dropout", "clip_frames", "bands")
    if fixed := [key for key in changes if key not in free]:
        raise ValueError(f"{where}: {fixed[0]} is the folder's; what can be changed is {', '.join(free)}")
    config = replace(_folders_config(Path(folder), where, num_classes), **changes)
    body, norm, stored = _folders_weights(folder, where)
    net = SpectrogramTransformer(config)
    grid = replace(config, clip_frames=stored.max_length, bands=stored.num_mel_bins).grid
    positions = body.pop("embeddings.position_embeddings")
    body["embeddings.position_embeddings"] = resize_positions(positions, grid, config.grid)
    net.body.load_state_dict(body)
    net.norm.load_state_dict(norm)
    return net


def _folders_config(folder: Path, where: str, num_classes: int) -> TransformerConfig:
    path = folder / "config.json"
    if not path.is_file():
        raise AinextError(f"{where}: no config.json there; give a folder that has it and model.safetensors")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kind = values.get("model_type")
    except (ValueError, AttributeError) as error:
        raise AinextError(f"{path}: not JSON of a model ({error})") from error
    if kind != "audio-spectrogram-transformer":
        raise AinextError(f"{path}: model_type is {kind!r}; what is wanted is an audio-spectrogram-transformer")
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
        raise AinextError(f"{path}: {' '.join(str(error).split())[:200]}") from error


def _folders_weights(folder: str, where: str) -> tuple[dict[str, Tensor], dict[str, Tensor], Any]:
    """Of the transformer and of the normalisation behind it, and the configuration that they are of."""
    from transformers import ASTForAudioClassification

    try:
        with _quiet():
            loaded: Any = ASTForAudioClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except Exception as error:  # a missing, cut or other file: as many classes as ways to be wrong
        reason = " ".join(str(error).split())[:200]
        raise AinextError(f"{where}: its weights cannot be loaded ({reason})") from error
    found, report = loaded
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("classifier."))
    if missing:
        raise AinextError(f"{where}: {len(missing)} weights are missing, e.g. {missing[0]}")
    norm = found.classifier.layernorm.state_dict()
    return found.audio_spectrogram_transformer.state_dict(), norm, found.config


def resize_positions(positions: Tensor, before: tuple[int, int], after: tuple[int, int]) -> Tensor:
    """Position embeddings (1, 2 + patches, hidden) of a grid of patches (frequency, time) for another, bilinearly."""
    if before == after:
        return positions
    tokens, patches = positions[:, :2], positions[:, 2:]
    plane = patches.transpose(1, 2).unflatten(2, before)  # (1, hidden, frequency, time)
    plane = nn.functional.interpolate(plane, size=after, mode="bilinear", align_corners=False)
    return torch.cat([tokens, plane.flatten(2).transpose(1, 2)], dim=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar and its report of what it did not use."""
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

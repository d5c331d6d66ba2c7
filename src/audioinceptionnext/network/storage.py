"""A network on disk: one safetensors file with the weights, and in its metadata all that it takes to use them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from audioinceptionnext.errors import AinextError
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.folding import fold
from audioinceptionnext.network.frontend import LogMel
from audioinceptionnext.network.registry import build

Run = Literal["dense", "windows"]
FORMAT = "audioinceptionnext/1"


@dataclass
class StoredModel:
    """A network and what it was made for.

    Attributes:
        net: the training form.
        labels: one name a class.
        sample_rate, window_ms, hop_ms: the front end (see `LogMel`); its bands are those of the network.
        run: how long audio is heard: ``dense`` in one pass with sliding pooling, for networks trained so, or
            ``windows``, clip by clip, as published.
        clip_seconds: of one clip; that of its frames unless given (VGG-Sound's 512 frames of 10 ms are 5.119 s).
        temperature: what logits are divided by in exported files, so that probabilities are right as often as they say
            (Guo et al., 2017); found on held-out clips.
        thresholds: how sure an exported file has to be of each class to report it; None is the same for all.
        info: anything else worth keeping (name, licence, recipe, data, figures); JSON values.
    """

    net: Network
    labels: tuple[str, ...]
    sample_rate: int = 24_000
    window_ms: float = 10
    hop_ms: float = 5
    run: Run = "windows"
    info: dict[str, Any] = field(default_factory=dict)
    clip_seconds: float = 0
    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        self.clip_seconds = self.clip_seconds or self.net.config.clip_frames * self.hop_ms / 1000
        self.labels = tuple(self.labels)
        if len(self.labels) != self.net.config.num_classes:
            raise ValueError(f"{len(self.labels)} labels for {self.net.config.num_classes} classes")

    def front_end(self) -> LogMel:
        return LogMel(self.sample_rate, self.window_ms, self.hop_ms, self.net.config.bands)

    @property
    def clip_samples(self) -> int:
        """Samples of one clip, as published: 49,919 at the EPIC-SOUNDS setting, which make 416 frames."""
        return round(self.sample_rate * self.clip_seconds) - 1

    def folded(self) -> Network:
        return fold(self.net)


def save_model(model: StoredModel, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Written beside its final name first, so that an interrupted save leaves an older file as it was.

    Args:
        dtype: of the stored weights; they are float32 again once loaded.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = {
        "format": FORMAT,
        "network": json.dumps(model.net.config.as_dict()),
        "labels": json.dumps(model.labels, ensure_ascii=False),
        "front_end": json.dumps(
            {
                "sample_rate": model.sample_rate,
                "window_ms": model.window_ms,
                "hop_ms": model.hop_ms,
                "clip_seconds": model.clip_seconds,
            }
        ),
        "run": model.run,
        "temperature": json.dumps(model.temperature),
        "thresholds": json.dumps(model.thresholds),
        "info": json.dumps(model.info, ensure_ascii=False),
    }
    weights = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in model.net.state_dict().items()
    }
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(save(weights, metadata=header))  # `save_file` would hide the file from everyone else
    partial.replace(path)


def load_model(path: str | Path) -> StoredModel:
    """Raises `AinextError`: no such file, damaged, or not written by `save_model`."""
    path = Path(path)
    if not path.is_file():
        raise AinextError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise AinextError(f"{path}: not a safetensors file, or damaged ({error})") from error
    if header.get("format") != FORMAT:
        raise AinextError(f"{path}: safetensors, but not of this project; `ainext convert` makes one from a checkpoint")
    try:
        net = build(json.loads(header["network"]))
        net.load_state_dict(weights)
        front = json.loads(header["front_end"])
        return StoredModel(
            net.eval(),
            tuple(json.loads(header["labels"])),
            **front,
            run=header["run"],
            temperature=json.loads(header.get("temperature", "1.0")),
            thresholds=tuple(thresholds) if (thresholds := json.loads(header.get("thresholds", "null"))) else None,
            info=json.loads(header["info"]),
        )
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise AinextError(f"{path}: its weights and its description do not fit together ({reason})") from error

"""Trained networks on disk: safetensors files with the weights, and metadata with all that is needed to use them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from audioinceptionnext.errors import ModelError, ParameterError, kind_of_file, replacing
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.folding import fold
from audioinceptionnext.network.frontend import N_FFT, LogMel
from audioinceptionnext.network.registry import build_network
from audioinceptionnext.results.labels import LabelSet

Mode = Literal["dense", "windows"]  # of a file; a recogniser also has the mode `clips`
FORMAT = "audioinceptionnext/1"


_PUBLISHED = (
    "is {}, not a .safetensors file; `ainext convert` makes one of a published checkpoint, and the weights of a run "
    "are in its model.safetensors"
)
_OTHER_KINDS = {
    "an ONNX model": "is an exported ONNX model, which cannot be trained or exported again; give the .safetensors file "
    "that it was exported from",
    "a torch file": _PUBLISHED.format("a torch file"),
    "a pickle": _PUBLISHED.format("a pickle"),
}


@dataclass
class StoredModel:
    """A network with its labels, its front end, and how it is used.

    Attributes:
        net: the training form.
        labels: one name per class.
        sample_rate, window_ms, hop_ms: of the front end, see `LogMel`. Its bands are those of the network.
        mode: how long audio is processed: ``dense``, in one pass with sliding pooling, for networks trained for it; or
            ``windows``, clip by clip, as published.
        info: further JSON values, such as name, licence, recipe, data set and figures.
        clip_seconds: length of one clip. The length of its frames unless given (VGG-Sound's 512 frames of 10 ms are
            5.119 s).
        temperature: exported files divide the logits by it, so that probabilities are calibrated (Guo et al., 2017). It
            is fitted on held-out clips.
        thresholds: onset threshold of each class in exported files; None if there are none.
        segmentation: how the probabilities of the fine timeline become segments in exported files: settings of
            `SegmentationSettings` by name, and lists for what differs by label. Empty takes the defaults, with the
            ``thresholds``.
        timeline_support: one factor per label, or none: in exported files, a label is at most so many times as probable
            in a step of the fine timeline as in the window that contains the step and gives it most. What windows deny
            is then no segment, however short.
        multi_label: whether several labels can be true at a time. Then exported files apply the sigmoid to each logit;
            otherwise the softmax to all, or to those of each task.
        tasks: the names and sizes of consecutive parts of the labels, of each of which exactly one label is true, such
            as ``{"verb": 97, "noun": 300}``. Empty if one of all labels is true.
        remove_dc, n_fft: of the front end, see `LogMel`.
        identifiers: one per label, such as AudioSet's ``/m/09x0r``; empty if there are none.
        groups: the names of groups with their labels, by which people choose among many; a label may be in several.

    Raises:
        ParameterError: the number of labels is not the number of classes, or what belongs to the labels does not fit.
    """

    net: Network
    labels: tuple[str, ...]
    sample_rate: int = 24_000
    window_ms: float = 10
    hop_ms: float = 5
    mode: Mode = "windows"
    info: dict[str, Any] = field(default_factory=dict)
    clip_seconds: float = 0
    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None
    segmentation: dict[str, Any] = field(default_factory=dict)
    timeline_support: tuple[float, ...] = ()
    multi_label: bool = False
    tasks: dict[str, int] = field(default_factory=dict)
    remove_dc: bool = False
    n_fft: int = N_FFT
    identifiers: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clip_seconds = self.clip_seconds or self.net.config.clip_frames * self.hop_ms / 1000
        self.labels = tuple(self.labels)
        if len(self.labels) != self.net.config.num_classes:
            reason = f"{len(self.labels)} labels for {self.net.config.num_classes} classes; give one per class"
            raise ParameterError("labels", None, reason)
        self.groups = {name: tuple(members) for name, members in self.groups.items()}
        LabelSet(self.labels, tuple(self.identifiers), self.groups, self.thresholds or (), self.tasks)  # checks them

    @property
    def frame_wise(self) -> bool:
        """Whether it was trained on steps (``targets: steps``), so that a clip is a single one of them."""
        return self.multi_label and self.net.clip_steps == 1

    def front_end(self) -> LogMel:
        """A new front end with these settings."""
        return LogMel(self.sample_rate, self.window_ms, self.hop_ms, self.net.config.bands, self.remove_dc, self.n_fft)

    @property
    def clip_samples(self) -> int:
        """Samples of one clip: 49,919 at the EPIC-SOUNDS setting, as published, which make 416 frames."""
        return round(self.sample_rate * self.clip_seconds) - 1

    def folded(self) -> Network:
        """A copy of the network in its inference form, see `fold`."""
        return fold(self.net)


def save_model(model: StoredModel, path: str | Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a model to a ``.safetensors`` file, and create its folder if there is none.

    Args:
        dtype: type of the stored weights, which become float32 again when they are loaded.

    Raises:
        FileError: the file cannot be written. An older one stays as it was.
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
                "remove_dc": model.remove_dc,
                "n_fft": model.n_fft,
            }
        ),
        "run": model.mode,
        "temperature": json.dumps(model.temperature),
        "thresholds": json.dumps(model.thresholds),
        "segmentation": json.dumps(model.segmentation),
        "timeline_support": json.dumps(model.timeline_support),
        "multi_label": json.dumps(model.multi_label),
        "tasks": json.dumps(model.tasks),
        "identifiers": json.dumps(model.identifiers),
        "groups": json.dumps(model.groups, ensure_ascii=False),
        "info": json.dumps(model.info, ensure_ascii=False),
    }
    weights = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in model.net.state_dict().items()
    }
    with replacing(path) as new:
        new.write_bytes(save(weights, metadata=header))  # `save_file` would make it readable by its owner alone


def load_model(path: str | Path) -> StoredModel:
    """Load a model that `save_model` wrote, in evaluation mode.

    Raises:
        ModelError: there is no such file, or it is damaged, or `save_model` did not write it.

    >>> load_model("runs/mine/model.safetensors").labels
    ('doorbell', 'kettle')
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(path, "no such file; check the name")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        kind = kind_of_file(path)
        raise ModelError(
            path, _OTHER_KINDS.get(kind, f"not a safetensors file, or damaged (it looks like {kind})")
        ) from error
    if header.get("format") != FORMAT:
        reason = "not a safetensors file of AudioInceptionNeXt; `ainext convert` writes one from a published checkpoint"
        raise ModelError(path, reason)
    try:
        net = build_network(json.loads(header["network"]))
        net.load_state_dict(weights)
        front = json.loads(header["front_end"])
        return StoredModel(
            net.eval(),
            tuple(json.loads(header["labels"])),
            **front,
            mode=header["run"],
            temperature=json.loads(header.get("temperature", "1.0")),
            thresholds=tuple(thresholds) if (thresholds := json.loads(header.get("thresholds", "null"))) else None,
            segmentation=json.loads(header.get("segmentation", "{}")),
            timeline_support=tuple(json.loads(header.get("timeline_support", "[]"))),
            multi_label=json.loads(header.get("multi_label", "false")),
            tasks=json.loads(header.get("tasks", "{}")),
            identifiers=tuple(json.loads(header.get("identifiers", "[]"))),
            groups=json.loads(header.get("groups", "{}")),
            info=json.loads(header["info"]),
        )
    except (KeyError, ValueError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(path, f"its weights do not fit its description ({reason})") from error

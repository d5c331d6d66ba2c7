"""The networks that are compared, and the files that the rows run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.benchmark.end_to_end import Files
from audioinceptionnext.benchmark.engines import in_batches
from audioinceptionnext.benchmark.rows import OURS, Row
from audioinceptionnext.errors import AinextError
from audioinceptionnext.models.names import find_model
from audioinceptionnext.network.base import Network, count_macs, count_parameters
from audioinceptionnext.network.blocks import Mixer
from audioinceptionnext.network.folding import fold
from audioinceptionnext.network.registry import VARIANTS, create_model
from audioinceptionnext.network.storage import StoredModel, load_model
from audioinceptionnext.rendering import render

CLASSES = 44  # as in EPIC-SOUNDS, unless a model says otherwise
INPUTS = 64  # rendered clips on which rows are compared; others settle random weights and calibrate int8
SETTLING, CALIBRATING = 8, 64
OTHER_SEEDS = 1000
BATCH = 16


@dataclass(frozen=True)
class Subject:
    """A network that rows run. ``source``: the file or name it came from; of random weights, what they are."""

    stored: StoredModel
    source: str
    trained: bool

    @property
    def clip_seconds(self) -> float:
        return self.stored.clip_seconds


def subjects(models: Iterable[str]) -> dict[str, Subject]:
    """By `Row.network`: the models named, each for the rows of its architecture; base size, if none is of ours.

    Args:
        models: ``.safetensors`` files, names of shipped models, or of variants, whose weights are random.

    Raises:
        AinextError: no such model, or two of one architecture.
    """
    found: dict[str, Subject] = {}
    for model in models:
        subject = _subject(model)
        kind = subject.stored.net.config.architecture or OURS
        if kind in found:
            raise AinextError(f"--model {model}: {found[kind].source} is measured in the same rows; give one of them")
        found[kind] = subject
    if OURS not in found:
        found[OURS] = _subject("base")
    return found


def _subject(model: str) -> Subject:
    if model.endswith(".safetensors"):
        return Subject(load_model(model), model, trained=True)
    if model in VARIANTS:
        return Subject(_untrained(model, CLASSES), f"{model}, random weights", trained=False)
    if model.endswith(".onnx"):
        raise AinextError(
            f"--model {model}: rows need the weights in training form; give the .safetensors it came from"
        )
    weights = find_model(model).training_weights
    if not weights.is_file():
        raise AinextError(f"--model {model}: {weights} is missing; install the package again")
    return Subject(load_model(weights), model, trained=True)


def baseline(kind: str, ours: Subject) -> Subject:
    """A baseline of random weights that hears the same clips and has as many classes."""
    stored, config = ours.stored, ours.stored.net.config
    net_settings = {"clip_frames": config.clip_frames, "bands": config.bands}
    front = {"sample_rate": stored.sample_rate, "window_ms": stored.window_ms, "hop_ms": stored.hop_ms}
    made = _untrained(kind, config.num_classes, net_settings, front | {"clip_seconds": stored.clip_seconds})
    return Subject(made, f"{kind}, random weights", trained=False)


def _untrained(
    name: str, classes: int, changes: dict[str, Any] | None = None, front: dict[str, Any] | None = None
) -> StoredModel:
    torch.manual_seed(0)
    net = create_model(name, classes, **changes or {}).eval()
    stored = StoredModel(net, tuple(map(str, range(classes))), **front or {})
    settle(net, torch.from_numpy(rendered(stored, SETTLING, OTHER_SEEDS))[:, None])
    return stored


@torch.no_grad()
def settle(net: Network, log_mel: Tensor) -> None:
    """Gives random weights the statistics of their input, so that they compute as trained ones do.

    As created, a block's mixer is off, activations fade from layer to layer and one class wins everywhere, so that
    no engine could be told from another by its answers.
    """
    scaled = net.scale(log_mel)
    net.mean.copy_(scaled.mean())
    net.std.copy_(scaled.std())
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in net.modules():
        if isinstance(module, Mixer):
            nn.init.constant_(module.squeeze.norm.weight, 0.5)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become the batch's
    net.train()
    net.features(log_mel)
    net.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    pooled = net.features(log_mel).mean(dim=(2, 3))
    layer = net.classifier
    layer.weight.mul_(3 / layer(pooled).std(dim=0).mean().clamp(min=1e-6))
    layer.bias.copy_(-layer.weight @ pooled.mean(dim=0))


def rendered(model: StoredModel, count: int, seed: int = 0) -> np.ndarray:
    """Log-mels (count, clip frames, bands) of rendered sound, as the model hears it."""
    waveforms = [_clip(model, seed + number) for number in range(count)]
    with torch.no_grad():
        log_mel = model.front_end()(torch.from_numpy(np.stack(waveforms)))
    return log_mel[:, 0, : model.net.config.clip_frames].numpy()


def _clip(model: StoredModel, seed: int) -> np.ndarray:
    """A waveform that makes exactly the network's frames: a few that the model's clip lacks repeat its end."""
    samples = (model.net.config.clip_frames - 1) * model.front_end().hop
    sound, _ = render(seed, model.clip_seconds, model.sample_rate)
    return np.pad(sound[: samples + 1], (0, max(0, samples - len(sound))), mode="edge")


class Preparation:
    """Makes what rows run, when first asked for, in a folder.

    Args:
        found: of `subjects`; baselines are added as rows want them.
        calibration: log-mels (n, frames, bands) of training clips of ours, for int8; rendered sound unless given.
    """

    def __init__(
        self, folder: Path, found: dict[str, Subject], calibration: Callable[[Subject], np.ndarray] | None = None
    ) -> None:
        self.folder, self._subjects, self._calibration = folder, dict(found), calibration
        self._references: dict[str, np.ndarray] = {}

    def subject(self, kind: str) -> Subject:
        if kind not in self._subjects:
            self._subjects[kind] = baseline(kind, self._subjects[OURS])
        return self._subjects[kind]

    def inputs(self, kind: str) -> Path:
        """Log-mels (n, clip frames, bands) on which the rows of a network are timed and compared."""
        path = self.folder / f"{kind}.inputs.npy"
        if not path.is_file():
            np.save(path, rendered(self.subject(kind).stored, INPUTS))
        return path

    def reference(self, kind: str) -> np.ndarray:
        """Logits (n, classes) of the network as trained, in float32, for its inputs."""
        if kind not in self._references:
            net = self.subject(kind).stored.net.eval()

            @torch.inference_mode()
            def run(log_mel: np.ndarray) -> np.ndarray:
                return net(torch.from_numpy(log_mel)[:, None]).numpy()

            self._references[kind] = in_batches(run, np.load(self.inputs(kind)), BATCH)
        return self._references[kind]

    def size(self, row: Row) -> tuple[int, int]:
        """Parameters, and multiply-accumulates of a clip, in the form that the row runs."""
        net = self.subject(row.network).stored.net
        net = net if row.form == "published" else fold(net)
        return count_parameters(net), count_macs(net)

    def file(self, row: Row) -> Path:
        """What the row's engine loads.

        Raises whatever making it raises: an exporter that cannot, a quantiser that is not there.
        """
        if row.engine in ("onnxruntime", "openvino"):
            stored = row.precision if row.precision in ("float16", "int8") else "float32"
            return self._onnx(row.network, stored)
        path = self.folder / f"{row.network}.{row.form}.pt"
        if not path.is_file():
            net = self.subject(row.network).stored.net
            torch.save(net.eval() if row.form == "published" else fold(net), path)
        return path

    def recording_files(self) -> Files:
        """Of our network, for `end_to_end.measure`. Raises whatever exporting raises."""
        import onnx.utils

        from audioinceptionnext.export.onnx import export_onnx

        subject = self.subject(OURS)
        stored, config = subject.stored, subject.stored.net.config
        model, front, published = (self.folder / name for name in ("whole.onnx", "front.onnx", "published.pt"))
        run = "dense" if stored.net.convolutional and not subject.trained else None  # random weights do not care
        export_onnx(stored, model, run, name=Path(subject.source).stem)  # type: ignore[arg-type]
        onnx.utils.extract_model(model, front, ["waveform"], ["log_mel"], check_model=False)
        settings = {name: getattr(stored, name) for name in ("sample_rate", "window_ms", "hop_ms", "clip_samples")}
        settings |= {"bands": config.bands, "clip_frames": config.clip_frames}
        torch.save({"net": stored.net.eval(), "front_end": settings}, published)
        return Files(str(model), str(front), str(published))

    def _onnx(self, kind: str, precision: str) -> Path:
        path = self.folder / f"{kind}.{precision}.onnx"
        if path.is_file():
            return path
        if precision == "int8":
            from audioinceptionnext.export.quantise import quantise_onnx

            source = self._onnx(kind, "float32")
            quantise_onnx(source, path, ({"log_mel": clip[None]} for clip in self._calibrating(kind)))
            return path
        from audioinceptionnext.export.onnx import export_onnx

        stored = self.subject(kind).stored
        temperature, stored.temperature = stored.temperature, 1.0  # logits as the network gives them
        try:
            run = "dense" if stored.net.convolutional else "windows"  # of one clip both give the same
            return export_onnx(stored, path, run, "log-mel", precision)  # type: ignore[arg-type]
        finally:
            stored.temperature = temperature

    def _calibrating(self, kind: str) -> np.ndarray:
        subject = self.subject(kind)
        if self._calibration is not None and subject.trained:
            return self._calibration(subject)
        return rendered(subject.stored, CALIBRATING, OTHER_SEEDS)

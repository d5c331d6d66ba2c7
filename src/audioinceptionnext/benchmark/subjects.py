"""The networks that are compared, and the files that the rows run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.benchmark.backends import in_batches
from audioinceptionnext.benchmark.end_to_end import Files
from audioinceptionnext.benchmark.rows import OURS, Row
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.models.names import find_model
from audioinceptionnext.network.base import Network, count_macs, count_parameters
from audioinceptionnext.network.blocks import Mixer
from audioinceptionnext.network.folding import fold
from audioinceptionnext.network.registry import VARIANTS, create_model
from audioinceptionnext.network.rep import RepConfig
from audioinceptionnext.network.staged import StagedConfig
from audioinceptionnext.network.storage import Mode, StoredModel, load_model
from audioinceptionnext.rendering import render

NUM_CLASSES = 44  # as in EPIC-SOUNDS, unless a model says otherwise
# Rendered clips on which rows are timed and compared; and other clips, which settle random weights and calibrate int8.
INPUT_CLIPS = 64
SETTLING_CLIPS, CALIBRATION_CLIPS = 8, 64
OTHER_SEEDS = 1000
BATCH_SIZE = 16
SUCCESSOR = RepConfig.architecture


@dataclass(frozen=True)
class Subject:
    """A network that rows run.

    Attributes:
        stored: the network and its front end.
        source: the file or name that it came from, or what kind of random weights it has.
        trained: whether the weights are trained.
    """

    stored: StoredModel
    source: str
    trained: bool

    @property
    def clip_seconds(self) -> float:
        return self.stored.clip_seconds


def open_subjects(models: Iterable[str]) -> dict[str, Subject]:
    """Open the networks to measure.

    Args:
        models: ``.safetensors`` files, names of shipped models, or names of networks, whose weights are random.

    Returns:
        The subjects by `Row.network`: each model stands in the rows of its architecture. Where none of the models is
        of our architecture, base size with random weights is added.

    Raises:
        ModelError: there is no such model.
        ParameterError: two models of one architecture, or a model without weights in training form.
    """
    subjects: dict[str, Subject] = {}
    for model in models:
        subject = _open_subject(model)
        kind = subject.stored.net.config.architecture or OURS
        if kind in subjects:
            reason = f"{subjects[kind].source} is measured in the same rows; give one of them"
            raise ParameterError("model", model, reason)
        subjects[kind] = subject
    if OURS not in subjects:
        subjects[OURS] = _open_subject("base")
    return subjects


def _open_subject(model: str) -> Subject:
    if model.endswith(".safetensors"):
        return Subject(load_model(model), model, trained=True)
    if model in VARIANTS or model == SUCCESSOR:
        return Subject(_untrained(model, NUM_CLASSES), f"{model}, random weights", trained=False)
    if model.endswith(".onnx"):
        reason = "rows need the weights in training form; give the .safetensors file that it was exported from"
        raise ParameterError("model", model, reason)
    weights = find_model(model).training_weights
    if not weights.is_file():
        raise ParameterError("model", model, f"{weights} is missing; install the package again")
    return Subject(load_model(weights), model, trained=True)


def open_other(kind: str, ours: Subject) -> Subject:
    """Another network with random weights that takes the same clips and has the same number of classes as ``ours``.

    The successor also has its widths, depths and kernels.
    """
    stored, config = ours.stored, ours.stored.net.config
    settings: dict[str, Any] = {"clip_frames": config.clip_frames, "bands": config.bands}
    if kind == SUCCESSOR and isinstance(config, StagedConfig):
        settings |= {"widths": config.widths, "depths": config.depths, "kernels": config.kernels}
    names = ("sample_rate", "window_ms", "hop_ms", "clip_seconds", "remove_dc", "n_fft")
    front_end = {name: getattr(stored, name) for name in names}
    untrained = _untrained(kind, config.num_classes, settings, front_end)
    return Subject(untrained, f"{kind}, random weights", trained=False)


def _untrained(
    name: str, num_classes: int, settings: dict[str, Any] | None = None, front_end: dict[str, Any] | None = None
) -> StoredModel:
    torch.manual_seed(0)
    net = create_model(name, num_classes, **settings or {}).eval()
    stored = StoredModel(net, tuple(map(str, range(num_classes))), **front_end or {})
    settle(net, torch.from_numpy(rendered_log_mels(stored, SETTLING_CLIPS, OTHER_SEEDS))[:, None])
    return stored


@torch.no_grad()
def settle(net: Network, log_mel: Tensor) -> None:
    """Give random weights the statistics of their input, so that they compute as trained ones do.

    In a network as created, the mixers of the blocks are off, activations fade from layer to layer, and one class wins
    everywhere. The outputs of two backends could then not be told apart.

    Args:
        net: changed in place.
        log_mel: (batch, 1, frames, bands).
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
    pooled = net.summary(net.features(log_mel).mean(dim=(2, 3)))
    layer = net.classifier
    layer.weight.mul_(3 / layer(pooled).std(dim=0).mean().clamp(min=1e-6))
    layer.bias.copy_(-layer.weight @ pooled.mean(dim=0))


def rendered_log_mels(model: StoredModel, count: int, seed: int = 0) -> np.ndarray:
    """Log-mels (count, clip frames, bands) of rendered sound, by the model's front end."""
    waveforms = [_rendered_clip(model, seed + number) for number in range(count)]
    with torch.no_grad():
        log_mel = model.front_end()(torch.from_numpy(np.stack(waveforms)))
    return log_mel[:, 0, : model.net.config.clip_frames].numpy()


def _rendered_clip(model: StoredModel, seed: int) -> np.ndarray:
    """A waveform that gives exactly the network's frames; its end is repeated where the model's clip is shorter."""
    samples = (model.net.config.clip_frames - 1) * model.front_end().hop
    waveform, _ = render(seed, model.clip_seconds, model.sample_rate)
    return np.pad(waveform[: samples + 1], (0, max(0, samples - len(waveform))), mode="edge")


class Preparation:
    """Makes the files that rows run, in a folder, each when it is first asked for.

    Args:
        folder: for the files.
        subjects: see `open_subjects`; others are added when rows need them.
        calibration: gives log-mels (n, frames, bands) of training clips to calibrate the int8 form of a trained
            network; rendered sound unless given.
    """

    def __init__(
        self, folder: Path, subjects: dict[str, Subject], calibration: Callable[[Subject], np.ndarray] | None = None
    ) -> None:
        self.folder, self._subjects, self._calibration = folder, dict(subjects), calibration
        self._references: dict[str, np.ndarray] = {}

    def subject(self, kind: str) -> Subject:
        """The network of this `Row.network`."""
        if kind not in self._subjects:
            self._subjects[kind] = open_other(kind, self._subjects[OURS])
        return self._subjects[kind]

    def inputs(self, kind: str) -> Path:
        """A file of log-mels (n, clip frames, bands) on which the rows of a network are timed and compared."""
        path = self.folder / f"{kind}.inputs.npy"
        if not path.is_file():
            np.save(path, rendered_log_mels(self.subject(kind).stored, INPUT_CLIPS))
        return path

    def reference(self, kind: str) -> np.ndarray:
        """Logits (n, classes) of the network as trained, in float32, for its inputs."""
        if kind not in self._references:
            net = self.subject(kind).stored.net.eval()

            @torch.inference_mode()
            def infer(log_mel: np.ndarray) -> np.ndarray:
                return net(torch.from_numpy(log_mel)[:, None]).numpy()

            self._references[kind] = in_batches(infer, np.load(self.inputs(kind)), BATCH_SIZE)
        return self._references[kind]

    def size(self, row: Row) -> tuple[int, int]:
        """The number of parameters, and of multiply-accumulates per clip, of the network as the row runs it."""
        net = self.subject(row.network).stored.net
        net = fold(net) if row.folded else net
        return count_parameters(net), count_macs(net)

    def file(self, row: Row) -> Path:
        """The file that the row's backend loads.

        Raises whatever making the file raises, for instance where an exporter fails or a quantiser is not installed.
        """
        if row.backend in ("onnxruntime", "openvino"):
            stored = row.precision if row.precision in ("float16", "int8") else "float32"
            return self._onnx(row.network, stored)
        path = self.folder / f"{row.network}.{'folded' if row.folded else 'published'}.pt"
        if not path.is_file():
            net = self.subject(row.network).stored.net
            torch.save(fold(net) if row.folded else net.eval(), path)
        return path

    def recording_files(self) -> Files:
        """The files of our network for `end_to_end.measure`. Raises whatever exporting raises."""
        import onnx.utils

        from audioinceptionnext.export.onnx import export_onnx

        subject = self.subject(OURS)
        stored, config = subject.stored, subject.stored.net.config
        model, front_end, published = (self.folder / name for name in ("whole.onnx", "front.onnx", "published.pt"))
        mode: Mode | None = "dense" if stored.net.convolutional and not subject.trained else None
        export_onnx(stored, model, mode=mode, name=Path(subject.source).stem)
        onnx.utils.extract_model(model, front_end, ["waveform"], ["log_mel"], check_model=False)
        names = ("sample_rate", "window_ms", "hop_ms", "n_fft", "clip_samples")
        settings = {name: getattr(stored, name) for name in names}
        settings |= {"bands": config.bands, "clip_frames": config.clip_frames}
        torch.save({"net": stored.net.eval(), "front_end": settings}, published)
        return Files(str(model), str(front_end), str(published))

    def _onnx(self, kind: str, precision: str) -> Path:
        path = self.folder / f"{kind}.{precision}.onnx"
        if path.is_file():
            return path
        if precision == "int8":
            from audioinceptionnext.export.quantise import quantise_onnx

            source = self._onnx(kind, "float32")
            quantise_onnx(source, path, ({"log_mel": clip[None]} for clip in self._calibration_clips(kind)))
            return path
        from audioinceptionnext.export.onnx import export_onnx

        stored = self.subject(kind).stored
        temperature, stored.temperature = stored.temperature, 1.0  # for the logits as the network gives them
        try:
            mode: Mode = "dense" if stored.net.convolutional else "windows"  # both give the same for a single clip
            return export_onnx(stored, path, mode=mode, input="log-mel", precision=precision)  # type: ignore[arg-type]
        finally:
            stored.temperature = temperature

    def _calibration_clips(self, kind: str) -> np.ndarray:
        subject = self.subject(kind)
        if self._calibration is not None and subject.trained:
            return self._calibration(subject)
        return rendered_log_mels(subject.stored, CALIBRATION_CLIPS, OTHER_SEEDS)

"""Exports a trained network as one ONNX file: waveform to probabilities, with all that is needed as metadata."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn

from audioinceptionnext.errors import ModelError, ParameterError
from audioinceptionnext.export.agreement import Agreement, compare
from audioinceptionnext.export.clips import ExportClips, Input, input_batches, input_name, model_inputs, rendered_clips
from audioinceptionnext.export.layout import last_reach, time_last
from audioinceptionnext.export.openvino import convert_to_openvino
from audioinceptionnext.export.quantise import Precision, convert_precision, read_metadata, write_onnx
from audioinceptionnext.inference.steps import FILE_FORMAT, MARGIN_FRAMES
from audioinceptionnext.network.base import STEP_FRAMES, count_macs, count_parameters
from audioinceptionnext.network.frontend import SILENCE
from audioinceptionnext.network.staged import StagedNetwork
from audioinceptionnext.network.storage import Mode, StoredModel
from audioinceptionnext.network.tasks import softmax
from audioinceptionnext.network.timeline import FINE_STEP_FRAMES, TimelineHead, highest_of_windows
from audioinceptionnext.results.settings import ONSET_THRESHOLD

OPSET = 18
TEMPERATURE = "temperature"
UNCUT_REACH = 960  # frames, of three blocks with kernels of 21, for which the usual margin was measured
MAX_FOLDED = 256  # elements of a constant that the exporter may compute; the front end's tables are the runtime's


class Exported(nn.Module):
    """What the ONNX file computes: the front end and the folded network, for input of any length.

    Args:
        model: the training form with its front end.
        mode: ``dense`` processes the input in one pass with sliding pooling; ``windows`` cuts one log-mel into clips.
        input: ``waveform`` (batch, samples), or ``log-mel`` (batch, frames, bands).

    Attributes:
        outputs: the names of what `forward` returns.
    """

    temperature: Tensor
    support: Tensor

    def __init__(self, model: StoredModel, mode: Mode, input: Input) -> None:
        super().__init__()
        self.front_end, self.net = model.front_end(), time_last(model.folded())
        self.front_end.stored = False
        # As in training: in float32 for our networks, which halves the time of the whole; exact, as librosa, for the
        # authors' networks.
        self.front_end.exact = "recipes" not in model.info
        # Kept apart, since its input, the features, is an output of the file.
        self.classifier, self.net.classifier = self.net.classifier, nn.Identity()  # type: ignore[assignment]
        self.mode, self.input = mode, input
        self.register_buffer("support", torch.tensor(model.timeline_support))
        head = getattr(self.net, "timeline", None)
        self.trusts = isinstance(head, TimelineHead) and bool(head.trust.any())
        self.multi_label, self.tasks = model.multi_label, tuple(model.tasks.items())
        self.register_buffer(TEMPERATURE, torch.tensor(model.temperature))
        self.clip_frames, self.bands = self.net.config.clip_frames, self.net.config.bands
        self.fine = mode == "dense" and isinstance(self.net, StagedNetwork) and self.net.timeline is not None
        self.outputs = ["probabilities", "logits", "features"] + ["log_mel"] * (input == "waveform")
        self.outputs += ["timeline"] * self.fine
        self.eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the file, see `outputs`.

        Args:
            x: the waveform or the log-mel.

        Returns:
            Probabilities (batch, steps, classes), the logits that they come from, and the features (batch, steps,
            channels) that the linear layer reads; for a waveform also its log-mel (batch, frames, bands); and from a
            network with a fine timeline its probabilities (batch, fine steps, classes).
        """
        if self.input == "waveform":
            log_mel = self.front_end(x)[:, 0]
            # As in `training.batch_transform.crop`, a frame centred on the very end counts if it still belongs to a
            # clip. For exactly 2.08 s it does not, so that these are 416 frames and not 417.
            samples, hop_samples = x.shape[1], self.front_end.hop
            frames = torch.sym_max(
                (samples + hop_samples - 1) // hop_samples, torch.sym_min(1 + samples // hop_samples, self.clip_frames)
            )
        else:
            log_mel, frames = x, x.shape[1]
        summaries: list[Tensor] = []
        if self.fine:
            assert isinstance(self.net, StagedNetwork)
            maps, summaries = self.net.features_and_summaries(self.padded(log_mel, frames))
            features = self.net.pooled_logits(maps)
        else:
            features = (self.dense if self.mode == "dense" else self.windows)(log_mel, frames)
        logits = self.classifier(features) / self.temperature
        probabilities = torch.sigmoid(logits) if self.multi_label else softmax(logits, dict(self.tasks))
        probabilities = probabilities * self.loud(log_mel, frames, features.shape[1], STEP_FRAMES, self.clip_frames)
        outputs = (probabilities, logits, features, *([log_mel] if self.input == "waveform" else []))
        if not summaries:
            return outputs
        steps = (frames + FINE_STEP_FRAMES - 1) // FINE_STEP_FRAMES
        head = self.net.timeline
        assert isinstance(head, TimelineHead)
        highest = highest_of_windows(probabilities, self.net.clip_steps)
        found = torch.sigmoid(head(summaries, highest if self.trusts else None)[:, :steps])
        if len(self.support):
            repeated = highest.repeat_interleave(STEP_FRAMES // FINE_STEP_FRAMES, 1)[:, :steps]
            found = torch.minimum(found, self.support * repeated)
        return (*outputs, found * self.loud(log_mel, frames, steps, FINE_STEP_FRAMES, FINE_STEP_FRAMES))

    # Input shorter than a clip is padded by repeating its last frame, as published. `frames` may be symbolic.

    def padded(self, log_mel: Tensor, frames: int) -> Tensor:
        place = torch.arange(torch.sym_max(frames, self.clip_frames))
        return log_mel[:, place.clamp(max=frames - 1)].unsqueeze(1)

    def dense(self, log_mel: Tensor, frames: int) -> Tensor:
        features: Tensor = self.net.dense(self.padded(log_mel, frames))
        return features

    def windows(self, log_mel: Tensor, frames: int) -> Tensor:
        windows = (torch.sym_max(frames - self.clip_frames, 0) + STEP_FRAMES - 1) // STEP_FRAMES + 1
        place = torch.arange(windows)[:, None] * STEP_FRAMES + torch.arange(self.clip_frames)
        clips = log_mel[:, place.clamp(max=frames - 1)]  # (batch, windows, clip_frames, bands)
        features = self.net(clips.reshape(-1, 1, self.clip_frames, self.bands))
        return features.view(log_mel.shape[0], -1, features.shape[1])

    def loud(self, log_mel: Tensor, frames: int, steps: int, step_frames: int, window: int) -> Tensor:
        """Whether the window of a step has a frame that is not digital silence: (batch, steps, 1)."""
        loud = log_mel[:, :frames].amax(2) > SILENCE
        before = nn.functional.pad(loud.long().cumsum(1), (1, 0))  # loud frames before each frame
        start = torch.arange(steps) * step_frames
        end = (start + window).clamp(max=frames)
        return (before[:, end] > before[:, start.clamp(max=frames)]).unsqueeze(2)


def export_onnx(
    model: StoredModel,
    path: str | Path,
    *,
    mode: Mode | None = None,
    input: Input = "waveform",
    precision: Precision = "float32",
    name: str | None = None,
    calibration: Iterable[np.ndarray] | None = None,
) -> Path:
    """Write a model to an ONNX file, and return its path.

    The input of the file is ``waveform`` (batch, samples), mono float32 in -1…1 at the model's rate, or ``log_mel``
    (batch, frames, bands). Its outputs are ``probabilities`` and ``logits`` (batch, steps, classes), with one step for
    one clip's length or less and then one every 32 frames; ``features`` (batch, steps, channels), which the linear
    layer turns into the logits; and, for a waveform, ``log_mel`` (batch, frames, bands). `docs/onnx.md` describes them.

    Args:
        mode: how audio longer than a clip is processed; as the model was trained unless given. Networks that are not
            convolutional (the transformer baseline) only have ``windows``.
        input: what the file takes, ``waveform`` or ``log-mel``.
        precision: ``float16`` and ``bf16`` store the network's weights in half the space and compute in float32.
            ``int8`` computes the wide layers in 8 bits, see `quantise_onnx`.
        name: the model's name in the file; the file's own name unless given.
        calibration: waveforms (samples,) at the model's rate to calibrate ``int8`` on; rendered sound unless given.

    Raises:
        ParameterError: ``dense`` for a network that is not convolutional.
        FileError: the file cannot be written.

    >>> export_onnx(load_model("runs/mine/model.safetensors"), "mine.onnx")
    PosixPath('mine.onnx')
    """
    path = Path(path)
    if mode == "dense" and not model.net.convolutional:
        raise ParameterError("mode", mode, "this network predicts one clip at a time; use windows")
    mode = mode or (model.mode if model.net.convolutional else "windows")
    exported = Exported(model, mode, input)
    proto = _to_onnx(exported, model.clip_samples)
    onnx.helper.set_model_props(proto, _metadata(model, exported, name or path.stem))
    _set_calibration(proto, model)
    proto.producer_name, proto.doc_string = "audioinceptionnext", ""
    if precision == "float32":
        write_onnx(proto, path)
        return path
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(proto, source := Path(folder, "float32.onnx"))
        waveforms = rendered_clips(model).calibration if calibration is None else calibration
        convert_precision(source, path, precision, input_batches(model, input, waveforms))
    return path


def recalibrate_onnx(path: Path, model: StoredModel) -> None:
    """Give the file that `export_onnx` wrote of a model its present temperature and thresholds.

    Raises:
        ModelError: the file is not float32. Elsewhere the temperature is not found by its name.
        FileError: the file cannot be written.

    >>> recalibrate_onnx(Path("runs/mine/model.onnx"), model)
    """
    proto = onnx.load(path)
    if read_metadata(proto).get("precision", "float32") != "float32":
        raise ModelError(path, "cannot be recalibrated: that is for float32 files only; export the model again")
    _set_calibration(proto, model)
    write_onnx(proto, path)


def _set_calibration(proto: onnx.ModelProto, model: StoredModel) -> None:
    (stored,) = [constant for constant in proto.graph.initializer if constant.name == TEMPERATURE]
    (_,) = [node for node in proto.graph.node if TEMPERATURE in node.input]  # nothing else changes with it
    stored.CopyFrom(onnx.numpy_helper.from_array(np.array(model.temperature, np.float32), TEMPERATURE))
    values = read_metadata(proto) | {"temperature": str(model.temperature)}
    values.pop("thresholds", None)
    if model.thresholds:
        values["thresholds"] = json.dumps(model.thresholds)
    values.pop("segmentation", None)
    if model.segmentation:
        values["segmentation"] = json.dumps(model.segmentation)
    onnx.helper.set_model_props(proto, values)


def export_checked(
    model: StoredModel,
    path: Path,
    clips: ExportClips,
    *,
    mode: Mode | None = None,
    input: Input = "waveform",
    precision: Precision = "float32",
    force: bool = False,
) -> Agreement:
    """Write a model to an ONNX file, or to OpenVINO's format, if it agrees with the float32 ONNX file.

    Unless `Agreement.enough` or ``force``, nothing is written, and an older file stays as it is.

    Args:
        path: ends in ``.onnx``, or in ``.xml`` for OpenVINO.
        clips: to calibrate and compare on.
        mode, input, precision: as for `export_onnx`.
        force: write the file whatever the agreement.

    Raises:
        ParameterError, FileError: as `export_onnx`.
        MissingDependencyError: OpenVINO is not installed.
        AinextError: there are no clips.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        source = export_onnx(model, Path(folder, "float32.onnx"), mode=mode, input=input, name=path.stem)
        made = Path(folder, "made", path.name)
        batches = input_batches(model, input, clips.calibration)
        convert_precision(source, made.with_suffix(".onnx"), precision, batches)
        files = [made]
        if made.suffix == ".xml":
            convert_to_openvino(made.with_suffix(".onnx"), made)
            files.insert(0, made.with_suffix(".bin"))
        inputs, tasks = model_inputs(model, input, clips.comparison), list(model.tasks.values())
        thresholds = (model.thresholds or [ONSET_THRESHOLD] * len(model.labels)) if model.multi_label else None
        agreement = compare(source, made, inputs, clips.min_lead, tasks, thresholds)
        if agreement.enough or force:
            for file in files:
                file.replace(path.with_suffix(file.suffix))
    return agreement


def _to_onnx(exported: Exported, clip_samples: int) -> onnx.ModelProto:
    """The graph, for any number of samples or frames in batches of any size. `_set_calibration` gives the temperature.

    The exporter would leave out a division by 1, and it makes one of constants that are equal. So the temperature of
    the graph is a number that nothing else has.
    """
    exported.temperature.fill_(1.6180339)
    waveform = exported.input == "waveform"
    example = torch.zeros(2, 4 * clip_samples) if waveform else torch.zeros(2, 999, exported.bands)
    length = torch.export.Dim("samples" if waveform else "frames", min=300, max=2**31 - 1)
    chatter = io.StringIO()  # the exporter prints progress and doubts to several places
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                exported,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch", max=2**20), 1: length},),
                input_names=[input_name(exported.input)],
                output_names=exported.outputs,
                opset_version=OPSET,
                verbose=False,
                optimize=False,
            )
            assert program is not None
            optimizer.optimize(program.model, output_size_limit=MAX_FOLDED)
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    proto = program.model_proto
    for node in proto.graph.node:  # names of source lines and modules, which are of no use to those who run the file
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    del proto.graph.value_info[:]
    return proto


def _metadata(model: StoredModel, exported: Exported, name: str) -> dict[str, str]:
    """The metadata of the file, which `docs/onnx.md` describes."""
    hop, folded = exported.front_end.hop, model.folded()
    values: dict[str, object] = {
        "format": FILE_FORMAT,
        "name": name,
        "input": exported.input,
        "kind": "multi-label" if model.multi_label else "single-label",
        "mode": exported.mode,
        "precision": "float32",
        "sample_rate": model.sample_rate,
        "hop_samples": hop,
        "n_fft": model.n_fft,
        "clip_samples": model.clip_samples,
        "clip_frames": exported.clip_frames,
        "step_frames": STEP_FRAMES,
        "parameters": count_parameters(folded),
        "gmac": round(count_macs(folded) / 1e9, 4),
        "features": exported.classifier.in_features,
    }
    texts: dict[str, object] = {
        "labels": json.dumps(model.labels, ensure_ascii=False),
        "info": json.dumps(model.info, ensure_ascii=False),
    }
    if model.tasks:
        texts["tasks"] = json.dumps(model.tasks, ensure_ascii=False)
    if model.remove_dc:
        texts["remove_dc"] = "true"
    if exported.fine:
        texts["timeline_step_frames"] = FINE_STEP_FRAMES
    if exported.mode == "dense" and (reach := last_reach(exported.net)) < UNCUT_REACH:
        texts["margin_frames"] = round(MARGIN_FRAMES["dense"] * reach / UNCUT_REACH)
    if model.identifiers:
        texts["identifiers"] = json.dumps(model.identifiers)
    if model.groups:
        texts["groups"] = json.dumps(model.groups, ensure_ascii=False)
    return {key: str(value) for key, value in (values | texts).items()}

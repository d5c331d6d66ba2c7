"""A trained network to one ONNX file: waveform in, logits out, everything needed to use it in its metadata."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn

from audioinceptionnext.errors import AinextError
from audioinceptionnext.export.agreement import Agreement, compare
from audioinceptionnext.export.layout import lay_out
from audioinceptionnext.export.quantise import SMALLEST, Precision, lower, write_onnx
from audioinceptionnext.network.base import STEP_FRAMES, count_macs, count_parameters
from audioinceptionnext.network.storage import Run, StoredModel

Input = Literal["waveform", "log-mel"]
OPSET = 18
RENDERED = 200  # clips to calibrate on, and others to compare on, where none are given
SURE = 0.1  # probability by which the best class of a rendered clip leads, for its being the best to mean anything
MOST_FOLDED = 256  # numbers of a constant that the exporter may compute; the front end's tables are left to the runtime


class Exported(nn.Module):
    """What the ONNX file computes: folded network and front end, over input of any length.

    Args:
        model: the training form with its front end.
        run: ``dense`` hears the input in one pass with sliding pooling; ``windows`` cuts one log-mel into clips.
        takes: ``waveform`` (batch, samples), or ``log-mel`` (batch, frames, bands).
    """

    def __init__(self, model: StoredModel, run: Run, takes: Input) -> None:
        super().__init__()
        self.front_end, self.net = model.front_end(), lay_out(model.folded())
        self.front_end.stored = False
        # As it was in training: float32 for ours, half the time of it all; as librosa for the authors' networks.
        self.front_end.exact = "recipes" not in model.info
        # What it reads is a result of its own, and so is kept apart; it is applied last, to the steps that are given.
        self.classifier, self.net.classifier = self.net.classifier, nn.Identity()  # type: ignore[assignment]
        self.run, self.takes = run, takes
        self.temperature = model.temperature
        self.clip_frames, self.bands = self.net.config.clip_frames, self.net.config.bands
        self.eval()

    def forward(self, sound: Tensor, hop: Tensor) -> tuple[Tensor, ...]:
        """Logits (batch, steps, classes); of a waveform also the log-mel (batch, frames, bands) that was heard, and the
        features (batch, steps, channels) that the linear layer reads."""
        if self.takes == "waveform":
            log_mel = self.front_end(sound)[:, 0]
            # As `training.hearing.crop`: a frame centred on the very end is heard where it still belongs to a clip; of
            # exactly 2.08 s it does not, that is 416 frames and not 417.
            samples, step = sound.shape[1], self.front_end.hop
            frames = torch.sym_max((samples + step - 1) // step, torch.sym_min(1 + samples // step, self.clip_frames))
        else:
            log_mel, frames = sound, sound.shape[1]
        every: Any = hop.item()  # symbolic
        torch._check(every >= 1)
        features = (self.dense if self.run == "dense" else self.windows)(log_mel, frames, every)
        logits = self.classifier(features) / self.temperature
        return (logits, log_mel, features) if self.takes == "waveform" else (logits,)

    # Both give features. Short input is heard whole, its last frame repeated, as published. `frames` may be symbolic.

    def dense(self, log_mel: Tensor, frames: int, step: int) -> Tensor:
        # Passes that start a step after one another answer in between. A step that is longer than the network's, or
        # does not divide it, is the caller's business.
        passes = STEP_FRAMES // step
        torch._check(passes >= 1)
        place = torch.arange(passes)[:, None] * step + torch.arange(torch.sym_max(frames, self.clip_frames))
        shifted = log_mel[:, place.clamp(max=frames - 1)]  # (batch, passes, frames, bands)
        features = self.net.dense(shifted.reshape(-1, 1, place.shape[1], self.bands))
        whole = -(-self.clip_frames // STEP_FRAMES) * STEP_FRAMES
        steps = (torch.sym_max(frames - whole, 0) + step - 1) // step + 1
        features = features.view(log_mel.shape[0], -1, features.shape[1], features.shape[2])
        return features.transpose(1, 2).reshape(log_mel.shape[0], -1, features.shape[3])[:, :steps]

    def windows(self, log_mel: Tensor, frames: int, step: int) -> Tensor:
        windows = (torch.sym_max(frames - self.clip_frames, 0) + step - 1) // step + 1
        torch._check(windows >= 1)
        place = torch.arange(windows)[:, None] * step + torch.arange(self.clip_frames)
        clips = log_mel[:, place.clamp(max=frames - 1)]  # (batch, windows, clip_frames, bands)
        features = self.net(clips.reshape(-1, 1, self.clip_frames, self.bands))
        return features.view(log_mel.shape[0], -1, features.shape[1])


def export_onnx(
    model: StoredModel,
    path: str | Path,
    run: Run | None = None,
    takes: Input = "waveform",
    precision: Precision = "float32",
    name: str | None = None,
    sounds: Iterable[np.ndarray] | None = None,
) -> Path:
    """Writes ``path`` and returns it.

    Inputs: ``waveform`` (batch, samples), mono float32 in -1…1 at the model's rate, or ``log_mel`` (batch, frames,
    bands); and ``hop``, frames from one answer to the next, optional, 32 unless given, which a dense file's divides.
    Outputs: ``logits`` (batch, steps, classes), one step for one clip's length and shorter, then one every hop; with
    waveform input also ``log_mel`` (batch, frames, bands) and ``features`` (batch, steps, channels), which the linear
    layer makes logits of.

    Args:
        run: how longer audio is heard; as the model was trained, unless given. A network that is not convolutional
            (the transformer baseline) can only be heard by ``windows``.
        precision: ``float16`` and ``bf16`` store the network's weights in half the space; they are computed with in
            float32. ``int8`` computes the wide layers in 8 bits (see `quantise_onnx`).
        name: what the file calls itself; its own name unless given.
        sounds: for ``int8``, waveforms (samples,) at the model's rate to calibrate on; rendered ones unless given.

    Raises:
        AinextError: ``dense`` for a network that hears clip by clip.
    """
    path = Path(path)
    if run == "dense" and not model.net.convolutional:
        raise AinextError(f"{path}: this network hears one clip at a time; export it with run windows")
    run = run or (model.run if model.net.convolutional else "windows")
    wrapped = Exported(model, run, takes)
    sound = torch.zeros(2, 4 * model.clip_samples) if takes == "waveform" else torch.zeros(2, 999, wrapped.bands)
    names = ["waveform" if takes == "waveform" else "log_mel", "hop"]
    length = torch.export.Dim("samples" if takes == "waveform" else "frames", min=300, max=2**31 - 1)
    shapes = ({0: torch.export.Dim("batch", max=2**20), 1: length}, None)
    proto = _to_onnx(wrapped, (sound, torch.tensor(STEP_FRAMES)), names, shapes)
    # An initializer of an input's name is its default.
    proto.graph.initializer.append(numpy_helper.from_array(np.array(STEP_FRAMES, np.int64), "hop"))
    onnx.helper.set_model_props(proto, _metadata(model, wrapped, name or path.stem))
    proto.producer_name, proto.doc_string = "audioinceptionnext", ""
    if precision == "float32":
        write_onnx(proto, path)
        return path
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(proto, source := Path(folder, "float32.onnx"))
        sounds = rendered(model, RENDERED) if sounds is None else sounds
        lower(source, path, precision, ({names[0]: sound[None]} for sound in heard_by(model, takes, sounds)))
    return path


class Sounds(NamedTuple):
    """Waveforms (samples,) at a model's rate, each read once.

    Attributes:
        calibrating, comparing: different clips.
        lead: what makes a clip count for the agreement; see `compare`.
    """

    calibrating: Iterable[np.ndarray]
    comparing: Iterable[np.ndarray]
    lead: float = 0.0


def rendered_sounds(model: StoredModel) -> Sounds:
    """For a model whose own sound is not at hand. Many leave it undecided, so only clips that it is sure of count."""
    return Sounds(rendered(model, RENDERED), rendered(model, RENDERED, RENDERED), SURE)


def export_checked(
    model: StoredModel,
    path: Path,
    sounds: Sounds,
    run: Run | None = None,
    takes: Input = "waveform",
    precision: Precision = "float32",
    force: bool = False,
) -> Agreement:
    """As `export_onnx`, or OpenVINO's form where ``path`` ends in ``.xml``, and compared with the float32 ONNX file.

    The file is in its place only where `Agreement.enough` or ``force``; one that was there before stays otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        source = export_onnx(model, Path(folder, "float32.onnx"), run, takes, name=path.stem)
        name = "waveform" if takes == "waveform" else "log_mel"
        batches = ({name: sound[None]} for sound in heard_by(model, takes, sounds.calibrating))
        made = Path(folder, "made", path.name)
        lower(source, made.with_suffix(".onnx"), precision, batches)
        files = [made]
        if made.suffix == ".xml":
            convert_to_openvino(made.with_suffix(".onnx"), made)
            files.insert(0, made.with_suffix(".bin"))
        found = compare(source, made, heard_by(model, takes, sounds.comparing), sounds.lead)
        if found.enough or force:
            for file in files:
                file.replace(path.with_suffix(file.suffix))
    return found


def rendered(model: StoredModel, clips: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Waveforms (samples,) of rendered sound at the model's rate, half as long again as its clip."""
    from audioinceptionnext.rendering import render  # needs scipy

    return (render(seed + number, 1.5 * model.clip_seconds, model.sample_rate)[0] for number in range(clips))


def heard_by(model: StoredModel, takes: Input, sounds: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Waveforms as an exported file takes them: as they are, or log-mels (frames, bands)."""
    front_end = model.front_end()
    for sound in sounds:
        with torch.no_grad():
            yield sound if takes == "waveform" else front_end(torch.from_numpy(sound)[None])[0, 0].numpy()


def convert_to_openvino(source: Path, target: Path) -> None:
    """An ONNX file as OpenVINO's ``.xml`` and, beside it, ``.bin``; its metadata in the model's ``rt_info``.

    OpenVINO computes in what suits the processor, whatever is stored.

    Raises:
        AinextError: OpenVINO is not installed.
    """
    try:
        import openvino
    except ModuleNotFoundError:
        raise AinextError(f"{target}: this needs OpenVINO: pip install 'audioinceptionnext[openvino]'") from None
    facts = {fact.key: fact.value for fact in onnx.load(source).metadata_props}
    model = openvino.convert_model(source)
    for key, value in facts.items():
        model.set_rt_info(value, ["audioinceptionnext", key])
    if facts["precision"] == "float16":
        _halve_constants(model)
    # Its own compression takes the front end's tables too: 0.14 in a clip's probabilities.
    openvino.save_model(model, target, compress_to_fp16=False)


def _halve_constants(model: Any) -> None:
    """As float16 what float16 holds exactly: the weights that the ONNX file stores so, not the front end's tables."""
    from openvino import opset8

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.data.dtype != np.float32 or node.data.size < SMALLEST:
            continue
        users, half = node.output(0).get_target_inputs(), node.data.astype(np.float16)
        if np.array_equal(half, node.data):
            stored = opset8.convert(opset8.constant(half), "f32")
            for user in users:
                user.replace_source_output(stored.output(0))


def _to_onnx(wrapped: Exported, arguments: tuple[Tensor, ...], names: list[str], shapes: Any) -> onnx.ModelProto:
    chatter = io.StringIO()  # the exporter tells its progress and its doubts everywhere
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(chatter), contextlib.redirect_stderr(chatter), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                wrapped,
                arguments,
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=names,
                output_names=["logits", "log_mel", "features"] if wrapped.takes == "waveform" else ["logits"],
                opset_version=OPSET,
                verbose=False,
                optimize=False,
            )
            assert program is not None
            optimizer.optimize(program.model, output_size_limit=MOST_FOLDED)
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
    proto = program.model_proto
    for node in proto.graph.node:  # names of source lines and modules, of use to nobody who runs the file
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        del value.metadata_props[:]
    del proto.graph.value_info[:]
    return proto


def _metadata(model: StoredModel, wrapped: Exported, name: str) -> dict[str, str]:
    """What a user of the file needs to know; see `docs/onnx.md`."""
    hop, folded = wrapped.front_end.hop, model.folded()
    values = {
        "format": "audioinceptionnext/1",
        "name": name,
        "input": wrapped.takes,
        "run": wrapped.run,
        "precision": "float32",
        "temperature": model.temperature,
        "sample_rate": model.sample_rate,
        "hop_samples": hop,
        "clip_samples": model.clip_samples,
        "clip_frames": wrapped.clip_frames,
        "step_frames": STEP_FRAMES,
        "finest_frames": 1,
        "parameters": count_parameters(folded),
        "gmac": round(count_macs(folded) / 1e9, 4),
    }
    texts = {"labels": json.dumps(model.labels, ensure_ascii=False), "info": json.dumps(model.info, ensure_ascii=False)}
    if model.thresholds:
        texts["thresholds"] = json.dumps(model.thresholds)
    if wrapped.takes == "waveform":
        values["features"] = wrapped.classifier.in_features
    return {key: str(value) for key, value in values.items()} | texts

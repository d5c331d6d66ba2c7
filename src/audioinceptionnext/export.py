"""A trained network to one ONNX file: waveform in, logits out, everything needed to use it in its metadata."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript import optimizer
from torch import Tensor, nn

from audioinceptionnext.errors import AinextError
from audioinceptionnext.network.model import STEP_FRAMES, count_macs, count_parameters
from audioinceptionnext.network.storage import Run, StoredModel

Input = Literal["waveform", "log-mel"]
Precision = Literal["float32", "float16"]
OPSET = 18
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
        self.front_end, self.net = model.front_end(), model.folded()
        self.front_end.stored = False
        self.run, self.takes = run, takes
        self.temperature = model.temperature
        self.clip_frames, self.bands = self.net.config.clip_frames, self.net.config.bands
        self.eval()

    def forward(self, sound: Tensor, hop: Tensor | None = None) -> tuple[Tensor, ...]:
        """Logits (batch, steps, classes); of a waveform also the log-mel (batch, frames, bands) that was heard."""
        if self.takes == "waveform":
            log_mel = self.front_end(sound)[:, 0]
            # As `training.hearing.crop`: a frame centred on the very end is heard where it still belongs to a clip; of
            # exactly 2.08 s it does not, that is 416 frames and not 417.
            samples, step = sound.shape[1], self.front_end.hop
            frames = torch.sym_max((samples + step - 1) // step, torch.sym_min(1 + samples // step, self.clip_frames))
        else:
            log_mel, frames = sound, sound.shape[1]
        logits = self.dense(log_mel, frames) if hop is None else self.windows(log_mel, frames, hop)
        logits = logits / self.temperature
        return (logits, log_mel) if self.takes == "waveform" else (logits,)

    # In both, short input is heard whole and its last frame repeated, as published. `frames` may be symbolic.

    def dense(self, log_mel: Tensor, frames: int) -> Tensor:
        place = torch.arange(torch.sym_max(frames, self.clip_frames)).clamp(max=frames - 1)
        return self.net.dense(log_mel[:, None, place])

    def windows(self, log_mel: Tensor, frames: int, hop: Tensor) -> Tensor:
        step = hop.item()
        torch._check(step >= 1)
        windows = (torch.sym_max(frames - self.clip_frames, 0) + step - 1) // step + 1
        torch._check(windows >= 1)
        place = torch.arange(windows)[:, None] * step + torch.arange(self.clip_frames)
        clips = log_mel[:, place.clamp(max=frames - 1)]  # (batch, windows, clip_frames, bands)
        logits = self.net(clips.reshape(-1, 1, self.clip_frames, self.bands))
        return logits.view(log_mel.shape[0], -1, logits.shape[1])


def export_onnx(
    model: StoredModel,
    path: str | Path,
    run: Run | None = None,
    takes: Input = "waveform",
    precision: Precision = "float32",
    name: str | None = None,
) -> Path:
    """Writes ``path`` and returns it.

    Inputs: ``waveform`` (batch, samples), mono float32 in -1…1 at the model's rate, or ``log_mel`` (batch, frames,
    bands). Of a ``windows`` file also ``hop``, frames between windows, optional, 32 unless given. Outputs: ``logits``
    (batch, steps, classes), one step for one clip's length and shorter, then one every 32 frames; with waveform input
    also ``log_mel`` (batch, frames, bands).

    Args:
        run: how longer audio is heard; as the model was trained, unless given. A network that is not convolutional
            (the transformer baseline) can only be heard by ``windows``.
        precision: ``float16`` stores the network's weights in half the space; they are computed with in float32.
        name: what the file calls itself; its own name unless given.

    Raises:
        AinextError: ``dense`` for a network that hears clip by clip.
    """
    path = Path(path)
    if run == "dense" and not model.net.convolutional:
        raise AinextError(f"{path}: this network hears one clip at a time; export it with run windows")
    run = run or (model.run if model.net.convolutional else "windows")
    wrapped = Exported(model, run, takes)
    sound = torch.zeros(2, 4 * model.clip_samples) if takes == "waveform" else torch.zeros(2, 999, wrapped.bands)
    names = ["waveform" if takes == "waveform" else "log_mel"]
    arguments: tuple[Tensor, ...] = (sound,)
    length = torch.export.Dim("samples" if takes == "waveform" else "frames", min=300, max=2**31 - 1)
    shapes: tuple[Any, ...] = ({0: torch.export.Dim("batch", max=2**20), 1: length},)
    if run == "windows":
        names, arguments, shapes = [*names, "hop"], (sound, torch.tensor(STEP_FRAMES)), (*shapes, None)
    proto = _to_onnx(wrapped, arguments, names, shapes)
    if run == "windows":  # an initializer of an input's name is its default
        proto.graph.initializer.append(numpy_helper.from_array(np.array(STEP_FRAMES, np.int64), "hop"))
    if precision == "float16":
        _halve_weights(proto)
    onnx.helper.set_model_props(proto, _metadata(model, wrapped, name or path.stem, precision))
    proto.producer_name, proto.doc_string = "audioinceptionnext", ""
    _write(proto, path)
    return path


def _write(proto: onnx.ModelProto, path: Path) -> None:
    """Beside its final name first, so that an older file stays whole until then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(proto.SerializeToString())
    partial.replace(path)


def _to_onnx(wrapped: Exported, arguments: tuple[Tensor, ...], names: list[str], shapes: Any) -> onnx.ModelProto:
    chatter = io.StringIO()  # the exporter tells its progress on stdout and its doubts everywhere
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(chatter), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                wrapped,
                arguments,
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=names,
                output_names=["logits", "log_mel"] if wrapped.takes == "waveform" else ["logits"],
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


def _halve_weights(proto: onnx.ModelProto) -> None:
    """Large float32 weights as float16, each with a cast in front, which a runtime computes once when it loads."""
    casts = []
    for tensor in proto.graph.initializer:
        size = int(np.prod(tensor.dims)) if tensor.dims else 1
        if tensor.data_type != onnx.TensorProto.FLOAT or size < 256:
            continue
        name = tensor.name
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{name}.half")
        tensor.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        proto.graph.node.insert(0, cast)


def _metadata(model: StoredModel, wrapped: Exported, name: str, precision: Precision) -> dict[str, str]:
    """What a user of the file needs to know; see `docs/onnx.md`."""
    hop = wrapped.front_end.hop
    values = {
        "format": "audioinceptionnext/1",
        "name": name,
        "input": wrapped.takes,
        "run": wrapped.run,
        "precision": precision,
        "temperature": model.temperature,
        "sample_rate": model.sample_rate,
        "hop_samples": hop,
        "clip_samples": model.clip_samples,
        "clip_frames": wrapped.clip_frames,
        "step_frames": STEP_FRAMES,
        "parameters": count_parameters(wrapped.net),
        "gmac": round(count_macs(wrapped.net) / 1e9, 4),
    }
    texts = {"labels": json.dumps(model.labels, ensure_ascii=False), "info": json.dumps(model.info, ensure_ascii=False)}
    if model.thresholds:
        texts["thresholds"] = json.dumps(model.thresholds)
    return {key: str(value) for key, value in values.items()} | texts

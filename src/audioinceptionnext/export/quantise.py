"""ONNX files of lower precision: weights stored in 16 bits, or wide layers that compute in 8 bits.

Only the network changes. In 8 bits, the front end and the last layer stay float32.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

from audioinceptionnext.errors import AinextError, ModelError, writing

Precision = Literal["float32", "float16", "bf16", "int8"]
_STORED = {
    "float16": (np.dtype(np.float16), onnx.TensorProto.FLOAT16),
    "bf16": (np.dtype(ml_dtypes.bfloat16), onnx.TensorProto.BFLOAT16),
}
MIN_ELEMENTS = 128  # of a tensor that is worth storing in 16 bits
# Channels from which on 8 bits are faster. In ONNX Runtime 1.32 (AVX512-VNNI and AMX, one thread, CPU time, 2026-11-23)
# 8 bits from 64 / 128 / 256 channels on take 1.20 / 0.78 / 0.84 of float32's time at base size and 1.04 / 0.95 / 0.95
# at small size, since a depthwise convolution of few channels takes twice as long in 8 bits.
MIN_CHANNELS = 128
# Operations that may follow a convolution in 8 bits, so that nothing is converted between two convolutions, each with
# the number of its inputs that are activations.
_FOLLOWING = {"Relu": 1, "Clip": 1, "MaxPool": 1, "AveragePool": 1, "Add": 2}


def convert_precision(
    source: Path, target: Path, precision: Precision, batches: Iterable[dict[str, np.ndarray]] = ()
) -> None:
    """Write a float32 ONNX file, with its metadata, at another precision.

    Args:
        batches: clips to calibrate ``int8`` on, see `quantise_onnx`.

    Raises:
        ModelError: ``source`` is not float32.
        AinextError: as `quantise_onnx`.
    """
    if precision == "int8":
        return quantise_onnx(source, target, batches)
    proto, metadata = _load(source)
    if precision != "float32":
        _store_weights(proto, *_STORED[precision])
    _write_as(proto, target, precision, metadata)


def quantise_onnx(source: Path, target: Path, batches: Iterable[dict[str, np.ndarray]]) -> None:
    """Write a float32 ONNX file, with its metadata, as int8 (static, QDQ).

    Convolutions compute in 8 bits from the first one with `MIN_CHANNELS` channels on; the network's very first one
    always stays float32. Weights are int8, symmetric, with one scale per channel. Activations are uint8, from the
    smallest to the largest value that occurs in ``batches``. Percentiles or entropy for these limits, or int8
    activations, agree no better with float32, and int8 activations take four times as long on processors that multiply
    uint8 by int8 (x86).

    Args:
        batches: inputs of the file by name: about a hundred clips of the kind that it will be used on.

    Raises:
        AinextError: there are no batches.
        ModelError: ``source`` is not float32, or has no convolutions to compute in 8 bits.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quant_pre_process, quantize_static

    proto, metadata = _load(source)
    nodes = _to_quantise(proto.graph)
    if not nodes:
        raise ModelError(source, "has no convolutions but the first, so there is nothing to compute in int8")
    reader = _BatchReader(batches)
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = str(Path(folder, "prepared.onnx")), str(Path(folder, "int8.onnx"))
        # Its optimisations would write the values of the front end's tables into the file, which has their formulas.
        quant_pre_process(str(source), prepared, skip_optimization=True, skip_symbolic_shape=True)
        if not reader.any():
            raise AinextError("there are no clips to calibrate int8 on; give about a hundred")
        quantize_static(
            prepared,
            quantised,
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *_FOLLOWING],
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"WeightSymmetric": True},
        )
        proto = onnx.load(quantised)
    del proto.graph.value_info[:]
    _write_as(proto, target, "int8", metadata)


def write_onnx(proto: onnx.ModelProto, path: Path) -> None:
    """Write an ONNX file, and create its folder if there is none.

    Raises:
        FileError: it cannot be written.
    """
    # Renamed when complete, so that an older file stays whole until then.
    partial = path.with_name(path.name + ".part")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(proto.SerializeToString())
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def read_metadata(proto: onnx.ModelProto) -> dict[str, str]:
    """What an ONNX file states about itself."""
    return {entry.key: entry.value for entry in proto.metadata_props}


class _BatchReader:
    """Batches as ONNX Runtime's calibration reads them."""

    def __init__(self, batches: Iterable[dict[str, np.ndarray]]) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = iter(batches)
        self._first = next(self._batches, None)

    def any(self) -> bool:
        return self._first is not None

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch, self._first = self._first, None
        return batch if batch is not None else next(self._batches, None)


def _to_quantise(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes to compute in 8 bits. In a narrow network these are those of the widest convolutions."""
    channels = {t.name: t.dims[0] for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT and t.dims}
    convolutions = [n for n in graph.node if n.op_type == "Conv" and n.input[1] in channels][1:]
    widths = {n.name: channels[n.input[1]] for n in convolutions}
    wide = min(MIN_CHANNELS, max(widths.values(), default=0))
    names: list[str] = []
    results: set[str] = set()
    for node in graph.node:
        if node.op_type == "Conv":
            taken = node.name in widths and (bool(names) or widths[node.name] >= wide)
        else:
            inputs = node.input[: _FOLLOWING.get(node.op_type, 0)]
            taken = bool(inputs) and results.issuperset(inputs)
        if taken:
            names.append(node.name)
            results.update(node.output)
    return names


def _store_weights(proto: onnx.ModelProto, dtype: np.dtype, kind: int) -> None:
    """Store large float32 weights in 16 bits, each followed by a cast, which runtimes compute once on loading."""
    casts = []
    for tensor in proto.graph.initializer:
        size = int(np.prod(tensor.dims)) if tensor.dims else 1
        if tensor.data_type != onnx.TensorProto.FLOAT or size < MIN_ELEMENTS:
            continue
        name = tensor.name
        values = numpy_helper.to_array(tensor).astype(dtype).tobytes()
        half = onnx.helper.make_tensor(f"{name}.half", kind, tensor.dims, values, raw=True)
        tensor.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        proto.graph.node.insert(0, cast)
    _shorten_names(proto.graph)


def _shorten_names(graph: onnx.GraphProto) -> None:
    """Number the values that are neither inputs nor outputs. Their names make up 4 % of a model of 1 MB."""
    short = {value.name: value.name for value in (*graph.input, *graph.output)} | {"": ""}

    def number(name: str) -> str:
        return short.setdefault(name, f"{len(short):x}")

    for tensor in graph.initializer:
        tensor.name = number(tensor.name)
    for node in graph.node:
        node.name = ""
        node.input[:] = [number(name) for name in node.input]
        node.output[:] = [number(name) for name in node.output]


def _load(source: Path) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A float32 file and its metadata."""
    proto = onnx.load(source)
    metadata = read_metadata(proto)
    if metadata.get("precision", "float32") != "float32":
        raise ModelError(source, f"is {metadata['precision']} already; give the float32 file that it was made from")
    return proto, metadata


def _write_as(proto: onnx.ModelProto, path: Path, precision: Precision, metadata: dict[str, str]) -> None:
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, metadata | {"precision": precision})
    proto.producer_name, proto.producer_version, proto.doc_string = "audioinceptionnext", "", ""
    write_onnx(proto, path)

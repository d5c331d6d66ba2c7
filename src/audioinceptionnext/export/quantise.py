"""ONNX files of less precision: weights stored in 16 bits, or a network whose wide layers compute in 8.

Only the network is touched. The front end and the last layer stay float32, in every precision.
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

from audioinceptionnext.errors import AinextError

Precision = Literal["float32", "float16", "bf16", "int8"]
_STORED = {
    "float16": (np.dtype(np.float16), onnx.TensorProto.FLOAT16),
    "bf16": (np.dtype(ml_dtypes.bfloat16), onnx.TensorProto.BFLOAT16),
}
SMALLEST = 256  # numbers of a tensor that is worth storing in 16 bits
# Channels from which on 8 bits are faster. In ONNX Runtime 1.32 (AVX512-VNNI and AMX, one thread, CPU time, 2026-11-23)
# 8 bits from 64 / 128 / 256 channels on take 1.20 / 0.78 / 0.84 of float32's time at base size and 1.04 / 0.95 / 0.95
# at small: a depthwise convolution of few channels takes twice as long in 8 bits.
WIDE = 128
# What follows a convolution and stays in 8 bits, so that nothing is converted between two of them; the number of its
# inputs that are activations.
_FOLLOWING = {"Relu": 1, "Clip": 1, "MaxPool": 1, "AveragePool": 1, "Add": 2}


def lower(source: Path, target: Path, precision: Precision, batches: Iterable[dict[str, np.ndarray]] = ()) -> None:
    """A float32 ONNX file at another precision, with its metadata.

    Args:
        batches: for ``int8``, what to calibrate on; see `quantise_onnx`.
    """
    if precision == "int8":
        return quantise_onnx(source, target, batches)
    proto, facts = _load(source)
    if precision != "float32":
        _store_weights(proto, *_STORED[precision])
    _write_as(proto, target, precision, facts)


def quantise_onnx(source: Path, target: Path, batches: Iterable[dict[str, np.ndarray]]) -> None:
    """A float32 ONNX file as int8 (static, QDQ), with its metadata: each convolution from `WIDE` channels on.

    Weights are int8, symmetric, with a scale for each channel; activations uint8, from the least to the largest value
    that ``batches`` bring about. Percentiles and entropy in place of these, and int8 activations, agree no better with
    float32; int8 activations take four times as long where the processor multiplies uint8 by int8 (x86).

    Args:
        source: its network has convolutions; those before the first wide one, and the very first, stay float32.
        batches: inputs by name, as the file takes them: a hundred clips of what it is to hear.

    Raises:
        AinextError: no batches; ``source`` is not float32, or has nothing to compute in 8 bits.
    """
    import onnxruntime
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quant_pre_process, quantize_static

    proto, facts = _load(source)
    nodes = _to_quantise(proto.graph)
    if not nodes:
        raise AinextError(f"{source}: no convolutions but the first, so there is nothing to compute in int8")
    reader = _Batches(batches)
    onnxruntime.set_default_logger_severity(3)  # errors: its sessions warn of a hop that can be given or left out
    with tempfile.TemporaryDirectory() as folder:
        prepared, quantised = str(Path(folder, "prepared.onnx")), str(Path(folder, "int8.onnx"))
        # Its optimisations would write the front end's tables into the file, which has them as formulas.
        quant_pre_process(str(source), prepared, skip_optimization=True, skip_symbolic_shape=True)
        if not reader.any():
            raise AinextError(f"{target}: int8 needs clips to calibrate on, and there are none")
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
    _write_as(proto, target, "int8", facts)


def write_onnx(proto: onnx.ModelProto, path: Path) -> None:
    """Beside its final name first, so that an older file stays whole until then."""
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(proto.SerializeToString())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise AinextError(f"{path}: cannot be written: {(error.strerror or str(error)).lower()}") from None


class _Batches:
    """Batches as ONNX Runtime's calibration asks for them."""

    def __init__(self, batches: Iterable[dict[str, np.ndarray]]) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = iter(batches)
        self._first = next(self._batches, None)

    def any(self) -> bool:
        return self._first is not None

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch, self._first = self._first, None
        return batch if batch is not None else next(self._batches, None)


def _to_quantise(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes to compute in 8 bits; `WIDE` is never more than the widest convolution has."""
    channels = {t.name: t.dims[0] for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT and t.dims}
    convolutions = [n for n in graph.node if n.op_type == "Conv" and n.input[1] in channels][1:]
    widths = {n.name: channels[n.input[1]] for n in convolutions}
    wide = min(WIDE, max(widths.values(), default=0))
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
    """Large float32 weights in 16 bits, each with a cast in front, which a runtime computes once when it loads."""
    casts = []
    for tensor in proto.graph.initializer:
        size = int(np.prod(tensor.dims)) if tensor.dims else 1
        if tensor.data_type != onnx.TensorProto.FLOAT or size < SMALLEST:
            continue
        name = tensor.name
        values = numpy_helper.to_array(tensor).astype(dtype).tobytes()
        half = onnx.helper.make_tensor(f"{name}.half", kind, tensor.dims, values, raw=True)
        tensor.CopyFrom(half)
        casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    for cast in reversed(casts):
        proto.graph.node.insert(0, cast)


def _load(source: Path) -> tuple[onnx.ModelProto, dict[str, str]]:
    """A float32 file and its metadata."""
    proto = onnx.load(source)
    facts = {fact.key: fact.value for fact in proto.metadata_props}
    if facts.get("precision", "float32") != "float32":
        raise AinextError(f"{source}: is {facts['precision']} already; give the float32 file that it came from")
    return proto, facts


def _write_as(proto: onnx.ModelProto, path: Path, precision: Precision, facts: dict[str, str]) -> None:
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, facts | {"precision": precision})
    proto.producer_name, proto.producer_version, proto.doc_string = "audioinceptionnext", "", ""
    write_onnx(proto, path)

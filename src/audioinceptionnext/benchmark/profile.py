"""Where the folded network spends its time, part by part, according to ONNX Runtime's own profile."""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.benchmark.worker import Channel

CALLS, WARMUP_CALLS = 60, 10


def profile_parts(channel: Channel, network: Path, inputs: Path, threads: int) -> None:
    """Profile a network on one clip, and send `by_part` of it. Runs in its own process.

    Args:
        network: an ONNX file that takes log-mels.
        inputs: a file of log-mels (n, clip frames, bands).
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.enable_profiling = True
    log_mel = np.load(inputs)[:1]
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder, "profile"))
        session = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        for _ in range(WARMUP_CALLS + CALLS):
            session.run(["logits"], {session.get_inputs()[0].name: log_mel})
        events = json.loads(Path(session.end_profiling()).read_text())
    channel.send(by_part([event for event in events if event.get("cat") == "Node"], log_mel.shape[1]))


def by_part(events: list[dict[str, Any]], frames: int) -> list[dict[str, Any]]:
    """Sum up a profile by the parts of the network.

    Args:
        events: of the nodes, as ONNX Runtime's profile lists them.
        frames: of a clip.

    Returns:
        One dict per part, in the order of the network: ``part``, its name; ``calls``, the number of its operators;
        ``ms`` per clip, where each operator counts with its median over many calls; ``gflop``; ``bytes`` read and
        written, if each input, weight and output moves once; ``intensity`` in FLOP per byte; ``gflops`` and ``gbs``,
        GFLOP/s and GB/s. ReLUs and sums that ONNX Runtime fuses into a convolution count towards that convolution.
    """
    nodes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        nodes[event["args"]["node_index"]].append(event)
    parts: dict[str, dict[str, float]] = {}
    for calls in nodes.values():
        arguments = calls[0]["args"]
        part = parts.setdefault(_part_name(arguments, frames), {"calls": 0, "ms": 0.0, "gflop": 0.0, "bytes": 0.0})
        part["calls"] += 1
        part["ms"] += float(np.median([call["dur"] for call in calls[WARMUP_CALLS:]])) / 1000
        part["gflop"] += _operations(arguments) / 1e9
        part["bytes"] += sum(map(_bytes, [*arguments["input_type_shape"], *arguments["output_type_shape"]]))
    return [{"part": name, **part, **_rates(part)} for name, part in sorted(parts.items(), key=_position)]


def _rates(part: dict[str, float]) -> dict[str, float]:
    return {
        "intensity": part["gflop"] * 1e9 / max(part["bytes"], 1),
        "gflops": part["gflop"] * 1000 / max(part["ms"], 1e-6),
        "gbs": part["bytes"] / 1e6 / max(part["ms"], 1e-6),
    }


def _part_name(arguments: dict[str, Any], frames: int) -> str:
    """The part that a node belongs to, as the table calls it."""
    if arguments["op_name"] == "MaxPool":
        return "stem, pooling"
    weight = _kernel(arguments)
    if weight is None:
        return "sums and the rest"
    if weight[1] == 1 and min(weight[2:]) > 1:
        return "stem, convolution"
    steps = _shape(arguments["output_type_shape"][0])[3]  # time is last, see `export.layout`
    stage = 1 + round(math.log2(frames / 4 / steps))  # the stem leaves a quarter of the frames, each further stage half
    return f"stage {stage}, {'1x1 products' if weight[2:] == [1, 1] else 'depthwise kernels'}"


def _position(item: tuple[str, dict[str, Any]]) -> tuple[int, str]:
    name, order = item[0], ("stem", "stage", "sums")
    return next(place for place, start in enumerate(order) if name.startswith(start)), name


def _kernel(arguments: dict[str, Any]) -> list[int] | None:
    """The shape of a convolution's weights; None for other operators."""
    return _shape(arguments["input_type_shape"][1]) if "Conv" in arguments["op_name"] else None


def _operations(arguments: dict[str, Any]) -> int:
    """Two per multiply-accumulate of a convolution. Other operators count as none, the small classifier included."""
    kernel = _kernel(arguments)
    return 0 if kernel is None else 2 * math.prod(_shape(arguments["output_type_shape"][0])) * math.prod(kernel[1:])


def _shape(typed: dict[str, list[int]]) -> list[int]:
    return next(iter(typed.values()))


SIZES = {"double": 8, "int64": 8, "float": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1, "bool": 1}


def _bytes(typed: dict[str, list[int]]) -> int:
    return sum(SIZES.get(kind, 4) * math.prod(shape) for kind, shape in typed.items())

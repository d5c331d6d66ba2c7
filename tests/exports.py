"""torch.onnx.export with a memory: the graph of a network is traced once for all of pytest's processes.

Tracing takes some seconds, whatever the network's size, and each run of a training ends with it. Networks of one
structure have one graph, in which only the weights differ: these are put into the graph that is remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from filelock import FileLock
from onnx import numpy_helper
from onnxscript import ir
from torch import nn

export = torch.onnx.export


def remembered(folder: Path) -> Callable[..., torch.onnx.ONNXProgram]:
    """An exporter that keeps its graphs in a folder."""

    def exported(net: nn.Module, args: tuple[torch.Tensor, ...], **options: Any) -> torch.onnx.ONNXProgram:
        path = folder / f"{key(net, args, options)}.onnx"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                program = export(net, args, **options)
                assert program is not None
                unfinished = path.with_suffix(".part")  # some tests kill the processes that they start
                onnx.save(program.model_proto, unfinished)
                unfinished.rename(path)
        graph = onnx.load(path)
        weights = dict(net.named_parameters()) | dict(net.named_buffers())
        for kept in graph.graph.initializer:
            if kept.name in weights:
                kept.CopyFrom(numpy_helper.from_array(weights[kept.name].detach().numpy(), kept.name))
        return torch.onnx.ONNXProgram(ir.from_proto(graph), None)

    return exported


def key(net: nn.Module, args: tuple[torch.Tensor, ...], options: dict[str, Any]) -> str:
    """Names all that the graph depends on: modules, their settings, and shapes, but no weights."""
    simple = (bool, int, float, str, tuple, list, type(None))
    parts: list[object] = [net, [tuple(one.shape) for one in args], sorted(options.items(), key=lambda one: one[0])]
    for name, module in net.named_modules():
        settings = {k: v for k, v in vars(module).items() if not k.startswith("_") and isinstance(v, simple)}
        parts += [name, sorted(settings.items()), vars(module).get("config")]
    parts += [(name, tuple(one.shape)) for name, one in [*net.named_parameters(), *net.named_buffers()]]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

"""What is compared, as data. To add a row, add a line to `ROWS`; to add a backend, add a function to `backends.py`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from audioinceptionnext.errors import ParameterError

OURS = "ours"


@dataclass(frozen=True)
class Row:
    """One network, computed by one backend at one precision.

    Attributes:
        name: what tables call it.
        network: `OURS` (base size, unless a model is given), its successor ``rep``, or a baseline: ``ast``, ``cnn`` or
            ``mobilenet``.
        backend: a key of `backends.BACKENDS`.
        precision: ``float32``, ``float16``, ``bf16`` or ``int8``. In float16 the weights are stored, but not computed.
        folded: whether the network is folded; otherwise it has its training form, as published.
        device: ``cpu`` or ``cuda``.
    """

    name: str
    network: str
    backend: str
    precision: str = "float32"
    folded: bool = True
    device: str = "cpu"


ROWS = (
    Row("published, PyTorch", OURS, "eager", folded=False),
    Row("folded, PyTorch", OURS, "eager"),
    Row("folded, torch.compile", OURS, "compiled"),
    Row("folded, ONNX Runtime", OURS, "onnxruntime"),
    Row("folded, ONNX Runtime float16", OURS, "onnxruntime", "float16"),
    Row("folded, ONNX Runtime int8", OURS, "onnxruntime", "int8"),
    Row("folded, OpenVINO", OURS, "openvino"),
    Row("folded, OpenVINO bf16", OURS, "openvino", "bf16"),
    Row("folded, OpenVINO int8", OURS, "openvino", "int8"),
    Row("AST, PyTorch", "ast", "eager", folded=False),
    Row("plain CNN, PyTorch", "cnn", "eager", folded=False),
    Row("MobileNetV2, PyTorch", "mobilenet", "eager", folded=False),
    Row("AST, ONNX Runtime", "ast", "onnxruntime"),
    Row("plain CNN, ONNX Runtime", "cnn", "onnxruntime"),
    Row("MobileNetV2, ONNX Runtime", "mobilenet", "onnxruntime"),
    Row("MobileNetV2, OpenVINO bf16", "mobilenet", "openvino", "bf16"),
    Row("published, CUDA", OURS, "eager", folded=False, device="cuda"),
    Row("folded, CUDA", OURS, "eager", device="cuda"),
    Row("folded, CUDA compiled", OURS, "compiled", device="cuda"),
    Row("folded, CUDA graph", OURS, "graph", device="cuda"),
    Row("folded, CUDA graph bf16", OURS, "graph", "bf16", device="cuda"),
    Row("successor, PyTorch", "rep", "eager", folded=False),
    Row("successor folded, PyTorch", "rep", "eager"),
    Row("successor folded, ONNX Runtime", "rep", "onnxruntime"),
    Row("successor folded, OpenVINO bf16", "rep", "openvino", "bf16"),
)

# The module that a backend or a network imports, and how to install it.
REQUIREMENTS = {
    "onnxruntime": ("onnxruntime", "pip install onnxruntime"),
    "openvino": ("openvino", "pip install 'audioinceptionnext[openvino]'"),
    "ast": ("transformers", "pip install 'audioinceptionnext[baselines]'"),
    "mobilenet": ("transformers", "pip install 'audioinceptionnext[baselines]'"),
}


def choose_rows(rows: str | None, cuda: bool) -> list[tuple[int, Row]]:
    """Pick rows of `ROWS`, with their numbers from 1, in the order of `ROWS`.

    Args:
        rows: numbers, ranges of numbers or parts of names, separated by commas. None picks all rows that this computer
            can run.
        cuda: whether there is a GPU.

    Raises:
        ParameterError: no row has such a number or name.

    >>> [number for number, _ in choose_rows("1,4-6,graph bf16", cuda=False)]
    [1, 4, 5, 6, 21]
    """
    numbered = list(enumerate(ROWS, start=1))
    if rows is None:
        return [(number, row) for number, row in numbered if cuda or row.device == "cpu"]
    chosen: set[int] = set()
    for part in map(str.strip, rows.split(",")):
        matching = _matching(part.lower(), numbered)
        if not matching:
            known = "; ".join(f"{number}: {row.name}" for number, row in numbered)
            raise ParameterError("rows", part, f"no such row; choose from {known}")
        chosen |= matching
    return [(number, row) for number, row in numbered if number in chosen]


def _matching(part: str, numbered: Sequence[tuple[int, Row]]) -> set[int]:
    first, _, last = part.partition("-")
    if first.isdecimal() and (last or first).isdecimal():
        return {number for number, _ in numbered if int(first) <= number <= int(last or first)}
    return {number for number, row in numbered if part and part in row.name.lower()}


def why_unavailable(row: Row, cuda: bool) -> str | None:
    """Why a row cannot run on this computer, in one line; None if it can."""
    if row.device == "cuda" and not cuda:
        return "torch finds no CUDA device here"
    for key in (row.backend, row.network):
        module, remedy = REQUIREMENTS.get(key, ("", ""))
        if module and importlib.util.find_spec(module) is None:
            return f"{module} is not installed: {remedy}"
    return None

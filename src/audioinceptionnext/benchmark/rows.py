"""What is compared, as data. A new row is a line in `ROWS`; a new engine is a function in `engines.py`."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from audioinceptionnext.errors import AinextError

Form = Literal["published", "folded"]
OURS = "ours"


@dataclass(frozen=True)
class Row:
    """
    Attributes:
        name: what tables call it.
        network: `OURS` (base size unless ``--model`` says otherwise) or a baseline: ``ast``, ``cnn``, ``mobilenet``.
        engine: a key of `engines.ENGINES`.
        precision: ``float32``, ``float16``, ``bf16`` or ``int8``; float16 is how weights are stored, not computed.
        form: as published and trained, or folded.
        device: ``cpu`` or ``cuda``.
    """

    name: str
    network: str
    engine: str
    precision: str = "float32"
    form: Form = "folded"
    device: str = "cpu"


ROWS = (
    Row("published, PyTorch", OURS, "eager", form="published"),
    Row("folded, PyTorch", OURS, "eager"),
    Row("folded, torch.compile", OURS, "compiled"),
    Row("folded, ONNX Runtime", OURS, "onnxruntime"),
    Row("folded, ONNX Runtime float16", OURS, "onnxruntime", "float16"),
    Row("folded, ONNX Runtime int8", OURS, "onnxruntime", "int8"),
    Row("folded, OpenVINO", OURS, "openvino"),
    Row("folded, OpenVINO bf16", OURS, "openvino", "bf16"),
    Row("folded, OpenVINO int8", OURS, "openvino", "int8"),
    Row("AST, PyTorch", "ast", "eager", form="published"),
    Row("plain CNN, PyTorch", "cnn", "eager", form="published"),
    Row("MobileNetV2, PyTorch", "mobilenet", "eager", form="published"),
    Row("AST, ONNX Runtime", "ast", "onnxruntime"),
    Row("plain CNN, ONNX Runtime", "cnn", "onnxruntime"),
    Row("MobileNetV2, ONNX Runtime", "mobilenet", "onnxruntime"),
    Row("MobileNetV2, OpenVINO bf16", "mobilenet", "openvino", "bf16"),
    Row("published, CUDA", OURS, "eager", form="published", device="cuda"),
    Row("folded, CUDA", OURS, "eager", device="cuda"),
    Row("folded, CUDA compiled", OURS, "compiled", device="cuda"),
    Row("folded, CUDA graph", OURS, "graph", device="cuda"),
    Row("folded, CUDA graph bf16", OURS, "graph", "bf16", device="cuda"),
)

# What is imported, and how to get it.
NEEDS = {
    "onnxruntime": ("onnxruntime", "pip install onnxruntime"),
    "openvino": ("openvino", "pip install 'audioinceptionnext[openvino]'"),
    "ast": ("transformers", "pip install 'audioinceptionnext[baselines]'"),
    "mobilenet": ("transformers", "pip install 'audioinceptionnext[baselines]'"),
}


def choose(wanted: str | None, cuda: bool) -> list[tuple[int, Row]]:
    """Rows with their numbers, from 1, in the order of `ROWS`.

    Args:
        wanted: numbers, ranges of them or parts of names, commas between: ``1,4-6,openvino``. None is all rows that
            the machine can have.
        cuda: whether there is a GPU.

    Raises:
        AinextError: a number or name that no row has.
    """
    numbered = list(enumerate(ROWS, start=1))
    if wanted is None:
        return [(number, row) for number, row in numbered if cuda or row.device == "cpu"]
    chosen: set[int] = set()
    for part in wanted.split(","):
        found = _matching(part.strip().lower(), numbered)
        if not found:
            rows = "; ".join(f"{number} {row.name}" for number, row in numbered)
            raise AinextError(f"--rows {part.strip()}: no such row; there are {rows}")
        chosen |= found
    return [(number, row) for number, row in numbered if number in chosen]


def _matching(part: str, numbered: Sequence[tuple[int, Row]]) -> set[int]:
    first, _, last = part.partition("-")
    if first.isdecimal() and (last or first).isdecimal():
        return {number for number, _ in numbered if int(first) <= number <= int(last or first)}
    return {number for number, row in numbered if part and part in row.name.lower()}


def missing(row: Row, cuda: bool) -> str | None:
    """Why a row cannot run here, in a line, or None."""
    if row.device == "cuda" and not cuda:
        return "torch finds no CUDA device here"
    for key in (row.engine, row.network):
        module, remedy = NEEDS.get(key, ("", ""))
        if module and importlib.util.find_spec(module) is None:
            return f"{module} is not installed: {remedy}"
    return None

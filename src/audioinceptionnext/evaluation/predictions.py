"""Predictions for EPIC-SOUNDS segments, in the files that the challenge's scorer reads."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import AinextError

CLASSES = 44
OUTPUT, ID = "interaction_output", "annotation_id"
# How a file made by torch.save begins: a zip; before torch 1.6, a pickle of this number.
TORCH_ZIP = b"PK\x03\x04"
TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


@dataclass(frozen=True)
class Predictions:
    """What a model makes of each segment.

    Attributes:
        ids: an annotation id a segment.
        outputs: (segments, views, classes), finite; logits or probabilities, larger is likelier.
        source: the file they come from, as error messages name it.

    Raises:
        AinextError: of another shape, not finite, or an id that stands there twice.
    """

    ids: tuple[str, ...]
    outputs: np.ndarray = field(repr=False)
    source: str = "predictions"

    def __post_init__(self) -> None:
        shape = self.outputs.shape
        if len(shape) != 3 or 0 in shape[:2]:
            raise AinextError(f"{self.source}: {OUTPUT} is of shape {shape}, not (segments, views, {CLASSES})")
        if shape[2] != CLASSES:
            raise AinextError(f"{self.source}: {OUTPUT} has {shape[2]} classes, EPIC-SOUNDS has {CLASSES}")
        if len(self.ids) != shape[0]:
            raise AinextError(f"{self.source}: {len(self.ids)} of {ID} for {shape[0]} of {OUTPUT}")
        with np.errstate(over="ignore", invalid="ignore"):
            bad = np.flatnonzero(~np.isfinite(self.scores).all(axis=1))
        if len(bad):
            raise AinextError(
                f"{self.source}: NaN or infinity in {of_all(bad, shape[0])}, e.g. {readable(self.ids[bad[0]])}"
            )
        if len(set(self.ids)) < len(self.ids):
            twice = [name for name, count in Counter(self.ids).items() if count > 1]
            raise AinextError(f"{self.source}: more than one prediction for {of_all(twice)}, e.g. {readable(twice[0])}")

    @property
    def scores(self) -> np.ndarray:
        """(segments, classes): the views' sum. In float32 if that is what they are, as the challenge's scorer sums."""
        return self.outputs.sum(axis=1)


def of_all(some: Sequence[Any] | np.ndarray, total: int | None = None) -> str:
    """``1 segment``, ``3 segments`` or ``3 of 5,131 segments``."""
    number = f"{len(some):,}" if total is None else f"{len(some):,} of {total:,}"
    return f"{number} segment{'' if (total or len(some)) == 1 else 's'}"


def readable(name: str) -> str:
    """A name out of a file, shortened, as it can stand in a line of any terminal; lone surrogates of JSON too."""
    return "".join(c if c.isprintable() else "?" for c in name[:80])


def mismatches(found: Iterable[str], required: Iterable[str], known: Iterable[str] | None = None) -> list[str]:
    """What is wrong with a set of ids, one line each, with a count and an example; nothing if it is complete.

    Args:
        known: ids that may be there too; those required unless given.
    """
    found, required = list(found), list(required)
    there = set(found)
    missing = [name for name in required if name not in there]
    allowed = set(required if known is None else known)
    unknown = [name for name in found if name not in allowed]
    lines = [f"{of_all(missing, len(required))} missing, e.g. {readable(missing[0])}"] if missing else []
    return lines + ([f"{of_all(unknown)} unknown, e.g. {readable(unknown[0])}"] if unknown else [])


def read_predictions(path: str | Path) -> Predictions:
    """A pickle or a ``torch.save`` file, told apart by content, of either form that the challenge's scorer takes.

    A list of ``{"interaction_output": 44 numbers, "annotation_id": str}``, or a dict of the two arrays (numpy, torch or
    lists). ``interaction_output`` is (segments, 44) or (segments, views, 44). Nothing in the file is executed: it may
    hold containers, numbers, text, numpy arrays and tensors, and is refused with anything else in it.

    Raises:
        AinextError: no such file, another content, or what `Predictions` refuses.
    """
    path = Path(path)
    if not path.is_file():
        raise AinextError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(len(TORCH_LEGACY))
    if head.startswith(TORCH_ZIP) or head == TORCH_LEGACY:
        content = _read_torch(path)
    else:
        from audioinceptionnext.data.safe_pickle import read_pickle

        content = read_pickle(path)
    if isinstance(content, dict):
        outputs, ids = _of_dict(path, content)
    elif isinstance(content, (list, tuple)):
        outputs, ids = _of_list(path, content)
    else:
        raise AinextError(f"{path}: holds a {type(content).__name__}, not a list or a dict with {OUTPUT} and {ID}")
    if outputs.ndim == 2:
        outputs = outputs[:, None]
    return Predictions(ids, outputs, str(path))


def write_predictions(path: str | Path, ids: Sequence[str], outputs: np.ndarray) -> None:
    """A pickle of the two arrays, which the challenge's scorer reads (numpy 1.26 or newer).

    Args:
        outputs: (segments, 44) or (segments, views, 44).

    Raises:
        AinextError: what `Predictions` refuses; nothing is written then.
    """
    path = Path(path)
    Predictions(tuple(ids), outputs if outputs.ndim == 3 else outputs[:, None], str(path))
    names = np.empty(len(ids), dtype=object)  # objects, not fixed-width text, as pandas gives them
    names[:] = [str(name) for name in ids]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_bytes(pickle.dumps({OUTPUT: np.ascontiguousarray(outputs), ID: names}, protocol=4))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read_torch(path: Path) -> object:
    import torch

    with torch.serialization.safe_globals(_numpy_globals()):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            asked = re.search(r"GLOBAL ([\w.]+) (?:was not an allowed|whose module)", str(error))
            if asked:  # torch's own words advise to load it unsafely
                raise AinextError(f"{path}: asks to run {asked[1]}, which predictions do not need: not read") from error
            reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
            raise AinextError(f"{path}: is no torch file, or a damaged one ({reason}): write it again") from error


def _numpy_globals() -> list[Any]:
    """What torch has to be told to take for a numpy array to come in; all of it only makes arrays and numbers."""
    from numpy._core.multiarray import _reconstruct, scalar

    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "O", "U1", "S1")
    parts: list[Any] = [np.ndarray, np.dtype, *{type(np.dtype(kind)) for kind in kinds}]
    for name, function in {"_reconstruct": _reconstruct, "scalar": scalar}.items():  # under numpy 2's name and 1's
        parts += [(function, f"numpy.{module}.multiarray.{name}") for module in ("_core", "core")]
    return parts


def _of_dict(path: Path, content: dict[Any, Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    for key in (OUTPUT, ID):
        if key not in content:
            has = readable(", ".join(map(repr, content))) or "nothing"
            raise AinextError(f"{path}: a dict without {key!r}; it has {has}")
    ids = content[ID]
    if not isinstance(ids, (list, tuple, np.ndarray)) or (isinstance(ids, np.ndarray) and ids.ndim != 1):
        raise AinextError(f"{path}: {ID} is not a list of ids")
    return _numbers(content[OUTPUT], str(path)), tuple(_name(name, path) for name in ids)


def _of_list(path: Path, content: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    if not content:
        raise AinextError(f"{path}: an empty list; there is nothing to score")
    ids, rows = [], []
    for number, item in enumerate(content):
        if not isinstance(item, dict) or OUTPUT not in item or ID not in item:
            raise AinextError(f"{path}: item {number} of its list is not a dict with {OUTPUT!r} and {ID!r}")
        ids.append(_name(item[ID], path))
        rows.append(_numbers(item[OUTPUT], f"{path}: {readable(ids[-1])}"))
        if rows[-1].shape != rows[0].shape:
            shapes = f"{rows[-1].shape}, that of {readable(ids[0])} {rows[0].shape}"
            raise AinextError(f"{path}: {OUTPUT} of {readable(ids[-1])} is of shape {shapes}")
    return np.stack(rows), tuple(ids)


def _name(value: Any, path: Path) -> str:
    if not isinstance(value, str):
        raise AinextError(f"{path}: an {ID} is {value!r:.40}, not text such as 'P01_11_0'")
    return str(value)


def _numbers(value: Any, where: str) -> np.ndarray:
    """An array of float32 or float64 from an array, a tensor or lists of numbers."""
    try:
        if hasattr(value, "detach"):  # a tensor; numpy has no bfloat16
            value = value.detach().cpu()
            value = (value if value.element_size() >= 4 else value.float()).numpy()
        array = np.asarray(value)
        if array.dtype.kind == "O":  # numbers in an array of objects, as a column of pandas gives them
            array = np.array([np.asarray(row, dtype=np.float64) for row in array])
    except (ValueError, TypeError, RuntimeError):  # lists of several lengths, or what is no number
        array = np.array("")
    if array.dtype.kind not in "fiu":
        raise AinextError(f"{where}: {OUTPUT} is not an array of numbers")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.result_type(array.dtype, np.float32))

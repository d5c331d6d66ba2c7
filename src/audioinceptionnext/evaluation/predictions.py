"""Predictions for EPIC-SOUNDS segments, in the files that the challenge's scorer reads."""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import SUBMISSION, FileError, check_kind, kind_of_file

CLASSES = 44
OUTPUT, ID = "interaction_output", "annotation_id"
# How a file written by torch.save begins: as a zip; before torch 1.6, as a pickle of this number.
TORCH_ZIP = b"PK\x03\x04"
TORCH_LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for segments.

    Attributes:
        ids: one annotation id per segment.
        outputs: (segments, clips, classes), finite; logits or probabilities, where larger means more likely. The
            outputs of the clips of a segment are added up.
        source: the file that they come from, for error messages.

    Raises:
        FileError: the outputs have another shape or are not finite, or an id occurs twice.
    """

    ids: tuple[str, ...]
    outputs: np.ndarray = field(repr=False)
    source: str = "predictions"

    def __post_init__(self) -> None:
        shape = self.outputs.shape
        if len(shape) != 3 or 0 in shape[:2]:
            raise FileError(self.source, f"{OUTPUT} is of shape {shape}, not (segments, clips, {CLASSES})")
        if shape[2] != CLASSES:
            raise FileError(self.source, f"{OUTPUT} has {shape[2]} classes, but EPIC-SOUNDS has {CLASSES}")
        if len(self.ids) != shape[0]:
            raise FileError(self.source, f"{len(self.ids)} of {ID} for {shape[0]} of {OUTPUT}")
        with np.errstate(over="ignore", invalid="ignore"):
            bad = np.flatnonzero(~np.isfinite(self.scores).all(axis=1))
        if len(bad):
            reason = f"NaN or infinity in {count_of(bad, shape[0])}, e.g. {readable(self.ids[bad[0]])}"
            raise FileError(self.source, reason)
        if len(set(self.ids)) < len(self.ids):
            twice = [name for name, count in Counter(self.ids).items() if count > 1]
            raise FileError(self.source, f"more than one prediction for {count_of(twice)}, e.g. {readable(twice[0])}")

    @property
    def scores(self) -> np.ndarray:
        """(segments, classes): the sums over the clips; of float32 in float32, as the challenge's scorer adds them."""
        return self.outputs.sum(axis=1)


def count_of(some: Sequence[Any] | np.ndarray, total: int | None = None, kind: str = "segment") -> str:
    """``1 segment``, ``3 segments`` or ``3 of 5,131 segments``."""
    number = f"{len(some):,}" if total is None else f"{len(some):,} of {total:,}"
    return f"{number} {kind}{'' if (total or len(some)) == 1 else 's'}"


def readable(name: str) -> str:
    """A name from a file, shortened and printable in any terminal; JSON may even contain lone surrogates."""
    return "".join(c if c.isprintable() else "?" for c in name[:80])


def mismatches(
    found: Iterable[str], required: Iterable[str], allowed: Iterable[str] | None = None, kind: str = "segment"
) -> list[str]:
    """What is wrong with a set of ids: one line per problem, with a count and an example. Empty if it is complete.

    Args:
        found: the ids to check.
        required: the ids that must be among them.
        allowed: the ids that may be among them; the required ones unless given.
        kind: what the ids are of.
    """
    found, required = list(found), list(required)
    there = set(found)
    missing = [name for name in required if name not in there]
    known = set(required if allowed is None else allowed)
    unknown = [name for name in found if name not in known]
    problems = [f"{count_of(missing, len(required), kind)} missing, e.g. {readable(missing[0])}"] if missing else []
    return problems + ([f"{count_of(unknown, kind=kind)} unknown, e.g. {readable(unknown[0])}"] if unknown else [])


def read_predictions(path: str | Path) -> Predictions:
    """Read a pickle or a ``torch.save`` file, recognised by content, in either form that the challenge's scorer takes.

    These are a list of ``{"interaction_output": 44 numbers, "annotation_id": str}``, or a dict of the two arrays
    (numpy, torch or lists). ``interaction_output`` is (segments, 44) or (segments, clips, 44). Nothing in the file is
    executed: it may hold containers, numbers, text, numpy arrays and tensors, and is refused if it holds anything else.

    Raises:
        FileError: the file does not exist, holds something else, or `Predictions` refuses its content.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(path, "no such file; check the name")
    if kind_of_file(path) == SUBMISSION:
        raise FileError(path, f"is {SUBMISSION}; give the predictions from which it was written")
    wanted = "predictions, which are a pickle or a torch file, as `ainext evaluate` writes it"
    check_kind(path, ("a pickle", "a torch file"), f"{wanted}; they come first, before the list of segments")
    with path.open("rb") as file:
        head = file.read(len(TORCH_LEGACY))
    if head.startswith(TORCH_ZIP) or head == TORCH_LEGACY:
        content = _read_torch(path)
    else:
        from audioinceptionnext.data.safe_pickle import read_pickle

        content = read_pickle(path)
    if isinstance(content, dict):
        outputs, ids = _from_dict(path, content)
    elif isinstance(content, (list, tuple)):
        outputs, ids = _from_list(path, content)
    else:
        raise FileError(path, f"holds a {type(content).__name__}, not a list or a dict with {OUTPUT} and {ID}")
    if outputs.ndim == 2:
        outputs = outputs[:, None]
    return Predictions(ids, outputs, str(path))


def write_predictions(path: str | Path, ids: Sequence[str], outputs: np.ndarray) -> None:
    """Write a pickle of the two arrays, which the challenge's scorer reads (numpy 1.26 or newer).

    Args:
        path: where to write.
        ids: one annotation id per segment.
        outputs: (segments, 44) or (segments, clips, 44).

    Raises:
        FileError: `Predictions` refuses the content. Nothing is written then.
    """
    Predictions(tuple(ids), outputs if outputs.ndim == 3 else outputs[:, None], str(path))
    _write(Path(path), ID, ids, {OUTPUT: outputs})


def write_task_predictions(path: str | Path, ids: Sequence[str], outputs: Mapping[str, np.ndarray]) -> None:
    """Write a pickle of ``verb_output``, ``noun_output`` and ``narration_id``, as for EPIC-KITCHENS-100's challenge.

    Args:
        path: where to write.
        ids: one narration id per segment.
        outputs: (segments, classes), or (segments, clips, classes), of each task.
    """
    _write(Path(path), "narration_id", ids, {f"{task}_output": values for task, values in outputs.items()})


def _write(path: Path, id_key: str, ids: Sequence[str], outputs: Mapping[str, np.ndarray]) -> None:
    names = np.empty(len(ids), dtype=object)  # objects and not fixed-width text, as pandas writes them
    names[:] = [str(name) for name in ids]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        arrays = {key: np.ascontiguousarray(values) for key, values in outputs.items()}
        partial.write_bytes(pickle.dumps(arrays | {id_key: names}, protocol=4))
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
            if asked:  # torch's own message recommends loading the file in an unsafe way
                reason = f"asks to run {asked[1]}, which predictions do not need; it was not read"
                raise FileError(path, reason) from error
            raise FileError(path, "is not a torch file, or is damaged; write it again") from error


def _numpy_globals() -> list[Any]:
    """The names that torch must allow so that numpy arrays can be read. All of them only make arrays and numbers."""
    from numpy._core.multiarray import _reconstruct, scalar

    kinds = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "O", "U1", "S1")
    names: list[Any] = [np.ndarray, np.dtype, *{type(np.dtype(kind)) for kind in kinds}]
    for name, function in {"_reconstruct": _reconstruct, "scalar": scalar}.items():  # in numpy 2 and in numpy 1
        names += [(function, f"numpy.{module}.multiarray.{name}") for module in ("_core", "core")]
    return names


def _from_dict(path: Path, content: dict[Any, Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    for key in (OUTPUT, ID):
        if key not in content:
            keys = readable(", ".join(map(repr, content))) or "nothing"
            raise FileError(path, f"holds a dict without {key!r}; it has {keys}")
    ids = content[ID]
    if not isinstance(ids, (list, tuple, np.ndarray)) or (isinstance(ids, np.ndarray) and ids.ndim != 1):
        raise FileError(path, f"{ID} is not a list of ids")
    return _as_array(content[OUTPUT], path, OUTPUT), tuple(_as_id(name, path) for name in ids)


def _from_list(path: Path, content: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    if not content:
        raise FileError(path, "holds an empty list; there is nothing to score")
    ids, rows = [], []
    for number, item in enumerate(content):
        if not isinstance(item, dict) or OUTPUT not in item or ID not in item:
            raise FileError(path, f"item {number} of its list is not a dict with {OUTPUT!r} and {ID!r}")
        ids.append(_as_id(item[ID], path))
        rows.append(_as_array(item[OUTPUT], path, f"{OUTPUT} of {readable(ids[-1])}"))
        if rows[-1].shape != rows[0].shape:
            shapes = f"{rows[-1].shape}, that of {readable(ids[0])} {rows[0].shape}"
            raise FileError(path, f"{OUTPUT} of {readable(ids[-1])} is of shape {shapes}")
    return np.stack(rows), tuple(ids)


def _as_id(value: Any, path: Path) -> str:
    if not isinstance(value, str):
        raise FileError(path, f"an {ID} is {value!r:.40}, not text such as 'P01_11_0'")
    return str(value)


def _as_array(value: Any, path: Path, name: str) -> np.ndarray:
    """An array of float32 or float64 from an array, a tensor or lists of numbers."""
    try:
        if hasattr(value, "detach"):  # a tensor; numpy has no bfloat16
            value = value.detach().cpu()
            value = (value if value.element_size() >= 4 else value.float()).numpy()
        array = np.asarray(value)
        if array.dtype.kind == "O":  # numbers in an array of objects, as a column of pandas holds them
            array = np.array([np.asarray(row, dtype=np.float64) for row in array])
    except (ValueError, TypeError, RuntimeError):  # lists of different lengths, or items that are not numbers
        array = np.array("")
    if array.dtype.kind not in "fiu":
        raise FileError(path, f"{name} is not an array of numbers")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.result_type(array.dtype, np.float32))

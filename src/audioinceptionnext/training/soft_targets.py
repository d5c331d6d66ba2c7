"""A table of what a teacher says of each training clip, computed once: its targets in place of a network as teacher."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext.data import Clip
from audioinceptionnext.errors import FileError, replacing

SUFFIX = ".csv"  # tells a table from a model in the setting `teacher`
_CLIP = ("path", "key", "start")
_TOLERANCE = 0.02  # of the sum of a row, which was rounded


def write_soft_targets(path: Path, labels: Sequence[str], clips: Sequence[Clip], probabilities: np.ndarray) -> None:
    """Write a table with the columns path, key, start and one per label.

    Args:
        path: of the file.
        labels: of the data set.
        clips: one row each.
        probabilities: (clips, classes), 0 to 1.

    Raises:
        FileError: two clips would have the same row, see `read_soft_targets`.
    """
    _identities(path, clips)
    with replacing(path) as new, new.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*_CLIP, *labels))
        for clip, row in zip(clips, probabilities, strict=True):
            writer.writerow((*_identity(clip), *(f"{value:.4f}" for value in row)))


def read_soft_targets(path: Path, labels: Sequence[str], clips: Sequence[Clip], *, multi_label: bool = False) -> Tensor:
    """What a table of `write_soft_targets` says of these clips, (clips, classes) float32.

    A clip is found by the name of its file and of the folder around it, its key and its start. Unless several labels
    can be true at a time, rows sum to 1.

    Raises:
        FileError: there is no such file, it has other labels, it lacks a clip, or two clips have the same row.

    >>> read_soft_targets(Path("runs/soft/fold-1.csv"), dataset.labels, training).shape
    torch.Size([640, 20])
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            columns, *rows = csv.reader(file)
        if columns != [*_CLIP, *labels]:
            raise FileError(path, f"its columns are not {', '.join(_CLIP)} and the {len(labels)} labels of this run")
        if ragged := [number for number, row in enumerate(rows, start=2) if len(row) != len(columns)]:
            raise FileError(path, f"row {ragged[0]} has not {len(columns)} values, as the first row has")
        found = {tuple(row[: len(_CLIP)]): [float(value) for value in row[len(_CLIP) :]] for row in rows}
        if len(found) < len(rows):
            raise FileError(path, "it has two rows of the same path, key and start")
    except OSError as error:
        raise FileError(path, (error.strerror or str(error)).lower()) from error
    except (ValueError, csv.Error) as error:
        raise FileError(path, f"not a table of targets ({error})") from error
    identities = _identities(path, clips)
    if missing := [clip for clip, identity in zip(clips, identities, strict=True) if identity not in found]:
        raise FileError(path, f"it says nothing of {len(missing)} of the training clips, e.g. {missing[0].name}")
    targets = torch.tensor([found[identity] for identity in identities])
    if targets.shape != (len(clips), len(labels)) or not ((targets >= 0) & (targets <= 1)).all():
        raise FileError(path, "not a table of probabilities from 0 to 1, one for each label")
    total = targets.sum(1, keepdim=True)
    if multi_label:
        return targets
    if ((total - 1).abs() > _TOLERANCE).any():
        raise FileError(path, "the probabilities of a clip do not sum to 1")
    return targets / total


def _identities(path: Path, clips: Sequence[Clip]) -> list[tuple[str, str, str]]:
    """The row of each clip in a table. Raises `FileError` if two have the same."""
    found: dict[tuple[str, str, str], Clip] = {}
    for clip in clips:
        if (other := found.setdefault(_identity(clip), clip)) is not clip:
            same = "have the same file and folder name, key and start, by which a table tells clips apart"
            raise FileError(path, f"{other.name} and {clip.name} {same}")
    return list(found)


def _identity(clip: Clip) -> tuple[str, str, str]:
    return "/".join(clip.path.absolute().parts[-2:]), clip.key or "", f"{clip.start:.3f}"

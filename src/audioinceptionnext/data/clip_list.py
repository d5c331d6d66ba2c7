"""The list of a run's clips, which lies beside its model: what it was trained on, and what it has not seen."""

from __future__ import annotations

import csv
import filecmp
import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.errors import FileError

NAME = "run-clips.csv"  # no name that people give their own lists, see `csv_list`
TRAINED = "train"
_COLUMNS = ("part", "label", "path", "key", "start", "end")


def write_clip_list(path: Path, labels: Sequence[str], parts: Mapping[str, Sequence[Clip]]) -> None:
    """Write the clips of each part of a data set to a CSV file, with the columns part, label, path, key, start, end.

    Args:
        path: of the file.
        labels: of the data set.
        parts: the clips, by the name of their part, `TRAINED` or another.
    """
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for part, clips in parts.items():
            writer.writerows((part, *_row(clip, labels)) for clip in clips)


def is_clip_list(path: Path) -> bool:
    """Whether a file is there that begins as `write_clip_list` writes it. A list of another kind has other columns."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            return file.readline(200).strip() == ",".join(_COLUMNS)
    except OSError:
        return False


def trained_clips(path: Path, dataset: Dataset, clips: Sequence[Clip]) -> list[Clip]:
    """Those of ``clips`` that a list says a model was trained on.

    A clip is found again after its folder was moved or copied: then its path below the folder of the data set, its
    times and its labels are those of the list, and if the file of the list is still there, it has the same content.

    Args:
        path: of a file that `write_clip_list` wrote.
        dataset: that ``clips`` belong to.
        clips: to look for.

    Raises:
        FileError: the file is damaged.

    >>> len(trained_clips(Path("runs/mine/run-clips.csv"), dataset, dataset.clips))
    80
    """
    listed: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)  # the paths of clips that are alike otherwise
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            for row in csv.DictReader(file):
                if row["part"] == TRAINED:
                    listed[_identity(*(row[name] for name in _COLUMNS[1:]))].append(row["path"])
    except (KeyError, TypeError, csv.Error) as error:
        raise FileError(path, "not a list of a run's clips; remove it, or restore the run's own") from error
    root = Path(os.path.commonpath([clip.path.absolute().parent for clip in dataset.clips])) if dataset.clips else None

    def is_trained(clip: Clip) -> bool:
        alike = listed.get(_identity(*_row(clip, dataset.labels)), ())
        return any(_same(other, clip.path.absolute(), root) for other in alike)

    return [clip for clip in clips if is_trained(clip)]


def digest(clips: Sequence[Clip]) -> str:
    """Tells lists of clips apart by the clips and their order, wherever their folder lies."""
    lines = (repr((clip.path.name, clip.key, clip.start, clip.end, clip.label, *clip.also)) for clip in clips)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]


def _same(listed: str, path: Path, root: Path | None) -> bool:
    """Whether a file of the list is this one, or was before it was moved or copied."""
    if listed == str(path):
        return True
    below = path.relative_to(root).parts if root is not None and path.is_relative_to(root) else path.parts
    count = max(2, len(below))
    if Path(listed).parts[-count:] != path.parts[-count:]:
        return False
    return not Path(listed).exists() or filecmp.cmp(listed, path, shallow=False)


def _row(clip: Clip, labels: Sequence[str]) -> tuple[str, str, str, str, str]:
    end = "" if clip.end is None else f"{clip.end:.3f}"
    named = "; ".join(labels[number] for number in clip.labels)
    return named, str(clip.path.absolute()), clip.key or "", f"{clip.start:.3f}", end


def _identity(label: str, path: str, key: str, start: str, end: str) -> tuple[str, ...]:
    return label, *Path(path).parts[-2:], key, start, end

"""The list of a run's clips, which lies beside its model: what it was trained on, and what it has not seen."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from audioinceptionnext.data.clip import Clip
from audioinceptionnext.errors import FileError

NAME = "clips.csv"
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


def trained_clips(path: Path, labels: Sequence[str], clips: Sequence[Clip]) -> list[Clip]:
    """Those of ``clips`` that a list says a model was trained on.

    A clip is found again after its folder was moved: its file, the folder around it, its times and labels count.

    Args:
        path: of a file that `write_clip_list` wrote.
        labels: of the data set of ``clips``.
        clips: to look for.

    Raises:
        FileError: the file is no such list.

    >>> len(trained_clips(Path("runs/mine/clips.csv"), dataset.labels, dataset.clips))
    80
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            trained = {
                _identity(*(row[name] for name in _COLUMNS[1:]))
                for row in csv.DictReader(file)
                if row["part"] == TRAINED
            }
    except (KeyError, TypeError, csv.Error) as error:
        raise FileError(path, "not a list of a run's clips; remove it, or restore the run's own") from error
    return [clip for clip in clips if _identity(*_row(clip, labels)) in trained]


def _row(clip: Clip, labels: Sequence[str]) -> tuple[str, str, str, str, str]:
    end = "" if clip.end is None else f"{clip.end:.3f}"
    named = "; ".join(labels[number] for number in clip.labels)
    return named, str(clip.path), clip.key or "", f"{clip.start:.3f}", end


def _identity(label: str, path: str, key: str, start: str, end: str) -> tuple[str, ...]:
    return label, *Path(path).parts[-2:], key, start, end

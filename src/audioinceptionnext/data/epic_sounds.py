"""EPIC-SOUNDS (Huh et al., 2023): segments of EPIC-KITCHENS-100 videos in 44 classes of kitchen sound.

Annotations: ``EPIC_Sounds_train``, ``EPIC_Sounds_validation`` and ``EPIC_Sounds_recognition_test_timestamps``, each as
``.csv`` or ``.pkl``, in the folder or up to two levels below. Recordings: one HDF5 file with a member a video, at
24 kHz, or one audio or video file a video (``P01_11.wav``, ``P01/P01_11.MP4``) anywhere below the folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.data.recordings import Recordings, below, hdf5_below, recordings_at
from audioinceptionnext.data.safe_pickle import read_pickle
from audioinceptionnext.data.table import BadRow, Row, Table, label_of, read_table, whole
from audioinceptionnext.errors import AinextError, printable

RATE = 24_000  # Hz, of sample indices and of the HDF5 file
LISTS = {
    "train": "EPIC_Sounds_train",
    "validation": "EPIC_Sounds_validation",
    "test": "EPIC_Sounds_recognition_test_timestamps",
}
COLUMNS = ("annotation_id", "video_id", "start_sample", "stop_sample")
LABELS = ("class", "class_id")  # which the test set keeps back
_DEPTH = 2
_LITTLE = 0.1  # seconds beyond the recording's end that are not worth a word


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Every list that is there gives a split; test clips are `UNLABELLED`. A group is a video.

    Segments of videos that are not there are left out, one problem a video. What ends beyond an HDF5 recording is cut
    to its end, and left out where nothing remains. (How long files are is for `ainext data check` to find out.)

    Args:
        audio: the HDF5 file or the folder of recordings, where they are not below ``root``.

    Raises:
        AinextError: no annotations, a list of other columns, several HDF5 files, no segment that can be heard.
    """
    from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS  # its package needs torch

    tables = {split: _read(path, split) for split, path in _lists(root).items()}
    recordings = recordings_at(audio or _recordings_below(root))
    lengths = recordings.lengths({row["video_id"] for table in tables.values() for _, row in table.rows})
    clips: list[Clip] = []
    problems: list[str] = []
    seen: set[str] = set()
    for split, table in tables.items():
        problems += _without_video(table, recordings)
        clips += table.clips(_maker(split, table, recordings, lengths, seen, EPIC_SOUNDS_LABELS))
        problems += table.lines()
    if not clips:
        what = f"no segment can be heard: {problems[0]}"
        raise AinextError(f"{printable(recordings.place)}: {what}; --audio names the recordings")
    return Dataset("epic-sounds", EPIC_SOUNDS_LABELS, tuple(clips), tuple(problems), RATE)


def _maker(
    split: str, table: Table, recordings: Recordings, lengths: dict[str, int], seen: set[str], labels: Sequence[str]
) -> Callable[[int, Row], Clip]:
    """From a row to its clip. ``lengths``: samples, of HDF5 recordings; ``seen``: ids of the rows before."""

    def make(line: int, row: Row) -> Clip:
        name, video = row["annotation_id"], row["video_id"]
        if not name or name in seen:
            raise BadRow(f"annotation_id {name} stands there already" if name else "no annotation_id")
        label = label_of(row, labels, "class_id", "class") if split != "test" else UNLABELLED
        start, stop = whole(row, "start_sample"), whole(row, "stop_sample")
        if not 0 <= start < stop:
            raise BadRow(f"{name} is from sample {start} to {stop}")
        path, key = _found(recordings, video)
        if key is not None and video not in lengths:
            raise BadRow(f"{video} in {printable(path)} is not one row of numbers")
        length = lengths.get(video, stop)
        if stop > length:
            beyond = f"{name} ends at sample {stop}, {(stop - length) / RATE:.1f} s beyond the end of {video}"
            if start >= length:
                raise BadRow(f"{beyond}, with nothing before it: left out")
            if stop - length > _LITTLE * RATE:
                table.problems.append((line, f"{beyond}: cut there"))
            stop = length
        seen.add(name)
        return Clip(path, label, start / RATE, stop / RATE, split=split, group=video, key=key, id=name)

    return make


def _found(recordings: Recordings, video: str) -> tuple[Path, str | None]:
    found = recordings.find(video)
    assert found is not None  # `_without_video` has taken the others out
    return found


def _without_video(table: Table, recordings: Recordings) -> list[str]:
    """Takes segments out whose video is not there; returns a line for each such video."""
    absent = Counter(row["video_id"] for _, row in table.rows if recordings.find(row["video_id"]) is None)
    table.rows = [(line, row) for line, row in table.rows if row["video_id"] not in absent]
    where = f"is not in {printable(recordings.place)}"
    return [
        f"{printable(table.path)}: video {printable(video) or '(no name)'} {where}: {number} segments left out"
        for video, number in sorted(absent.items())
    ]


def _lists(root: Path) -> dict[str, Path]:
    """The list of each split that is there, the CSV where there is a pickle too."""
    found: dict[str, Path] = {}
    files = below(root, _DEPTH)
    for split, stem in LISTS.items():
        names = (f"{stem}.csv", f"{stem}.pkl")
        paths = sorted((path for path in files if path.name in names), key=lambda path: names.index(path.name))
        if paths:
            found[split] = paths[0]
    if not found:
        what = f"no {LISTS['train']}.csv or .pkl, nor another of its lists"
        raise AinextError(f"{printable(root)}: no EPIC-SOUNDS here: {what}; --root names the folder that holds them")
    return found


def _recordings_below(root: Path) -> Path:
    files = hdf5_below(root, _DEPTH)
    if len(files) > 1:
        raise AinextError(
            f"{printable(root)}: {len(files)} HDF5 files, e.g. {printable(files[0])}; --audio names the one to use"
        )
    return files[0] if files else root


def _read(path: Path, split: str) -> Table:
    columns = COLUMNS if split == "test" else (*COLUMNS, *LABELS)
    if path.suffix == ".csv":
        return read_table(path, columns, "EPIC-SOUNDS")
    frame: Any = read_pickle(path)
    if type(frame).__name__ != "DataFrame":
        raise AinextError(f"{printable(path)}: holds no table (a pandas DataFrame); get it again, or the CSV")
    if frame.index.name == "annotation_id":
        frame = frame.reset_index()
    if absent := [column for column in columns if column not in frame.columns]:
        raise AinextError(
            f"{printable(path)}: has no column {absent[0]!r}; EPIC-SOUNDS's list has {', '.join(columns)}"
        )
    values = zip(*(map(_text, frame[column]) for column in columns), strict=True)
    rows = [(line, dict(zip(columns, row, strict=True))) for line, row in enumerate(values, start=1)]
    if not rows:
        raise AinextError(f"{printable(path)}: lists no segments")
    return Table(path, rows)


def _text(value: Any) -> str:
    """As it would stand in the CSV: nothing for a missing value, whole numbers without a point."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

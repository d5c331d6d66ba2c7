"""EPIC-SOUNDS (Huh et al., 2023): segments of EPIC-KITCHENS-100 videos in 44 classes of kitchen sound.

Annotations: ``EPIC_Sounds_train``, ``EPIC_Sounds_validation`` and ``EPIC_Sounds_recognition_test_timestamps``, each as
``.csv`` or ``.pkl``, in the folder or up to two levels below. Recordings: one HDF5 file with one data set per video, at
24 kHz, or one audio or video file per video (``P01_11.wav``, ``P01/P01_11.MP4``) anywhere below the folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.data.recordings import Recordings, below, hdf5_below, recordings_at
from audioinceptionnext.data.safe_pickle import read_pickle
from audioinceptionnext.data.table import BadRow, Row, Table, label_of, read_table, whole_number
from audioinceptionnext.errors import FileError, ParameterError, counted, printable
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS

RATE = 24_000  # Hz, of sample indices and of the HDF5 file
LISTS = {
    "train": "EPIC_Sounds_train",
    "validation": "EPIC_Sounds_validation",
    "test": "EPIC_Sounds_recognition_test_timestamps",
}
COLUMNS = ("annotation_id", "video_id", "start_sample", "stop_sample")
LABEL_COLUMNS = ("class", "class_id")  # not published for the test set
_DEPTH = 2  # levels of folders in which lists and HDF5 files are looked for
_TOLERANCE = 0.1  # seconds beyond the end of a recording that are cut without a message


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read EPIC-SOUNDS: one split for each list that is there. Test clips are `UNLABELLED`. A group is a video.

    Segments of videos that are not there are left out, with one problem per video. A segment that ends beyond the end
    of its HDF5 recording is cut there, or left out if nothing remains. (The lengths of files are not looked up here:
    `ainext data check` reads them.)

    Args:
        root: the folder of the annotations.
        audio: the HDF5 file or the folder of the recordings, if they are not below ``root``.

    Raises:
        FileError: there are no annotations, a list has other columns, there is more than one HDF5 file, or no segment
            has a recording.
    """
    tables = {split: _read(path, split) for split, path in _lists(root).items()}
    recordings = recordings_at(audio or _recordings_below(root))
    lengths = recordings.lengths({row["video_id"] for table in tables.values() for _, row in table.rows})
    clips: list[Clip] = []
    problems: list[str] = []
    seen: set[str] = set()
    for split, table in tables.items():
        problems += _drop_without_video(table, recordings)
        clips += table.clips(_maker(split, table, recordings, lengths, seen, EPIC_SOUNDS_LABELS))
        problems += table.messages()
    if not clips:
        what = f"no segment has a recording here: {problems[0]}"
        raise FileError(recordings.place, f"{what}; give the folder or the HDF5 file of the recordings")
    return Dataset("epic-sounds", EPIC_SOUNDS_LABELS, tuple(clips), tuple(problems), RATE)


def videos(root: Path, split: str, audio: Path | None = None) -> dict[str, Clip | None]:
    """The whole recording of each video of a list, by its id; None where there is no such recording.

    Args:
        root: the folder of the annotations.
        split: ``train``, ``validation`` or ``test``.
        audio: as for `load`.

    Raises:
        FileError: there are no annotations, or more than one HDF5 file.
        ParameterError: there is no list of this split.
    """
    lists = _lists(root)
    if split not in lists:
        raise ParameterError("split", split, f"{printable(root)} has a list for {', '.join(lists)}")
    names = dict.fromkeys(row["video_id"] for _, row in _read(lists[split], split).rows)
    recordings = recordings_at(audio or _recordings_below(root))
    found = {name: recordings.find(name) for name in names}
    return {
        name: place and Clip(place[0], UNLABELLED, split=split, group=name, key=place[1], id=name)
        for name, place in found.items()
    }


def _maker(
    split: str, table: Table, recordings: Recordings, lengths: dict[str, int], seen: set[str], labels: Sequence[str]
) -> Callable[[int, Row], Clip]:
    """Make the function that turns a row into a clip.

    Args:
        lengths: samples of each HDF5 recording.
        seen: ids of the rows so far, of all lists; the function adds to them.
    """

    def make(line: int, row: Row) -> Clip:
        name, video = row["annotation_id"], row["video_id"]
        if not name or name in seen:
            raise BadRow(f"annotation_id {name} appears twice" if name else "no annotation_id")
        label = label_of(row, labels, "class_id", "class") if split != "test" else UNLABELLED
        start, stop = whole_number(row, "start_sample"), whole_number(row, "stop_sample")
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
            if stop - length > _TOLERANCE * RATE:
                table.problems.append((line, f"{beyond}: cut there"))
            stop = length
        seen.add(name)
        return Clip(path, label, start / RATE, stop / RATE, split=split, group=video, key=key, id=name)

    return make


def _found(recordings: Recordings, video: str) -> tuple[Path, str | None]:
    found = recordings.find(video)
    assert found is not None  # `_drop_without_video` has removed the others
    return found


def _drop_without_video(table: Table, recordings: Recordings) -> list[str]:
    """Remove the segments whose video is not there, and return one line for each such video."""
    absent = Counter(row["video_id"] for _, row in table.rows if recordings.find(row["video_id"]) is None)
    table.rows = [(line, row) for line, row in table.rows if row["video_id"] not in absent]
    where = f"is not in {printable(recordings.place)}"
    return [
        f"{printable(table.path)}: video {printable(video) or '(no name)'} {where}: "
        f"{counted(number, 'segment')} left out"
        for video, number in sorted(absent.items())
    ]


def _lists(root: Path) -> dict[str, Path]:
    """The list of each split; the CSV file if there is a pickle as well."""
    found: dict[str, Path] = {}
    files = below(root, _DEPTH)
    for split, stem in LISTS.items():
        names = (f"{stem}.csv", f"{stem}.pkl")
        paths = sorted((path for path in files if path.name in names), key=lambda path: names.index(path.name))
        if paths:
            found[split] = paths[0]
    if not found:
        what = f"no {LISTS['train']}.csv or .pkl, nor another of its lists"
        raise FileError(root, f"no EPIC-SOUNDS here: {what}; give the folder that holds them")
    return found


def _recordings_below(root: Path) -> Path:
    files = hdf5_below(root, _DEPTH)
    if len(files) > 1:
        raise FileError(
            root, f"{len(files)} HDF5 files, e.g. {printable(files[0])}; give the one that has the recordings"
        )
    return files[0] if files else root


def _read(path: Path, split: str) -> Table:
    columns = COLUMNS if split == "test" else (*COLUMNS, *LABEL_COLUMNS)
    if path.suffix == ".csv":
        return read_table(path, columns, "EPIC-SOUNDS")
    frame: Any = read_pickle(path)
    if type(frame).__name__ != "DataFrame":
        raise FileError(path, "holds no table (a pandas DataFrame); get it again, or get the CSV file")
    if frame.index.name == "annotation_id":
        frame = frame.reset_index()
    if absent := [column for column in columns if column not in frame.columns]:
        raise FileError(path, f"has no column {absent[0]!r}; the list of EPIC-SOUNDS has {', '.join(columns)}")
    values = zip(*(map(_text, frame[column]) for column in columns), strict=True)
    rows = [(line, dict(zip(columns, row, strict=True))) for line, row in enumerate(values, start=1)]
    if not rows:
        raise FileError(path, "lists no segments")
    return Table(path, rows)


def _text(value: Any) -> str:
    """A value as the CSV file has it: nothing if it is missing, whole numbers without a decimal point."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

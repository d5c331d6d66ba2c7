"""What EPIC-SOUNDS and EPIC-KITCHENS-100 share: the videos, and lists of segments of them as CSV or pickle.

Recordings: one HDF5 file with one data set per video, at 24 kHz, or one audio or video file per video (``P01_11.wav``,
``P01/P01_11.MP4``) anywhere below the folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audioinceptionnext.data.recordings import Recordings, below, hdf5_below, recordings_at
from audioinceptionnext.data.safe_pickle import read_pickle
from audioinceptionnext.data.table import BadRow, Table, read_table
from audioinceptionnext.errors import FileError, counted, printable

RATE = 24_000  # Hz, of sample indices and of the HDF5 file
TOLERANCE = 0.1  # seconds beyond the end of a recording that are cut without a message
DEPTH = 2  # levels of folders in which lists and HDF5 files are looked for


def find_lists(root: Path, stems: Mapping[str, str], what: str) -> dict[str, Path]:
    """The list of each split; the CSV file if there is a pickle as well.

    Args:
        root: the folder of the lists, which may be up to `DEPTH` levels below.
        stems: names of the files without suffix, by split.
        what: name of the data set in messages.

    Raises:
        FileError: there is none of the lists.
    """
    found: dict[str, Path] = {}
    files = below(root, DEPTH)
    for split, stem in stems.items():
        names = (f"{stem}.csv", f"{stem}.pkl")
        paths = sorted((path for path in files if path.name in names), key=lambda path: names.index(path.name))
        if paths:
            found[split] = paths[0]
    if not found:
        reason = f"no {next(iter(stems.values()))}.csv or .pkl, nor another of its lists"
        raise FileError(root, f"no {what} here: {reason}; give the folder that holds them")
    return found


def find_recordings(root: Path, audio: Path | None) -> Recordings:
    """The recordings at ``audio``, or else in the one HDF5 file below ``root``, or else in files below it.

    Raises:
        FileError: there is more than one HDF5 file, or it is damaged.
    """
    if audio is None:
        files = hdf5_below(root, DEPTH)
        if len(files) > 1:
            what = f"{len(files)} HDF5 files, e.g. {printable(files[0])}"
            raise FileError(root, f"{what}; give the one that has the recordings")
        audio = files[0] if files else root
    return recordings_at(audio)


def place_segment(
    table: Table, line: int, recordings: Recordings, lengths: Mapping[str, int], segment: tuple[str, str, int, int]
) -> tuple[Path, str | None, int]:
    """Find the recording of a segment, and cut the segment at the recording's end.

    Args:
        table, line: get a problem if more than `TOLERANCE` is cut.
        recordings: have the video, see `drop_without_video`.
        lengths: samples of each recording in an HDF5 file. Those of other files are not known here.
        segment: its name, its video, its first sample and the one after its last.

    Returns:
        The path and the key of the recording, and the sample after the segment's last.

    Raises:
        BadRow: the recording is no recording, or ends before the segment begins.
    """
    name, video, start, stop = segment
    found = recordings.find(video)
    assert found is not None
    path, key = found
    if key is not None and video not in lengths:
        raise BadRow(f"{video} in {printable(path)} is not one row of numbers")
    length = lengths.get(video, stop)
    if stop > length:
        beyond = f"{name} ends at sample {stop}, {(stop - length) / RATE:.1f} s beyond the end of {video}"
        if start >= length:
            raise BadRow(f"{beyond}, with nothing before it: left out")
        if stop - length > TOLERANCE * RATE:
            table.problems.append((line, f"{beyond}: cut there"))
    return path, key, min(stop, length)


def drop_without_video(table: Table, recordings: Recordings) -> list[str]:
    """Remove the segments whose video is not there, and return one line for each such video."""
    absent = Counter(row["video_id"] for _, row in table.rows if recordings.find(row["video_id"]) is None)
    table.rows = [(line, row) for line, row in table.rows if row["video_id"] not in absent]
    where = f"is not in {printable(recordings.place)}"
    return [
        f"{printable(table.path)}: video {printable(video) or '(no name)'} {where}: "
        f"{counted(number, 'segment')} left out"
        for video, number in sorted(absent.items())
    ]


def read_list(path: Path, columns: Sequence[str], what: str) -> Table:
    """Read a list of segments, a CSV file or a pickled pandas DataFrame, whose index may be the first column.

    Args:
        path: of the list.
        columns: that are needed of it.
        what: name of the data set in messages.

    Raises:
        FileError: it is damaged, lacks a column or lists no segments.
    """
    if path.suffix == ".csv":
        return read_table(path, columns, what)
    frame: Any = read_pickle(path)
    if type(frame).__name__ != "DataFrame":
        raise FileError(path, "holds no table (a pandas DataFrame); get it again, or get the CSV file")
    if frame.index.name == columns[0]:
        frame = frame.reset_index()
    if absent := [column for column in columns if column not in frame.columns]:
        raise FileError(path, f"has no column {absent[0]!r}; the list of {what} has {', '.join(columns)}")
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

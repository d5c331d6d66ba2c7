"""What EPIC-SOUNDS and EPIC-KITCHENS-100 share: the videos, and lists of segments of them as CSV or pickle.

Recordings: one HDF5 file with one data set per video, at 24 kHz, or one audio or video file per video (``P01_11.wav``,
``P01/P01_11.MP4``) anywhere below the folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from audioinceptionnext.data.recordings import Recordings, below, hdf5_below, recordings_at
from audioinceptionnext.data.safe_pickle import read_pickle
from audioinceptionnext.data.table import BadRow, Row, Table, read_table
from audioinceptionnext.errors import FileError, counted, printable

RATE = 24_000  # Hz, of sample indices and of the HDF5 file
TOLERANCE = 0.1  # seconds beyond the end of a recording that are no problem
DEPTH = 2  # levels of folders in which lists and HDF5 files are looked for
_TIME_STAMP = re.compile(r"(\d+):([0-5]\d):([0-5]\d(?:\.\d+)?)", re.ASCII)


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


def time_span(row: Row, name: str) -> tuple[float, float]:
    """The start and the end of the segment ``name`` in seconds, from time stamps such as ``01:02:03.456``.

    Raises:
        BadRow: they are no such time stamps, or the end is not after the start.
    """
    start, stop = _seconds(row, "start_timestamp"), _seconds(row, "stop_timestamp")
    if round(start * RATE) >= round(stop * RATE):
        raise BadRow(f"{name} is from {row['start_timestamp']} to {row['stop_timestamp']}")
    return start, stop


def _seconds(row: Row, column: str) -> float:
    try:
        return seconds_of(row[column])
    except ValueError:
        raise BadRow(f"{column} is {row[column]!r:.40}, not a time such as 00:01:02.345") from None


def seconds_of(stamp: str) -> float:
    """The seconds that a time stamp of the lists stands for.

    Raises:
        ValueError: it is no such time stamp.

    >>> seconds_of("01:02:03.456")
    3723.456
    """
    if not (parts := _TIME_STAMP.fullmatch(stamp)):
        raise ValueError(f"{stamp!r:.40} is not a time such as 00:01:02.345")
    hours, minutes, seconds = parts.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def place_segment(
    table: Table,
    line: int,
    recordings: Recordings,
    lengths: Mapping[str, int],
    segment: tuple[str, str, float, float],
) -> tuple[Path, str | None]:
    """Find the recording of a segment.

    Args:
        table, line: get a problem if the segment ends more than `TOLERANCE` beyond its recording.
        recordings: have the video, see `drop_without_video`.
        lengths: samples of each recording in an HDF5 file. Those of other files are not known here.
        segment: its name, its video, its start and its end.

    Returns:
        The path and the key of the recording.

    Raises:
        BadRow: the recording is no recording, or ends before the segment begins.
    """
    name, video, start, stop = segment
    found = recordings.find(video)
    assert found is not None
    path, key = found
    if key is not None and video not in lengths:
        raise BadRow(f"{video} in {printable(path)} is not one row of numbers")
    length = lengths.get(video, round(stop * RATE)) / RATE
    beyond = f"{name} ends {stop - length:.1f} s beyond the end of {video}"
    if round(start * RATE) >= round(length * RATE):
        raise BadRow(f"{beyond}, with nothing before it: left out")
    if stop - length > TOLERANCE:
        table.problems.append((line, f"{beyond}: its last frame is repeated"))
    return path, key


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


def read_list(path: Path, columns: Sequence[str], what: str, optional: Sequence[str] = ()) -> Table:
    """Read a list of segments, a CSV file or a pickled pandas DataFrame, whose index may be the first column.

    Args:
        path: of the list.
        columns: that are needed of it.
        what: name of the data set in messages.
        optional: further columns that are read if they are there.

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
    columns = (*columns, *(column for column in optional if column in frame.columns))
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

"""EPIC-SOUNDS (Huh et al., 2023): segments of EPIC-KITCHENS-100 videos in 44 classes of kitchen sound.

Annotations: ``EPIC_Sounds_train``, ``EPIC_Sounds_validation`` and ``EPIC_Sounds_recognition_test_timestamps``, each as
``.csv`` or ``.pkl``, in the folder or up to two levels below. The challenge in detection has a test set of its own,
whose videos ``EPIC_Sounds_detection_test_videos`` lists. Recordings: see `epic_videos`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.data.epic_videos import (
    RATE,
    drop_without_video,
    find_lists,
    find_recordings,
    place_segment,
    read_list,
    time_span,
)
from audioinceptionnext.data.recordings import Recordings
from audioinceptionnext.data.table import BadRow, Row, Table, label_of
from audioinceptionnext.errors import FileError, ParameterError, printable
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS

LISTS = {
    "train": "EPIC_Sounds_train",
    "validation": "EPIC_Sounds_validation",
    "test": "EPIC_Sounds_recognition_test_timestamps",
}
DETECTION_TEST = "EPIC_Sounds_detection_test_videos"
MAX_DISAGREEMENT = 1  # samples between a time stamp and a sample index: the published indices are cut off
COLUMNS = ("annotation_id", "video_id", "start_timestamp", "stop_timestamp")
SAMPLE_COLUMNS = ("start_sample", "stop_sample")
LABEL_COLUMNS = ("class", "class_id")  # not published for the test set


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read EPIC-SOUNDS: one split for each list that is there. Test clips are `UNLABELLED`. A group is a video.

    Segments lie where their time stamps say, as in the published code; where the sample indices of the list say
    something else, a problem names the row. Segments of videos that are not there are left out, with one problem per
    video, and so are those of which nothing is inside their HDF5 recording. (The lengths of files are not looked up
    here: `ainext data check` reads them.)

    Args:
        root: the folder of the annotations.
        audio: the HDF5 file or the folder of the recordings, if they are not below ``root``.

    Raises:
        FileError: there are no annotations, a list has other columns, there is more than one HDF5 file, or no segment
            has a recording.
    """
    lists = find_lists(root, LISTS, "EPIC-SOUNDS")
    tables = {split: _read(path, split) for split, path in lists.items()}
    recordings = find_recordings(root, audio)
    lengths = recordings.lengths({row["video_id"] for table in tables.values() for _, row in table.rows})
    clips: list[Clip] = []
    problems: list[str] = []
    seen: set[str] = set()
    for split, table in tables.items():
        problems += drop_without_video(table, recordings)
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
        split: ``train``, ``validation`` or ``test``, which is the test set for detection.
        audio: as for `load`.

    Raises:
        FileError: there are no annotations, or more than one HDF5 file.
        ParameterError: there is no list of this split.
    """
    stems = LISTS | {"test": DETECTION_TEST, "recognition": LISTS["test"]}
    lists = find_lists(root, stems, "EPIC-SOUNDS")
    if split not in lists:
        there = f"{printable(root)} has a list for {', '.join(lists)}"
        raise ParameterError("split", split, f"its videos are listed in {stems[split]}.csv or .pkl, but {there}")
    names = dict.fromkeys(row["video_id"] for _, row in read_list(lists[split], ("video_id",), "EPIC-SOUNDS").rows)
    recordings = find_recordings(root, audio)
    found = {name: recordings.find(name) for name in names}
    return {
        name: place and Clip(place[0], UNLABELLED, split=split, group=name, key=place[1], id=name)
        for name, place in found.items()
    }


def _read(path: Path, split: str) -> Table:
    columns = COLUMNS if split == "test" else (*COLUMNS, *LABEL_COLUMNS)
    return read_list(path, columns, "EPIC-SOUNDS", SAMPLE_COLUMNS)


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
        start, stop = time_span(row, name)
        if contradiction := _contradiction(row, (round(start * RATE), round(stop * RATE))):
            table.problems.append((line, f"{name} {contradiction}"))
        path, key = place_segment(table, line, recordings, lengths, (name, video, start, stop))
        seen.add(name)
        return Clip(path, label, start, stop, split=split, group=video, key=key, id=name, padded=True)

    return make


def _contradiction(row: Row, samples: tuple[int, int]) -> str | None:
    """How the list's sample indices, if it has any, contradict its time stamps, which stand for ``samples``."""
    for column, number in zip(SAMPLE_COLUMNS, samples, strict=True):
        if (text := row.get(column)) and not _agree(text, number):
            stamp = row[column.replace("sample", "timestamp")]
            return f"has {text!r:.20} as its {column}, but {stamp} is sample {number}: the time stamps are used"
    return None


def _agree(text: str, number: int) -> bool:
    try:
        return abs(float(text) - number) <= MAX_DISAGREEMENT
    except ValueError:
        return False

"""EPIC-KITCHENS-100 (Damen et al., 2022): segments of videos, each with one of 97 verbs and one of 300 nouns.

Annotations: ``EPIC_100_train``, ``EPIC_100_validation`` and ``EPIC_100_test_timestamps``, each as ``.csv`` or ``.pkl``,
and ``EPIC_100_verb_classes.csv`` and ``EPIC_100_noun_classes.csv`` with the names of the classes, in the folder or up
to two levels below. Recordings: see `epic_videos`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.data.epic_videos import (
    DEPTH,
    RATE,
    drop_without_video,
    find_lists,
    find_recordings,
    place_segment,
    read_list,
    time_span,
)
from audioinceptionnext.data.recordings import Recordings, below
from audioinceptionnext.data.table import BadRow, Row, Table, read_table, whole_number
from audioinceptionnext.errors import FileError, printable
from audioinceptionnext.network.labels import VERBS_AND_NOUNS

LISTS = {"train": "EPIC_100_train", "validation": "EPIC_100_validation", "test": "EPIC_100_test_timestamps"}
COLUMNS = ("narration_id", "video_id", "start_timestamp", "stop_timestamp")
CLASS_COLUMNS = tuple(f"{task}_class" for task in VERBS_AND_NOUNS)  # not published for the test set
_NAME = "EPIC-KITCHENS-100"


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read EPIC-KITCHENS-100: one split for each list that is there. Test clips are `UNLABELLED`. A group is a video.

    The labels are the verbs and then the nouns, by their published names; a name that is both a verb's and a noun's
    says which it is, as in ``water (noun)``. `Clip.label` is the verb, and `Clip.also` the noun. Segments of videos
    that are not there, and those that end beyond their recording, are treated as in EPIC-SOUNDS.

    Args:
        root: the folder of the annotations.
        audio: the HDF5 file or the folder of the recordings, if they are not below ``root``.

    Raises:
        FileError: there are no annotations, a list is damaged, there is more than one HDF5 file, or no segment has a
            recording.
    """
    tables = {
        split: read_list(path, COLUMNS if split == "test" else (*COLUMNS, *CLASS_COLUMNS), _NAME)
        for split, path in find_lists(root, LISTS, _NAME).items()
    }
    labels, problems = _labels(root)
    recordings = find_recordings(root, audio)
    lengths = recordings.lengths({row["video_id"] for table in tables.values() for _, row in table.rows})
    clips: list[Clip] = []
    seen: set[str] = set()
    for split, table in tables.items():
        problems += drop_without_video(table, recordings)
        clips += table.clips(_maker(split, table, recordings, lengths, seen))
        problems += table.messages()
    if not clips:
        what = f"no segment has a recording here: {problems[-1]}"
        raise FileError(recordings.place, f"{what}; give the folder or the HDF5 file of the recordings")
    return Dataset("epic-kitchens", labels, tuple(clips), tuple(problems), RATE, dict(VERBS_AND_NOUNS))


def _maker(
    split: str, table: Table, recordings: Recordings, lengths: dict[str, int], seen: set[str]
) -> Callable[[int, Row], Clip]:
    """Make the function that turns a row into a clip; the arguments are those of `epic_sounds`."""

    def make(line: int, row: Row) -> Clip:
        name, video = row["narration_id"], row["video_id"]
        if not name or name in seen:
            raise BadRow(f"narration_id {name} appears twice" if name else "no narration_id")
        verb, nouns = UNLABELLED, []
        if split != "test":
            verb, nouns = _class_of(row, "verb"), [VERBS_AND_NOUNS["verb"] + _class_of(row, "noun")]
        start, stop = time_span(row, name)
        path, key = place_segment(table, line, recordings, lengths, (name, video, start, stop))
        seen.add(name)
        also = tuple(nouns)
        return Clip(path, verb, start, stop, split=split, group=video, key=key, id=name, padded=True, also=also)

    return make


def _class_of(row: Row, task: str) -> int:
    number = whole_number(row, f"{task}_class")
    if not 0 <= number < VERBS_AND_NOUNS[task]:
        raise BadRow(f"{task}_class {number}; the classes are 0 to {VERBS_AND_NOUNS[task] - 1}")
    return number


def _labels(root: Path) -> tuple[tuple[str, ...], list[str]]:
    """The names of all classes, and one line for each list of names that is not there."""
    files = {path.name: path for path in reversed(below(root, DEPTH))}
    names: dict[str, list[str]] = {}
    problems = []
    for task, count in VERBS_AND_NOUNS.items():
        name = f"EPIC_100_{task}_classes.csv"
        if name in files:
            names[task] = _names(files[name], task, count)
        else:
            names[task] = [f"{task} {number}" for number in range(count)]
            problems.append(f"{printable(root)}: {name} is missing, so the {task}s are named by their numbers")
    common = set(names["verb"]) & set(names["noun"])
    labels = [f"{name} ({task})" if name in common else name for task, own in names.items() for name in own]
    return tuple(labels), problems


def _names(path: Path, task: str, count: int) -> list[str]:
    names = {row["id"]: row["key"] for _, row in read_table(path, ("id", "key"), f"the {task}s of {_NAME}").rows}
    ordered = [names.get(str(number), "") for number in range(count)]
    if len(names) != count or len(set(ordered) - {""}) != count:
        raise FileError(path, f"does not name the {count} {task}s 0 to {count - 1}, each once; get it again")
    return ordered

"""Recordings without labels, for distillation: those anywhere below a folder, or the clips of any data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from audioinceptionnext.audio.discover import MissingPath, find_media
from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.errors import FileError, ParameterError, printable


def read_recordings(root: Path, audio: Path | None = None) -> Dataset:
    """All recordings below a folder, without labels; subfolders have no meaning.

    Raises:
        ParameterError: there is no such folder, or ``audio`` is given.
        FileError: no recording is there.
    """
    if audio is not None:
        raise ParameterError("audio", audio, "the folder holds its own recordings; leave this out")
    if not root.is_dir():
        raise ParameterError("root", root, "no such folder; check the name")
    found = find_media([root])
    clips = tuple(Clip(path, UNLABELLED) for path in found if isinstance(path, Path))
    missing = [f"{printable(item.path)}: {item.reason}" for item in found if isinstance(item, MissingPath)]
    if not clips:
        raise FileError(root, "no audio or video files in this folder; give a folder of recordings")
    return Dataset("folder", (), clips, tuple(missing))


def with_labels(dataset: Dataset, labels: Sequence[str]) -> Dataset:
    """The data set with the labels of a teacher, which none of its clips has."""
    clips = tuple(replace(clip, label=UNLABELLED, also=()) for clip in dataset.clips)
    return replace(dataset, labels=tuple(labels), clips=clips, tasks={}, multi_label=False)

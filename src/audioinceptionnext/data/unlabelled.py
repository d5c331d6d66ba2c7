"""Recordings without labels, for distillation: those anywhere below a folder, or the clips of any data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from audioinceptionnext.audio.discover import MissingPath, find_media
from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.errors import FileError, ParameterError, printable

HOLD_OUT = 0.05  # share of recordings


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


def split_recordings(
    dataset: Dataset, root: Path, hold_out: float | None = None, *, folds: str | None = None, split: str | None = None
) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Divide clips into those to train on and those to hold out, without a look at their labels.

    Args:
        dataset: the clips.
        root: the folder of the data set.
        hold_out: share of the clips that are held out if neither folds nor splits are given; `HOLD_OUT` by default. A
            hash of a recording's path decides, so it stays on its side while a collection grows. At least one clip is
            held out, unless the share is 0.
        folds, split: the clips to train on, see `Dataset.select`. All others are held out. A data set with splits is
            trained on its split ``train`` unless others are given.

    Raises:
        ParameterError: there are no such folds or splits.
    """
    if folds is None and split is None and "train" in dataset.splits:
        split = "train"
    if folds is not None or split is not None:
        return dataset.select(folds, split)
    share = HOLD_OUT if hold_out is None else hold_out

    def place(clip: Clip) -> float:
        name = str(clip.path.relative_to(root)) if clip.path.is_relative_to(root) else clip.path.name
        text = f"{clip.group or name}:{clip.key or ''}"
        return int(hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8], 16) / 2**32

    places = [place(clip) for clip in dataset.clips]
    first = min(places)
    bound = max(share, first + 1e-12) if share and max(places) > first else 0.0
    pairs = list(zip(dataset.clips, places, strict=True))
    return tuple(clip for clip, p in pairs if p >= bound), tuple(clip for clip, p in pairs if p < bound)


def with_labels(dataset: Dataset, labels: Sequence[str]) -> Dataset:
    """The data set with the labels of a teacher, which none of its clips has."""
    clips = tuple(replace(clip, label=UNLABELLED, also=()) for clip in dataset.clips)
    return replace(dataset, labels=tuple(labels), clips=clips, tasks={}, multi_label=False)

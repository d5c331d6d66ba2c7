"""The one record that every dataset gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Clip:
    """A labelled stretch of a recording.

    Attributes:
        path: the audio or video file.
        label: index into the dataset's `labels`.
        start, end: seconds in the file; ``end`` None is its end.
        fold: cross-validation fold, where the dataset has them.
        group: clips of one group come from one source and belong on one side of a split.
    """

    path: Path
    label: int
    start: float = 0.0
    end: float | None = None
    fold: int | None = None
    group: str | None = None


@dataclass(frozen=True)
class Dataset:
    name: str
    labels: tuple[str, ...]
    clips: tuple[Clip, ...] = field(repr=False)

    @property
    def folds(self) -> tuple[int, ...]:
        return tuple(sorted({clip.fold for clip in self.clips if clip.fold is not None}))

    def in_folds(self, folds: set[int]) -> tuple[Clip, ...]:
        return tuple(clip for clip in self.clips if clip.fold in folds)

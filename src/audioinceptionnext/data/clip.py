"""The one record that every dataset gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from audioinceptionnext.errors import AinextError


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

    def split(self, folds: str) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
        """Clips of the folds named, and all others. ``folds`` is ``1-4``, ``1,2,5`` or ``all``.

        Raises `AinextError` for folds that the dataset does not have.
        """
        if folds == "all":
            return self.clips, ()
        wanted: set[int] = set()
        try:
            for part in folds.split(","):
                first, _, last = part.partition("-")
                wanted |= set(range(int(first), int(last or first) + 1))
        except ValueError:
            raise AinextError(f"--folds {folds}: give numbers such as 1-4 or 1,2,5, or all") from None
        if not wanted or not wanted <= set(self.folds):
            raise AinextError(f"--folds {folds}: {self.name} has the folds {', '.join(map(str, self.folds))}")
        inside = tuple(clip for clip in self.clips if clip.fold in wanted)
        return inside, tuple(clip for clip in self.clips if clip.fold not in wanted)

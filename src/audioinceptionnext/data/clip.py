"""The one record that every dataset gives."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from audioinceptionnext.errors import AinextError

UNLABELLED = -1


@dataclass(frozen=True)
class Clip:
    """A labelled stretch of a recording.

    Attributes:
        path: the audio or video file, or an HDF5 file.
        label: index into the dataset's `labels`; `UNLABELLED` in a test set whose labels are kept back.
        start, end: seconds in the recording; ``end`` None is its end.
        fold: cross-validation fold, where the dataset has them.
        split: ``train``, ``validation`` or ``test``, where the dataset has them.
        group: clips of one group come from one source and belong on one side of a split.
        key: in an HDF5 file, the name of the recording.
        id: what the dataset calls this clip; with its list, what a submission calls it.
    """

    path: Path
    label: int
    start: float = 0.0
    end: float | None = None
    fold: int | None = None
    split: str | None = None
    group: str | None = None
    key: str | None = None
    id: str | None = None

    @property
    def name(self) -> str:
        """The recording and, for a part of one, its seconds: what messages and reports call the clip."""
        name = f"{self.path}:{self.key}" if self.key else str(self.path)
        if self.start == 0 and self.end is None:
            return name
        return f"{name} ({self.start:.3f}-{'end' if self.end is None else format(self.end, '.3f')} s)"


@dataclass(frozen=True)
class Dataset:
    """
    Attributes:
        problems: one line each for what its list states and its folder does not hold, or the other way round: rows
            that were left out. `ainext data check` prints them, training says how many.
        sample_rate: of HDF5 recordings, which state none; files say theirs themselves.
    """

    name: str
    labels: tuple[str, ...]
    clips: tuple[Clip, ...] = field(repr=False)
    problems: tuple[str, ...] = field(default=(), repr=False)
    sample_rate: int = 24_000

    @property
    def folds(self) -> tuple[int, ...]:
        return tuple(sorted({clip.fold for clip in self.clips if clip.fold is not None}))

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(sorted({clip.split for clip in self.clips if clip.split is not None}))

    def select(self, folds: str | None = None, split: str | None = None) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
        """Clips of the folds or splits named, and all others.

        Args:
            folds: ``1-4``, ``1,2,5`` or ``all``.
            split: ``train``, ``validation,test`` or ``all``. With neither, all clips are inside.

        Raises:
            AinextError: folds or splits that the dataset does not have, or both given.
        """
        if folds is not None and split is not None:
            raise AinextError("--folds and --split: give one of them")
        if split is not None and split != "all":
            names = {name.strip() for name in split.split(",")}
            if not names <= set(self.splits):
                has = f"has the splits {', '.join(self.splits)}" if self.splits else "has no splits; try --folds"
                raise AinextError(f"--split {split}: {self.name} {has}")
            return self._divide({id(clip) for clip in self.clips if clip.split in names})
        if folds is None or folds == "all" or split == "all":
            return self.clips, ()
        wanted: set[int] = set()
        known = True
        try:
            for part in folds.split(","):
                first, _, last = part.partition("-")
                ends = int(first), int(last or first)
                known &= ends[0] <= ends[1] and set(ends) <= set(self.folds)
                wanted |= {fold for fold in self.folds if ends[0] <= fold <= ends[1]}
        except ValueError:
            raise AinextError(f"--folds {folds}: give numbers such as 1-4 or 1,2,5, or all") from None
        if not known:
            has = f"has the folds {', '.join(map(str, self.folds))}" if self.folds else "has no folds; try --split"
            raise AinextError(f"--folds {folds}: {self.name} {has}")
        return self._divide({id(clip) for clip in self.clips if clip.fold in wanted})

    def _divide(self, inside: set[int]) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
        return (
            tuple(clip for clip in self.clips if id(clip) in inside),
            tuple(clip for clip in self.clips if id(clip) not in inside),
        )

    def leaks(self) -> dict[str, list[Clip]]:
        """Groups with clips in more than one fold or split, and their clips."""
        groups: defaultdict[str, list[Clip]] = defaultdict(list)
        for clip in self.clips:
            if clip.group is not None:
                groups[clip.group].append(clip)
        return {name: clips for name, clips in groups.items() if len({(c.fold, c.split) for c in clips}) > 1}

    def with_folds(self, folds: int = 5) -> Dataset:
        """Itself where it has folds; otherwise dealt out into so many, evenly by class.

        Sources are kept whole where clips name them; a clip that names none is one of its own.

        Raises:
            AinextError: fewer sources than folds.
        """
        if self.folds:
            return self
        clips = tuple(clip if clip.group is not None else replace(clip, group=clip.name) for clip in self.clips)
        return replace(self, clips=clips).leak_free(folds)

    def leak_free(self, folds: int | None = None) -> Dataset:
        """The same clips in folds that keep each group whole.

        Groups that already lie in one published fold stay there, so that the figure differs by the leak and not by
        the draw; the others go, largest first, to whichever of their folds has the fewest clips of their classes. A
        dataset without folds is dealt out into ``folds`` of them, evenly by class.

        Raises:
            AinextError: clips without a group, or fewer groups than folds.
        """
        groups: defaultdict[str, list[Clip]] = defaultdict(list)
        for clip in self.clips:
            if clip.group is None:
                raise AinextError(f"{self.name}: {clip.name} names no source, so folds cannot keep sources whole")
            groups[clip.group].append(clip)
        names = list(self.folds) or list(range(1, (folds or 5) + 1))
        if len(groups) < len(names):
            raise AinextError(f"{self.name}: {len(groups)} sources cannot fill {len(names)} folds")
        place: dict[str, int] = {}
        count: Counter[tuple[int, int]] = Counter()  # clips by (fold, class)
        size: Counter[int] = Counter()
        whole = {n: c[0].fold for n, c in groups.items() if c[0].fold is not None and len({x.fold for x in c}) == 1}
        rest = sorted(groups.keys() - whole.keys(), key=lambda name: (-len(groups[name]), name))
        for name in [*sorted(whole), *rest]:
            clips = groups[name]
            own = whole.get(name)
            choice = [own] if own is not None else sorted({c.fold for c in clips if c.fold is not None}) or names
            fold = min(choice, key=lambda f: (sum(count[f, c.label] for c in clips), size[f], f))
            place[name] = fold
            size[fold] += len(clips)
            count.update((fold, clip.label) for clip in clips)
        kept = (replace(c, fold=place[c.group], split=None) for c in self.clips if c.group is not None)
        return replace(self, clips=tuple(kept))

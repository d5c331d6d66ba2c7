"""The two records that every data set is read into: `Dataset` and `Clip`."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from audioinceptionnext.errors import AinextError, ParameterError, counted

UNLABELLED = -1  # not known which labels are true
NONE_OF_THEM = -2  # known: none of the labels is true


@dataclass(frozen=True)
class Clip:
    """A labelled stretch of a recording.

    Attributes:
        path: the audio or video file, or an HDF5 file.
        label: index into `Dataset.labels`; `UNLABELLED` in a test set whose labels are not published; in a multi-label
            data set, `NONE_OF_THEM` if none is true.
        start, end: seconds from the start of the recording. An ``end`` of None is the end of the recording.
        fold: the cross-validation fold; None in a data set without folds.
        split: ``train``, ``validation`` or ``test``; None in a data set without splits.
        group: the source that the clip was cut from. Clips of one source belong on the same side of a split.
        key: the name of the recording in an HDF5 file; None for any other file.
        id: the data set's own name for the clip, which a submission to a challenge repeats.
        padded: whether the clip counts as long as stated where its recording ends before it does. Its last frame is
            then repeated, as in the published code for EPIC-SOUNDS.
        also: indices of further labels that are true, such as the noun beside the verb. In a data set with tasks, the
            label of each task after the first, in their order; in a multi-label one, in any order.
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
    padded: bool = False
    also: tuple[int, ...] = ()

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels that are true, the one in ``label`` first; none if the clip is `UNLABELLED` or `NONE_OF_THEM`."""
        return () if self.label < 0 else (self.label, *self.also)

    @property
    def name(self) -> str:
        """The clip's name in messages and reports: its recording and, for a part of it, the seconds."""
        name = f"{self.path}:{self.key}" if self.key else str(self.path)
        if self.start == 0 and self.end is None:
            return name
        return f"{name} ({self.start:.3f}-{'end' if self.end is None else format(self.end, '.3f')} s)"


@dataclass(frozen=True)
class Dataset:
    """A data set: the names of its classes and its clips.

    Attributes:
        name: one of `DATASETS`.
        labels: one name per class.
        clips: in the order of the list or the folder.
        problems: one line for each row that was left out, and for each file that is missing or in the wrong place.
            `ainext data check` prints them all, training prints the first and their number.
        sample_rate: of recordings in HDF5 files, which do not state it, in Hz. Other files state their own.
        tasks: the names and sizes of consecutive parts of the labels, of each of which one is true for every clip, such
            as ``{"verb": 97, "noun": 300}``; empty if one of all labels is.
        multi_label: whether any number of the labels can be true for a clip.

    >>> dataset = load_dataset("kitchen20", "Kitchen20")
    >>> training, held_out = dataset.select(folds="1-4")
    >>> len(training), len(held_out)
    (640, 160)
    """

    name: str
    labels: tuple[str, ...]
    clips: tuple[Clip, ...] = field(repr=False)
    problems: tuple[str, ...] = field(default=(), repr=False)
    sample_rate: int = 24_000
    tasks: dict[str, int] = field(default_factory=dict)
    multi_label: bool = False

    @property
    def folds(self) -> tuple[int, ...]:
        """The numbers of the folds, ascending; empty without folds."""
        return tuple(sorted({clip.fold for clip in self.clips if clip.fold is not None}))

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits in alphabetical order; empty without splits."""
        return tuple(sorted({clip.split for clip in self.clips if clip.split is not None}))

    def check_one_task(self, what: str) -> None:
        """Check that the labels are one task. Raises `AinextError`, which names what cannot be done with more."""
        if self.tasks:
            names = " and ".join(self.tasks)
            raise AinextError(f"{self.name}: its clips have a {names} each, with which {what} is not possible yet")

    def check_one_label(self, what: str) -> None:
        """Check that a clip has one label only. Raises `AinextError`, which names what cannot be done with more."""
        self.check_one_task(what)
        if self.multi_label:
            reason = f"several of its labels can be true at once, with which {what} is not possible yet"
            raise AinextError(f"{self.name}: {reason}")

    def kinds(self, clip: Clip) -> tuple[int, ...]:
        """The labels by which clips are divided evenly and counted: the only one, the first task's, or all.

        `NONE_OF_THEM` is a kind too.
        """
        return (clip.labels if self.multi_label else ()) or (clip.label,)

    def select(self, folds: str | None = None, split: str | None = None) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
        """Divide the clips into those of some folds or splits, and all others.

        Args:
            folds: ``1-4``, ``1,2,5`` or ``all``.
            split: ``train``, ``validation,test`` or ``all``.

        Returns:
            The selected clips, and the others. All clips are selected if neither argument is given.

        Raises:
            ParameterError: the data set does not have such folds or splits, or both arguments are given.
        """
        if folds is not None and split is not None:
            raise ParameterError("folds", folds, f"cannot be combined with the split {split}; give one of them")
        if split is not None and split != "all":
            names = {name.strip() for name in split.split(",")}
            if not names <= set(self.splits):
                listed = ", ".join(self.splits)
                has = f"has the splits {listed}" if self.splits else "has no splits; give folds instead"
                raise ParameterError("split", split, f"{self.name} {has}")
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
            raise ParameterError("folds", folds, "give numbers such as 1-4 or 1,2,5, or all") from None
        if not known:
            listed = ", ".join(map(str, self.folds))
            has = f"has the folds {listed}" if self.folds else "has no folds; give a split instead"
            raise ParameterError("folds", folds, f"{self.name} {has}")
        return self._divide({id(clip) for clip in self.clips if clip.fold in wanted})

    def _divide(self, inside: set[int]) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
        return (
            tuple(clip for clip in self.clips if id(clip) in inside),
            tuple(clip for clip in self.clips if id(clip) not in inside),
        )

    def leaks(self) -> dict[str, list[Clip]]:
        """Find the sources that have clips in more than one fold or split.

        Returns:
            The clips of each such source, by its name.
        """
        groups: defaultdict[str, list[Clip]] = defaultdict(list)
        for clip in self.clips:
            if clip.group is not None:
                groups[clip.group].append(clip)
        return {name: clips for name, clips in groups.items() if len({(c.fold, c.split) for c in clips}) > 1}

    def with_folds(self, num_folds: int = 5) -> Dataset:
        """Return this data set if it has folds; otherwise a copy that is divided into ``num_folds``, evenly by class.

        All clips of one source go into the same fold. A clip that names no source counts as a source of its own.

        Raises:
            ParameterError: there are fewer sources than folds.
        """
        if self.folds:
            return self
        clips = tuple(clip if clip.group is not None else replace(clip, group=clip.name) for clip in self.clips)
        return replace(self, clips=clips).leak_free(num_folds)

    def leak_free(self, num_folds: int | None = None) -> Dataset:
        """Return the same clips in folds that have no source in common.

        A source whose clips are all in one published fold stays there, so that scores differ because the leak is gone
        and not because the folds are others. The remaining sources go, largest first, to the one of their own folds
        that has the fewest clips of their classes so far.

        Args:
            num_folds: number of folds for a data set that has none, 5 unless given. Its clips are divided evenly by
                class.

        Raises:
            AinextError: a clip names no source, or there are fewer sources than published folds.
            ParameterError: there are fewer sources than ``num_folds``.
        """
        groups: defaultdict[str, list[Clip]] = defaultdict(list)
        for clip in self.clips:
            if clip.group is None:
                needed = "to keep the clips of one source together, every clip must name its source"
                raise AinextError(f"{self.name}: {clip.name} names no source; {needed}")
            groups[clip.group].append(clip)
        names = list(self.folds) or list(range(1, (num_folds or 5) + 1))
        sources = counted(len(groups), "source")
        if len(groups) < len(names) and self.folds:
            raise AinextError(f"{self.name}: its {sources} cannot fill its {len(names)} folds")
        if len(groups) < len(names):
            raise ParameterError("num_folds", len(names), f"the {sources} of {self.name} cannot fill them")
        fold_of: dict[str, int] = {}
        count: Counter[tuple[int, int]] = Counter()  # clips by (fold, class)
        total = Counter(label for clip in self.clips for label in self.kinds(clip))
        # Where a clip has several labels, a frequent one must not decide alone.
        weight = {label: 1 / clips if self.multi_label else 1 for label, clips in total.items()}
        size: Counter[int] = Counter()
        whole = {n: c[0].fold for n, c in groups.items() if c[0].fold is not None and len({x.fold for x in c}) == 1}
        rest = sorted(groups.keys() - whole.keys(), key=lambda name: (-len(groups[name]), name))
        for name in [*sorted(whole), *rest]:
            clips = groups[name]
            own = whole.get(name)
            choice = [own] if own is not None else sorted({c.fold for c in clips if c.fold is not None}) or names
            own_labels = [label for clip in clips for label in self.kinds(clip)]
            fold = min(choice, key=lambda f: (sum(weight[n] * count[f, n] for n in own_labels), size[f], f))
            fold_of[name] = fold
            size[fold] += len(clips)
            count.update((fold, label) for label in own_labels)
        kept = (replace(c, fold=fold_of[c.group], split=None) for c in self.clips if c.group is not None)
        return replace(self, clips=tuple(kept))

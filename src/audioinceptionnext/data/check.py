"""What is there of a dataset and what is wrong with it, before anyone spends a night on it."""

from __future__ import annotations

import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.data.inspection import Heard, Recording, listen, reason
from audioinceptionnext.errors import printable

SILENT = 1e-4  # of full scale, -80 dB: below it is digital silence with dither at most
_LITTLE = 0.1  # seconds: annotations and headers are rounded


@dataclass(frozen=True)
class ClassCount:
    """A class, its clips, and how many of them are in each part (split or fold)."""

    label: str
    clips: int
    parts: dict[str, int]


@dataclass(frozen=True)
class Durations:
    """Seconds, of the clips that can be read."""

    total: float
    median: float
    shortest: float
    longest: float


@dataclass(frozen=True)
class Duplicate:
    """Clips that are the same sample for sample; ``across`` parts, or with more than one of the ``labels``."""

    clips: tuple[str, ...]
    labels: tuple[str, ...]
    across: bool


@dataclass(frozen=True)
class Leak:
    """A group (clips of one source) with clips in more than one part."""

    group: str
    clips: int
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """What `check` found. Lists hold one line, or one record, for each thing found.

    Attributes:
        recordings: files, or members of an HDF5 file.
        groups: sources that the clips name; 0 where they name none.
        parts: clips in each split or fold.
        decoded: False where only headers were read; then nothing is known of silence, damage and duplicates.
        sample_rates: recordings of each, by Hz.
        problems: what the list states and the folder does not hold, see `Dataset`.
        unreadable: recordings.
        damaged: recordings that can be read but end early, or have holes.
        beyond: clips whose end, or all of it, lies beyond their recording's end.
        empty: clips without a sample.
        silent: clips whose samples are all below `SILENT`.
    """

    data: str
    clips: int
    recordings: int
    groups: int
    unlabelled: int
    decoded: bool
    parts: dict[str, int]
    classes: tuple[ClassCount, ...]
    durations: Durations | None
    sample_rates: dict[int, int]
    problems: tuple[str, ...]
    unreadable: tuple[str, ...]
    damaged: tuple[str, ...]
    beyond: tuple[str, ...]
    empty: tuple[str, ...]
    silent: tuple[str, ...]
    duplicates: tuple[Duplicate, ...]
    leaks: tuple[Leak, ...]

    @property
    def folded(self) -> bool:
        """The parts are folds."""
        return all(part.isdecimal() for part in self.parts)

    @property
    def ok(self) -> bool:
        """Nothing is missing, unreadable or beyond an end. Leaks, duplicates and silence are for the user to judge."""
        return not (self.problems or self.unreadable or self.damaged or self.beyond or self.empty)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self)
        if found["durations"]:
            found["durations"] = {name: round(value, 3) for name, value in found["durations"].items()}
        return {"data": self.data, "ok": self.ok, **found}


def check(dataset: Dataset, fast: bool = False, progress: Callable[[int, int], None] | None = None) -> Report:
    """Read every recording of a dataset, several at a time, and say what is there.

    Args:
        fast: headers only.
        progress: called with recordings done, and all of them.
    """
    recordings: defaultdict[tuple[Path, str | None], list[Clip]] = defaultdict(list)
    for clip in dataset.clips:
        recordings[clip.path, clip.key].append(clip)
    pool = ThreadPoolExecutor(os.cpu_count())  # FFmpeg decodes without Python's lock
    found = []
    try:
        work = partial(listen, hdf5_rate=dataset.sample_rate, fast=fast)
        for recording in pool.map(work, recordings.values()):
            found.append(recording)
            if progress is not None:
                progress(len(found), len(recordings))
    finally:
        pool.shutdown(cancel_futures=True)
    return _report(dataset, found, fast)


def _report(dataset: Dataset, found: list[Recording], fast: bool) -> Report:
    heard = [clip for recording in found for clip in recording.clips if clip.seconds is not None]
    beyond = [clip for clip in heard if clip.beyond > _LITTLE or (clip.beyond > 0 and not clip.seconds)]
    rates = Counter(recording.rate for recording in found if recording.rate)
    return Report(
        data=dataset.name,
        clips=len(dataset.clips),
        recordings=len(found),
        groups=len({clip.group for clip in dataset.clips if clip.group is not None}),
        unlabelled=sum(clip.label == UNLABELLED for clip in dataset.clips),
        decoded=not fast,
        parts=_counts(dataset, dataset.clips),
        classes=_classes(dataset),
        durations=_durations([clip.seconds for clip in heard if clip.seconds]),
        sample_rates=dict(sorted(rates.items())),
        problems=dataset.problems,
        unreadable=tuple(recording.unreadable for recording in found if recording.unreadable),
        damaged=tuple(recording.damage for recording in found if recording.damage),
        beyond=tuple(map(reason, beyond)),
        empty=_names(clip for clip in heard if not clip.seconds and not clip.beyond),
        silent=_names(clip for clip in heard if clip.seconds and clip.peak is not None and clip.peak < SILENT),
        duplicates=_duplicates(dataset, heard),
        leaks=tuple(
            Leak(group, len(clips), tuple(sorted({part_of(clip) for clip in clips})))
            for group, clips in sorted(dataset.leaks().items())
        ),
    )


def part_of(clip: Clip) -> str:
    """``train``, ``fold 3``, or both: where a clip stands; nothing where the dataset is not divided."""
    return " ".join(part for part in (clip.split, clip.fold is not None and f"fold {clip.fold}") if part)


def _counts(dataset: Dataset, clips: Iterable[Clip]) -> dict[str, int]:
    """Clips in each split, or in each fold of a dataset without splits; every part is there, if with 0."""
    count = Counter(clip.split if dataset.splits else str(clip.fold) for clip in clips)
    return {part: count[part] for part in dataset.splits or map(str, dataset.folds)}


def _classes(dataset: Dataset) -> tuple[ClassCount, ...]:
    clips: list[list[Clip]] = [[] for _ in dataset.labels]
    for clip in dataset.clips:
        if clip.label != UNLABELLED:
            clips[clip.label].append(clip)
    return tuple(
        ClassCount(label, len(own), _counts(dataset, own)) for label, own in zip(dataset.labels, clips, strict=True)
    )


def _durations(seconds: list[float]) -> Durations | None:
    if not seconds:
        return None
    return Durations(sum(seconds), statistics.median(seconds), min(seconds), max(seconds))


def _names(clips: Iterable[Heard]) -> tuple[str, ...]:
    return tuple(printable(heard.clip.name) for heard in clips)


def _duplicates(dataset: Dataset, heard: list[Heard]) -> tuple[Duplicate, ...]:
    """Sets of clips with the same samples, those across parts first. Silence is no duplicate of silence."""
    alike: defaultdict[str, list[Clip]] = defaultdict(list)
    for found in heard:
        if found.digest is not None and found.peak is not None and found.peak >= SILENT:
            alike[found.digest].append(found.clip)
    duplicates = [
        Duplicate(
            tuple(printable(clip.name) for clip in clips),
            tuple(sorted({dataset.labels[clip.label] for clip in clips if clip.label != UNLABELLED})),
            len({part_of(clip) for clip in clips}) > 1,
        )
        for clips in alike.values()
        if len(clips) > 1
    ]
    return tuple(sorted(duplicates, key=lambda duplicate: (not duplicate.across, duplicate.clips)))

"""Checks a data set before a night is spent on it: what is there, what is damaged, and what leaks."""

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

from audioinceptionnext.data.clip import NONE_OF_THEM, UNLABELLED, Clip, Dataset
from audioinceptionnext.data.inspection import ClipInspection, RecordingInspection, describe_overrun, inspect_clips
from audioinceptionnext.errors import printable

SILENT = 1e-4  # of full scale, -80 dB: below this lies digital silence, with or without dither
_TOLERANCE = 0.1  # seconds, because annotations and headers are rounded


@dataclass(frozen=True)
class ClassCount:
    """The number of clips of a class, in all and in each part (split or fold)."""

    label: str
    clips: int
    parts: dict[str, int]


@dataclass(frozen=True)
class Durations:
    """Durations of the clips that can be read, in seconds."""

    total: float
    median: float
    shortest: float
    longest: float


@dataclass(frozen=True)
class Duplicate:
    """Clips whose samples are identical.

    Attributes:
        clips: their names.
        labels: the different labels that they have.
        across: whether they are in different splits or folds.
    """

    clips: tuple[str, ...]
    labels: tuple[str, ...]
    across: bool


@dataclass(frozen=True)
class Leak:
    """A source with clips in more than one part (split or fold)."""

    group: str
    clips: int
    parts: tuple[str, ...]


@dataclass(frozen=True)
class DataReport:
    """What `check` found.

    Attributes:
        data: name of the data set.
        clips: number of clips.
        recordings: number of files, or of recordings in an HDF5 file.
        groups: number of sources that the clips name.
        unlabelled: number of clips without a label.
        labels_per_clip: their mean number, over the clips whose labels are known.
        without_label: number of clips that have none of the labels, in a multi-label data set.
        decoded: False if only headers were read, so that silence, damage and duplicates are unknown.
        parts: number of clips in each split, or in each fold if there are no splits.
        classes: number of clips of each class.
        durations: of the clips; None if none can be read.
        sample_rates: number of recordings of each sample rate, by Hz.
        problems: of the list, see `Dataset.problems`.
        unreadable: one line for each recording that cannot be read.
        damaged: one line for each recording that ends early or has holes.
        beyond: one line for each clip that ends, or lies entirely, beyond the end of its recording.
        empty: names of the clips without a sample.
        silent: names of the clips whose samples are all below `SILENT`.
        duplicates: sets of identical clips, those across splits or folds first.
        leaks: sources with clips in more than one split or fold.
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
    labels_per_clip: float = 1.0
    without_label: int = 0

    @property
    def folded(self) -> bool:
        """Whether the parts are folds."""
        return all(part.isdecimal() for part in self.parts)

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, unreadable, damaged, empty or beyond an end.

        Leaks, duplicates and silence do not count: whether they matter is for the user to judge.
        """
        return not (self.problems or self.unreadable or self.damaged or self.beyond or self.empty)

    def as_dict(self) -> dict[str, Any]:
        """The JSON object: the attributes and ``ok``, durations rounded to the millisecond."""
        values = asdict(self)
        if values["durations"]:
            values["durations"] = {name: round(value, 3) for name, value in values["durations"].items()}
        return {"data": self.data, "ok": self.ok, **values}


def check(dataset: Dataset, *, fast: bool = False, progress: Callable[[int, int], None] | None = None) -> DataReport:
    """Read every recording of a data set, in as many threads as there are cores, and report what is there.

    Args:
        dataset: to check.
        fast: read headers only, and decode nothing.
        progress: called with the number of recordings that were read so far, and of all recordings.

    >>> report = check(load_dataset("kitchen20", "Kitchen20"))
    >>> report.ok, report.clips, len(report.leaks)
    (True, 800, 39)
    """
    recordings: defaultdict[tuple[Path, str | None], list[Clip]] = defaultdict(list)
    for clip in dataset.clips:
        recordings[clip.path, clip.key].append(clip)
    pool = ThreadPoolExecutor(os.cpu_count())  # threads, because FFmpeg decodes without Python's lock
    inspected = []
    try:
        work = partial(inspect_clips, hdf5_rate=dataset.sample_rate, fast=fast)
        for recording in pool.map(work, recordings.values()):
            inspected.append(recording)
            if progress is not None:
                progress(len(inspected), len(recordings))
    finally:
        pool.shutdown(cancel_futures=True)
    return _report(dataset, inspected, fast)


def _report(dataset: Dataset, recordings: list[RecordingInspection], fast: bool) -> DataReport:
    readable = [clip for recording in recordings for clip in recording.clips if clip.seconds is not None]
    beyond = [clip for clip in readable if clip.beyond > _TOLERANCE or (clip.beyond > 0 and not clip.seconds)]
    rates = Counter(recording.sample_rate for recording in recordings if recording.sample_rate)
    return DataReport(
        data=dataset.name,
        clips=len(dataset.clips),
        recordings=len(recordings),
        groups=len({clip.group for clip in dataset.clips if clip.group is not None}),
        unlabelled=sum(clip.label == UNLABELLED for clip in dataset.clips),
        decoded=not fast,
        parts=_counts(dataset, dataset.clips),
        classes=_classes(dataset),
        durations=_durations([clip.seconds for clip in readable if clip.seconds]),
        sample_rates=dict(sorted(rates.items())),
        problems=dataset.problems,
        unreadable=tuple(recording.unreadable for recording in recordings if recording.unreadable),
        damaged=tuple(recording.damage for recording in recordings if recording.damage),
        beyond=tuple(map(describe_overrun, beyond)),
        empty=_names(clip for clip in readable if not clip.seconds and not clip.beyond),
        silent=_names(clip for clip in readable if clip.seconds and clip.peak is not None and clip.peak < SILENT),
        duplicates=_duplicates(dataset, readable),
        leaks=tuple(
            Leak(group, len(clips), tuple(sorted({part_of(clip) for clip in clips})))
            for group, clips in sorted(dataset.leaks().items())
        ),
        labels_per_clip=statistics.fmean([len(c.labels) for c in dataset.clips if c.label != UNLABELLED] or [0]),
        without_label=sum(clip.label == NONE_OF_THEM for clip in dataset.clips),
    )


def part_of(clip: Clip) -> str:
    """The split and fold of a clip, such as ``train``, ``fold 3`` or ``train fold 3``; empty if it has neither."""
    return " ".join(part for part in (clip.split, clip.fold is not None and f"fold {clip.fold}") if part)


def _counts(dataset: Dataset, clips: Iterable[Clip]) -> dict[str, int]:
    """Number of these clips in each split, or in each fold if there are no splits; 0 in parts without any."""
    count = Counter(clip.split if dataset.splits else str(clip.fold) for clip in clips)
    return {part: count[part] for part in dataset.splits or map(str, dataset.folds)}


def _classes(dataset: Dataset) -> tuple[ClassCount, ...]:
    clips: list[list[Clip]] = [[] for _ in dataset.labels]
    for clip in dataset.clips:
        for label in clip.labels:
            clips[label].append(clip)
    return tuple(
        ClassCount(label, len(own), _counts(dataset, own)) for label, own in zip(dataset.labels, clips, strict=True)
    )


def _named(dataset: Dataset, clip: Clip) -> str:
    return ", ".join(dataset.labels[number] for number in clip.labels) or "none"


def _durations(seconds: list[float]) -> Durations | None:
    if not seconds:
        return None
    return Durations(sum(seconds), statistics.median(seconds), min(seconds), max(seconds))


def _names(clips: Iterable[ClipInspection]) -> tuple[str, ...]:
    return tuple(printable(inspected.clip.name) for inspected in clips)


def _duplicates(dataset: Dataset, inspections: list[ClipInspection]) -> tuple[Duplicate, ...]:
    """Sets of identical clips, those across parts first. Silent clips are not compared."""
    identical: defaultdict[str, list[Clip]] = defaultdict(list)
    for one in inspections:
        if one.digest is not None and one.peak is not None and one.peak >= SILENT:
            identical[one.digest].append(one.clip)
    duplicates = [
        Duplicate(
            tuple(printable(clip.name) for clip in clips),
            tuple(sorted({_named(dataset, clip) for clip in clips if clip.label != UNLABELLED})),
            len({part_of(clip) for clip in clips}) > 1,
        )
        for clips in identical.values()
        if len(clips) > 1
    ]
    return tuple(sorted(duplicates, key=lambda duplicate: (not duplicate.across, duplicate.clips)))

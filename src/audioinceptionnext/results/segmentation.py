"""Probabilities over time -> segments: smoothing, two thresholds, joining, shortest length.

A network that hears through a window of about two seconds gives a distribution over the classes every hop. This file
says which stretch of the recording each of those steps speaks for, and turns runs of confident steps into segments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audioinceptionnext.errors import AinextError
from audioinceptionnext.results.types import Segment

LOWER_TO_UPPER = 0.6  # the lower threshold's usual share of the upper one
TINY = 1e-9  # seconds; two hops of 0.16 s are 0.32 s, whatever floating point says


@dataclass(frozen=True)
class TimelineSettings:
    """How sure, and for how long, the network must be for a stretch of the recording to be reported.

    Raising ``upper`` never adds time to what is reported. Raises AinextError for a value out of range.
    """

    upper: float = 0.5  # a segment needs to reach this (smoothed) probability somewhere
    lower: float = 0.3  # and lasts while it stays at or above this
    smoothing: float = 0.32  # seconds from the first to the last step of the moving average; 0 = off
    shortest: float = 0.3  # seconds; shorter segments are dropped, after joining
    # Seconds; segments of one label closer than this are joined, 0 = off. As long as `shortest`, so that a join does
    # not paper over a pause that could have held another sound worth reporting.
    gap: float = 0.3
    by_class: tuple[float, ...] = ()  # an upper threshold for each class, in place of `upper`; lower ones in proportion

    def __post_init__(self) -> None:
        named = [("upper", self.upper), ("lower", self.lower), *(("by_class", value) for value in self.by_class)]
        for name, value in named:
            if not 0 < value <= 1:  # false for NaN too
                raise AinextError(f"{name} is {value}: give a probability above 0 and at most 1")
        if self.lower > self.upper:
            raise AinextError(f"lower is {self.lower}, above upper {self.upper}: give at most {self.upper}")
        for name in ("smoothing", "shortest", "gap"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise AinextError(f"{name} is {value}: give seconds, 0 or more")

    @classmethod
    def from_threshold(cls, threshold: float, **others: Any) -> TimelineSettings:
        """Settings for one number, such as ``--threshold``: the upper threshold; the lower one follows at 0.6 of it."""
        return cls(**{"upper": threshold, "lower": LOWER_TO_UPPER * threshold, **others})

    def thresholds(self, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """Upper and lower threshold of each class. Raises ``ValueError`` if `by_class` has not as many."""
        if not self.by_class:
            return np.full(classes, self.upper), np.full(classes, self.lower)
        if len(self.by_class) != classes:
            raise ValueError(f"{len(self.by_class)} thresholds for {classes} classes")
        return np.array(self.by_class), np.array(self.by_class) * (self.lower / self.upper)


def step_bounds(steps: int, hop: float, window: float, duration: float) -> np.ndarray:
    """Which stretch of the recording each step speaks for: step i for ``bounds[i]`` to ``bounds[i + 1]``.

    Step i was heard through the window [i*hop, i*hop + window) and speaks for the hop around that window's centre. The
    first stretch reaches back to 0 and the last one on to ``duration``, since nothing else speaks for these ends.

    Args:
        steps: how many, at least 1.
        hop, window, duration: seconds. A recording shorter than the window has one step, the whole of it.

    Returns:
        (steps + 1,) float64, seconds, never falling, from 0 to ``duration``.
    """
    if steps < 1 or hop <= 0:
        raise ValueError(f"need at least one step and a positive hop, not {steps} and {hop}")
    bounds = (window - hop) / 2 + hop * np.arange(steps + 1)
    bounds[0], bounds[-1] = 0.0, duration
    return np.clip(bounds, 0.0, duration)


def find_segments(
    probabilities: np.ndarray,
    hop: float,
    window: float,
    duration: float,
    labels: Sequence[str],
    settings: TimelineSettings,
) -> list[Segment]:
    """The sounds in a recording: from when to when, and how surely.

    Args:
        probabilities: (steps, classes) float32, each row summing to 1.
        hop, window, duration: seconds, as in `step_bounds`.
        labels: the classes' names, one a column.
        settings: thresholds and lengths.

    Returns:
        Segments by start, within [0, duration]; those of one label never overlap, those of different labels may. The
        score is the mean smoothed probability over the segment's steps, joined pauses included: a peak is close to 1
        for almost every long sound and so tells little, while the mean says how far the whole stretch can be relied on.
        It can be below ``upper``, which only one step has to reach.

    Raises:
        ValueError: if the shape of ``probabilities`` is not (steps, len(labels)), or `by_class` is not of that length.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise ValueError(f"probabilities are {probabilities.shape}, but there are {len(labels)} labels")
    steps = len(probabilities)
    if steps == 0:
        return []
    bounds = step_bounds(steps, hop, window, duration)
    reach = int(settings.smoothing / hop / 2 + TINY)  # steps to either side, so that the average has an odd number

    segments: list[Segment] = []
    # A mean never exceeds its largest term: classes that never reach `upper` unsmoothed need no second look.
    upper, lower = settings.thresholds(len(labels))
    for column in np.flatnonzero(probabilities.max(axis=0) >= upper).tolist():
        smooth = _moving_average(probabilities[:, column], reach)
        first, end = _runs(smooth >= lower[column], smooth >= upper[column])
        first, end = _join(first, end, bounds, settings.gap)
        start_s, end_s = bounds[first], bounds[end]
        mean = np.minimum(_range_sums(smooth, first, end) / (end - first), 1.0)
        kept = (end_s > start_s) & (end_s - start_s >= settings.shortest - TINY)
        rows = np.stack((start_s, end_s, mean), axis=1)[kept].tolist()
        segments += [Segment(start, stop, labels[column], score) for start, stop, score in rows]
    segments.sort(key=lambda segment: (segment.start, segment.end, segment.label))
    return segments


def _range_sums(values: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The sum of ``values[first:end]`` for each pair: (runs,) float64."""
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    return sums[end] - sums[first]


def _moving_average(values: np.ndarray, reach: int) -> np.ndarray:
    """(steps,) -> (steps,) float32: the mean with ``reach`` neighbours to either side, with fewer at the ends."""
    if reach == 0:
        return values
    width = 2 * reach + 1
    # Sums and counts stay level beyond the ends, so that a window reaching out there takes in what exists alone.
    sums = np.pad(np.cumsum(values, dtype=np.float64), (reach + 1, reach), mode="edge")
    sums[: reach + 1] = 0.0
    counts = np.clip(np.arange(-reach, len(values) + reach + 1), 0, len(values))
    return ((sums[width:] - sums[:-width]) / (counts[width:] - counts[:-width])).astype(np.float32)


def _runs(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The runs of true in ``low`` that hold a true of ``high``: their first steps, and the steps after their last."""
    turns = np.flatnonzero(np.diff(low, prepend=False, append=False))  # of booleans: where they change
    first, end = turns[::2], turns[1::2]
    peaks = np.flatnonzero(high)
    reached = np.searchsorted(peaks, first) < np.searchsorted(peaks, end)
    return first[reached], end[reached]


def _join(first: np.ndarray, end: np.ndarray, bounds: np.ndarray, gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Make one run of neighbours less than ``gap`` seconds apart."""
    if len(first) < 2:
        return first, end
    apart = bounds[first[1:]] - bounds[end[:-1]] >= gap - TINY
    return first[np.append(True, apart)], end[np.append(apart, True)]

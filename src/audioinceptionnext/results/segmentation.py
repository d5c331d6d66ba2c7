"""From probabilities over time to segments: smoothing, two thresholds, merging, a minimum duration.

The network sees a window of about two seconds and gives one distribution over the classes per step. This module says
which stretch of the recording each step stands for, and turns runs of confident steps into segments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.results.types import Segment

OFFSET_TO_ONSET = 0.6  # the offset threshold as a share of the onset threshold, unless it is given
EPSILON_S = 1e-9  # seconds: two steps of 0.16 s are 0.32 s, whatever floating point says


@dataclass(frozen=True)
class SegmentationSettings:
    """How confident the model must be, and for how long, for a stretch to become a segment.

    Without ``class_thresholds``, raising ``onset_threshold`` never adds time to the segments.

    Attributes:
        onset_threshold: probability that a segment must reach in at least one (smoothed) step. Default 0.5.
        offset_threshold: a segment lasts as long as its probability stays at or above this. Default 0.3.
        smoothing: length of the moving average over the probabilities, in seconds; 0 turns it off. Default 0.32.
        min_duration: segments shorter than this many seconds are dropped, after merging. Default 0.3.
        merge_gap: segments of the same label that are closer together than this many seconds are merged; 0 turns it
            off. The default, 0.3, equals ``min_duration``, so that merging never covers a pause in which another sound
            worth reporting could lie.
        class_thresholds: one onset threshold per class, in place of ``onset_threshold``. The offset thresholds keep
            the ratio of ``offset_threshold`` to ``onset_threshold``. Empty by default.

    Raises:
        ParameterError: a value is out of range.

    >>> SegmentationSettings.from_threshold(0.8).offset_threshold
    0.48
    """

    onset_threshold: float = 0.5
    offset_threshold: float = 0.3
    smoothing: float = 0.32
    min_duration: float = 0.3
    merge_gap: float = 0.3
    class_thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        thresholds = [("onset_threshold", self.onset_threshold), ("offset_threshold", self.offset_threshold)]
        for name, value in [*thresholds, *(("class_thresholds", value) for value in self.class_thresholds)]:
            if not 0 < value <= 1:  # false for NaN too
                raise ParameterError(name, value, "give a probability above 0 and at most 1")
        if self.offset_threshold > self.onset_threshold:
            reason = f"give at most {self.onset_threshold}, the onset threshold"
            raise ParameterError("offset_threshold", self.offset_threshold, reason)
        for name in ("smoothing", "min_duration", "merge_gap"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ParameterError(name, value, "give a number of seconds, 0 or more")

    @classmethod
    def from_threshold(cls, onset_threshold: float, **others: Any) -> SegmentationSettings:
        """Settings with this onset threshold; the offset threshold is 0.6 of it unless it is among ``others``."""
        offset_threshold = OFFSET_TO_ONSET * onset_threshold
        return cls(**{"onset_threshold": onset_threshold, "offset_threshold": offset_threshold, **others})

    def thresholds(self, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """The onset and offset thresholds of each class, (classes,) each.

        Raises:
            ValueError: ``class_thresholds`` is for another number of classes.
        """
        if not self.class_thresholds:
            return np.full(classes, self.onset_threshold), np.full(classes, self.offset_threshold)
        if len(self.class_thresholds) != classes:
            raise ValueError(f"{len(self.class_thresholds)} thresholds for {classes} classes")
        onset = np.array(self.class_thresholds)
        return onset, onset * (self.offset_threshold / self.onset_threshold)


def step_bounds(steps: int, step_seconds: float, window_seconds: float, duration: float) -> np.ndarray:
    """The stretch of the recording that each step stands for: step i for ``bounds[i]`` to ``bounds[i + 1]``.

    Step i is the prediction for the window from ``i * step_seconds`` on, and stands for the ``step_seconds`` around
    the centre of that window. The first stretch begins at 0 and the last one ends at ``duration``, since no other step
    covers the ends.

    Args:
        steps: number of steps, at least 1.
        step_seconds: from one step to the next.
        window_seconds: length of a window. A recording shorter than that has one step, which stands for all of it.
        duration: of the recording, in seconds.

    Returns:
        (steps + 1,) float64: seconds from 0 to ``duration``, never decreasing.
    """
    if steps < 1 or step_seconds <= 0:
        raise ValueError(f"need at least one step and a positive step_seconds, not {steps} and {step_seconds}")
    bounds = (window_seconds - step_seconds) / 2 + step_seconds * np.arange(steps + 1)
    bounds[0], bounds[-1] = 0.0, duration
    return np.clip(bounds, 0.0, duration)


def find_segments(
    probabilities: np.ndarray,
    step_seconds: float,
    window_seconds: float,
    duration: float,
    labels: Sequence[str],
    settings: SegmentationSettings,
) -> list[Segment]:
    """The segments of a recording.

    Args:
        probabilities: (steps, classes) float32.
        step_seconds, window_seconds, duration: in seconds, see `step_bounds`.
        labels: one name per class.
        settings: thresholds and durations.

    Returns:
        Segments within [0, duration], ordered by start. Segments of one label never overlap; those of different labels
        may. The score is the mean smoothed probability over the segment's steps, merged pauses included. A peak would
        be close to 1 for almost every long sound; the mean says how far the whole stretch can be relied on. It can be
        below ``onset_threshold``, which only one step has to reach.

    Raises:
        ValueError: ``probabilities`` is not of shape (steps, len(labels)), or `class_thresholds` not of that length.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise ValueError(f"probabilities are {probabilities.shape}, but there are {len(labels)} labels")
    steps = len(probabilities)
    if steps == 0:
        return []
    bounds = step_bounds(steps, step_seconds, window_seconds, duration)
    reach = smoothing_reach(settings, step_seconds)

    segments: list[Segment] = []
    onset, offset = settings.thresholds(len(labels))
    # A mean never exceeds its largest term, so classes that never reach their threshold unsmoothed are done.
    for column in np.flatnonzero(probabilities.max(axis=0) >= onset).tolist():
        smooth = _moving_average(probabilities[:, column], reach)
        first, end = _runs(smooth >= offset[column], smooth >= onset[column])
        first, end = _merge(first, end, bounds, settings.merge_gap)
        start_s, end_s = bounds[first], bounds[end]
        mean = np.minimum(_range_sums(smooth, first, end) / (end - first), 1.0)
        kept = (end_s > start_s) & (end_s - start_s >= settings.min_duration - EPSILON_S)
        rows = np.stack((start_s, end_s, mean), axis=1)[kept].tolist()
        segments += [Segment(start, stop, labels[column], score) for start, stop, score in rows]
    segments.sort(key=lambda segment: (segment.start, segment.end, segment.label))
    return segments


def smoothing_reach(settings: SegmentationSettings, step_seconds: float) -> int:
    """Steps to either side that the moving average takes in, so that it has an odd number of steps."""
    return int(settings.smoothing / step_seconds / 2 + EPSILON_S)


def _range_sums(values: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The sum of ``values[first:end]`` for each pair: (runs,) float64."""
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    return sums[end] - sums[first]


def _moving_average(values: np.ndarray, reach: int) -> np.ndarray:
    """(steps,) -> (steps,) float32: the mean with ``reach`` neighbours to either side, with fewer at the ends."""
    if reach == 0:
        return values
    width = 2 * reach + 1
    # Sums and counts stay level beyond the ends, so that a window reaching out there only counts what exists.
    sums = np.pad(np.cumsum(values, dtype=np.float64), (reach + 1, reach), mode="edge")
    sums[: reach + 1] = 0.0
    counts = np.clip(np.arange(-reach, len(values) + reach + 1), 0, len(values))
    return ((sums[width:] - sums[:-width]) / (counts[width:] - counts[:-width])).astype(np.float32)


def _runs(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The runs of true in ``low`` that hold a true of ``high``: their first steps, and the steps after their last."""
    edges = np.flatnonzero(np.diff(low, prepend=False, append=False))  # of booleans: where they change
    first, end = edges[::2], edges[1::2]
    peaks = np.flatnonzero(high)
    reached = np.searchsorted(peaks, first) < np.searchsorted(peaks, end)
    return first[reached], end[reached]


def _merge(first: np.ndarray, end: np.ndarray, bounds: np.ndarray, merge_gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Make one run of neighbours that are less than ``merge_gap`` seconds apart."""
    if len(first) < 2:
        return first, end
    apart = bounds[first[1:]] - bounds[end[:-1]] >= merge_gap - EPSILON_S
    return first[np.append(True, apart)], end[np.append(apart, True)]

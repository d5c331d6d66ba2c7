"""Detections: a ranked list of candidates for the segments of a recording, many of which overlap.

`find_segments` decides on one segmentation. A challenge in detection wants candidates with scores instead, from the
certain to the barely possible, and takes its own thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.results.segmentation import EPSILON_S, step_bounds
from audioinceptionnext.results.types import Segment

MIN_SECONDS = 0.002  # of a candidate, which still has a length when files round its start and its end to milliseconds


@dataclass(frozen=True)
class DetectionSettings:
    """Which stretches become detections, and how they are ranked.

    A candidate is a run of steps whose smoothed probability of a label is at or above one of several thresholds, each
    ``threshold_ratio`` times the one before. Its score is its contrast, the mean probability within it less the mean
    just outside of it; lower if it is shorter than a window, which even the shortest sound should fill. The mean alone
    would prefer the tip of each peak, and the contrast is highest where a candidate begins and ends as the sound does.
    The defaults were chosen with `benchmarks/detection_settings.py`.

    Attributes:
        lowest_threshold: the first of the thresholds, a probability. Default 0.02.
        threshold_ratio: of each threshold to the one before, above 1. Default 1.6.
        smoothing: length of the moving average over the probabilities, in seconds; 0 turns it off. Default 0.32.
        context: what counts as just outside, on each side, as a share of a candidate's length; at least one step.
            Default 0.5.
        length_power: the score of a candidate that lasts a share of a window is multiplied by this power of the share;
            0 turns it off. Default 0.5.
        max_overlap: of candidates of one label whose intersection over union is larger than this, only the one with
            the highest score is kept. Default 0.2.
        max_detections: the best this many of a recording are kept. Default 2000.

    Raises:
        ParameterError: a value is out of range.
    """

    lowest_threshold: float = 0.02
    threshold_ratio: float = 1.6
    smoothing: float = 0.32
    context: float = 0.5
    length_power: float = 0.5
    max_overlap: float = 0.2
    max_detections: int = 2000

    def __post_init__(self) -> None:
        if not 0 < self.lowest_threshold < 1:
            raise ParameterError("lowest_threshold", self.lowest_threshold, "give a probability between 0 and 1")
        if not (self.threshold_ratio > 1.001 and math.isfinite(self.threshold_ratio)):
            raise ParameterError("threshold_ratio", self.threshold_ratio, "give a number above 1, such as 1.6")
        for name in ("smoothing", "context", "length_power"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ParameterError(name, value, "give a number, 0 or more")
        if not 0 <= self.max_overlap <= 1:
            raise ParameterError("max_overlap", self.max_overlap, "give a number from 0 to 1")
        if self.max_detections < 1:
            raise ParameterError("max_detections", self.max_detections, "give a number, 1 or more")

    @property
    def thresholds(self) -> np.ndarray:
        """(n,) all of them, ascending and below 1."""
        count = math.ceil(-math.log(self.lowest_threshold) / math.log(self.threshold_ratio))
        return self.lowest_threshold * self.threshold_ratio ** np.arange(count)


def find_detections(
    probabilities: np.ndarray,
    step_seconds: float,
    window_seconds: float,
    duration: float,
    labels: Sequence[str],
    settings: DetectionSettings | None = None,
    leave_out: Collection[str] = (),
) -> list[Segment]:
    """Candidates for the segments of a recording, best first.

    Args:
        probabilities: (steps, classes) float32, of a softmax or of a multi-label model.
        step_seconds, window_seconds, duration: in seconds, see `step_bounds`.
        labels: one name per class.
        settings: the defaults unless given.
        leave_out: labels that are not looked for.

    Returns:
        Segments within [0, duration], of at least `MIN_SECONDS`, whose ``score``, 0 to 1, is that of
        `DetectionSettings`. Segments of one label may overlap a little, those of different labels at will.

    Raises:
        ValueError: ``probabilities`` is not of shape (steps, len(labels)).

    >>> found = find_detections(result.probabilities, 0.16, 2.08, result.duration, result.labels)
    >>> found[0]
    Segment(start=2.08, end=5.28, label='water', score=0.81)
    """
    settings = settings or DetectionSettings()
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise ValueError(f"probabilities are {probabilities.shape}, but there are {len(labels)} labels")
    if not len(probabilities):
        return []
    bounds = step_bounds(len(probabilities), step_seconds, window_seconds, duration)
    window = window_seconds / step_seconds
    smooth = _smoothed(probabilities, int(settings.smoothing / step_seconds / 2 + EPSILON_S))
    found: list[Segment] = []
    for column, label in enumerate(labels):
        if label not in leave_out:
            starts, ends, scores = _of_label(smooth[:, column], bounds, window, settings)
            found += map(Segment, starts.tolist(), ends.tolist(), [label] * len(starts), scores.tolist())
    return sorted(found, key=lambda one: (-one.score, one.start, one.end, one.label))[: settings.max_detections]


def _smoothed(probabilities: np.ndarray, reach: int) -> np.ndarray:
    """Each step's mean with ``reach`` neighbours on both sides, of which there are fewer at the ends."""
    sums = _sums(probabilities)
    steps = np.arange(len(probabilities))
    first, end = np.maximum(steps - reach, 0), np.minimum(steps + reach + 1, len(probabilities))
    return (sums[end] - sums[first]) / (end - first)[:, None]


def _of_label(
    smooth: np.ndarray, bounds: np.ndarray, window: float, settings: DetectionSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) starts and ends in seconds, and scores, of one label. ``window`` is its length in steps."""
    runs = _runs(smooth, settings.thresholds)
    first, end = runs.T
    share = np.minimum((end - first) / window, 1)
    scores = _contrast(_sums(smooth), first, end, settings.context) * share**settings.length_power
    starts, ends = bounds[first], bounds[end]
    kept = (scores > 0) & (ends - starts >= MIN_SECONDS)
    order = np.flatnonzero(kept)[np.argsort(-scores[kept], kind="stable")]
    starts, ends, scores = starts[order], ends[order], scores[order]
    best = _without_duplicates(starts, ends, settings)
    return starts[best], ends[best], scores[best]


def _runs(smooth: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(n, 2): first step and the step after the last one, of every run at or above one of the thresholds, once each."""
    height = np.searchsorted(thresholds, smooth, side="right")  # how many of the thresholds a step reaches
    before, after = np.concatenate(([0], height)), np.concatenate((height, [0]))
    runs = np.concatenate(
        [
            np.flatnonzero((before < level) & (after >= level)) * len(before)
            + np.flatnonzero((before >= level) & (after < level))
            for level in range(1, len(thresholds) + 1)
        ]
    )
    return np.stack(np.divmod(np.unique(runs), len(before)), axis=1)


def _contrast(sums: np.ndarray, first: np.ndarray, end: np.ndarray, context: float) -> np.ndarray:
    """(n,): the mean within each run less the mean of its context, which counts as 0 beyond the recording."""
    steps = end - first
    reach = np.maximum(1, np.rint(context * steps).astype(int))
    before, after = np.maximum(first - reach, 0), np.minimum(end + reach, len(sums) - 1)
    inside = sums[end] - sums[first]
    outside = sums[after] - sums[before] - inside
    return inside / steps - outside / np.maximum(after - before - steps, 1)


def _without_duplicates(starts: np.ndarray, ends: np.ndarray, settings: DetectionSettings) -> list[int]:
    """Indices of the candidates, which are ordered by falling score, that no better one overlaps too much."""
    kept: list[int] = []
    alive = np.ones(len(starts), bool)
    for index in range(len(starts)):
        if not alive[index]:
            continue
        kept.append(index)
        if len(kept) == settings.max_detections:
            break
        rest = slice(index + 1, None)
        common = np.minimum(ends[index], ends[rest]) - np.maximum(starts[index], starts[rest])
        union = ends[index] - starts[index] + ends[rest] - starts[rest] - common
        alive[rest] &= common <= settings.max_overlap * union
    return kept


def _sums(rows: np.ndarray) -> np.ndarray:
    """The sum of all rows before each one, and of all: (n, …) to (n + 1, …) float64."""
    return np.concatenate((np.zeros_like(rows[:1], np.float64), np.cumsum(rows, axis=0, dtype=np.float64)))

"""From probabilities over time to segments: smoothing, two thresholds, merging, a minimum duration.

The network sees a window of about two seconds and gives one distribution over the classes per step. This module says
which stretch of the recording each step stands for, and turns runs of confident steps into segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.types import Segment

EPSILON_S = 1e-9  # seconds: two steps of 0.16 s are 0.32 s, whatever floating point says
PORTION = 1024  # steps that are processed together, so that memory does not grow with the recording


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
        ValueError: ``probabilities`` is not of shape (steps, len(labels)), or ``settings`` are for another number of
            classes.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != len(labels):
        raise ValueError(f"probabilities are {probabilities.shape}, but there are {len(labels)} labels")
    if not len(probabilities):
        return []
    return Segmenter(labels, settings, step_seconds, window_seconds).finish(probabilities, duration)


@dataclass(slots=True)
class _Run:
    """Consecutive steps of one class at or above the offset threshold.

    If it has reached the onset threshold, the runs that were merged with it are part of it.
    """

    first: int
    sum_before: float  # of all smoothed probabilities before step `first`
    reached_onset: bool = False
    end: int = 0  # the step after the last one, once the run is over
    sum_at_end: float = 0.0  # of all smoothed probabilities before step `end`


class Segmenter:
    """Finds the segments of a recording or a stream: the same ones, however its steps are divided into calls.

    Args:
        labels, settings, step_seconds, window_seconds: as for `find_segments`.
    """

    def __init__(
        self, labels: Sequence[str], settings: SegmentationSettings, step_seconds: float, window_seconds: float
    ) -> None:
        self._labels, self._settings = labels, settings
        self._step_seconds, self._window_seconds = step_seconds, window_seconds
        self._onset, self._offset = settings.thresholds(len(labels))
        self._shortest = settings.by_class("min_duration", len(labels)) - EPSILON_S
        # Steps to either side that the moving average of each class takes in, so that it has an odd number of steps.
        self._reaches = (settings.by_class("smoothing", len(labels)) / step_seconds / 2 + EPSILON_S).astype(int)
        self._reach = int(self._reaches.max(initial=0))
        self._end: tuple[int, float] | None = None  # the number of steps and the duration, once they are known
        self._steps = self._smoothed = 0
        self._sums = np.zeros((1, len(labels)))  # over all steps before each of the latest ones, the next one included
        self._total = np.zeros(len(labels))  # over the smoothed steps
        self._open: dict[int, _Run] = {}  # by class: the run that is going on
        # By class: the run that reached the onset threshold and is over, but may yet be merged with the next one.
        self._held: dict[int, _Run] = {}

    def bound(self, step: int) -> float:
        """Where the stretch of ``step`` begins, in seconds; see `step_bounds`."""
        start = (self._window_seconds - self._step_seconds) / 2 + self._step_seconds * step
        place = 0.0 if step == 0 else max(0.0, start)
        if self._end is None:
            return place
        steps, duration = self._end
        return duration if step == steps else min(place, duration)

    def push(self, rows: np.ndarray) -> list[Segment]:
        """Take further steps and return the segments that they complete. The last step needs `end` or `finish`.

        Args:
            rows: probabilities, (n, classes) float32.
        """
        # One addition after the other, so that the sums are the same whatever the number of rows.
        sums = np.cumsum(np.concatenate([self._sums[-1:], rows]), axis=0, dtype=np.float64)
        self._sums = np.concatenate([self._sums, sums[1:]])
        self._steps += len(rows)
        return self._advance(self._steps - self._reach)

    def end(self, steps: int, duration: float) -> None:
        """Learn that so many further steps follow, and how long the whole recording is in seconds."""
        self._end = self._steps + steps, duration

    def finish(self, rows: np.ndarray, duration: float) -> list[Segment]:
        """Take the last steps and return all remaining segments.

        Args:
            rows: probabilities of the last steps, (n, classes) float32; n may be 0.
            duration: of the whole recording, in seconds.
        """
        self.end(len(rows), duration)
        found = [one for at in range(0, len(rows), PORTION) for one in self.push(rows[at : at + PORTION])]
        found += self._advance(self._steps)
        for column in list(self._open):
            self._close(column, self._smoothed, float(self._total[column]))
        for column in list(self._held):
            found += self._release(column)
        return _sorted(found)

    def open_segments(self) -> list[Segment]:
        """The segments that are still going on, as they are so far, ordered by start."""
        runs = [(column, run) for column, run in self._open.items() if run.reached_onset]
        return _sorted(self._segment(column, run, self._smoothed, self._total[column]) for column, run in runs)

    def known_until(self, label: str) -> float:
        """All segments of a label that begin before this second have been given."""
        column = self._labels.index(label)
        runs = (one.get(column) for one in (self._held, self._open))
        return self.bound(min([self._smoothed, *(run.first for run in runs if run)]))

    def ahead(self, rows: np.ndarray) -> tuple[list[Segment], list[Segment]]:
        """What further steps would give if nothing followed them. It leaves the segmenter as it is.

        Args:
            rows: as for `push`; probabilities that may yet change.

        Returns:
            All segments that would have ended or be open, ordered by start, and the open ones among them.
        """
        copied = copy(self)  # arrays are replaced, never written to
        copied._open, copied._held = ({at: replace(run) for at, run in one.items()} for one in (self._open, self._held))
        ended = [*copied.push(rows), *copied._advance(copied._steps)]
        for column in list(copied._held):
            ended += copied._release(column)
        going_on = copied.open_segments()
        return _sorted([*ended, *going_on]), going_on

    def _advance(self, until: int) -> list[Segment]:
        """Smooth and process the steps before ``until`` that are left."""
        steps = np.arange(self._smoothed, until)
        if not len(steps):
            return []
        smooth = self._smooth(steps)
        totals = np.cumsum(np.concatenate([self._total[None], smooth]), axis=0, dtype=np.float64)
        low, high = smooth >= self._offset, smooth >= self._onset
        found: list[Segment] = []
        for column in {*np.flatnonzero(low.any(axis=0)).tolist(), *self._open, *self._held}:
            found += self._process(column, low[:, column], high[:, column], totals[:, column])
        self._smoothed, self._total = until, totals[-1]
        return _sorted(found)

    def _smooth(self, steps: np.ndarray) -> np.ndarray:
        """(n,) to (n, classes): each step's mean with its neighbours, of which there are fewer at both ends."""
        alike = (self._reaches == self._reach).all()  # as they mostly are; whole rows are taken faster
        reach = self._reach if alike else self._reaches
        first, end = np.maximum(steps[:, None] - reach, 0), np.minimum(steps[:, None] + reach + 1, self._steps)
        earliest = self._steps + 1 - len(self._sums)  # the step before which the first of the sums was taken
        after, before = (
            self._sums[at[:, 0]] if alike else np.take_along_axis(self._sums, at, axis=0)
            for at in (end - earliest, first - earliest)
        )
        smooth: np.ndarray = (after - before) / (end - first)
        self._sums = self._sums[-2 * self._reach - 1 :].copy()
        return smooth.astype(np.float32)

    def _process(self, column: int, low: np.ndarray, high: np.ndarray, totals: np.ndarray) -> list[Segment]:
        """Process a class: extend, begin and end its runs.

        Args:
            low, high: (n,), whether the next smoothed steps reach the offset and the onset threshold.
            totals: (n + 1,), of all smoothed probabilities before each of them.
        """
        found: list[Segment] = []
        changes = np.flatnonzero(np.diff(low, prepend=column in self._open)).tolist()
        for start, end in pairwise([0, *changes, len(low)]):
            if start == end:  # the state changes at the first step
                continue
            if not low[start]:
                if column in self._open:
                    self._close(column, self._smoothed + start, float(totals[start]))
                found += self._release_before(column, self._smoothed + end)
                continue
            if column not in self._open:
                found += self._release_before(column, self._smoothed + start)
                self._open[column] = _Run(self._smoothed + start, float(totals[start]))
            run = self._open[column]
            if not run.reached_onset and high[start:end].any():
                run.reached_onset = True
                if held := self._held.pop(column, None):  # near enough, or it would have been released before
                    run.first, run.sum_before = held.first, held.sum_before
        return found

    def _close(self, column: int, end: int, total: float) -> None:
        """End a run: it waits to be merged with the next one, or is dropped if it never reached the onset threshold."""
        run = self._open.pop(column)
        if run.reached_onset:
            run.end, run.sum_at_end = end, total
            self._held[column] = run

    def _release_before(self, column: int, step: int) -> list[Segment]:
        """The held run as a segment, if a run that begins at ``step`` is too far away to be merged with it."""
        held = self._held.get(column)
        if held is None or self.bound(step) - self.bound(held.end) < self._settings.merge_gap - EPSILON_S:
            return []
        return self._release(column)

    def _release(self, column: int) -> list[Segment]:
        """The held run as a segment, unless it is too short."""
        run = self._held.pop(column)
        segment = self._segment(column, run, run.end, run.sum_at_end)
        length = segment.end - segment.start
        return [segment] if length > 0 and length >= self._shortest[column] else []

    def _segment(self, column: int, run: _Run, end: int, total: float) -> Segment:
        mean = float(min((total - run.sum_before) / (end - run.first), 1.0))
        return Segment(self.bound(run.first), self.bound(end), self._labels[column], mean)


def _sorted(segments: Iterable[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda one: (one.start, one.end, one.label))

"""Segmentation of a live stream: the segments of `segmentation.find_segments` from steps that arrive one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audioinceptionnext.results.segmentation import EPSILON_S, SegmentationSettings, smoothing_reach
from audioinceptionnext.results.types import Segment


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


class StreamSegmenter:
    """Finds the segments that `find_segments` would find, step by step and in bounded memory.

    Args:
        labels, settings, step_seconds, window_seconds: as for `find_segments`.
    """

    def __init__(
        self, labels: Sequence[str], settings: SegmentationSettings, step_seconds: float, window_seconds: float
    ) -> None:
        self._labels, self._settings = labels, settings
        self._step_seconds, self._window_seconds = step_seconds, window_seconds
        self._onset, self._offset = settings.thresholds(len(labels))
        self._reach = smoothing_reach(settings, step_seconds)
        self._end: tuple[int, float] | None = None  # the number of steps and the duration, once they are known
        self._steps = self._smoothed = 0
        # Sums over all steps before each of the latest ones; in float64, as in `find_segments`.
        self._sums = deque([np.zeros(len(labels))], maxlen=2 * self._reach + 2)
        self._row = np.zeros(0)  # the latest step
        self._total = np.zeros(len(labels))  # over the smoothed steps
        self._open: dict[int, _Run] = {}  # by class: the run that is going on
        # By class: the run that reached the onset threshold and is over, but may yet be merged with the next one.
        self._held: dict[int, _Run] = {}

    def bound(self, step: int) -> float:
        """Where the stretch of ``step`` begins, in seconds; see `segmentation.step_bounds`."""
        start = (self._window_seconds - self._step_seconds) / 2 + self._step_seconds * step
        place = 0.0 if step == 0 else max(0.0, start)
        if self._end is None:
            return place
        steps, duration = self._end
        return duration if step == steps else min(place, duration)

    def push(self, row: np.ndarray) -> list[Segment]:
        """Take one more step that is not the last one, and return the segments that it completes.

        Args:
            row: probabilities, (classes,) float32.
        """
        self._steps += 1
        self._sums.append(self._sums[-1] + row)
        self._row = row
        return self._advance() if self._steps > self._reach else []

    def finish(self, rows: Sequence[np.ndarray], duration: float) -> list[Segment]:
        """Take the last steps and return all remaining segments.

        Args:
            rows: probabilities of the last steps, (classes,) each.
            duration: of the whole recording, in seconds.
        """
        self._end = self._steps + len(rows), duration
        found = [segment for row in rows for segment in self.push(row)]
        while self._smoothed < self._steps:
            found += self._advance()
        for column in list(self._open):
            self._close(column)
        for column in list(self._held):
            found += self._release(column)
        return _sorted(found)

    def open_segments(self) -> list[Segment]:
        """The segments that are still going on, as they are so far, ordered by start."""
        runs = [(column, run) for column, run in self._open.items() if run.reached_onset]
        return _sorted([self._segment(column, run, self._smoothed, self._total[column]) for column, run in runs])

    def _advance(self) -> list[Segment]:
        """Process one more smoothed step."""
        smooth = self._smooth()
        low, high = smooth >= self._offset, smooth >= self._onset
        found: list[Segment] = []
        for column in {*np.flatnonzero(low).tolist(), *self._open, *self._held}:
            if low[column]:
                self._extend(column, bool(high[column]))
            elif column in self._open:
                self._close(column)
            if (held := self._held.get(column)) is not None:
                following = self._open[column].first if column in self._open else self._smoothed + 1
                if self.bound(following) - self.bound(held.end) >= self._settings.merge_gap - EPSILON_S:
                    found += self._release(column)
        self._total = self._total + smooth
        self._smoothed += 1
        return _sorted(found)

    def _extend(self, column: int, high: bool) -> None:
        """Extend the class's run by a step, or begin one."""
        run = self._open.get(column)
        if run is None:
            run = self._open[column] = _Run(self._smoothed, float(self._total[column]))
        if high and not run.reached_onset:
            run.reached_onset = True
            if held := self._held.pop(column, None):  # near enough, or it would have been released before
                run.first, run.sum_before = held.first, held.sum_before

    def _close(self, column: int) -> None:
        """End a run: it waits to be merged with the next one, or is dropped if it never reached the onset threshold."""
        run = self._open.pop(column)
        if run.reached_onset:
            run.end, run.sum_at_end = self._smoothed, float(self._total[column])
            self._held[column] = run

    def _smooth(self) -> np.ndarray:
        """The next smoothed step: the mean with its neighbours, of which there are fewer at both ends."""
        if not self._reach:
            return self._row
        first = max(0, self._smoothed - self._reach)
        end = min(self._steps, self._smoothed + self._reach + 1)
        before = self._sums[len(self._sums) - 1 - (self._steps - first)]
        mean: np.ndarray = (self._sums[-1] - before) / (end - first)
        return mean.astype(np.float32)

    def _release(self, column: int) -> list[Segment]:
        """The held run as a segment, unless it is too short."""
        run = self._held.pop(column)
        segment = self._segment(column, run, run.end, run.sum_at_end)
        length = segment.end - segment.start
        return [segment] if length > 0 and length >= self._settings.min_duration - EPSILON_S else []

    def _segment(self, column: int, run: _Run, end: int, after: float) -> Segment:
        mean = float(min((after - run.sum_before) / (end - run.first), 1.0))
        return Segment(self.bound(run.first), self.bound(end), self._labels[column], mean)


def _sorted(segments: list[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda one: (one.start, one.end, one.label))

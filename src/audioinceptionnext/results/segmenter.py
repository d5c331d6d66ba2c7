"""Segments from steps that come one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audioinceptionnext.results.segmentation import TINY, TimelineSettings
from audioinceptionnext.results.types import Segment


@dataclass(slots=True)
class _Run:
    """Steps of one class that stay at the lower threshold; with joined ones before, if it reached the upper one."""

    first: int
    before: float  # the sum of all smoothed probabilities before `first`
    reached: bool = False
    end: int = 0  # the step after the last, once it is over
    after: float = 0.0  # the sum before `end`


class Segmenter:
    """`timeline.find_segments` for steps that come one by one: the same segments, in bounded memory.

    Args:
        labels, settings, hop, window: as `find_segments` takes them.
    """

    def __init__(self, labels: Sequence[str], settings: TimelineSettings, hop: float, window: float) -> None:
        self._labels, self._settings = labels, settings
        self._hop, self._window = hop, window
        self._upper, self._lower = settings.thresholds(len(labels))
        self._reach = int(settings.smoothing / hop / 2 + TINY)
        self._last: tuple[int, float] | None = None  # how many steps, and seconds, there are in the end
        self._steps = self._smoothed = 0
        # Sums over the steps that came, before each of the last ones; as float64 they are those of `find_segments`.
        self._sums = deque([np.zeros(len(labels))], maxlen=2 * self._reach + 2)
        self._row = np.zeros(0)  # the last one that came
        self._total = np.zeros(len(labels))  # over the smoothed steps
        self._open: dict[int, _Run] = {}  # by class: the run that goes on
        self._held: dict[int, _Run] = {}  # the run that reached `upper` and is over, but may yet be joined by another

    def bound(self, step: int) -> float:
        """Seconds at which what ``step`` speaks for begins, as in `timeline.step_bounds`."""
        place = 0.0 if step == 0 else max(0.0, (self._window - self._hop) / 2 + self._hop * step)
        if self._last is None:
            return place
        steps, duration = self._last
        return duration if step == steps else min(place, duration)

    def push(self, row: np.ndarray) -> list[Segment]:
        """What is finished with one more step. row: (classes,) float32. The step is over and not the last one."""
        self._steps += 1
        self._sums.append(self._sums[-1] + row)
        self._row = row
        return self._advance() if self._steps > self._reach else []

    def finish(self, rows: Sequence[np.ndarray], duration: float) -> list[Segment]:
        """All the rest, after the last steps, of a recording of so many seconds."""
        self._last = self._steps + len(rows), duration
        found = [segment for row in rows for segment in self.push(row)]
        while self._smoothed < self._steps:
            found += self._advance()
        for column in list(self._open):
            self._close(column)
        for column in list(self._held):
            found += self._give(column)
        return _sorted(found)

    def sounding(self) -> list[Segment]:
        """The segments that go on, as they are so far, by start."""
        runs = [(column, run) for column, run in self._open.items() if run.reached]
        return _sorted([self._segment(column, run, self._smoothed, self._total[column]) for column, run in runs])

    def _advance(self) -> list[Segment]:
        """One more smoothed step."""
        smooth = self._smooth()
        low, high = smooth >= self._lower, smooth >= self._upper
        found: list[Segment] = []
        for column in {*np.flatnonzero(low).tolist(), *self._open, *self._held}:
            if low[column]:
                self._go_on(column, bool(high[column]))
            elif column in self._open:
                self._close(column)
            if (held := self._held.get(column)) is not None:
                following = self._open[column].first if column in self._open else self._smoothed + 1
                if self.bound(following) - self.bound(held.end) >= self._settings.gap - TINY:
                    found += self._give(column)
        self._total = self._total + smooth
        self._smoothed += 1
        return _sorted(found)

    def _go_on(self, column: int, high: bool) -> None:
        """A step of a run, maybe its first one."""
        run = self._open.get(column)
        if run is None:
            run = self._open[column] = _Run(self._smoothed, float(self._total[column]))
        if high and not run.reached:
            run.reached = True
            if held := self._held.pop(column, None):  # it is near enough, else it had been given before
                run.first, run.before = held.first, held.before

    def _close(self, column: int) -> None:
        """A run that is over waits for another to join it, or is nothing."""
        run = self._open.pop(column)
        if run.reached:
            run.end, run.after = self._smoothed, float(self._total[column])
            self._held[column] = run

    def _smooth(self) -> np.ndarray:
        """The next smoothed step: the mean with its neighbours, with fewer at both ends of the recording."""
        if not self._reach:
            return self._row
        first = max(0, self._smoothed - self._reach)
        end = min(self._steps, self._smoothed + self._reach + 1)
        before = self._sums[len(self._sums) - 1 - (self._steps - first)]
        mean: np.ndarray = (self._sums[-1] - before) / (end - first)
        return mean.astype(np.float32)

    def _give(self, column: int) -> list[Segment]:
        """The held run as a segment, unless it is too short for one."""
        run = self._held.pop(column)
        segment = self._segment(column, run, run.end, run.after)
        length = segment.end - segment.start
        return [segment] if length > 0 and length >= self._settings.shortest - TINY else []

    def _segment(self, column: int, run: _Run, end: int, after: float) -> Segment:
        mean = float(min((after - run.before) / (end - run.first), 1.0))
        return Segment(self.bound(run.first), self.bound(end), self._labels[column], mean)


def _sorted(segments: list[Segment]) -> list[Segment]:
    return sorted(segments, key=lambda one: (one.start, one.end, one.label))

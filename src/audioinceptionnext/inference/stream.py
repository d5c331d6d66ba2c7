"""Live recognition: steps as soon as their windows are complete, segments as soon as they end.

    stream = Stream(load("kitchen20"))
    for step in stream.push(samples):
        print(step.end, step.label, step.segments)

A step depends on the sound around its window. So a stream waits for some of what follows the window (``lookahead``),
and remembers some of what came before it. The steps are those that ``predict`` gives for the whole recording: up to
rounding for a model of the modes ``windows`` and ``clips``, and the closer to them the longer the lookahead for a
``dense`` one. They do not depend on how the samples are split into pushes.

``events`` says when segments begin and end. With ``early``, a segment is announced as soon as it can be made out, from
the sound that there is: several seconds before the steps that decide about it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from audioinceptionnext.audio.capture import SampleConverter
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.inference.events import Announcer, Event
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.steps import (
    EARLY_AFTER_FRAMES,
    EARLY_AGAIN_FRAMES,
    EARLY_BEFORE_FRAMES,
    EARLY_FRAMES,
    EARLY_MIRRORED_FRAMES,
)
from audioinceptionnext.results.segmentation import EPSILON_S, Segmenter
from audioinceptionnext.results.settings import SegmentationSettings, is_number
from audioinceptionnext.results.thresholds import Threshold
from audioinceptionnext.results.types import Segment

MAX_LOOKAHEAD_S = 60.0  # far more than a network can see


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One prediction of a stream.

    Attributes:
        start, end: the stretch that it stands for, in seconds from the start of the stream; see
            `segmentation.step_bounds`.
        probabilities: (classes,) float32; all 0 in digital silence.
        label, score: the most probable label and its probability; None and 0 in digital silence.
        log_mel: (frames, bands) float32 of that stretch, as far as it is known.
        segments: the segments that this step completes, ordered by start. Nothing that follows can lengthen them.
        open: the segments that go on after this step, as they are so far.
    """

    start: float
    end: float
    probabilities: np.ndarray
    label: str | None
    score: float
    log_mel: np.ndarray
    segments: tuple[Segment, ...] = ()
    open: tuple[Segment, ...] = ()


class Stream:
    """Recognises sound as it arrives, in the memory of a few windows, however long the stream lasts.

    A step is returned ``delay`` seconds after the moment that it stands for, or a little earlier. A segment is returned
    about ``smoothing / 2 + merge_gap`` seconds after its last step. Streams may share a recogniser, each in its own
    thread.

    Args:
        recogniser: in any mode, which the stream follows. `Recogniser.choose` makes one of some labels only.
        step_seconds: time from one step to the next, as for `Recogniser.predict`; the model's own unless given.
        threshold: the probability that a segment must reach, for all labels or by label, as for `Recogniser.predict`.
        settings: how probabilities become segments, in place of ``threshold``.
        sample_rate: of the samples that will be pushed, in Hz; the model's unless given.
        start: in seconds; added to all times.
        lookahead: seconds of sound after its window that a step waits for, in the mode ``dense``. Default 256 frames,
            which is 3.2 s for ``everyday``. With 832 frames, the steps are those of
            `Recogniser.predict` to about 0.01; with fewer, they come earlier and are worse.
        early: whether to announce segments before their steps are given, from a prediction every 16 frames (0.2 s for
            ``everyday``) that sees no more than the sound that there is. Steps and segments stay the same. Only a model
            with a fine timeline, in the mode ``dense``, can do so; with others, this changes nothing.
        on_warning: called with one line for everything that is wrong with the samples but can be used, or with
            ``step_seconds``; once for each. A Python warning at the line that called the stream unless given.

    Attributes:
        events: what the last `push` or `finish` made known of segments, in order: a list of `Event`. Each segment of a
            step has a ``start`` and an ``end``, at the latest together. What was announced early may also be withdrawn.
        sound: (n,) float32, what the last `push` or `finish` took, as the model gets it: mono, at the model's rate.
        labels: of the model.
        step_seconds, window_seconds: time from one step to the next, and the length of the model's window.
        delay: seconds from the middle of a step to the moment at which it is given, at most: half a window, the
            lookahead, and the other steps of its turn.
        lag: seconds after its start at which a segment is announced at the latest, about: the delay, the smoothing and
            the minimum duration.

    Raises:
        ParameterError: the model does not support this ``step_seconds`` or ``lookahead``, or ``sample_rate`` is out of
            range.

    >>> stream = Stream(load("kitchen20"), sample_rate=48_000)
    >>> steps = stream.push(samples) + stream.finish()
    >>> [segment.label for step in steps for segment in step.segments]
    ['water-flowing', 'chopping']
    """

    def __init__(
        self,
        recogniser: Recogniser,
        *,
        step_seconds: float | None = None,
        threshold: Threshold | None = None,
        settings: SegmentationSettings | None = None,
        sample_rate: float | None = None,
        start: float = 0.0,
        lookahead: float | None = None,
        early: bool = False,
        on_warning: Callable[[str], None] | None = None,
    ) -> None:
        self._on_warning = on_warning
        self._lines: list[str] = []  # warnings that were not given yet
        self._predictor, self._rate = recogniser._predictor, recogniser.sample_rate
        self.labels, self.window_seconds, self.start = recogniser.labels, recogniser.window_seconds, start
        self._grid = grid = replace(self._predictor.grid, step=recogniser.check_step(step_seconds, self._lines.append))
        self._live = self._predictor.live_grid(grid.step, self._samples_ahead(lookahead, recogniser.name))
        self.step_seconds = grid.step / self._rate
        settings = recogniser.segmentation_settings(threshold, settings=settings)
        self._task_of, self._columns = recogniser.task_of, recogniser._columns
        self._segmenter = Segmenter(self.labels, settings, self.step_seconds, recogniser._step_window)
        smoothing, shortest = (settings.by_class(name, len(self.labels)) for name in ("smoothing", "min_duration"))
        self._shortest = dict(zip(self.labels, (shortest - EPSILON_S).tolist(), strict=True))
        self.events: list[Event] = []
        self.sound = np.zeros(0, np.float32)
        self._announcer, self._early = Announcer(), early and self._predictor.fine
        self._seen = 0  # samples at the last early prediction
        self._ahead = np.zeros((0, len(self.labels)), np.float32)  # early probabilities of the next steps
        self._sounding: list[Segment] | None = None  # what is open according to them
        rate = self._rate if sample_rate is None else sample_rate
        self._converter = SampleConverter(rate, self._rate, self._lines.append)
        # A step is given this many samples after the start of its window. That is one more than the window has: only
        # then is another step certain to follow, and the last one, which stands for all that is left, comes with
        # `finish`. Where steps are longer than windows, the stretch that the step stands for has to be over, too.
        another = grid.whole_frames * grid.hop + grid.step - self._live.unit
        self._span = max(grid.clip + self._live.lookahead, another, (grid.clip + grid.step) // 2) + 1
        self.delay = (self._span - 1 - grid.clip // 2 + (self._live.steps - 1) * grid.step) / self._rate
        self.lag = self.delay + float(smoothing.max() + shortest.max())
        self._blocks: list[np.ndarray] = []  # of the waveform, from sample `_first` on
        self._first = self._received = 0
        self._predicted = self._given = 0  # steps
        self._finished = False
        self._give_warnings()

    @property
    def seconds(self) -> float:
        """Seconds received so far."""
        return self._received / self._rate

    @property
    def held(self) -> int:
        """Samples in memory for later steps; they do not grow with the stream."""
        return sum(len(block) for block in self._blocks)

    def push(self, samples: np.ndarray) -> list[Step]:
        """Take samples and return the steps for which they complete what is needed.

        Args:
            samples: (n,) or (n, channels); n may be 0. Floats of full scale -1…1, or signed integers with the full
                scale of their type. Channels are mixed as those of a file; NaN, infinite and absurdly large values
                count as 0. The first of these, or of values far out of range, gives a warning.

        Raises:
            ParameterError: an array of another shape or type.
            ValueError: the stream is finished.
        """
        if self._finished:
            raise ValueError("this stream is finished; make another one")
        self.events, self.sound = [], self._converter.push(samples)
        self._keep(self.sound)
        self._give_warnings()
        steps: list[Step] = []
        turn, step = self._live.steps, self._grid.step
        while self._received >= (self._predicted + turn - 1) * step + self._span:
            end = (self._predicted + turn - 1) * step + self._grid.clip + self._live.lookahead
            steps += [
                self._step(row, log_mel, self._segmenter.push(row[None]))
                for row, log_mel in self._predict(turn, end, self._live.mirrored)
            ]
        if steps:  # a copy: what is left is a view, which would keep the whole push in memory
            self._blocks = [self._blocks[0].copy()]
        if self._early and self._received >= self._seen + EARLY_FRAMES * self._grid.hop:
            self._look_ahead()
        return steps

    def finish(self) -> list[Step]:
        """Return the last steps, with all segments that were still open. The very last window may be incomplete."""
        self.events, self.sound = [], np.zeros(0, np.float32)
        if self._finished:
            return []
        self.sound = self._converter.finish()
        self._keep(self.sound)
        self._give_warnings()
        self._finished, self._sounding = True, None
        units = replace(self._grid, step=self._live.unit).steps(self._received) if self._received else 0
        total = -(-units * self._live.unit // self._grid.step)
        last: list[tuple[np.ndarray, np.ndarray]] = []
        while (left := total - self._predicted) > 0:
            # Nothing follows, so that all of them are seen at once, unless each of them sees its own window only.
            last += self._predict(1 if self._predictor.mode == "clips" else left, self._received, last=left)
        self._segmenter.end(len(last), self.seconds)
        steps = [self._step(row, log_mel, self._segmenter.push(row[None])) for row, log_mel in last[:-1]]
        for row, log_mel in last[-1:]:
            steps.append(self._step(row, log_mel, self._segmenter.finish(row[None], self.seconds)))
        self.events += self._announcer.complete([], lambda label: math.inf)
        return steps

    def open_segments(self) -> list[Segment]:
        """The segments that have not ended yet, as they are so far; with ``early``, as the newest sound has them."""
        return self._shifted(self._segmenter.open_segments()) if self._sounding is None else self._sounding

    def going_on(self) -> list[tuple[int, Segment]]:
        """The segments whose start `events` had, and not yet their end, with the ``id`` of these events.

        They are as they are known by now, which may be longer than `open_segments` has them, and may be withdrawn.
        """
        return self._announcer.going_on()

    def _give_warnings(self) -> None:
        """To be called by a public method, since a Python warning names the line that called that."""
        lines, self._lines[:] = list(self._lines), []
        for line in lines:
            if self._on_warning is not None:
                self._on_warning(line)
            else:
                warnings.warn(line, stacklevel=3)

    def _keep(self, samples: np.ndarray) -> None:
        if len(samples):
            self._blocks.append(samples)
            self._received += len(samples)

    def _predict(self, count: int, end: int, mirrored: int = 0, last: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
        """Probabilities and log-mel of the next ``count`` steps; samples that no step needs any more are dropped.

        Args:
            end: of the samples that they see.
            last: how many steps are left, if the stream is over.
        """
        grid, first = self._grid, self._first_seen(self._predicted, self._live.before)
        before = self._predicted * grid.step - first
        rows, log_mel = self._rows(self._predicted, count, self._live.before, end, mirrored)
        # A step's frames lie in the middle of its window; those of the first and the last step reach to its ends.
        margin = max(0, (grid.clip_frames - grid.step_frames) // 2)
        parts = []
        for number in range(count):
            start = before // grid.hop + number * grid.step_frames + margin
            stop = None if number + 1 == last else start + grid.step_frames
            parts.append(log_mel[start if self._predicted + number else 0 : stop].copy())  # not all that was seen
        self._predicted += count
        self._ahead = self._ahead[count:]
        (waveform,) = self._blocks
        dropped = min(self._first_seen(self._predicted, self._live.before) - self._first, len(waveform))
        self._blocks, self._first = [waveform[dropped:]], self._first + dropped
        return list(zip(rows, parts, strict=True))

    def _rows(self, step: int, count: int, before: int, end: int, mirrored: int) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities (count, classes) of some steps from ``step`` on, and the log-mel of the samples that they see:
        about ``before`` ahead of them, up to ``end``, and the last ``mirrored`` ones in reverse order."""
        if len(self._blocks) > 1:
            self._blocks = [np.concatenate(self._blocks)]
        first = self._first_seen(step, before)
        seen = self._blocks[0][first - self._first : end - self._first]
        places = (step * self._grid.step - first + np.arange(count) * self._grid.step) // self._live.unit
        rows, log_mel = self._predictor.predict_turn(seen, places, self._live.unit, mirrored)
        return np.take(rows, self._columns, axis=1), log_mel

    def _first_seen(self, step: int, before: int) -> int:
        """The first sample that is seen from ``step`` on by what sees at least so many samples before it."""
        return max(0, (step * self._grid.step - before) // self._live.stride * self._live.stride)

    def _look_ahead(self) -> None:
        """Predict the newest steps from the sound that there is, and announce what they will probably give."""
        hop, step = self._grid.hop, self._grid.step
        newest = (self._received - EARLY_AFTER_FRAMES * hop) // step
        known = self._predicted + len(self._ahead)
        first = max(self._predicted, min(known, newest - EARLY_AGAIN_FRAMES * hop // step))
        if newest <= first:
            return
        self._seen = self._received
        before, mirrored = EARLY_BEFORE_FRAMES * hop, EARLY_MIRRORED_FRAMES * hop
        rows, _ = self._rows(first, newest - first, before, self._received // hop * hop, mirrored)
        self._ahead = np.concatenate([self._ahead[: first - self._predicted], rows])
        segments, self._sounding = map(self._shifted, self._segmenter.ahead(self._ahead))
        self.events += self._announcer.see(segments)

    def _step(self, row: np.ndarray, log_mel: np.ndarray, segments: list[Segment]) -> Step:
        start, end = (self.start + self._segmenter.bound(step) for step in (self._given, self._given + 1))
        self._given += 1
        best = int(row.argmax())
        label = self.labels[best] if row[best] > 0 else None
        ended, going_on = (tuple(self._shifted(some)) for some in (segments, self._segmenter.open_segments()))
        self.events += self._announcer.complete(ended, lambda label: self.start + self._segmenter.known_until(label))
        self.events += self._announcer.see(one for one in going_on if one.end - one.start >= self._shortest[one.label])
        return Step(start, end, row, label, float(row[best]), log_mel, ended, going_on)

    def _shifted(self, segments: list[Segment]) -> list[Segment]:
        return [
            replace(one, start=self.start + one.start, end=self.start + one.end, task=self._task_of.get(one.label))
            for one in segments
        ]

    def _samples_ahead(self, lookahead: float | None, model: str) -> int | None:
        """The lookahead in samples, a whole number of frames."""
        if lookahead is None:
            return None
        if self._predictor.mode != "dense":
            raise ParameterError("lookahead", lookahead, f"{model} predicts window by window; leave this out")
        if not is_number(lookahead) or not 0 <= lookahead <= MAX_LOOKAHEAD_S:  # false for NaN
            raise ParameterError("lookahead", lookahead, f"give 0 to {MAX_LOOKAHEAD_S:g} s")
        return math.ceil(lookahead * self._rate / self._grid.hop - 1e-6) * self._grid.hop

"""Live recognition: steps as soon as their windows are complete, segments as soon as they end.

    stream = Stream(load("kitchen20"))
    for step in stream.push(samples):
        print(step.end, step.label, step.segments)

Each step is predicted from its own window alone. So a stream gives the same probabilities and segments as
``load(model, mode="clips").predict`` gives for the whole recording, however the samples are split into pushes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from audioinceptionnext.audio.capture import SampleConverter
from audioinceptionnext.errors import ModelError, ParameterError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.steps import BATCH_SIZE
from audioinceptionnext.results.segmentation import SegmentationSettings, Segmenter
from audioinceptionnext.results.thresholds import Threshold, settings_for
from audioinceptionnext.results.types import Segment

STEP_S = 0.16  # from one step to the next, if the model can


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One prediction of a stream.

    Attributes:
        start, end: the stretch that it stands for, in seconds from the start of the stream; see
            `segmentation.step_bounds`.
        probabilities: (classes,) float32; all 0 in digital silence.
        label, score: the most probable label and its probability; None and 0 in digital silence.
        log_mel: (frames, bands) float32 of that stretch, as far as the window reaches.
        segments: the segments that this step completes, ordered by start. Nothing that follows can lengthen them.
    """

    start: float
    end: float
    probabilities: np.ndarray
    label: str | None
    score: float
    log_mel: np.ndarray
    segments: tuple[Segment, ...] = ()


class Stream:
    """Recognises sound as it arrives, in the memory of one window, however long the stream lasts.

    A step is returned at the end of its window, half a window after the moment that it stands for. A segment is
    returned ``smoothing / 2 + merge_gap`` seconds after that. Streams may share a recogniser, each in its own thread.

    Args:
        recogniser: in any mode; a stream uses ``clips``.
        step_seconds: time from one step to the next, as for `Recogniser.predict`. Default 0.16, or the model's own if
            it does not support that.
        threshold: the probability that a segment must reach, for all labels or by label, as for `Recogniser.predict`.
        settings: how probabilities become segments, in place of ``threshold``.
        sample_rate: of the samples that will be pushed, in Hz; the model's unless given.
        start: in seconds; added to all times.

    Attributes:
        labels: of the model.
        step_seconds, window_seconds: time from one step to the next, and length of each window.

    Raises:
        ModelError: the model was trained on steps: it needs more than its own window, and a stream has no more.
        ParameterError: the model does not support this ``step_seconds``, or ``sample_rate`` is out of range.

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
        sample_rate: int | None = None,
        start: float = 0.0,
    ) -> None:
        if recogniser.frame_wise:
            needed = f"needs what surrounds each step of {recogniser.window_seconds:g} s, which a stream lacks"
            raise ModelError(recogniser.name, f"{needed}; give it whole recordings, or take a model of clips")
        by_clips = recogniser.by_clips()
        self._predictor, self._rate = by_clips._predictor, by_clips.sample_rate
        self.labels, self.window_seconds, self.start = by_clips.labels, by_clips.window_seconds, start
        self._grid = replace(self._predictor.grid, step=_step(by_clips, step_seconds))
        self.step_seconds = self._grid.step / self._rate
        settings = settings_for(recogniser.labels, recogniser.thresholds, threshold, settings=settings)
        self._segmenter = Segmenter(self.labels, settings, self.step_seconds, self.window_seconds)
        rate = self._rate if sample_rate is None else sample_rate
        self._converter = SampleConverter(rate, self._rate, lambda line: warnings.warn(line, stacklevel=2))
        # A step is given this many samples after the start of its window. That is one more than the window has: only
        # then is another step certain to follow, and the last one, which stands for all that is left, comes with
        # `finish`. Where steps are longer than windows, the stretch that the step stands for has to be over, too.
        self._span = max(self._grid.clip, (self._grid.clip + self._grid.step) // 2) + 1
        self._blocks: list[np.ndarray] = []  # of the waveform, from sample `_first` on
        self._first = self._received = 0
        self._predicted = self._given = 0  # steps
        self._finished = False

    @property
    def seconds(self) -> float:
        """Seconds received so far."""
        return self._received / self._rate

    @property
    def held(self) -> int:
        """Samples in memory for later steps; fewer than a window and a step after every `push`."""
        return sum(len(block) for block in self._blocks)

    def push(self, samples: np.ndarray) -> list[Step]:
        """Take samples and return the steps whose windows they complete.

        Args:
            samples: (n,) or (n, channels); n may be 0. Floats of full scale -1…1, or signed integers with the full
                scale of their type. Channels are mixed as those of a file; NaN, infinite and absurdly large values
                count as 0. The first of these, or of values far out of range, gives a Python warning.

        Raises:
            ParameterError: an array of another shape or type.
            ValueError: the stream is finished.
        """
        if self._finished:
            raise ValueError("this stream is finished; make another one")
        self._keep(self._converter.push(samples))
        steps: list[Step] = []
        step = self._grid.step
        while (ready := min(BATCH_SIZE, (self._received - self._predicted * step - self._span) // step + 1)) > 0:
            steps += [
                self._step(row, log_mel, self._segmenter.push(row[None])) for row, log_mel in self._predict(ready)
            ]
        if steps:  # a copy: what is left is a view, which would keep the whole push in memory
            self._blocks = [self._blocks[0].copy()]
        return steps

    def finish(self) -> list[Step]:
        """Return the last steps, with all segments that were still open. The very last window may be incomplete."""
        if self._finished:
            return []
        self._keep(self._converter.finish())
        self._finished = True
        last: list[tuple[np.ndarray, np.ndarray]] = []
        left = self._grid.steps(self._received) - self._predicted if self._received else 0
        while left > len(last):
            whole = (self._received - self._predicted * self._grid.step - self._grid.clip + 1) // self._grid.step + 1
            last += self._predict(min(left - len(last), BATCH_SIZE, max(1, whole)))
        rows = np.array([row for row, _ in last]).reshape(-1, len(self.labels))
        segments = self._segmenter.finish(rows, self.seconds)
        steps = [self._step(row, log_mel, []) for row, log_mel in last[:-1]]
        return steps + [self._step(row, log_mel, segments, last=True) for row, log_mel in last[-1:]]

    def open_segments(self) -> list[Segment]:
        """The segments that have not ended yet, as they are so far. A step returns each of them when it is complete."""
        return self._shifted(self._segmenter.open_segments())

    def _keep(self, samples: np.ndarray) -> None:
        if len(samples):
            self._blocks.append(samples)
            self._received += len(samples)

    def _predict(self, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Probabilities and log-mel of the next ``count`` steps; samples that no step needs any more are dropped."""
        waveform = self._blocks[0] if len(self._blocks) == 1 else np.concatenate(self._blocks)
        step = self._grid.step
        rest = waveform[self._predicted * step - self._first :]
        probabilities, log_mel = self._predictor.predict_clips(rest, count, step)
        self._predicted += count
        dropped = min(self._predicted * step - self._first, len(waveform))
        self._blocks, self._first = [waveform[dropped:]], self._first + dropped
        return list(zip(probabilities, log_mel, strict=True))

    def _step(self, row: np.ndarray, log_mel: np.ndarray, segments: list[Segment], last: bool = False) -> Step:
        start, end = (self.start + self._segmenter.bound(step) for step in (self._given, self._given + 1))
        # The step's frames lie in the middle of its window; those of the first and the last step reach to its ends.
        margin = max(0, (self._grid.clip_frames - self._grid.step_frames) // 2)
        frames = log_mel[margin if self._given else 0 : None if last else margin + self._grid.step_frames]
        self._given += 1
        best = int(row.argmax())
        label = self.labels[best] if row[best] > 0 else None
        return Step(start, end, row, label, float(row[best]), frames, tuple(self._shifted(segments)))

    def _shifted(self, segments: list[Segment]) -> list[Segment]:
        return [replace(one, start=self.start + one.start, end=self.start + one.end) for one in segments]


def _step(recogniser: Recogniser, step_seconds: float | None) -> int:
    if step_seconds is not None:
        return recogniser.check_step(step_seconds)
    try:
        return recogniser.check_step(STEP_S)
    except ParameterError:
        return recogniser.check_step(None)

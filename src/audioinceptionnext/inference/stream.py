"""Sound that has no end yet: answers as their clips are complete, segments as they are finished.

    stream = Stream(load("kitchen20"))
    for answer in stream.push(samples):
        print(answer.end, answer.label, answer.segments)

Each answer is heard from its own clip alone. So a stream gives what ``load(model, run="clips").predict`` gives for the
whole of it, the same probabilities and the same segments, however the sound is cut into pushes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from audioinceptionnext.audio.capture import Intake
from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.windows import BATCH
from audioinceptionnext.results.segmentation import TimelineSettings
from audioinceptionnext.results.segmenter import Segmenter
from audioinceptionnext.results.types import Segment

HOP_S = 0.16  # from one answer to the next, where the model can


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What was heard in one clip.

    Attributes:
        start, end: seconds of the stream that it speaks for, as `timeline.step_bounds` has them.
        probabilities: (classes,) float32; all 0 in digital silence.
        label, score: the likeliest class and its probability; None and 0 in digital silence.
        log_mel: (frames, bands) float32 of what it speaks for, as far as its clip reaches; to draw.
        segments: those that are finished now, by start: nothing that may follow can lengthen them.
    """

    start: float
    end: float
    probabilities: np.ndarray
    label: str | None
    score: float
    log_mel: np.ndarray
    segments: tuple[Segment, ...] = ()


class Stream:
    """Sound as it comes, heard by one model. Memory stays that of a clip, however long it lasts.

    An answer comes with the end of its clip, so half a window after the moment that it speaks for; a segment comes when
    its end is ``smoothing / 2 + gap`` ago as well. Streams may share a recogniser, each in a thread of its own.

    Args:
        recogniser: whichever way it hears files.
        hop: seconds from one answer to the next, as `Recogniser.predict` takes it; 0.16 unless given, or the model's
            own step where it cannot.
        settings: how probabilities become segments; by the model's own thresholds unless given.
        rate: Hz, of the samples to come; the model's unless given.
        start: seconds, added to all times.

    Attributes:
        hop, window: seconds from one answer to the next, and that each hears.

    Raises:
        AinextError: a hop that the model cannot, a rate out of range.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        hop: float | None = None,
        settings: TimelineSettings | None = None,
        rate: int | None = None,
        start: float = 0.0,
    ) -> None:
        by_clips = recogniser.by_clips()
        self._listener, self._rate = by_clips._listener, by_clips.sample_rate
        self.labels, self.window, self.start = by_clips.labels, by_clips.window, start
        self._grid = replace(self._listener.grid, step=_step(by_clips, hop))
        self.hop = self._grid.step / self._rate
        settings = settings or TimelineSettings(by_class=by_clips.thresholds)
        self._segmenter = Segmenter(self.labels, settings, self.hop, self.window)
        self._intake = Intake(rate or self._rate, self._rate)
        # An answer is given with so many samples from its clip's start. One more than the clip has: then another answer
        # follows for certain, and the last one, which speaks for all that is left, comes with `finish`. Where a hop is
        # longer than a clip, what the answer speaks for has to be over too.
        self._span = max(self._grid.clip, (self._grid.clip + self._grid.step) // 2) + 1
        self._pieces: list[np.ndarray] = []  # of the sound, from sample `_first` on
        self._first = self._heard = 0
        self._steps = self._given = 0  # heard by the network; made answers of
        self._finished = False

    @property
    def seconds(self) -> float:
        """How much sound has come."""
        return self._heard / self._rate

    @property
    def held(self) -> int:
        """Samples kept for answers to come; below a clip and a hop after every `push`."""
        return sum(len(piece) for piece in self._pieces)

    def push(self, samples: np.ndarray) -> list[Answer]:
        """The answers whose clips these samples complete; a backlog is heard in batches.

        Args:
            samples: (n,) or (n, channels), n may be 0: floats of full scale -1…1, or signed integers of their type's.
                The mean of the channels is heard; what is NaN, infinite or absurd counts as 0.

        Raises:
            AinextError: an array of another shape or type.
            ValueError: after `finish`.
        """
        if self._finished:
            raise ValueError("this stream is finished; make another")
        self._keep(self._intake.push(samples))
        answers: list[Answer] = []
        step = self._grid.step
        while (ready := min(BATCH, (self._heard - self._steps * step - self._span) // step + 1)) > 0:
            answers += [self._answer(row, log_mel, self._segmenter.push(row)) for row, log_mel in self._hear(ready)]
        if answers:  # a copy, since what is left is a view that keeps the whole push in memory
            self._pieces = [self._pieces[0].copy()]
        return answers

    def finish(self) -> list[Answer]:
        """The rest: the last clip, which may lack samples, and all segments that were open. No sound, no answer."""
        if self._finished:
            return []
        self._keep(self._intake.finish())
        self._finished = True
        heard: list[tuple[np.ndarray, np.ndarray]] = []
        left = self._grid.steps(self._heard) - self._steps if self._heard else 0
        while left > len(heard):
            whole = (self._heard - self._steps * self._grid.step - self._grid.clip + 1) // self._grid.step + 1
            heard += self._hear(min(left - len(heard), BATCH, max(1, whole)))
        segments = self._segmenter.finish([row for row, _ in heard], self.seconds)
        answers = [self._answer(row, log_mel, []) for row, log_mel in heard[:-1]]
        return answers + [self._answer(row, log_mel, segments, last=True) for row, log_mel in heard[-1:]]

    def sounding(self) -> list[Segment]:
        """The segments that go on, as they are so far, for display. Each comes again, whole, when it is finished."""
        return self._shifted(self._segmenter.sounding())

    def _keep(self, samples: np.ndarray) -> None:
        if len(samples):
            self._pieces.append(samples)
            self._heard += len(samples)

    def _hear(self, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Probabilities and log-mel of the next ``count`` steps' clips; what no step needs any more is dropped."""
        waveform = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)
        step = self._grid.step
        probabilities, log_mel = self._listener.hear_clips(waveform[self._steps * step - self._first :], count, step)
        self._steps += count
        dropped = min(self._steps * step - self._first, len(waveform))
        self._pieces, self._first = [waveform[dropped:]], self._first + dropped
        return list(zip(probabilities, log_mel, strict=True))

    def _answer(self, row: np.ndarray, log_mel: np.ndarray, segments: list[Segment], last: bool = False) -> Answer:
        start, end = (self.start + self._segmenter.bound(step) for step in (self._given, self._given + 1))
        # The step's frames lie in the middle of its clip; the first and the last step reach to its ends.
        margin = max(0, (self._grid.clip_frames - self._grid.step_frames) // 2)
        frames = log_mel[margin if self._given else 0 : None if last else margin + self._grid.step_frames]
        self._given += 1
        best = int(row.argmax())
        label = self.labels[best] if row[best] > 0 else None
        return Answer(start, end, row, label, float(row[best]), frames, tuple(self._shifted(segments)))

    def _shifted(self, segments: list[Segment]) -> list[Segment]:
        return [replace(one, start=self.start + one.start, end=self.start + one.end) for one in segments]


def _step(recogniser: Recogniser, hop: float | None) -> int:
    if hop is not None:
        return recogniser.check_hop(hop)
    try:
        return recogniser.check_hop(HOP_S)
    except AinextError:
        return recogniser.check_hop(None)

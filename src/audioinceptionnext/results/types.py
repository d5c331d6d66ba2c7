"""The records that results are made of: segments, scores, and what a model recognised in one recording."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, slots=True)
class Segment:
    """A labelled stretch of a recording.

    Attributes:
        start, end: seconds from the recording's start.
        label: one of the model's labels.
        score: mean probability over the stretch, 0 to 1.
        task: that the label belongs to, of a model with several, such as ``verb``; None of other models.
    """

    start: float
    end: float
    label: str
    score: float
    task: str | None = None

    def as_dict(self, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object of one segment: times rounded to the millisecond, the score to 0.0001.

        Args:
            names: of labels in some language, see `RecognitionData`. The object has a ``name`` if there are any.
        """
        times = {"start": _rounded(self.start, 3), "end": _rounded(self.end, 3)}
        return {**times, **named_label(self.label, names), "score": _rounded(self.score, 4)} | _task(self.task)


@dataclass(frozen=True, slots=True)
class Score:
    """A label with its score, 0 to 1, and the task that it belongs to, as in `Segment`."""

    label: str
    score: float
    task: str | None = None


@dataclass(eq=False)  # arrays have no one truth value to compare by
class RecognitionData:
    """What a model recognised in one recording, as data. `Recognition` adds tables, files and pictures.

    Attributes:
        file: the recording's name as it was given; empty for an array.
        duration: in seconds.
        model: the model's name.
        clip: the most probable labels of the recording as a whole, best first; of a model with several tasks those of
            the first task, then those of the next.
        segments: ordered by start.
        labels: the model's labels, one per class.
        probabilities: (steps, classes) float32, not smoothed; all 0 in digital silence.
        step_seconds: time from one step to the next.
        window_seconds: length of the window that each step sees; of a fine timeline, the length of a step.
        log_mel: (columns, bands), a log-mel of the whole duration that is small enough to draw.
        sample_rate: of the model, in Hz; the log-mel's bands reach up to half of it.
        warnings: what was wrong with the file, such as a damaged end; one line each, without the file's name.
        onset_threshold: the lowest onset threshold of the labels that have segments, or else of all, drawn in the
            picture.
        tasks: the names and sizes of consecutive parts of the labels, as in `Recogniser`; empty for most models.
        window_probabilities: (windows, classes) float32, of the model's windows, whose mean is ``clip``. They are the
            ``probabilities`` unless the timeline is a fine one.
        names: of the labels in the language that was asked for, which `Recogniser.in_language` sets; empty if none was.
    """

    file: str
    duration: float
    model: str
    clip: list[Score]
    segments: list[Segment]
    labels: tuple[str, ...] = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    step_seconds: float
    window_seconds: float
    log_mel: np.ndarray | None = field(repr=False, default=None)
    sample_rate: int = 24_000
    warnings: list[str] = field(default_factory=list)
    onset_threshold: float = 0.5
    tasks: dict[str, int] = field(default_factory=dict)
    window_probabilities: np.ndarray = field(repr=False, default=None)  # type: ignore[arg-type]  # see below
    names: Mapping[str, str] = field(repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.window_probabilities is None:
            self.window_probabilities = self.probabilities

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of one recording: times rounded to the millisecond, scores rounded down to 0.0001."""
        scores = _rounded_down([score.score for score in self.clip])
        return {
            "file": self.file,
            "duration": _rounded(self.duration, 3),
            "model": self.model,
            "clip": [
                {**named_label(one.label, self.names), "score": score} | _task(one.task)
                for one, score in zip(self.clip, scores, strict=True)
            ],
            "segments": [segment.as_dict(self.names) for segment in self.segments],
        }

    def named(self) -> Self:
        """The same result with names in place of labels, for people to read. Programs need the labels."""
        if not self.names:
            return self
        names = self.names
        return replace(
            self,
            clip=[replace(one, label=names.get(one.label, one.label)) for one in self.clip],
            segments=[replace(one, label=names.get(one.label, one.label)) for one in self.segments],
            labels=tuple(names.get(label, label) for label in self.labels),
            names={},
        )


def named_label(label: str | None, names: Mapping[str, str] | None) -> dict[str, str | None]:
    """What JSON says of a label: its name too, if a language was asked for. A silent step has no label."""
    return {"label": label, "name": names.get(label, label)} if names and label is not None else {"label": label}


def _rounded(value: float, digits: int) -> float:
    """A number that JSON has: of Python's type, and 0 for NaN and infinity."""
    return round(float(value), digits) if math.isfinite(value) else 0.0


def _task(name: str | None) -> dict[str, str]:
    """What JSON says of a task: nothing, if the model has but one."""
    return {} if name is None else {"task": name}


def _rounded_down(scores: Sequence[float]) -> list[float]:
    """Scores with four decimals. If those of all labels sum to 1, so do these at most, in whatever order."""
    # Rounded down, or many together could exceed 1. In float32, 0.93 is a hair less and must stay 0.93.
    exact = [float(score) * 10_000 + 0.001 for score in scores]
    units = [math.floor(unit) if math.isfinite(unit) else 0 for unit in exact]
    if sum(units) == 10_000 and max(units) < 10_000:  # more than that have the labels of a multi-label model
        # 0.6 + 0.3 + 0.1 is just below 1, other tenths are just above it. Lowering the smallest keeps the order.
        smallest = max(index for index, unit in enumerate(units) if unit > 0)
        units[smallest] -= 1
    return [unit / 10_000 for unit in units]

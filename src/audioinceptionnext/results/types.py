"""The records that results are made of: segments, scores, and what a model recognised in one recording."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Segment:
    """One sound: from ``start`` to ``end`` seconds, with the mean probability over that stretch as its score."""

    start: float
    end: float
    label: str
    score: float

    def as_dict(self) -> dict[str, Any]:
        """As the JSON of `Recognition.as_dict` has it: times to the ms, score to 0.0001."""
        times = {"start": round(self.start, 3), "end": round(self.end, 3)}
        return {**times, "label": self.label, "score": round(self.score, 4)}


@dataclass(frozen=True, slots=True)
class Score:
    """How probable a label is, 0 to 1."""

    label: str
    score: float


@dataclass(eq=False)  # arrays have no one truth value to compare by
class RecognitionData:
    """What a model heard in one recording."""

    file: str
    duration: float  # seconds
    model: str
    clip: list[Score]  # the recording as a whole: the likeliest labels, best first
    segments: list[Segment]  # by start
    labels: tuple[str, ...] = field(repr=False)  # all class names of the model
    probabilities: np.ndarray = field(repr=False)  # (steps, classes) float32, unsmoothed; all 0 in digital silence
    hop: float  # seconds from one step's window to the next one's
    window: float  # seconds that each step hears
    log_mel: np.ndarray | None = field(repr=False, default=None)  # (columns, bands), spans the duration; drawn
    sample_rate: int = 24_000  # Hz; the log-mel's bands reach up to half of it
    warnings: list[str] = field(default_factory=list)  # what the user should know, such as a damaged ending
    threshold: float = 0.5  # the probability that a segment had to reach; for the picture

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that ``ainext predict --json`` prints for one file: times to the ms, scores to 0.0001."""
        scores = _rounded_scores([score.score for score in self.clip])
        return {
            "file": self.file,
            "duration": round(self.duration, 3),
            "model": self.model,
            "clip": [{"label": one.label, "score": score} for one, score in zip(self.clip, scores, strict=True)],
            "segments": [segment.as_dict() for segment in self.segments],
        }


def _rounded_scores(scores: Sequence[float]) -> list[float]:
    """Scores to four decimals which sum to at most 1, in whatever order they are added."""
    # Down, not to the nearest, or many could together pass 1; 0.93 in float32 is a hair less and must stay 0.93.
    units = [math.floor(score * 10_000 + 0.001) for score in scores]
    if sum(units) >= 10_000 and max(units) < 10_000:
        # 0.6 + 0.3 + 0.1 is just below 1 and other tenths are just above. The smallest gives way: the order is kept.
        smallest = max(index for index, unit in enumerate(units) if unit > 0)
        units[smallest] -= 1
    return [unit / 10_000 for unit in units]

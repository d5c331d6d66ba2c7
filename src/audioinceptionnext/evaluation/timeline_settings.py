"""How the probabilities of a fine timeline become segments: the settings that fit best where the times are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from audioinceptionnext.evaluation.events import RESOLUTION, STRICT, Counts, EventScores, score_events
from audioinceptionnext.results.segmentation import SegmentationSettings, find_segments
from audioinceptionnext.results.types import Segment

THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9)
#: What is tried of each setting, one setting after the other, the most important one first.
TRIED: dict[str, tuple[float, ...]] = {
    "onset_threshold": THRESHOLDS,
    "offset_share": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0),
    "smoothing": (0.0, 0.15, 0.25, 0.35, 0.45, 0.65),
    "merge_gap": (0.0, 0.2, 0.4, 0.6, 0.8, 1.2),
    "min_duration": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
}
START = {"onset_threshold": 0.5, "offset_share": 0.4, "smoothing": 0.25, "merge_gap": 0.6, "min_duration": 0.2}
NOTHING = EventScores(Counts(), Counts(), np.zeros(0), np.zeros(0))
PRIOR_EVENTS = 30  # for a label's own threshold, all labels together count as so many of its events


class Predicted(NamedTuple):
    """One recording.

    Attributes:
        probabilities: (steps, classes) float32.
        truth: what sounds in it.
    """

    probabilities: np.ndarray
    truth: Sequence[Segment]


def choose_segmentation(recordings: Sequence[Predicted], step_seconds: float, labels: Sequence[str]) -> dict[str, Any]:
    """The settings with the highest mean of segment-based and event-based F1 (with the collars `STRICT`).

    One setting after the other is chosen, twice, and then a threshold for each label. A label with few events has one
    that is close to best for all labels, since its own events are counted together with a share of all others.

    Args:
        recordings: none of which the model learnt from.
        step_seconds: from one step to the next.
        labels: one per class.

    Returns:
        ``thresholds`` (one per label), ``offset_share``, ``smoothing``, ``merge_gap`` and ``min_duration``, as
        `StoredModel.segmentation` takes them.

    >>> choose_segmentation([Predicted(probabilities, truth)], 0.05, ["kettle"])["thresholds"]
    [0.45]
    """
    chosen = dict(START)
    best = _goodness(_score(recordings, step_seconds, labels, chosen))
    for name in (*TRIED, *TRIED):
        for value in TRIED[name]:
            tried = chosen | {name: value}
            if value == chosen[name]:
                continue
            found = _goodness(_score(recordings, step_seconds, labels, tried))
            if found > best:
                best, chosen = found, tried
    overall = chosen.pop("onset_threshold")
    scores = {
        threshold: _scores_by_label(recordings, step_seconds, labels, chosen | {"onset_threshold": threshold})
        for threshold in sorted({*THRESHOLDS, overall})
    }
    totals = {threshold: sum(every.values(), NOTHING) for threshold, every in scores.items()}
    return {"thresholds": [_threshold_of(label, scores, totals, overall) for label in labels], **chosen}


def _threshold_of(
    label: str, scores: dict[float, dict[str, EventScores]], totals: dict[float, EventScores], overall: float
) -> float:
    """The threshold that suits a label best, with `PRIOR_EVENTS` of all labels beside its own."""

    def goodness(threshold: float) -> float:
        total, own = totals[threshold], scores[threshold][label]
        found = []
        for name in ("segments", "events"):
            counts = [
                np.array([c.true_positives, c.false_positives, c.false_negatives], float)
                for c in (getattr(own, name), getattr(total, name))
            ]
            share = PRIOR_EVENTS / max(1.0, float(counts[1][0] + counts[1][2]))
            hit, extra, missed = counts[0] + share * counts[1]
            found.append(2 * hit / max(1e-9, 2 * hit + extra + missed))
        return sum(found)

    return max(scores, key=lambda threshold: (goodness(threshold), -abs(threshold - overall)))


def _goodness(scores: EventScores) -> float:
    """The mean of both F1, 0 to 1."""
    return float(np.nan_to_num([scores.segments.f1, scores.events.f1]).mean())


def _settings(values: dict[str, float]) -> SegmentationSettings:
    threshold, others = values["onset_threshold"], dict(values)
    del others["onset_threshold"]
    return SegmentationSettings.from_threshold(threshold, **others)


def _pairs(
    recordings: Sequence[Predicted], step_seconds: float, labels: Sequence[str], values: dict[str, float]
) -> list[tuple[Sequence[Segment], list[Segment]]]:
    """The true and the found segments of each recording."""
    settings = _settings(values)
    return [
        (truth, find_segments(rows, step_seconds, step_seconds, len(rows) * step_seconds, labels, settings))
        for rows, truth in recordings
    ]


def _score(
    recordings: Sequence[Predicted], step_seconds: float, labels: Sequence[str], values: dict[str, float]
) -> EventScores:
    return score_events(_pairs(recordings, step_seconds, labels, values), RESOLUTION, STRICT)


def _scores_by_label(
    recordings: Sequence[Predicted], step_seconds: float, labels: Sequence[str], values: dict[str, float]
) -> dict[str, EventScores]:
    pairs = _pairs(recordings, step_seconds, labels, values)
    return {
        label: score_events(
            [
                ([one for one in truth if one.label == label], [one for one in found if one.label == label])
                for truth, found in pairs
            ],
            RESOLUTION,
            STRICT,
        )
        for label in labels
    }

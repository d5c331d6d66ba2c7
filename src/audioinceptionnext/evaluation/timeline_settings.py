"""How the probabilities of a fine timeline become segments: the settings that fit best where the times are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from audioinceptionnext.evaluation.events import RESOLUTION, STRICT, Counts, EventScores, score_events
from audioinceptionnext.results.segmentation import find_segments
from audioinceptionnext.results.settings import BY_CLASS, ONSET_THRESHOLD, SegmentationSettings
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
#: What each label may have its own value of, in the order in which these are chosen.
OWN = ("onset_threshold", "min_duration", "smoothing")
NOTHING = EventScores(Counts(), Counts(), np.zeros(0), np.zeros(0))
# For a label's own value, all labels together count as so many of its events. With fewer, thresholds and, above all,
# minimum durations fit the chance of a dozen events: both F1 of other recordings fall.
PRIOR_EVENTS = 120
Values = dict[str, float | list[float]]


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

    One setting after the other is chosen, twice, and then a threshold, a minimum duration and a smoothing for each
    label. A label with few events has values that are close to best for all labels, since its own events are counted
    together with a share of all others.

    Args:
        recordings: none of which the model learnt from.
        step_seconds: from one step to the next.
        labels: one per class.

    Returns:
        ``thresholds`` (one per label), ``min_duration`` and ``smoothing`` (one per label, or one number if all labels
        have the same), ``offset_share`` and ``merge_gap``, as `StoredModel.segmentation` takes them.

    >>> choose_segmentation([Predicted(probabilities, truth)], 0.05, ["kettle"])["thresholds"]
    [0.45]
    """
    chosen: Values = dict(START)
    best = _goodness(_score(recordings, step_seconds, labels, chosen))
    for name in (*TRIED, *TRIED):
        for value in TRIED[name]:
            tried = chosen | {name: value}
            if value == chosen[name]:
                continue
            found = _goodness(_score(recordings, step_seconds, labels, tried))
            if found > best:
                best, chosen = found, tried
    for name in OWN:
        own = _own_values(name, recordings, step_seconds, labels, chosen)
        chosen[name] = own[0] if name != "onset_threshold" and len(set(own)) == 1 else own
    return {"thresholds": chosen.pop("onset_threshold"), **chosen}


def _own_values(
    name: str, recordings: Sequence[Predicted], step_seconds: float, labels: Sequence[str], chosen: Values
) -> list[float]:
    """The value of a setting that suits each label best, with `PRIOR_EVENTS` of all labels beside its own."""
    shared = chosen[name]
    assert isinstance(shared, float)
    scores = {
        value: _scores_by_label(recordings, step_seconds, labels, chosen | {name: value})
        for value in sorted({*TRIED[name], shared})
    }
    totals = {value: sum(every.values(), NOTHING) for value, every in scores.items()}
    own = []
    for label in labels:
        goodness = {value: _pooled(scores[value][label], totals[value]) for value in scores}
        own.append(max(scores, key=lambda value: (goodness[value], -abs(value - shared))))
    return own


def _pooled(own: EventScores, total: EventScores) -> float:
    """The sum of both F1 of a label, 0 to 2, with a share of all labels' events."""
    found = 0.0
    for one, every in ((own.segments, total.segments), (own.events, total.events)):
        counts = [np.array([c.true_positives, c.false_positives, c.false_negatives], float) for c in (one, every)]
        share = PRIOR_EVENTS / max(1.0, float(counts[1][0] + counts[1][2]))
        hit, extra, missed = counts[0] + share * counts[1]
        found += 2 * hit / max(1e-9, 2 * hit + extra + missed)
    return found


def _goodness(scores: EventScores) -> float:
    """The mean of both F1, 0 to 1."""
    return float(np.nan_to_num([scores.segments.f1, scores.events.f1]).mean())


def _settings(values: Values) -> SegmentationSettings:
    own: Any = {BY_CLASS[name]: tuple(value) for name, value in values.items() if isinstance(value, list)}
    shared = {name: value for name, value in values.items() if not isinstance(value, list)}
    return SegmentationSettings.from_threshold(shared.pop("onset_threshold", ONSET_THRESHOLD), **shared, **own)


def _pairs(
    recordings: Sequence[Predicted], step_seconds: float, labels: Sequence[str], values: Values
) -> list[tuple[Sequence[Segment], list[Segment]]]:
    """The true and the found segments of each recording."""
    settings = _settings(values)
    return [
        (truth, find_segments(rows, step_seconds, step_seconds, len(rows) * step_seconds, labels, settings))
        for rows, truth in recordings
    ]


def _score(recordings: Sequence[Predicted], step_seconds: float, labels: Sequence[str], values: Values) -> EventScores:
    return score_events(_pairs(recordings, step_seconds, labels, values), RESOLUTION, STRICT)


def _scores_by_label(
    recordings: Sequence[Predicted], step_seconds: float, labels: Sequence[str], values: Values
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

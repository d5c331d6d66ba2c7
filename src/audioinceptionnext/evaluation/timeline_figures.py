"""The figures of timelines, over all labels and of each, with bootstrap intervals over recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audioinceptionnext.evaluation.events import (
    RESOLUTION,
    Collars,
    Counts,
    event_counts,
    match_by_overlap,
    score_events,
    segment_counts,
)
from audioinceptionnext.evaluation.intervals import (
    MAX_WEIGHTS,
    draw_weights,
    group_numbers,
    interval,
    known,
    mean_of_known,
    sources,
)
from audioinceptionnext.evaluation.timelines import Timeline

KINDS = ("segment", "event")
EDGES = ("onset", "offset")
#: Bounds of the bins of the error histograms, in seconds; errors beyond them are counted in the first and last bin.
BINS = np.round(np.arange(-1.0, 1.0001, 0.05), 2)


@dataclass(frozen=True)
class _Counted:
    """What is summed over recordings.

    Attributes:
        counts: (recordings, labels, kinds, 3): true positives, false positives and false negatives, see `Counts`.
        errors: (pairs, 2): how far off the onset and the offset of an event are, in seconds.
        recordings, labels: (pairs,): of which recording and label they are, as indices.
    """

    counts: np.ndarray
    errors: np.ndarray
    recordings: np.ndarray
    labels: np.ndarray


def timeline_figures(
    timelines: Sequence[Timeline], labels: Sequence[str], collars: Collars, resamples: int
) -> dict[str, Any]:
    """The figures of timelines.

    Args:
        timelines: at least one.
        labels: to which all segments belong.
        collars: how far off the times of an event may be that counts as right.
        resamples: of the bootstrap; whole recordings are drawn, or whole groups of them if the data set names groups. 0
            computes no intervals.

    Returns:
        ``segments`` and ``found``, how many true and estimated ones there are; ``collars`` and ``resolution``; the
        figures of `EventScores.as_dict`; ``segment_f1_macro`` and ``event_f1_macro``, the means in % over the labels
        that have true segments; ``histograms`` of the errors; ``per_label``; and ``intervals``, those of the 95 % that
        say something (see `intervals.known`). A label without true or estimated segments is not in ``per_label``.
    """
    counted = _count(timelines, labels, collars)
    total = score_events(((one.true, one.found) for one in timelines), RESOLUTION, collars)
    everything = np.ones((len(timelines), 1))
    measured = {name: float(values[0]) for name, values in _weighted(counted, everything).items()}
    figures: dict[str, Any] = {
        "segments": sum(len(one.true) for one in timelines),
        "found": sum(len(one.found) for one in timelines),
        "collars": asdict(collars),
        "resolution": RESOLUTION,
        **total.as_dict(),
        **{name: value for name, value in measured.items() if name.endswith("_macro")},
        "histograms": {edge: _histogram(counted.errors[:, place]) for place, edge in enumerate(EDGES)},
    }
    per_label = {label: own for place, label in enumerate(labels) if (own := _of_label(counted, place)) is not None}
    figures["per_label"] = per_label
    if resamples:
        _add_intervals(figures, counted, [one.recording.group for one in timelines], labels, resamples)
    return figures


def _count(timelines: Sequence[Timeline], labels: Sequence[str], collars: Collars) -> _Counted:
    counts = np.zeros((len(timelines), len(labels), len(KINDS), 3))
    rows: list[tuple[float, float, int, int]] = []
    index = {label: place for place, label in enumerate(labels)}
    for number, one in enumerate(timelines):
        for label in {event.label for event in (*one.true, *one.found)}:
            true, found = ([event for event in events if event.label == label] for events in (one.true, one.found))
            for kind, own in enumerate((segment_counts(true, found), event_counts(true, found, collars))):
                row = own.true_positives, own.false_positives, own.false_negatives
                counts[number, index[label], kind] = row
            for i, j in match_by_overlap(true, found):
                off = found[j].start - true[i].start, found[j].end - true[i].end
                rows.append((*off, number, index[label]))
    table = np.array(rows, float).reshape(-1, 4)
    return _Counted(counts, table[:, :2], table[:, 2].astype(int), table[:, 3].astype(int))


def _of_label(counted: _Counted, place: int) -> dict[str, Any] | None:
    """The figures of one label; None if it has neither true nor estimated segments."""
    segment, event = (Counts(*map(int, row)) for row in counted.counts[:, place].sum(axis=0))
    true = event.true_positives + event.false_negatives
    if not true and not event.false_positives:
        return None
    errors = counted.errors[counted.labels == place]
    figures: dict[str, Any] = {"segments": true, "found": event.true_positives + event.false_positives}
    figures |= {"segment_f1": 100 * segment.f1, "event_f1": 100 * event.f1}
    figures |= {"event_precision": 100 * event.precision, "event_recall": 100 * event.recall}
    for column, edge in enumerate(EDGES):
        off = errors[:, column]
        figures[f"{edge}_median"] = float(np.median(np.abs(off))) if len(off) else math.nan
        figures[f"{edge}_bias"] = float(np.median(off)) if len(off) else math.nan
    return figures


def _histogram(errors: np.ndarray) -> dict[str, list[Any]]:
    inside = np.clip(errors, BINS[0] + 1e-6, BINS[-1] - 1e-6)
    return {"bounds": BINS.tolist(), "counts": np.histogram(inside, BINS)[0].tolist()}


def _add_intervals(
    figures: dict[str, Any],
    counted: _Counted,
    groups: Sequence[str | None],
    labels: Sequence[str],
    resamples: int,
) -> None:
    members = group_numbers(groups)
    widest = max(1, len(groups), len(counted.recordings), counted.counts[0].size)
    chunks = [_weighted(counted, weights) for weights in draw_weights(members, resamples, 0, MAX_WEIGHTS // widest + 1)]
    values = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    if sources(groups) < len(groups):
        figures["sources"] = sources(groups)

    def of(own: dict[str, Any], suffix: str = "") -> dict[str, list[float]]:
        found = {
            name: interval(values[name + suffix], own[name], 0.95)
            for name in own
            if name + suffix in values and own[name] is not None
        }
        return known(own, found, groups)

    figures["intervals"] = of(figures)
    for place, label in enumerate(labels):
        if label in figures["per_label"]:
            own = figures["per_label"][label]
            own["intervals"] = of(own, f" {place}")


def _weighted(counted: _Counted, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The figures that have intervals, if each recording is counted as often as its weight says.

    Args:
        weights: (recordings, resamples).

    Returns:
        An array (resamples,) for each figure; the F1 of a label is called by the figure's name and the label's number.
    """
    counts = np.einsum("rlkc,rs->lkcs", counted.counts, weights)
    found = {}
    for kind, name in enumerate(KINDS):
        own = counts[:, kind]  # (labels, 3, resamples)
        found[f"{name}_f1"] = f1_of(own.sum(axis=0))
        per_label = f1_of(own.swapaxes(0, 1))
        present = own[:, 0] + own[:, 2] > 0
        with np.errstate(invalid="ignore"):
            found[f"{name}_f1_macro"] = mean_of_known(np.where(present, per_label, np.nan))
        found |= {f"{name}_f1 {place}": values for place, values in enumerate(per_label)}
    of_pairs = weights[counted.recordings]
    for column, edge in enumerate(EDGES):
        errors = counted.errors[:, column]
        found[f"{edge}_median"] = weighted_median(np.abs(errors), of_pairs)
        found[f"{edge}_bias"] = weighted_median(errors, of_pairs)
    return found


def f1_of(counts: np.ndarray) -> np.ndarray:
    """(3, ...) true positives, false positives and false negatives to (...): F1 in %; NaN where all three are 0."""
    right, extra, missed = counts
    with np.errstate(invalid="ignore"):
        return 200 * right / (2 * right + extra + missed)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The medians of values that are each counted as often as their weights say.

    Args:
        values: (n,).
        weights: (n, resamples) whole numbers.

    Returns:
        (resamples,); NaN where all weights are 0.

    >>> weighted_median(np.array([3.0, 1.0, 2.0]), np.array([[1, 0], [1, 2], [1, 2]]))
    array([2. , 1.5])
    """
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order], axis=0)
    if not len(values):
        return np.full(weights.shape[1], np.nan)
    half = total[-1] / 2
    lower, upper = (total >= half).argmax(axis=0), (total > half).argmax(axis=0)
    middle = (values[order][lower] + values[order][upper]) / 2
    return np.where(half > 0, middle, np.nan)

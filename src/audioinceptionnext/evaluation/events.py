"""How well a timeline agrees with the true one: segment-based and event-based F1, and the errors of its times.

The metrics are those of A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event detection",
Applied Sciences 6(6):162, 2016. Counts are summed over classes and recordings before any ratio is taken (micro
average), so that every second or event has the same weight, however rare its class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from audioinceptionnext.results.types import Segment

RESOLUTION = 1.0  # seconds; length of a segment in segment-based figures
COLLAR = 0.5  # seconds by which an onset may be off in event-based figures that ignore offsets
EPSILON_S = 1e-9  # seconds: two steps of 0.16 s are 0.32 s, whatever floating point says

Events = Sequence[Segment]


@dataclass(frozen=True)
class Collars:
    """How far off the times of an event may be that counts as right.

    Attributes:
        onset: seconds by which an onset may be off.
        offset: seconds by which an offset may be off; infinite if offsets do not matter.
        offset_share: the same as a share of the true event's length; of both limits, the wider one holds.

    Raises:
        ValueError: one of them is below 0 or not a number.
    """

    onset: float = COLLAR
    offset: float = math.inf
    offset_share: float = 0.0

    def __post_init__(self) -> None:
        for name in ("onset", "offset", "offset_share"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give seconds, 0 or more")


ONSETS_ONLY = Collars()
#: Those of DCASE, task 4: onsets within 0.2 s, offsets within 0.2 s or 20 % of the event.
STRICT = Collars(0.2, 0.2, 0.2)


@dataclass(frozen=True)
class Counts:
    """What was reported rightly, what was reported but is not there, and what is there but was not reported."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )

    @property
    def precision(self) -> float:
        """TP / (TP + FP), 0 to 1; NaN if nothing was reported."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), 0 to 1; NaN if there is nothing to report."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), 0 to 1: the harmonic mean of precision and recall. NaN if all three counts are 0."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)


@dataclass(frozen=True)
class EventScores:
    """The figures of one or many recordings.

    Attributes:
        segments: from `segment_counts`.
        events: from `event_counts`.
        onset_errors: (pairs,) seconds: the estimated onset minus the true one, for each pair of `match_by_overlap`.
        offset_errors: (pairs,) the same of the offsets.
    """

    segments: Counts
    events: Counts
    onset_errors: np.ndarray
    offset_errors: np.ndarray

    def __add__(self, other: EventScores) -> EventScores:
        onsets = np.concatenate((self.onset_errors, other.onset_errors))
        offsets = np.concatenate((self.offset_errors, other.offset_errors))
        return EventScores(self.segments + other.segments, self.events + other.events, onsets, offsets)

    def as_dict(self) -> dict[str, float]:
        """F1, precision and recall in %, and errors of onsets and offsets in seconds. What is not defined is NaN.

        ``onset_median`` and ``onset_mean`` are of absolute errors, ``onset_bias`` is the median of the signed errors
        (below 0 if onsets are reported too early), and ``onset_pairs`` is their number. Offsets have the same figures,
        but their number, which is the same.
        """
        figures: dict[str, float] = {}
        for name, counts in (("segment", self.segments), ("event", self.events)):
            figures[f"{name}_f1"] = 100 * counts.f1
            figures[f"{name}_precision"] = 100 * counts.precision
            figures[f"{name}_recall"] = 100 * counts.recall
        for name, errors in (("onset", self.onset_errors), ("offset", self.offset_errors)):
            absolute = np.abs(errors)
            figures[f"{name}_median"] = float(np.median(absolute)) if len(errors) else math.nan
            figures[f"{name}_mean"] = float(absolute.mean()) if len(errors) else math.nan
            figures[f"{name}_bias"] = float(np.median(errors)) if len(errors) else math.nan
        figures["onset_pairs"] = len(self.onset_errors)
        return figures


def score_events(
    recordings: Iterable[tuple[Events, Events]], resolution: float = RESOLUTION, collars: Collars = ONSETS_ONLY
) -> EventScores:
    """Score the timelines of recordings together.

    Args:
        recordings: the true and the estimated events of each recording. Their order and scores do not matter.
        resolution: in seconds, see `segment_counts`.
        collars: see `event_counts`.

    Raises:
        ValueError: ``resolution`` is out of range.

    >>> reference, estimated = [Segment(1.0, 3.0, "tap", 1.0)], [Segment(1.2, 3.0, "tap", 0.8)]
    >>> score_events([(reference, estimated)]).as_dict()["event_f1"]
    100.0
    """
    total = EventScores(Counts(), Counts(), np.zeros(0), np.zeros(0))
    for reference, estimated in recordings:
        pairs = match_by_overlap(reference, estimated)
        onsets = np.array([estimated[j].start - reference[i].start for i, j in pairs], dtype=float)
        offsets = np.array([estimated[j].end - reference[i].end for i, j in pairs], dtype=float)
        total += EventScores(
            segment_counts(reference, estimated, resolution),
            event_counts(reference, estimated, collars),
            onsets,
            offsets,
        )
    return total


def segment_counts(reference: Events, estimated: Events, resolution: float = RESOLUTION) -> Counts:
    """Counts over the segments of a fixed grid: one for each label that is active in a segment.

    The recording is divided into segments [k r, (k + 1) r). A label is active in every segment into which one of its
    events reaches, however little: from floor(start / r) to ceil(end / r) - 1. With R and E the sets of active (label,
    segment) pairs, TP = |R and E|, FP = |E without R|, FN = |R without E|.

    Args:
        reference: the true events.
        estimated: the estimated events.
        resolution: r, in seconds.

    Raises:
        ValueError: ``resolution`` is not above 0.
    """
    if not resolution > 0:
        raise ValueError(f"resolution is {resolution}: give seconds above 0")
    true, found = _active(reference, resolution), _active(estimated, resolution)
    return Counts(len(true & found), len(found - true), len(true - found))


def event_counts(reference: Events, estimated: Events, collars: Collars = ONSETS_ONLY) -> Counts:
    """Counts over whole events, of which those are right that `match_by_collars` pairs.

    Args:
        reference: the true events.
        estimated: the estimated events.
        collars: how far off onsets and offsets may be. Unless given, offsets do not matter: where a sound dies away is
            a matter of taste.
    """
    matched = len(match_by_collars(reference, estimated, collars))
    return Counts(matched, len(estimated) - matched, len(reference) - matched)


def match_by_collars(reference: Events, estimated: Events, collars: Collars = ONSETS_ONLY) -> list[tuple[int, int]]:
    """Pairs of true and estimated events with the same label whose times agree within the collars.

    There are as many pairs as possible (a maximum bipartite matching, as in sed_eval). Times that are off by exactly a
    collar agree.

    Returns:
        Indices into ``reference`` and ``estimated``, each at most once, in the order of ``reference``.
    """
    if not reference or not estimated:
        return []
    true, found = (np.array([(one.start, one.end) for one in events]) for events in (reference, estimated))
    off = np.abs(true[:, None] - found)  # (reference, estimated, 2)
    limit = np.maximum(collars.offset, collars.offset_share * (true[:, 1] - true[:, 0]))
    same = np.array([one.label for one in reference])[:, None] == np.array([one.label for one in estimated])
    fits = same & (off[..., 0] <= collars.onset + EPSILON_S) & (off[..., 1] <= limit[:, None] + EPSILON_S)
    columns = maximum_bipartite_matching(csr_matrix(fits), perm_type="column")
    return [(i, j) for i, j in enumerate(columns.tolist()) if j >= 0]


def match_by_overlap(reference: Events, estimated: Events) -> list[tuple[int, int]]:
    """Pairs of true and estimated events that have the same label and overlap in time.

    The pair with the longest overlap is taken first, then the longest among the events that are left, and so on. If one
    sound was reported in several pieces, its longest piece stands for it. Unlike `match_by_collars`, this includes
    times that are far off, so that errors beyond the collars are seen.

    Returns:
        Indices into ``reference`` and ``estimated``, each at most once, in the order of ``reference``.
    """
    common = [
        (min(true.end, found.end) - max(true.start, found.start), i, j)
        for i, true in enumerate(reference)
        for j, found in enumerate(estimated)
        if true.label == found.label
    ]
    pairs: dict[int, int] = {}
    for overlap, i, j in sorted(common, key=lambda one: (-one[0], one[1], one[2])):
        if overlap > EPSILON_S and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return sorted(pairs.items())


def _active(events: Events, resolution: float) -> set[tuple[str, int]]:
    return {
        (event.label, k)
        for event in events
        for k in range(math.floor(event.start / resolution + EPSILON_S), math.ceil(event.end / resolution - EPSILON_S))
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan

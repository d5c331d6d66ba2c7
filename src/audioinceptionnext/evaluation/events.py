"""How well a timeline agrees with the true one: segment-based and event-based F1, and the error of the onsets.

Defined as in A. Mesaros, T. Heittola and T. Virtanen, "Metrics for polyphonic sound event detection", Applied Sciences
6(6):162, 2016. Counts are summed over classes and recordings before any ratio is taken (micro average), so that every
second or event weighs the same, however rare its class.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from audioinceptionnext.results.types import Segment

RESOLUTION = 1.0  # seconds of a segment in segment-based figures
COLLAR = 0.5  # seconds that an onset may be off in event-based figures
TINY = 1e-9  # seconds: two hops of 0.16 s are 0.32 s, whatever floating point says

Events = Sequence[Segment]


@dataclass(frozen=True)
class Counts:
    """What was right, what was reported and is not there, and what is there and was not reported."""

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
        """TP / (TP + FP), 0 to 1; NaN where nothing was reported."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN), 0 to 1; NaN where there is nothing to report."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), 0 to 1, the harmonic mean of precision and recall; NaN where all three are 0."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)


@dataclass(frozen=True)
class EventScores:
    """The figures of one or many recordings.

    Attributes:
        segments: counts of `segment_counts`.
        events: counts of `event_counts`.
        onset_errors: (matched,) seconds, estimated less true onset of each pair that `match_by_overlap` makes.
    """

    segments: Counts
    events: Counts
    onset_errors: np.ndarray

    def __add__(self, other: EventScores) -> EventScores:
        errors = np.concatenate((self.onset_errors, other.onset_errors))
        return EventScores(self.segments + other.segments, self.events + other.events, errors)

    def as_dict(self) -> dict[str, float]:
        """F1, precision and recall in %; onset errors in seconds; NaN where a figure is not defined.

        ``onset_median`` and ``onset_mean`` are of absolute errors, ``onset_bias`` is the median of the signed ones
        (below 0: reported too early), and ``onset_pairs`` says how many there are.
        """
        figures: dict[str, float] = {}
        for name, counts in (("segment", self.segments), ("event", self.events)):
            figures[f"{name}_f1"] = 100 * counts.f1
            figures[f"{name}_precision"] = 100 * counts.precision
            figures[f"{name}_recall"] = 100 * counts.recall
        errors, absolute = self.onset_errors, np.abs(self.onset_errors)
        figures["onset_median"] = float(np.median(absolute)) if len(errors) else math.nan
        figures["onset_mean"] = float(absolute.mean()) if len(errors) else math.nan
        figures["onset_bias"] = float(np.median(errors)) if len(errors) else math.nan
        figures["onset_pairs"] = len(errors)
        return figures


def score_events(
    recordings: Iterable[tuple[Events, Events]], resolution: float = RESOLUTION, collar: float = COLLAR
) -> EventScores:
    """The figures over all recordings.

    Args:
        recordings: the true events of each, and the estimated ones; their order and scores do not count.
        resolution, collar: seconds, as in `segment_counts` and `event_counts`.
    """
    total = EventScores(Counts(), Counts(), np.zeros(0))
    for reference, estimated in recordings:
        pairs = match_by_overlap(reference, estimated)
        errors = np.array([estimated[j].start - reference[i].start for i, j in pairs], dtype=float)
        total += EventScores(
            segment_counts(reference, estimated, resolution), event_counts(reference, estimated, collar), errors
        )
    return total


def segment_counts(reference: Events, estimated: Events, resolution: float = RESOLUTION) -> Counts:
    """Counts over the segments of a fixed grid: one for each segment and each label active in it.

    The recording is divided into segments [k r, (k + 1) r). A label is active in every segment that one of its events
    reaches into, however little: from floor(start / r) to ceil(end / r) - 1. With R and E the sets of active (label,
    segment) pairs, TP = |R and E|, FP = |E without R|, FN = |R without E|.

    Args:
        resolution: r, seconds.

    Raises:
        ValueError: a resolution that is not above 0.
    """
    if not resolution > 0:
        raise ValueError(f"resolution is {resolution}: give seconds, above 0")
    true, found = _active(reference, resolution), _active(estimated, resolution)
    return Counts(len(true & found), len(found - true), len(true - found))


def event_counts(reference: Events, estimated: Events, collar: float = COLLAR) -> Counts:
    """Counts over whole events: an estimate is right if it has the label and, within ``collar``, the onset of an event.

    Each event and each estimate is matched at most once. Offsets do not count: where a sound dies away is a matter of
    taste. Of each label, events and estimates are walked through by onset, and the two first ones are matched if they
    are close enough, otherwise the earlier one is passed over. With the same collar for all this gives the most matches
    possible: to leave out a pair of two first ones that fit never frees more than one match later.

    Args:
        collar: seconds; an onset off by just as much still counts.

    Raises:
        ValueError: a collar below 0.
    """
    if not collar >= 0:
        raise ValueError(f"collar is {collar}: give seconds, 0 or more")
    matched = sum(
        _close_onsets(_onsets(reference, label), _onsets(estimated, label), collar)
        for label in {event.label for event in reference}
    )
    return Counts(matched, len(estimated) - matched, len(reference) - matched)


def match_by_overlap(reference: Events, estimated: Events) -> list[tuple[int, int]]:
    """Pairs of true and estimated events that have a label and some time in common.

    The pair with the longest common stretch is taken first, then the longest of the events still free, and so on: where
    one sound was reported in pieces, its longest piece stands for it. Unlike `event_counts` this takes in onsets that
    are far off, so that errors above its collar are seen.

    Returns:
        Indices into ``reference`` and ``estimated``, each at most once, by reference.
    """
    common = [
        (min(true.end, found.end) - max(true.start, found.start), i, j)
        for i, true in enumerate(reference)
        for j, found in enumerate(estimated)
        if true.label == found.label
    ]
    pairs: dict[int, int] = {}
    for overlap, i, j in sorted(common, key=lambda one: (-one[0], one[1], one[2])):
        if overlap > TINY and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return sorted(pairs.items())


def _active(events: Events, resolution: float) -> set[tuple[str, int]]:
    return {
        (event.label, k)
        for event in events
        for k in range(math.floor(event.start / resolution + TINY), math.ceil(event.end / resolution - TINY))
    }


def _onsets(events: Events, label: str) -> list[float]:
    return sorted(event.start for event in events if event.label == label)


def _close_onsets(true: list[float], found: list[float], collar: float) -> int:
    """The most pairs of sorted onsets that are at most ``collar`` apart, each onset in one pair."""
    matched = i = j = 0
    while i < len(true) and j < len(found):
        if abs(true[i] - found[j]) <= collar + TINY:
            matched, i, j = matched + 1, i + 1, j + 1
        elif true[i] < found[j]:
            i += 1
        else:
            j += 1
    return matched


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan

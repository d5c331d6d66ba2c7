"""How probabilities become segments: thresholds, smoothing, merging and a minimum duration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from audioinceptionnext.errors import ParameterError

ONSET_THRESHOLD = 0.5  # unless the model or the user has another one
OFFSET_TO_ONSET = 0.6  # the offset threshold as a share of the onset threshold, unless it is given
MAX_SECONDS = 24 * 3600  # of smoothing, the shortest segment and the gap that is merged: more than any sound lasts
#: The settings that may differ by class, with the fields that hold one value per class.
BY_CLASS = {
    "onset_threshold": "class_thresholds",
    "smoothing": "class_smoothing",
    "min_duration": "class_min_durations",
}


@dataclass(frozen=True)
class SegmentationSettings:
    """How confident the model must be, and for how long, for a stretch to become a segment.

    Without ``class_thresholds``, raising ``onset_threshold`` never adds time to the segments.

    Attributes:
        onset_threshold: probability that a segment must reach in at least one (smoothed) step. Default 0.5.
        offset_threshold: a segment lasts as long as its probability stays at or above this. Default 0.3.
        smoothing: length of the moving average over the probabilities, in seconds; 0 turns it off. Default 0.32.
        min_duration: segments shorter than this many seconds are dropped, after merging. Default 0.3.
        merge_gap: segments of the same label that are closer together than this many seconds are merged; 0 turns it
            off. The default, 0.3, equals ``min_duration``, so that merging never covers a pause in which another sound
            worth reporting could lie.
        class_thresholds: one onset threshold per class, in place of ``onset_threshold``. The offset thresholds keep
            the ratio of ``offset_threshold`` to ``onset_threshold``. Empty by default.
        class_smoothing, class_min_durations: one value per class, in place of ``smoothing`` and ``min_duration``.
            Empty by default.

    Raises:
        ParameterError: a value is out of range.

    >>> SegmentationSettings.from_threshold(0.8).offset_threshold
    0.48
    """

    onset_threshold: float = ONSET_THRESHOLD
    offset_threshold: float = 0.3
    smoothing: float = 0.32
    min_duration: float = 0.3
    merge_gap: float = 0.3
    class_thresholds: tuple[float, ...] = ()
    class_smoothing: tuple[float, ...] = ()
    class_min_durations: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        thresholds = [("onset_threshold", self.onset_threshold), ("offset_threshold", self.offset_threshold)]
        for name, value in [*thresholds, *(("class_thresholds", value) for value in self.class_thresholds)]:
            check_probability(name, value)
        if self.offset_threshold > self.onset_threshold:
            reason = f"give at most {self.onset_threshold}, the onset threshold"
            raise ParameterError("offset_threshold", self.offset_threshold, reason)
        lengths = [(name, getattr(self, name)) for name in ("smoothing", "min_duration", "merge_gap")]
        for name in ("class_smoothing", "class_min_durations"):
            lengths += [(name, value) for value in getattr(self, name)]
        for name, value in lengths:
            if not (is_number(value) and 0 <= value <= MAX_SECONDS):  # false for NaN
                raise ParameterError(name, value, f"give a number of seconds from 0 to {MAX_SECONDS}, which is a day")

    @classmethod
    def from_threshold(
        cls, onset_threshold: float, offset_share: float = OFFSET_TO_ONSET, **others: Any
    ) -> SegmentationSettings:
        """Settings with this onset threshold; the offset threshold is a share of it unless it is among ``others``.

        They hold for all labels alike. `Recogniser.segmentation_settings` makes settings with a model's own thresholds.
        """
        check_probability("onset_threshold", onset_threshold)
        offset_threshold = offset_share * onset_threshold
        return cls(**{"onset_threshold": onset_threshold, "offset_threshold": offset_threshold, **others})

    def thresholds(self, classes: int) -> tuple[np.ndarray, np.ndarray]:
        """The onset and offset thresholds of each class, (classes,) each.

        Raises:
            ValueError: ``class_thresholds`` is for another number of classes.
        """
        onset = self.by_class("onset_threshold", classes)
        if not self.class_thresholds:
            return onset, np.full(classes, self.offset_threshold)
        return onset, onset * (self.offset_threshold / self.onset_threshold)

    def by_class(self, name: str, classes: int) -> np.ndarray:
        """A setting of each class, (classes,).

        Args:
            name: one of `BY_CLASS`.

        Raises:
            ValueError: its values are for another number of classes.
        """
        own: tuple[float, ...] = getattr(self, BY_CLASS[name])
        if own and len(own) != classes:
            raise ValueError(f"{len(own)} values of {BY_CLASS[name]} for {classes} classes")
        return np.array(own) if own else np.full(classes, getattr(self, name))

    def take(self, places: Sequence[int]) -> SegmentationSettings:
        """The settings of some of the classes, where they differ by class."""
        own = {name: getattr(self, name) for name in BY_CLASS.values()}
        taken: Any = {name: tuple(values[at] for at in places) for name, values in own.items() if values}
        return replace(self, **taken)


def check_probability(name: str, value: object, shown: object = None) -> None:
    """Raise `ParameterError` for a threshold that is no probability above 0; ``shown`` is the value in its message."""
    if not (is_number(value) and 0 < value <= 1):  # type: ignore[operator]  # false for NaN too
        raise ParameterError(name, value if shown is None else shown, "give a probability above 0 and at most 1")


def is_number(value: object) -> bool:
    """Whether a value is a real number, of Python or NumPy, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)

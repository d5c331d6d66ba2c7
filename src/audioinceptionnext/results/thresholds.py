"""Onset thresholds as people give them: one for all labels, or some by label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.results.labels import LabelSet
from audioinceptionnext.results.segmentation import ONSET_THRESHOLD, SegmentationSettings, check_probability

Threshold = float | Mapping[str, float]  # of all labels, or by label


def settings_for(
    labels: Sequence[str],
    own: Sequence[float],
    threshold: Threshold | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    settings: SegmentationSettings | None = None,
    onset_threshold: float | None = None,
    **others: Any,
) -> SegmentationSettings:
    """Settings for a model: its own thresholds, except where others are given.

    Args:
        labels: of the model, one per class.
        own: the model's onset thresholds, (classes,), or empty.
        threshold: the onset threshold of all labels; or a mapping from labels, patterns and groups (see `LabelSet`) to
            theirs. That of a label counts before that of a pattern or a group, and among these the last one.
        groups: of the labels, by name.
        settings: taken as they are, if they are given in place of ``threshold``.
        onset_threshold: that of the labels which ``threshold`` does not name; the model's own unless given.
        others: further settings, as for `SegmentationSettings`.

    Raises:
        ParameterError: a label does not exist, a value is out of range, or both thresholds and settings are given.

    >>> settings_for(["blender", "kettle"], [0.5, 0.7], {"blender": 0.9}).class_thresholds
    (0.9, 0.7)
    """
    if settings is not None:
        if threshold is not None:
            raise ParameterError("threshold", None, "the settings have thresholds, too; give only one of the two")
        return settings
    by_label: Mapping[str, float] = {}
    if isinstance(threshold, Mapping):
        by_label = threshold
    elif threshold is not None:
        check_probability("threshold", threshold)
        onset_threshold = float(threshold)
    settings = SegmentationSettings.from_threshold(
        ONSET_THRESHOLD if onset_threshold is None else onset_threshold, **others
    )
    if not by_label:
        return settings if onset_threshold is not None else replace(settings, class_thresholds=tuple(own))
    known = LabelSet(tuple(labels), groups=groups or {})
    chosen = list(own) if own and onset_threshold is None else [settings.onset_threshold] * len(labels)
    exact: dict[int, float] = {}
    for name, value in by_label.items():
        if not (places := known.find(str(name))):
            several = "," in str(name) and "=" in str(name)
            instead = "repeat threshold for each label" if several else known.nearest(str(name))
            raise ParameterError("threshold", None, f"there is no label {name!r}; {instead}")
        check_probability("threshold", value, f"{name}={value}")
        for place in places:
            (exact if known.is_label(str(name)) else chosen)[place] = float(value)  # type: ignore[index]
    return replace(settings, class_thresholds=tuple(exact.get(i, value) for i, value in enumerate(chosen)))


def parse_thresholds(texts: Iterable[str]) -> tuple[float | None, dict[str, float]]:
    """The threshold of all labels, None if there is none, and those by label.

    Raises:
        ParameterError: a text is neither a number nor a label with a number, or two texts contradict each other.

    >>> parse_thresholds(["0.5", "blender=0.9"])
    (0.5, {'blender': 0.9})
    """
    found: dict[str, float] = {}
    for text in texts:
        label, _, number = text.rpartition("=")  # a label may contain an equals sign, a number does not
        try:
            value = float(number)
        except ValueError:
            reason = "give a probability above 0 and at most 1, alone or with a label, as in blender=0.9"
            more = "; repeat it for each label" if "," in text else ""
            raise ParameterError("threshold", text or "empty", reason + more) from None
        check_probability("threshold", value, f"{label}={value}" if label else value)
        if found.setdefault(label, value) != value:
            reason = f"{label or 'the threshold of all labels'} has another value already; give one"
            raise ParameterError("threshold", text, reason)
    everywhere = found.pop("", None)
    return everywhere, found

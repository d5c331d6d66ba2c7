"""Onset thresholds as people give them: one for all labels, or some by label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

from audioinceptionnext.errors import FileError, ParameterError
from audioinceptionnext.results.labels import LabelSet
from audioinceptionnext.results.settings import BY_CLASS, ONSET_THRESHOLD, SegmentationSettings, check_probability

_SHOWN = 100  # characters of what was given that an error shows
# Of all labels, or by label; or several by label, of which each counts before those ahead of it.
Threshold = float | Mapping[str, float] | Sequence[Mapping[str, float]]


def settings_for(
    labels: Sequence[str],
    own: Sequence[float],
    threshold: Threshold | None = None,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    translations: Mapping[str, str] | None = None,
    settings: SegmentationSettings | None = None,
    onset_threshold: float | None = None,
    stated: Mapping[str, Any] | None = None,
    **others: Any,
) -> SegmentationSettings:
    """Settings for a model: its own, except where others are given.

    Args:
        labels: of the model, one per class.
        own: the model's onset thresholds, (classes,), or empty.
        threshold: the onset threshold of all labels; or a mapping from labels, patterns and groups (see `LabelSet`) to
            theirs. That of a label counts before that of a pattern or a group, and among these the last one. Of a list
            of such mappings, each counts before all that the ones ahead of it say.
        groups: of the labels, by name.
        translations: of labels and groups, which ``threshold`` may name too, see `LabelSet`.
        settings: taken as they are, if they are given in place of ``threshold``.
        onset_threshold: that of the labels which ``threshold`` does not name; the model's own unless given.
        stated: what the model itself states in place of the defaults of `SegmentationSettings`: ``offset_share`` (the
            offset threshold as a share of the onset threshold), ``smoothing``, ``min_duration`` and ``merge_gap``. The
            second and the third may be lists, with one value per label.
        others: further settings, as for `SegmentationSettings`; None is as good as none.

    Raises:
        ParameterError: a label does not exist, a value is out of range, or both thresholds and settings are given.

    >>> settings_for(["blender", "kettle"], [0.5, 0.7], {"blender": 0.9}).class_thresholds
    (0.9, 0.7)
    """
    if settings is not None:
        if threshold is not None:
            raise ParameterError("threshold", None, "the settings have thresholds, too; give only one of the two")
        return settings
    layers: list[Mapping[str, float]] = []
    if isinstance(threshold, Mapping):
        layers = [threshold]
    elif isinstance(threshold, Sequence) and threshold and all(isinstance(one, Mapping) for one in threshold):
        layers = list(threshold)
    elif threshold is not None:
        check_probability("threshold", threshold)
        onset_threshold = float(cast(float, threshold))
    given = {name: value for name, value in others.items() if value is not None}
    values: dict[str, Any] = {
        BY_CLASS[name] if isinstance(value, list) else name: tuple(value) if isinstance(value, list) else value
        for name, value in {**(stated or {}), **given}.items()
    }
    settings = SegmentationSettings.from_threshold(
        ONSET_THRESHOLD if onset_threshold is None else onset_threshold, **values
    )
    if not any(layers):
        return settings if onset_threshold is not None else replace(settings, class_thresholds=tuple(own))
    known = LabelSet(tuple(labels), groups=groups or {}, translations=translations or {})
    chosen = list(own) if own and onset_threshold is None else [settings.onset_threshold] * len(labels)
    for by_label in layers:
        texts = {str(name): value for name, value in by_label.items()}
        for name in sorted(texts, key=known.is_label):  # labels last, since these count
            if "," in name and "=" in name and not known.find(name):
                reason = f"no label matches {name[:_SHOWN]!r}; repeat threshold for each label"
                raise ParameterError("threshold", None, reason)
            places = known.find_or_raise(name, "threshold")
            check_probability("threshold", texts[name], f"{name}={texts[name]}")
            for place in places:
                chosen[place] = float(texts[name])
    return replace(settings, class_thresholds=tuple(chosen))


def parse_thresholds(texts: Iterable[str], or_else: str = "") -> tuple[float | None, dict[str, float]]:
    """The threshold of all labels, None if there is none, and those by label.

    Args:
        texts: a number, or a label, a pattern or a group with one, as in ``blender=0.9``.
        or_else: what else can be given, which the error for a text that is neither says.

    Raises:
        ParameterError: a text is neither a number nor a label with a number, or two texts contradict each other.

    >>> parse_thresholds(["0.5", "blender=0.9"])
    (0.5, {'blender': 0.9})
    """
    found: dict[str, float] = {}
    for text in texts:
        _add(text, found, or_else)
    everywhere = found.pop("", None)
    return everywhere, found


def read_thresholds(path: str | PathLike[str]) -> tuple[float | None, dict[str, float]]:
    """Thresholds from a text file in UTF-8, as `parse_thresholds` gives them.

    Each line holds a label, a pattern or a group with its threshold, as in ``Dog = 0.4``, or the threshold of all other
    labels alone. Empty lines, and those that begin with ``#``, do not count.

    Raises:
        FileError: the file cannot be read, or a line is none of these.

    >>> everywhere, by_label = read_thresholds("thresholds.txt")
    >>> settings = model.segmentation_settings(by_label, onset_threshold=everywhere)
    >>> model.predict("dinner.mp4", settings=settings)
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise FileError(path, f"cannot be read as text: {(reason or str(error)).lower()}") from error
    found: dict[str, float] = {}
    for number, line in enumerate(lines, start=1):
        try:
            if line.strip() and not line.lstrip().startswith("#"):
                _add(line.strip(), found)
        except ParameterError as error:
            raise FileError(path, f"line {number}: {error.reason}") from None
    everywhere = found.pop("", None)
    return everywhere, found


def _add(text: str, found: dict[str, float], or_else: str = "") -> None:
    """Add a threshold to those by label, where that of all labels has an empty one."""
    label, _, number = text.rpartition("=")  # a label may contain an equals sign, a number does not
    label = label.strip()
    try:
        value = float(number)
    except ValueError:
        reason = f"give a probability above 0 and at most 1, alone or with a label, as in blender=0.9{or_else}"
        more = "; repeat it for each label" if "," in text else ""
        raise ParameterError("threshold", text[:_SHOWN] or "empty", reason + more) from None
    check_probability("threshold", value, f"{label[:_SHOWN]}={value}" if label else value)
    if found.setdefault(label, value) != value:
        reason = f"{label[:_SHOWN] or 'the threshold of all labels'} has another value already; give one"
        raise ParameterError("threshold", text[:_SHOWN], reason)

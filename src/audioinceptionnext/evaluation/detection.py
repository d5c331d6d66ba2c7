"""The figures of the EPIC-SOUNDS detection challenge: average precision over classes, at five temporal overlaps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data.epic_videos import seconds_of
from audioinceptionnext.errors import FileError
from audioinceptionnext.evaluation.detection_file import Detections
from audioinceptionnext.evaluation.epic_sounds import BACKGROUND, CLASS, VIDEO, class_id, read_columns
from audioinceptionnext.evaluation.predictions import CLASSES, ID, readable
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS

IOUS = (0.1, 0.2, 0.3, 0.4, 0.5)  # intersection over union that a detection needs with an annotation
NAMES = tuple(f"at_{round(10 * iou):02d}" for iou in IOUS)


@dataclass(frozen=True, eq=False)
class Annotations:
    """Annotated segments of videos.

    Attributes:
        videos: (n,) the id of each one's video.
        classes: (n,) class ids, 0 to 43.
        segments: (n, 2) float64, start and end in seconds.
    """

    videos: tuple[str, ...]
    classes: np.ndarray
    segments: np.ndarray


def score_detections(detections: Detections, annotations: str | Path) -> dict[str, Any]:
    """Compute the challenge's figures, which equal those of its own scorer.

    The average precision of a class at a threshold: its detections are taken by falling score, of equal scores the
    one that stands last in the file. Each is matched to the annotation of its class and video that it overlaps most
    (of equal overlaps the later one), among those that no earlier detection has claimed and whose IoU with it reaches
    the threshold. A detection without a match is wrong. The precision at each match, made monotone (at least the
    precision at any later match), is averaged over all annotations of the class, found or not.

    The means are over the classes of the annotations. ``background`` is not among them, and detections of it, or of
    another class that the annotations lack, are left out. A video that the annotations lack is not: all that was
    detected in it is wrong.

    Args:
        detections: from `read_detections`.
        annotations: the published CSV or pickle with the class and the time stamps of each segment.

    Returns:
        ``map_at_01`` to ``map_at_05`` and their mean ``map_avg`` in %; the number of ``annotations`` that
        count, of ``detections`` in the file and of those ``left_out``, and of ``unknown_videos``; and ``per_class``, by
        label: ``ap_at_01`` to ``ap_at_05`` and ``ap_avg`` in %, ``annotations`` and ``detections``.

    Raises:
        FileError: the annotations cannot be read, or all of them are ``background``.

    >>> figures = score_detections(read_detections("test.json"), "EPIC_Sounds_validation.csv")
    >>> round(figures["map_avg"], 2)
    8.23
    """
    truth = read_annotations(annotations)
    classes = [int(number) for number in np.unique(truth.classes) if number != BACKGROUND]
    if not classes:
        raise FileError(annotations, "has no segments of another class than background")
    # By falling score; reversed twice, so that equal scores are in reversed order of the file.
    order = np.argsort(detections.score, kind="stable")[::-1]
    order = order[np.isin(detections.interaction[order], classes)]
    interaction = detections.interaction[order]
    right = _matched(detections, order, truth)
    per_class: dict[str, Any] = {}
    for number in classes:
        total, own = int((truth.classes == number).sum()), interaction == number
        aps = [100 * average_precision(row[own], total) for row in right]
        figures = dict(zip((f"ap_{name}" for name in NAMES), aps, strict=True)) | {"ap_avg": float(np.mean(aps))}
        per_class[EPIC_SOUNDS_LABELS[number]] = figures | {"annotations": total, "detections": int(own.sum())}
    return {
        **{f"map_{name}": _mean(per_class, f"ap_{name}") for name in (*NAMES, "avg")},
        "annotations": int((truth.classes != BACKGROUND).sum()),
        "detections": len(detections.score),
        "left_out": len(detections.score) - len(order),
        "unknown_videos": len(set(detections.videos) - set(truth.videos)),
        "per_class": per_class,
    }


def average_precision(right: np.ndarray, annotations: int) -> float:
    """The interpolated average precision of one class, 0 to 1.

    Args:
        right: (n,) bool, whether each detection has a match, by falling score.
        annotations: their number, at least 1.

    >>> average_precision(np.array([True, False, True]), 4)  # (1 + 2/3) / 4
    0.41666666666666663
    """
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    monotone = np.maximum.accumulate(precision[::-1])[::-1]
    return float(monotone[right].sum() / annotations)


def read_annotations(path: str | Path) -> Annotations:
    """Read the published CSV or pickle of annotations.

    Raises:
        FileError: as `read_targets`, or a time stamp is not of the form 00:00:02.069, or stops before it starts.
    """
    ids, videos, labels, starts, stops = read_columns(path, ID, VIDEO, CLASS, "start_timestamp", "stop_timestamp")
    segments = []
    for name, start, stop in zip(ids, starts, stops, strict=True):
        try:
            segments.append((seconds_of(str(start)), seconds_of(str(stop))))
        except ValueError:
            reason = f"{readable(name)} is from {start!r:.40} to {stop!r:.40}; time stamps are like 00:00:02.069"
            raise FileError(path, reason) from None
        if segments[-1][0] > segments[-1][1]:
            raise FileError(path, f"{readable(name)} stops at {stop:.40}, before it starts at {start:.40}")
    classes = [class_id(label, name, path) for name, label in zip(ids, labels, strict=True)]
    return Annotations(tuple(map(str, videos)), np.array(classes), np.array(segments))


def _matched(detections: Detections, order: np.ndarray, truth: Annotations) -> np.ndarray:
    """(thresholds, n): whether each detection has a match, in this order."""
    right = np.zeros((len(IOUS), len(order)), bool)
    places, numbers, overlaps = _overlaps(detections, order, truth)
    # Within a detection, the most overlapping annotation comes first, and of equal ones the later.
    ranked = np.lexsort((-numbers, -overlaps, places))
    places, numbers, overlaps = places[ranked], numbers[ranked], overlaps[ranked]
    for iou, row in zip(IOUS, right, strict=True):
        reached = overlaps >= iou
        claimed: set[int] = set()
        # Annotations of all classes and videos at once: those of one group are claimed by its detections alone.
        for place, number in zip(places[reached].tolist(), numbers[reached].tolist(), strict=True):
            if number not in claimed and not row[place]:
                claimed.add(number)
                row[place] = True
    return right


def _overlaps(
    detections: Detections, order: np.ndarray, truth: Annotations
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of a detection and an annotation of its class and video that overlap enough for the lowest threshold.

    Returns:
        (pairs,) each: the detection's place in ``order``, the annotation's number, and the IoU of the two.
    """
    index = {video: number for number, video in enumerate(detections.videos)}
    found = detections.video[order] * CLASSES + detections.interaction[order]
    true = np.array([index.get(video, -1) for video in truth.videos]) * CLASSES + truth.classes
    by_group, by_true = np.argsort(found, kind="stable"), np.argsort(true, kind="stable")
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for group in np.intersect1d(found, true):
        places = by_group[slice(*np.searchsorted(found[by_group], (group, group + 1)))]
        numbers = by_true[slice(*np.searchsorted(true[by_true], (group, group + 1)))]
        ious = _iou(detections.segment[order[places]], truth.segments[numbers])
        one, other = np.nonzero(ious >= IOUS[0])
        parts.append((places[one], numbers[other], ious[one, other]))
    if not parts:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    return tuple(map(np.concatenate, zip(*parts, strict=True)))  # type: ignore[return-value]


def _iou(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(n, m): intersection over union of segments (n, 2) with segments (m, 2)."""
    start = np.maximum(found[:, None, 0], true[None, :, 0])
    end = np.minimum(found[:, None, 1], true[None, :, 1])
    common = np.maximum(end - start, 0)
    return common / ((found[:, 1] - found[:, 0])[:, None] + (true[:, 1] - true[:, 0])[None] - common)


def _mean(per_class: dict[str, dict[str, float]], key: str) -> float:
    return float(np.mean([figures[key] for figures in per_class.values()]))

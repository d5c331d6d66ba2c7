"""Scores the timeline of a model against annotated segments: step by step, and as segments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.annotated import step_targets
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.evaluate import map_labels
from audioinceptionnext.evaluation.events import score_events
from audioinceptionnext.evaluation.metrics import ranking
from audioinceptionnext.evaluation.timelines import predict_recordings
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.results.segmentation import step_bounds
from audioinceptionnext.results.types import Segment

ACTIVE = 0.5  # a class is active in a step if it covers at least this share of it


def frame_precision(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """How well the probabilities of each class rank the steps in which it is active.

    Args:
        probabilities: (steps, classes).
        targets: (steps, classes), the share of each step that a class covers.

    Returns:
        (classes,) average precision, 0 to 1; NaN for a class that is active in no step.
    """
    active = targets >= ACTIVE
    columns = [
        ranking(probabilities[:, c], active[:, c])[0].item() if active[:, c].any() else np.nan
        for c in range(targets.shape[1])
    ]
    return np.array(columns)


def mean_precision(precision: np.ndarray) -> float:
    """The mean in % of what `frame_precision` gives, over the classes that are active at all; NaN if none is."""
    known = precision[~np.isnan(precision)]
    return 100 * float(known.mean()) if len(known) else math.nan


def evaluate_frames(
    dataset: Dataset,
    clips: Sequence[Clip],
    recogniser: Recogniser,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score a model on whole recordings, of which ``clips`` are the annotated segments.

    Args:
        dataset: the data set that the clips belong to.
        clips: all segments of the recordings; those without a label are left out.
        recogniser: the model.
        progress: called with the number of recordings done, and of all.

    Returns:
        ``recordings``, ``hours`` and ``segments``, their numbers; ``unreadable``, what is wrong with each recording
        that cannot be read and was left out; ``beyond_end``, a line on each one with segments that reach beyond its
        end; ``frame_map``, the mean over the classes of `frame_precision`, and ``per_class``, each class's own, in %;
        and the figures of `score_events` for the segments that `Recogniser.predict` gives by itself.

    Raises:
        ModelError: the data set has a class that the model does not know.
        AinextError: no clip has a label, or no recording can be read.
    """
    dataset, clips = map_labels(recogniser, dataset, clips)
    labelled = [clip for clip in clips if clip.label != UNLABELLED]
    if not labelled:
        raise AinextError(f"{dataset.name}: none of these segments has a label, so they cannot be scored")
    probabilities, targets, timelines = [], [], []
    unreadable: list[str] = []
    beyond: list[str] = []
    hours = 0.0
    for recording, found in predict_recordings(dataset, labelled, recogniser, unreadable, beyond, progress):
        bounds = step_bounds(len(found.probabilities), found.step_seconds, found.window_seconds, found.duration)
        probabilities.append(found.probabilities)
        targets.append(step_targets(recording.segments, bounds, len(dataset.labels)))
        true = [Segment(start, end, dataset.labels[int(label)], 1.0) for start, end, label in recording.segments]
        timelines.append((true, found.segments))
        hours += found.duration / 3600
    precision = frame_precision(np.concatenate(probabilities), np.concatenate(targets))
    return {
        "data": dataset.name,
        "model": recogniser.name,
        "recordings": len(probabilities),
        "unreadable": unreadable,
        "beyond_end": beyond,
        "hours": hours,
        "segments": sum(len(true) for true, _ in timelines),
        "frame_map": mean_precision(precision),
        "per_class": {dataset.labels[c]: 100 * float(precision[c]) for c in np.flatnonzero(~np.isnan(precision))},
        **score_events(timelines).as_dict(),
    }

"""Scores the timeline of a model against annotated segments: step by step, and as segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.annotated import annotated_recordings, step_targets
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError, MediaError, counted
from audioinceptionnext.evaluation.events import score_events
from audioinceptionnext.evaluation.metrics import ranking
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


def evaluate_frames(
    dataset: Dataset,
    clips: Sequence[Clip],
    recogniser: Recogniser,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score a model on whole recordings, of which ``clips`` are the annotated segments.

    Args:
        dataset: its labels are the model's.
        clips: all labelled segments of the recordings.
        recogniser: the model.
        progress: called with the number of recordings done, and of all.

    Returns:
        ``recordings``, ``hours`` and ``segments``, their numbers; ``frame_map``, the mean over the classes of
        `frame_precision`, and ``per_class``, each class's own, in %; and the figures of `score_events` for the segments
        that `Recogniser.predict` gives by itself.

    Raises:
        AinextError: no recording can be read.
    """
    reader = Reader(recogniser.sample_rate, dataset.sample_rate)
    recordings = annotated_recordings(clips, reader)
    probabilities, targets, unreadable, timelines = [], [], [], []
    hours = 0.0
    for number, recording in enumerate(recordings, start=1):
        try:
            found = recogniser.predict(reader.read_blocks(replace(recording.clip, end=None)))
        except MediaError as error:
            unreadable.append(str(error))
            continue
        bounds = step_bounds(len(found.probabilities), found.step_seconds, found.window_seconds, found.duration)
        probabilities.append(found.probabilities)
        targets.append(step_targets(recording.segments, bounds, len(dataset.labels)))
        true = [Segment(start, end, dataset.labels[int(label)], 1.0) for start, end, label in recording.segments]
        timelines.append((true, found.segments))
        hours += found.duration / 3600
        if progress is not None:
            progress(number, len(recordings))
    if not probabilities:
        raise AinextError(f"none of the {counted(len(recordings), 'recording')} can be read, e.g. {unreadable[0]}")
    precision = frame_precision(np.concatenate(probabilities), np.concatenate(targets))
    return {
        "data": dataset.name,
        "model": recogniser.name,
        "recordings": len(probabilities),
        "unreadable": unreadable,
        "hours": hours,
        "segments": sum(len(true) for true, _ in timelines),
        "frame_map": 100 * float(np.nanmean(precision)),
        "per_class": {dataset.labels[c]: 100 * float(precision[c]) for c in np.flatnonzero(~np.isnan(precision))},
        **score_events(timelines).as_dict(),
    }

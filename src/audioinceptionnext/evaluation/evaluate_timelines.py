"""Scores the timeline that a model gives of whole recordings against segments whose times are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.evaluation.events import STRICT, Collars
from audioinceptionnext.evaluation.psds import psds
from audioinceptionnext.evaluation.timeline_figures import timeline_figures
from audioinceptionnext.evaluation.timeline_report import write_timeline_report
from audioinceptionnext.evaluation.timelines import Progress, Timeline, known_labels, predict_timelines
from audioinceptionnext.inference.recogniser import Recogniser

RESAMPLES = 1000  # of the bootstrap


@dataclass
class TimelineEvaluation:
    """The timelines of a data set, and the figures computed from them.

    Attributes:
        labels: those of the data set that the model knows.
        timelines: of the recordings that could be read.
        figures: the object that ``ainext evaluate`` prints of timelines as JSON.
        collars: by which events are right or wrong.
        reader: reads the audio of the mistakes for the report.
        rocs: of each PSDS, for its picture; empty without `sed_scores_eval`.
    """

    labels: tuple[str, ...]
    timelines: list[Timeline]
    figures: dict[str, Any]
    collars: Collars
    reader: Reader
    rocs: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def report(self, folder: Path) -> Path:
        """Write the report (see `write_timeline_report`) and return the path of its first page."""
        read = lambda clip: (self.reader.read(clip), self.reader.sample_rate)  # noqa: E731 - as ReadClip has it
        return write_timeline_report(folder, self.figures, self.timelines, self.collars, rocs=self.rocs, read=read)


def evaluate_timelines(
    dataset: Dataset,
    clips: Sequence[Clip],
    recogniser: Recogniser,
    *,
    collars: Collars = STRICT,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> TimelineEvaluation:
    """Score a model on whole recordings, of which ``clips`` are the annotated segments.

    Only labels of both count. What the model reports of others is left out, since nobody listened for it, and so are
    segments of labels that it does not know, which say nothing of those that it does. The latter are listed in the
    figures.

    Args:
        dataset: the data set that the clips belong to. Its model may be of one label at a time or of several.
        clips: all segments of the recordings; those without a label are left out.
        recogniser: the model; its own segmentation settings are used.
        collars: how far off the times of an event may be that counts as right.
        resamples: of the bootstrap over recordings for the 95 % intervals; 0 computes no intervals.
        progress: called with the number of recordings done, and of all.

    Raises:
        ModelError: the model knows none of the labels, or has several tasks.
        AinextError: the segments have no labels or no times, or no recording can be read.

    >>> dataset = load_dataset("labels", "corrected")
    >>> found = evaluate_timelines(dataset, dataset.clips, open_model("everyday"))
    >>> found.figures["event_f1"], found.figures["onset_median"]
    """
    unreadable: list[str] = []
    beyond: list[str] = []
    timelines = predict_timelines(dataset, clips, recogniser, unreadable, beyond, progress)
    figures: dict[str, Any] = {
        "data": dataset.name,
        "model": recogniser.name,
        "recordings": len(timelines),
        "unreadable": unreadable,
        "beyond_end": beyond,
        "unknown_labels": [label for label in dataset.labels if label not in recogniser.labels],
        "hours": sum(one.seconds for one in timelines) / 3600,
    }
    labels = known_labels(dataset, recogniser)
    figures |= timeline_figures(timelines, labels, collars, resamples)
    scored = psds(timelines, labels, resamples)
    figures |= scored.figures
    if "intervals" in figures:
        figures["intervals"] |= scored.intervals
    for label, own in scored.per_label.items():
        figures["per_label"][label] |= own
    reader = Reader(recogniser.sample_rate, dataset.sample_rate)
    return TimelineEvaluation(labels, timelines, figures, collars, reader, scored.rocs)

"""What a model reports of whole recordings, beside segments whose times are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.annotated import Stretch, annotated_recordings, until
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError, MediaError, ModelError, counted
from audioinceptionnext.evaluation.events import EPSILON_S, Events
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import step_bounds
from audioinceptionnext.results.types import Segment

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Timeline:
    """What sounds in a recording, and what a model says of it. Labels are those of the data set that the model knows.

    Attributes:
        recording: all of it.
        true: the annotated segments, by start; those of one label that overlap or touch are one.
        found: the model's segments, by start.
        bounds: (steps + 1,) seconds: step i stands for ``bounds[i]`` to ``bounds[i + 1]``.
        scores: (steps, labels) float32: the smoothed probabilities, which `found` compares with its thresholds.
    """

    recording: Clip
    true: list[Segment]
    found: list[Segment]
    bounds: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)

    @property
    def seconds(self) -> float:
        """The length of the recording."""
        return float(self.bounds[-1])


def predict_timelines(
    dataset: Dataset,
    clips: Sequence[Clip],
    recogniser: Recogniser,
    unreadable: list[str],
    beyond: list[str],
    progress: Progress | None = None,
) -> list[Timeline]:
    """The timelines of the recordings of ``clips``, with the labels of `known_labels`.

    Args:
        dataset, clips, recogniser, progress: as for `evaluate_timelines`.
        unreadable, beyond: as for `predict_recordings`.

    Raises:
        ModelError, AinextError: as `evaluate_timelines`.
    """
    dataset.check_one_task("evaluation of a timeline")
    if recogniser.tasks:
        raise ModelError(recogniser.name, "its labels are of several tasks, whose timelines cannot be scored yet")
    labels = known_labels(dataset, recogniser)
    labelled = [clip for clip in clips if clip.label != UNLABELLED]
    if not any(dataset.labels[label] in labels for clip in labelled for label in clip.labels):
        reason = f"none of these segments has a label that {recogniser.name} knows, so they cannot be scored"
        raise AinextError(f"{dataset.name}: {reason}")
    if all(clip.start == 0 and clip.end is None for clip in labelled):
        reason = "its clips are whole recordings, without the times of their sounds; leave out the timeline"
        raise AinextError(f"{dataset.name}: {reason}")
    columns = [recogniser.labels.index(label) for label in labels]
    known = set(labels)
    smoothing = recogniser.segmentation_settings().by_class("smoothing", len(recogniser.labels))[columns]
    timelines = []
    for recording, found in predict_recordings(dataset, labelled, recogniser, unreadable, beyond, progress):
        rows = until(recording.segments, found.duration)  # which decoding finds to be shorter than the header says
        true = [Segment(start, end, dataset.labels[int(label)], 1.0) for start, end, label in rows]
        timelines.append(
            Timeline(
                recording.clip,
                merged([one for one in true if one.label in known]),
                [one for one in found.segments if one.label in known],
                step_bounds(len(found.probabilities), found.step_seconds, found.window_seconds, found.duration),
                smoothed(found.probabilities[:, columns], found.step_seconds, smoothing),
            )
        )
    return timelines


def known_labels(dataset: Dataset, recogniser: Recogniser) -> tuple[str, ...]:
    """The labels of a data set that a model knows, in the data set's order.

    Raises:
        ModelError: it knows none of them.
    """
    labels = tuple(label for label in dataset.labels if label in recogniser.labels)
    if not labels:
        what = f"knows none of the labels of {dataset.name}, e.g. {dataset.labels[0]!r}"
        reason = f"{what}; train or fine-tune a model on them first"
        raise ModelError(recogniser.name, reason)
    return labels


def predict_recordings(
    dataset: Dataset,
    clips: Sequence[Clip],
    recogniser: Recogniser,
    unreadable: list[str],
    beyond: list[str],
    progress: Progress | None = None,
) -> Iterator[tuple[Stretch, Recognition]]:
    """Yield each recording of annotated clips with what the model finds in it.

    Args:
        dataset, clips, recogniser, progress: as for `evaluate_timelines`.
        unreadable: gets what is wrong with each recording that cannot be read, and is left out.
        beyond: gets a line on each recording with segments that reach beyond its end, see `annotated_recordings`.

    Raises:
        AinextError: no recording can be read.
    """
    reader = Reader(recogniser.sample_rate, dataset.sample_rate)
    recordings = annotated_recordings(clips, reader, unreadable.append, beyond.append)
    total, done = len(recordings) + len(unreadable), 0
    for number, recording in enumerate(recordings, start=1 + len(unreadable)):
        try:
            found = recogniser.predict(reader.read_blocks(replace(recording.clip, end=None)))
        except MediaError as error:
            unreadable.append(str(error))
            continue
        done += 1
        yield recording, found
        if progress is not None:
            progress(number, total)
    if not done:
        raise AinextError(f"none of the {counted(total, 'recording')} can be read, e.g. {unreadable[0]}")


def merged(events: Events) -> list[Segment]:
    """The same events by start, with those of one label that overlap or touch as one."""
    last: dict[str, Segment] = {}
    whole = []
    for event in sorted(events, key=lambda one: (one.start, one.end)):
        before = last.get(event.label)
        if before is not None and event.start <= before.end + EPSILON_S:
            last[event.label] = replace(before, end=max(before.end, event.end))
            continue
        whole += [] if before is None else [before]
        last[event.label] = event
    return sorted([*whole, *last.values()], key=lambda one: (one.start, one.end, one.label))


def smoothed(probabilities: np.ndarray, step_seconds: float, seconds: np.ndarray) -> np.ndarray:
    """(steps, labels) float32: the mean of each step and its neighbours, as `results.segmentation` takes it.

    Args:
        probabilities: (steps, labels) float32.
        step_seconds: from one step to the next.
        seconds: (labels,), over how long to average.
    """
    reach = (seconds / step_seconds / 2 + EPSILON_S).astype(int)
    steps = np.arange(len(probabilities))[:, None]
    sums = np.concatenate([np.zeros((1, probabilities.shape[1])), np.cumsum(probabilities, axis=0, dtype=np.float64)])
    first, end = np.maximum(steps - reach, 0), np.minimum(steps + reach + 1, len(steps))
    smooth: np.ndarray = np.take_along_axis(sums, end, 0) - np.take_along_axis(sums, first, 0)
    smooth /= end - first
    return smooth.astype(np.float32)

"""Recordings whose sounds are annotated with their times, and what a model that predicts step by step should say there.

The clips of a data set that lists several segments per recording (EPIC-SOUNDS, or a CSV list with ``start`` and
``end``) are gathered by recording. A recording counts as annotated from its start to its end: where no segment is,
there is no sound of any class. Of a multi-label list, a segment is one of each of its labels.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError, MediaError, counted, printable

ROUNDED = 0.05  # seconds by which an end may exceed the recording's because either was rounded
Segments = np.ndarray  # (n, 3) float64: start and end in seconds from the start of the recording, and class index


@dataclass(frozen=True)
class Stretch:
    """A recording or a part of it, with what is annotated there.

    Attributes:
        clip: the part; `UNLABELLED`, since each moment has labels of its own.
        segments: those of the recording that overlap the part, (n, 3): start, end, class index. Seconds count from
            the start of the recording, and a segment may reach beyond the part.
    """

    clip: Clip
    segments: Segments


def annotated_recordings(
    clips: Iterable[Clip],
    reader: Reader,
    on_unreadable: Callable[[str], None] | None = None,
    on_beyond: Callable[[str], None] | None = None,
) -> list[Stretch]:
    """Gather segments by recording, in the order of their first segments.

    A segment ends with its recording at the latest. One that would start after that is left out.

    Args:
        clips: labelled; several may be of one recording, and overlap.
        reader: finds the lengths of the recordings.
        on_unreadable: called with what is wrong with a recording that cannot be read, which is then left out.
        on_beyond: called with a line on each recording with segments that reach beyond its end, by more than `ROUNDED`.

    Raises:
        MediaError: a recording cannot be read, and there is no ``on_unreadable``.

    >>> annotated_recordings([Clip(path, 0, 1.0, 2.0), Clip(path, 3, 1.5, 4.0)], Reader(24_000))[0].segments
    array([[1. , 2. , 0. ],
           [1.5, 4. , 3. ]])
    """
    found: defaultdict[Clip, list[Clip]] = defaultdict(list)
    for clip in clips:
        found[Clip(clip.path, UNLABELLED, key=clip.key)].append(clip)
    recordings = []
    for whole, own in found.items():
        try:
            seconds = reader.seconds(whole)
        except MediaError as error:
            if on_unreadable is None:
                raise
            on_unreadable(str(error))
            continue
        rows = [(c.start, seconds if c.end is None else c.end, label) for c in own for label in c.labels]
        segments = np.array(rows, float).reshape(-1, 3)
        if on_beyond is not None and (line := _beyond(whole, segments, seconds)):
            on_beyond(line)
        segments = until(segments, seconds)
        recordings.append(Stretch(replace(whole, end=seconds, group=own[0].group), segments))
    return recordings


def until(segments: Segments, seconds: float) -> Segments:
    """What of the segments lies in the first ``seconds`` of their recording."""
    kept = segments[segments[:, 0] < seconds]
    kept[:, 1] = kept[:, 1].clip(max=seconds)
    return kept


def _beyond(recording: Clip, segments: Segments, seconds: float) -> str | None:
    """How many segments `until` changes, in a line; None if there are none."""
    late = int((segments[:, 0] >= seconds).sum())
    long = int(((segments[:, 0] < seconds) & (segments[:, 1] > seconds + ROUNDED)).sum())
    counts = ((long, "shortened"), (late, "left out"))
    parts = [f"{counted(count, 'segment')} {what}" for count, what in counts if count]
    end = f"that would reach beyond the recording's end at {seconds:.2f} s"
    return f"{printable(recording.name)}: {' and '.join(parts)} {end}" if parts else None


def tiles(recording: Stretch, seconds: float) -> list[Stretch]:
    """Cut a recording into stretches of ``seconds``, one after the other; the last one may be shorter.

    >>> [(tile.clip.start, tile.clip.end) for tile in tiles(recording_of_25_seconds, 10)]
    [(0.0, 10.0), (10.0, 20.0), (20.0, 25.0)]
    """
    end = recording.clip.end or 0.0
    starts = [number * seconds for number in range(max(1, math.ceil(end / seconds - 1e-6)))]
    return [_part(recording, start, min(end, start + seconds)) for start in starts]


def places(recording: Stretch, seconds: float) -> list[Stretch]:
    """Divide a recording into about as many parts as it has stretches of ``seconds``, for random stretches of it.

    Each part is longer than ``seconds`` (unless the recording is shorter): a stretch that is drawn from it at random
    has its centre anywhere in an equal share of the recording. So an epoch that draws once from each part sees about
    all of the recording, cut at other places each time.
    """
    end = recording.clip.end or 0.0
    share = end / max(1, round(end / seconds))
    centres = [number * share for number in range(max(1, round(end / seconds)))]
    return [_part(recording, max(0.0, c - seconds / 2), min(end, c + share + seconds / 2)) for c in centres]


def _part(recording: Stretch, start: float, end: float) -> Stretch:
    rows = recording.segments
    return Stretch(replace(recording.clip, start=start, end=end), rows[(rows[:, 1] > start) & (rows[:, 0] < end)])


def step_targets(segments: Segments, bounds: np.ndarray, classes: int) -> np.ndarray:
    """The share of each step that the segments of each class cover: what the step's probabilities should be.

    A step for which a model gives one prediction stands for a stretch of the recording. The targets are shares of these
    stretches, so steps and targets are aligned as `results.segmentation` aligns steps and segments.

    Args:
        segments: see `Stretch`.
        bounds: (steps + 1,) seconds from the start of the recording, as `results.segmentation.step_bounds` gives them:
            step i stands for ``bounds[i]`` to ``bounds[i + 1]``.
        classes: number of classes.

    Returns:
        (steps, classes) float32, 0 to 1. Overlapping segments of one class add up to at most 1. A step of no length has
        targets of 0.

    >>> step_targets(np.array([[0.24, 0.48, 1]]), np.array([0, 0.16, 0.32, 0.48]), classes=2)[:, 1]
    array([0. , 0.5, 1. ], dtype=float32)
    """
    start, end = segments[:, :1], segments[:, 1:2]
    covered = np.minimum(end, bounds[1:]) - np.maximum(start, bounds[:-1])  # (segments, steps)
    length = np.diff(bounds)
    shares = covered.clip(min=0) / np.where(length > 0, length, 1)
    targets = np.zeros((classes, len(length)))
    np.add.at(targets, segments[:, 2].astype(int), shares)
    return targets.clip(max=1).T.astype(np.float32)


def by_recording(dataset: Dataset) -> Dataset:
    """The data set with the recording as the group of clips that have none, so that a split keeps it whole."""
    clips = (c if c.group is not None else replace(c, group=f"{c.path}:{c.key or ''}") for c in dataset.clips)
    return replace(dataset, clips=tuple(clips))


def check_apart(training: Sequence[Clip], held_out: Sequence[Clip]) -> None:
    """Check that no recording has segments on both sides: on each side, the other's would count as silence.

    Raises:
        AinextError: a recording has.
    """
    seen = {(clip.path, clip.key) for clip in training}
    if both := [clip for clip in held_out if (clip.path, clip.key) in seen]:
        count = len({(clip.path, clip.key) for clip in both})
        what = f"{counted(count, 'recording')} with segments to train on and held-out ones, e.g. that of {both[0].name}"
        raise AinextError(f"{what}; keep the segments of a recording in one fold, split or group")

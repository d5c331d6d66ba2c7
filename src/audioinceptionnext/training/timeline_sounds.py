"""The sounds that teach the head of a fine timeline: annotated recordings, or scenes composed of clips."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from audioinceptionnext.data import Clip
from audioinceptionnext.data.annotated import Segments, check_apart, tiles, until
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.errors import AinextError, MediaError
from audioinceptionnext.training import scenes
from audioinceptionnext.training.frame_wise import read_annotated, warn_of_problems
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.linear_start import folds_of_sources
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.unreadable import list_reasons, too_many

SECONDS = 60.0  # about, of a stretch of a recording: long enough that its ends matter little


class Sound(NamedTuple):
    """What sounds when, for certain.

    Attributes:
        waveform: (samples,) float32.
        segments: see `annotated.Stretch`; seconds count from the start of the waveform.
        fold: a number that sounds of other folds share no source with.
    """

    waveform: np.ndarray
    segments: Segments
    fold: int


def sounds_of(run: Run, rate: int, least: int, hardware: Hardware) -> Iterator[Sound]:
    """The sounds of a run, one after the other: its training recordings in stretches, or scenes of its training clips.

    With fewer sources than folds, all are of one fold. Of scenes, there are as many as use each clip about once, and at
    least the recipe's ``timeline_minutes``.

    Args:
        run: what to train.
        rate: in Hz.
        least: samples of a waveform, at least; a shorter sound is repeated.
        hardware: says where to keep decoded clips.

    Raises:
        AinextError: a recording has segments of both kinds, or too many cannot be read, see `too_many`.
    """
    found = _recorded(run, rate) if run.recipe.scenes is None else _composed(run, rate, hardware)
    for sound in found:
        yield _repeated(sound, rate, least)


def _recorded(run: Run, rate: int) -> Iterator[Sound]:
    reader = Reader(rate, run.dataset.sample_rate)
    check_apart(run.training, run.held_out)
    warn_of_problems(run.dataset)
    recordings = read_annotated(run.training, reader)
    damaged: dict[Clip, str] = {}
    for recording, fold in zip(recordings, folds_of_sources([one.clip for one in recordings]), strict=True):
        end = recording.clip.end or 0.0
        for stretch in tiles(recording, end / max(1, round(end / SECONDS))):
            try:
                waveform = reader.read(stretch.clip)
            except MediaError as error:
                damaged.setdefault(recording.clip, str(error))
                break
            rows = stretch.segments - [stretch.clip.start, stretch.clip.start, 0]
            rows[:, 0] = rows[:, 0].clip(min=0)
            yield Sound(waveform, until(rows, len(waveform) / rate), int(fold))
    for reason in damaged.values():
        print(f"left out: {reason}", file=sys.stderr)
    if too_many(len(damaged), len(recordings)):
        raise AinextError(list_reasons(list(damaged.values()), len(recordings), "recording"))


def _composed(run: Run, rate: int, hardware: Hardware) -> Iterator[Sound]:
    reader = Reader(rate, run.dataset.sample_rate)
    waveforms = Waveforms(run.training, reader, cache=hardware.cache, workers=hardware.loader_workers)
    composers = scenes.divide(run, waveforms)
    wanted = math.ceil(60 * run.recipe.timeline_minutes / composers[0].settings.seconds / len(composers))
    for fold, compose in enumerate(composers):
        for number in range(max(wanted, compose.scenes_of_a_pass())):
            scene = compose(number)
            yield Sound(scene.waveform, scene.segments, fold)


def _repeated(sound: Sound, rate: int, least: int) -> Sound:
    """A sound that is long enough: the same, or that one several times in a row."""
    size = len(sound.waveform)
    if size >= least:
        return sound
    times = math.ceil(least / size)
    rows = [sound.segments + np.array([n * size / rate, n * size / rate, 0]) for n in range(times)]
    return Sound(np.tile(sound.waveform, times), np.concatenate(rows), sound.fold)

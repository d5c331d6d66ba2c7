"""Training on scenes that are composed on the fly: every epoch has new ones of the training clips.

What an epoch sees depends on the seed and on its number alone (see `rendering.scene_epochs`), not on workers, processes
or interruptions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.data.annotated import step_targets
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.errors import AinextError, ParameterError
from audioinceptionnext.rendering.scene_epochs import SceneEpochs
from audioinceptionnext.rendering.scene_folder import check_holds_scenes, check_outside, render_scenes
from audioinceptionnext.rendering.scene_settings import SceneSettings
from audioinceptionnext.rendering.scenes import Composer, open_backgrounds
from audioinceptionnext.training.hardware import is_first_process
from audioinceptionnext.training.linear_start import folds_of_sources
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import SCENES
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.unreadable import list_reasons, too_many

MAX_HELD_OUT_SECONDS = 3600.0  # of scenes that are composed of the held-out clips
TO_ESTIMATE = 100  # scenes by which it is estimated how often each class sounds


class ComposedRun(NamedTuple):
    """The scenes of a run, and the share of the time in which each class sounds, (classes,). See `compose`."""

    training: SceneEpochs
    held_out: SceneEpochs | None
    shares: np.ndarray


def settings_of(recipe: Recipe) -> SceneSettings:
    """The settings of scenes that a recipe states, with the length of its longest crop."""
    return replace(SceneSettings.from_dict(recipe.scenes or {}), seconds=max(recipe.crops))


def check_settings(recipe: Recipe, out: Path) -> dict[str, str]:
    """Check that a recipe's scenes go with its other settings, and that there is place for held-out ones.

    Returns:
        The folder of recordings that scenes name, by its setting, for `run_folder.check_apart`.

    Raises:
        ParameterError: they do not.
    """
    if recipe.scenes is None:
        return {}
    if recipe.targets not in ("steps", "timeline"):
        reason = "they go with targets of steps or of the timeline only; set targets=timeline, or leave them out"
        raise ParameterError("scenes", None, reason)
    check_holds_scenes(out / SCENES)
    background = SceneSettings.from_dict(recipe.scenes).background_folder
    if background is None:
        return {}
    check_outside(out / SCENES, [background])
    return {"scenes": str(background)}


def compose(run: Run, read: Callable[[Sequence[Clip]], Waveforms], rate: int) -> ComposedRun:
    """Make the scenes of a run, of its training clips and of its held-out ones.

    An epoch has as many scenes as use each training clip about once. Clips that cannot be read are left out, with a
    line on stderr for each.

    Args:
        run: what to train.
        read: gives whole clips as waveforms.
        rate: in Hz.

    Raises:
        AinextError: too many clips cannot be read, see `too_many`.
    """
    recipe, settings = run.recipe, settings_of(run.recipe)
    backgrounds = open_backgrounds(settings, rate)

    def composer(clips: Sequence[Clip], consequence: str, *, whole: bool) -> Composer:
        check_readable(waveforms := read(clips), consequence)
        return Composer(waveforms, settings, recipe.seed, whole=whole, backgrounds=backgrounds)

    own = composer(run.training, "left out", whole=False)
    shares = [
        step_targets(own(number).segments, np.array([0.0, settings.seconds]), len(run.dataset.labels))[0]
        for number in range(TO_ESTIMATE)
    ]
    training, held_out = SceneEpochs(own, own.scenes_of_a_pass()), None
    if run.held_out:
        other = composer(run.held_out, "not scored", whole=True)
        most = max(1, int(MAX_HELD_OUT_SECONDS / settings.seconds))
        held_out = SceneEpochs(other, min(most, other.scenes_of_a_pass()), fixed=True)
    return ComposedRun(training, held_out, np.mean(shares, axis=0))


def divide(run: Run, waveforms: Waveforms) -> list[Composer]:
    """Composers of a run's training clips that share no source: as many as `fold_numbers` gives, or one of few sources.

    Args:
        run: its recipe's scenes are of their own length, and their ends may cut events.
        waveforms: the training clips, whole.

    Raises:
        AinextError: too many clips cannot be read, see `too_many`.
    """
    settings, clips = SceneSettings.from_dict(run.recipe.scenes or {}), waveforms.clips
    check_readable(waveforms, "left out")
    unreadable = {index for index, _ in waveforms.unreadable()}
    usable = [index for index, clip in enumerate(clips) if clip.labels and index not in unreadable]
    folds = folds_of_sources([clips[index] for index in usable])
    backgrounds = open_backgrounds(settings, waveforms.reader.sample_rate)
    return [
        Composer(
            waveforms,
            settings,
            run.recipe.seed + number,
            whole=False,
            backgrounds=backgrounds,
            only=[index for index, fold in zip(usable, folds, strict=True) if fold == number],
        )
        for number in sorted(set(folds.tolist()))
    ]


def check_readable(waveforms: Waveforms, consequence: str) -> None:
    """On stderr, print a line for each clip that cannot be read: that it is "left out", or what else follows from it.

    Raises:
        AinextError: too many cannot be read, see `too_many`.
    """
    unreadable = [reason for _, reason in waveforms.unreadable()]
    for reason in unreadable if is_first_process() else ():
        print(f"{consequence}: {reason}", file=sys.stderr)
    if too_many(len(unreadable), len(waveforms)):
        raise AinextError(list_reasons(unreadable, len(waveforms)))


def write_held_out(run: Run, rate: int) -> Dataset:
    """Write scenes of a run's held-out clips into its folder, and read them as a data set.

    Args:
        run: what was trained.
        rate: of the model, in Hz.

    Raises:
        FileError: they cannot be written.
    """
    settings = SceneSettings.from_dict(run.recipe.scenes or {})
    waveforms = Waveforms(run.held_out, Reader(rate, run.dataset.sample_rate), keep="nothing")
    backgrounds = open_backgrounds(settings, rate, keep="nothing")
    composer = Composer(waveforms, settings, run.recipe.seed, backgrounds=backgrounds)
    count = min(max(1, int(MAX_HELD_OUT_SECONDS / settings.seconds)), composer.scenes_of_a_pass())
    render_scenes(run.out / SCENES, composer, run.dataset.labels, count, made_of={"data": run.dataset.name})
    return replace(load_dataset("csv", run.out / SCENES), name=run.dataset.name)

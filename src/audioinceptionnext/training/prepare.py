"""What a run needs before its first step: the module, and loaders of its training and its held-out clips."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor

from audioinceptionnext.data import Clip
from audioinceptionnext.data.clip_list import digest
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.sampling import Draw, EpochOrder, balanced_multi_label_weights, balanced_weights
from audioinceptionnext.data.waveforms import Waveforms, loader
from audioinceptionnext.errors import counted
from audioinceptionnext.inference.parallel import available_cores
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training import distillation, frame_wise, scenes
from audioinceptionnext.training.batch_transform import BatchTransform
from audioinceptionnext.training.fine_tuning import FineTuning
from audioinceptionnext.training.hardware import Hardware, is_first_process
from audioinceptionnext.training.initial_model import standardise
from audioinceptionnext.training.lessons import LessonLoader, LessonOrder, Lessons, cache_name
from audioinceptionnext.training.mixtures import Mixer
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.multi_label import MultiLabelClassifier, label_shares
from audioinceptionnext.training.noise import read_noise
from audioinceptionnext.training.onnx_teacher import Teachers
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import LESSONS
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.soft_targets import SUFFIX, read_soft_targets
from audioinceptionnext.training.splits import set_aside
from audioinceptionnext.training.teacher import Teacher, open_teacher, with_fold

# What determines the mixtures of a run, apart from its recordings.
MIXED_BY = (
    "seed",
    "crops",
    "batch_size",
    "speed",
    "equaliser_db",
    "reverb_probability",
    "reverb_seconds",
    "reverb_db",
    "noise_probability",
    "noise_snr_db",
)


class Prepared(NamedTuple):
    """What Lightning's trainer takes, and what a run that fine-tunes began with.

    ``validation`` is None if nothing is held out.
    """

    module: SoundClassifier
    batches: Any
    validation: Any
    tuning: FineTuning | None = None


def prepare_clips(
    run: Run, model: StoredModel, hardware: Hardware, trainer: L.Trainer, record: dict[str, Any]
) -> Prepared:
    """Read the clips of a run, and make the module that learns from them.

    Args:
        run: what to train.
        model: the initial model. Its input statistics are set from the clips, if the recipe says so.
        hardware: what to compute on.
        trainer: of the run.
        record: for the checkpoints; says which implementation of a step to use.

    Raises:
        AinextError: too many of the clips cannot be read, or all held-out ones.
        ParameterError: a setting does not fit the clips or the model.
    """
    recipe = run.recipe
    reader = Reader(model.sample_rate, run.dataset.sample_rate)
    training, held_out = run.training, run.held_out
    make_module: Callable[..., SoundClassifier] = SoundClassifier
    if recipe.targets == "steps":
        stretches = frame_wise.cut(run.dataset, training, held_out, reader, recipe)
        training, held_out = ([stretch.clip for stretch in part] for part in (stretches.training, stretches.held_out))
        frame_wise.start_from_shares(model.net, stretches.shares)
        make_module = partial(frame_wise.FrameWiseDetector, stretches)
    elif run.dataset.multi_label:
        shares = label_shares(training, len(run.dataset.labels))
        frame_wise.start_from_shares(model.net, shares)
        make_module = partial(MultiLabelClassifier, shares)
    noise = read_noise(recipe.noise, model.sample_rate) if recipe.noise else None
    folder = recipe.background if recipe.background_share else None
    background = read_noise(folder, model.sample_rate, "background") if folder else None
    training, trial = set_aside(run.dataset, training, recipe.trial_share, recipe.seed)
    teacher, soft = _open_teacher(run, model, (*training, *trial))
    seconds = _max_seconds(model, recipe)
    waveforms = _waveforms(training, reader, seconds, hardware, recipe.seed)
    if run.initial_weights is None and recipe.standardise == "data":
        standardise(model, waveforms)
    to_try = _waveforms(trial, reader, seconds, hardware, recipe.seed) if trial else None
    tuning = FineTuning(model, recipe, waveforms, to_try, soft, background)
    weights = _sampling_weights(run, training) if recipe.sampling == "balanced" else None
    ranks = {"rank": trainer.global_rank, "world_size": trainer.world_size}
    # A data set that has no full batch is still trained on.
    drop_last = recipe.drop_last and len(waveforms) >= recipe.batch_size * trainer.world_size
    order = EpochOrder(len(waveforms), recipe.batch_size, recipe.seed, weights=weights, drop_last=drop_last, **ranks)
    batches = loader(waveforms, recipe.batch_size, order=order, workers=hardware.loader_workers)
    module = make_module(
        model,
        recipe,
        math.ceil(len(batches) / recipe.accumulate),
        clips=training,
        implementation=record["implementation"],
        class_weights=_class_weights(run, recipe),
        noise=noise,
        background=background,
        teacher=teacher,
        soft_targets=None if soft is None else soft[: len(training)],
        record=record,
    )
    validation = None
    if waveforms.keep != "memory" and is_first_process():
        print(f"opening {counted(len(training), 'clip')}, to find those that cannot be read", file=sys.stderr)
    module.leave_out(waveforms.unreadable())
    if held_out:
        to_score = _waveforms(held_out, reader, None, hardware)
        module.leave_unscored(missing := to_score.unreadable())
        module.check_scored(len(held_out) - len(missing))
        validation = loader(to_score, recipe.batch_size, workers=hardware.loader_workers)
    return Prepared(module, batches, validation, tuning)


def _open_teacher(run: Run, model: StoredModel, clips: Sequence[Clip]) -> tuple[Teacher | None, Tensor | None]:
    """The networks that the recipe names as teachers, or what a table says in their place of these clips."""
    names, fold = run.recipe.teacher, (run.details or {}).get("fold")
    if not names:
        return None, None
    if names.endswith(SUFFIX):
        table = Path(with_fold(names, fold))
        return None, read_soft_targets(table, model.labels, clips, multi_label=model.multi_label)
    return open_teacher(names, model, fold), None


def prepare_scenes(
    run: Run, model: StoredModel, hardware: Hardware, trainer: L.Trainer, record: dict[str, Any]
) -> Prepared:
    """Make the module that learns from composed scenes, and loaders of these. For the rest, see `prepare_clips`."""
    recipe = run.recipe
    reader = Reader(model.sample_rate, run.dataset.sample_rate)
    composed = scenes.compose(run, lambda clips: _waveforms(clips, reader, None, hardware), model.sample_rate)
    frame_wise.start_from_shares(model.net, composed.shares)
    if run.initial_weights is None and recipe.standardise == "data":
        standardise(model, composed.training)
    ranks = {"rank": trainer.global_rank, "world_size": trainer.world_size}
    drop_last = recipe.drop_last and len(composed.training) >= recipe.batch_size * trainer.world_size
    size, batch_size = len(composed.training), recipe.batch_size
    order = EpochOrder(size, batch_size, recipe.seed, weights=None, drop_last=drop_last, **ranks)
    batches = loader(composed.training, recipe.batch_size, order=order, workers=hardware.loader_workers)
    module = frame_wise.FrameWiseDetector(
        frame_wise.Stretches([], [], composed.shares),
        model,
        recipe,
        math.ceil(len(batches) / recipe.accumulate),
        clips=composed.training.clips(),
        implementation=record["implementation"],
        class_weights=_class_weights(run, recipe),
        noise=read_noise(recipe.noise, model.sample_rate) if recipe.noise else None,
        record=record,
    )
    validation = None
    if composed.held_out is not None:
        validation = loader(composed.held_out, recipe.batch_size, workers=hardware.loader_workers)
    return Prepared(module, batches, validation)


def prepare_lessons(
    teachers: Teachers, run: Run, model: StoredModel, hardware: Hardware, trainer: L.Trainer, record: dict[str, Any]
) -> Prepared:
    """Make the module that learns from teachers, and loaders of their lessons. For the rest, see `prepare_clips`."""
    recipe, processes = run.recipe, trainer.world_size

    def read(clips: Sequence[Clip], rate: int, seconds: float) -> Waveforms:
        return _waveforms(clips, Reader(rate, run.dataset.sample_rate), seconds, hardware, recipe.seed)

    lessons, held_out = _open_lessons(run, model, teachers, hardware, processes, read)
    threads = max(1, (hardware.threads or len(available_cores())) // hardware.devices)
    batches = LessonLoader(lessons, LessonOrder(lessons, recipe.seed, trainer.global_rank), threads)
    module = distillation.Student(
        lessons,
        len(run.training),
        model,
        recipe,
        math.ceil(len(batches) / recipe.accumulate),
        fresh=run.initial_weights is None,
        implementation=record["implementation"],
        record=record,
    )
    module.leave_out(lessons.mixer.unreadable)
    validation = None
    if held_out is not None:
        module.leave_unscored(held_out.mixer.unreadable)
        module.check_scored(len(run.held_out) - len(held_out.mixer.unreadable))
        validation = LessonLoader(held_out, [Draw(0, number) for number in range(len(held_out))], threads)
    return Prepared(module, batches, validation)


def _open_lessons(
    run: Run, model: StoredModel, teachers: Teachers, hardware: Hardware, processes: int, read: Callable[..., Waveforms]
) -> tuple[Lessons, Lessons | None]:
    """The lessons of a run, none of which is made yet.

    Args:
        run: its recipe and clips.
        model: the student.
        teachers: of the student.
        hardware: names the folder for the lessons, if it is not to be that of the run.
        processes: that train together.
        read: makes waveforms of clips, at a rate in Hz, of which stretches of some seconds are taken.

    Returns:
        The lessons to learn from, of the training recordings; and those to be scored on, of the held-out ones, of
        which there is about one for twenty (None without such recordings).
    """
    recipe, front = run.recipe, model.front_end()
    rate = max(model.sample_rate, teachers.head.sample_rate)
    parts = recipe.mixtures // (recipe.batch_size * processes) * processes
    made_by = {
        "teachers": teachers.digests,
        "rate": rate,
        "front_end": [front.sample_rate, front.window, front.hop, front.n_fft, front.bands, front.remove_dc],
        "recipe": {name: getattr(recipe, name) for name in MIXED_BY},
        "processes": processes,
    }

    def lessons(part: str, clips: Sequence[Clip], parts: int, *, training: bool) -> Lessons:
        folders = Counter(clip.path.parent for clip in clips)  # the share of a recording depends on them
        content = [digest(clips), [[_size(clip), folders[clip.path.parent]] for clip in clips]]
        return Lessons(
            Mixer(read(clips, rate, max(recipe.crops) * recipe.speed[1]), recipe, augmented=training),
            teachers,
            front,
            (hardware.cache or run.out / LESSONS) / cache_name(part=part, recordings=content, **made_by),
            recipe.crops,
            recipe.batch_size,
            parts,
            processes if training else 1,
        )

    own = lessons("training", run.training, parts, training=True)
    if not run.held_out:
        return own, None
    return own, lessons("held-out", run.held_out, max(len(recipe.crops), parts // 20), training=False)


def _size(clip: Clip) -> int:
    try:
        return clip.path.stat().st_size
    except OSError:  # it cannot be read, either
        return 0


def _waveforms(
    clips: Sequence[Clip], reader: Reader, seconds: float | None, hardware: Hardware, seed: int = 0
) -> Waveforms:
    def progress(done: int, of: int) -> None:
        if sys.stderr.isatty() and (done % 50 == 0 or done == of):
            print(f"\rdecoding {done}/{of} clips", end="\n" if done == of else "", file=sys.stderr, flush=True)

    workers = hardware.loader_workers
    return Waveforms(clips, reader, seconds, seed=seed, cache=hardware.cache, workers=workers, progress=progress)


def _max_seconds(model: StoredModel, recipe: Recipe) -> float:
    """The most seconds of a clip that a step can use. To be shifted, it needs what is around the crop as well."""
    return BatchTransform(model.front_end(), recipe, model.clip_seconds).longest + 2 * recipe.shift_seconds


def _sampling_weights(run: Run, clips: Sequence[Clip]) -> Tensor:
    if run.dataset.multi_label:
        return balanced_multi_label_weights([run.dataset.kinds(clip) for clip in clips])
    return balanced_weights([clip.label for clip in clips], len(run.dataset.labels))


def _class_weights(run: Run, recipe: Recipe) -> Tensor | None:
    """(classes,): the inverse of each class's number of clips, with mean 1 over the clips; 0 for an empty class."""
    if recipe.loss_weights != "balanced":
        return None
    labels = torch.tensor([label for clip in run.training for label in clip.labels])
    count = torch.bincount(labels, minlength=len(run.dataset.labels)).float()
    return torch.where(count > 0, count.sum() / ((count > 0).sum() * count.clamp(min=1)), 0.0)

"""From a data set to a trained network on disk."""

from __future__ import annotations

import contextlib
import json
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch

from audioinceptionnext.errors import AinextError, ParameterError, counted, writing
from audioinceptionnext.network.storage import StoredModel, save_model
from audioinceptionnext.training import callbacks, distillation, frame_wise, implementations, scenes, timeline_run
from audioinceptionnext.training.distributed import desynchronise, synchronise
from audioinceptionnext.training.fine_tuning import FineTuning
from audioinceptionnext.training.frozen import freeze_norms, freeze_statistics
from audioinceptionnext.training.hardware import Hardware, is_first_process, keep_memory
from audioinceptionnext.training.implementations import Implementation
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.module import DTYPES, SoundClassifier
from audioinceptionnext.training.onnx_teacher import Teachers, open_teachers
from audioinceptionnext.training.prepare import prepare_clips, prepare_lessons, prepare_scenes
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import (
    BEST,
    LAST,
    MODEL,
    RUN,
    check_apart,
    check_folds,
    check_out,
    holding,
    is_run,
    remove_run,
)
from audioinceptionnext.training.run_record import (
    Run,
    check_same,
    matches_checkpoint,
    read_run_record,
    write_description,
    write_figures,
)
from audioinceptionnext.training.soft_targets import SUFFIX
from audioinceptionnext.training.trainer import check_loggers, make_trainer


class Interrupted(AinextError):
    """A run was stopped by Ctrl-C or SIGTERM. Its last checkpoint is kept."""


def check_call(
    out: Path,
    hardware: Hardware = Hardware(),  # noqa: B008 (frozen)
    *,
    resume: bool = False,
    overwrite: bool = False,
    recipe: Recipe | None = None,
    initial_weights: str | None = None,
    folds: bool = False,
) -> None:
    """Check what can be checked of a run before its data set is read. Nothing is written.

    Args:
        out: see `Run`.
        hardware, resume, overwrite: as for `train`.
        recipe, initial_weights: see `Run`.
        folds: whether ``out`` is the folder of a cross-validation, and not that of a run.

    Raises:
        ParameterError: as `run_folder.check_out` (or `check_folds`) and `check_apart`, another number of processes was
            started, or settings do not go with targets of the timeline.
        FileError: the folder cannot be written to.
        MissingDependencyError: a package is not installed.
    """
    hardware.check_launch()
    check_loggers(hardware)
    if recipe is not None and recipe.targets == "timeline":
        timeline_run.check_settings(recipe, initial_weights, hardware)
    if is_first_process():  # the others may be started when the first one has begun to write
        (check_folds if folds else check_out)(out, resume=resume, overwrite=overwrite)
        backgrounds = {} if recipe is None else scenes.check_settings(recipe, out)
        if overwrite:
            named = {name: getattr(recipe, name, None) for name in ("teacher", "background", "noise")}
            check_apart(out, {"initial_weights": initial_weights, **named, **backgrounds})


def train(
    run: Run,
    *,
    resume: bool = False,
    overwrite: bool = False,
    hardware: Hardware = Hardware(),  # noqa: B008 (frozen)
    teachers: Teachers | None = None,
) -> Path | None:
    """Train a network, and save it as ``model.safetensors``.

    Args:
        run: what to train.
        resume: whether to continue from the last checkpoint in ``run.out``, if there is one.
        overwrite: whether to remove a run in ``run.out`` first. Nothing is removed if this call is refused.
        hardware: what to compute on.
        teachers: those of the recipe with ``targets: teacher``, if they are open already.

    Returns:
        The path of the model; None in every process but the first.

    Raises:
        ParameterError: a setting that this network, these weights or this hardware does not allow, or ``run.out`` holds
            a run that is neither to be resumed nor overwritten.
        FileError: the run in ``run.out`` was started with other settings, or a file cannot be written.
        AinextError: more than a tenth of the clips cannot be read, the loss is not a number, or the run was
            interrupted.

    >>> dataset = load_dataset("kitchen20", "Kitchen20")
    >>> train(Run(dataset, *split_clips(dataset, folds="1-4"), Path("runs/a"), load_recipe("modern")))
    PosixPath('runs/a/model.safetensors')
    """
    recipe, checkpoint = run.recipe, run.out / LAST
    start = run.initial_weights
    check_call(run.out, hardware, resume=resume, overwrite=overwrite, recipe=recipe, initial_weights=start)
    if recipe.targets == "timeline":
        return timeline_run.train_timeline(run, hardware, resume=resume, overwrite=overwrite)
    if run.dataset.tasks and recipe.loss_weights == "balanced":
        reason = f"clips of {run.dataset.name} have several labels, which cannot be balanced together; leave it out"
        raise ParameterError("loss_weights", recipe.loss_weights, reason)
    if not recipe.epochs:
        if not recipe.linear_start:
            raise ParameterError(
                "epochs", 0, "nothing would be learnt; give a number of epochs, or linear_start as well"
            )
        if recipe.teacher and not recipe.teacher.endswith(SUFFIX):
            reason = "without epochs, only a table of targets (.csv) can teach; give a number of epochs"
            raise ParameterError("teacher", recipe.teacher, reason)
    if recipe.targets == "teacher":
        teachers = teachers or open_teachers(recipe)
        run = replace(run, details={**(run.details or {}), "teachers": teachers.digests})
    record: dict[str, Any] = {"run": run.describe(hardware.processes)}
    resumed = _record_to_resume(checkpoint, record["run"]) if resume and recipe.epochs else None
    if resume and not recipe.epochs and is_run(run.out):  # a linear layer has no checkpoint, and is fitted once more
        check_same(json.loads((run.out / RUN).read_text(encoding="utf-8")), record["run"], run.out / RUN)
    keep_memory()
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)
    L.seed_everything(recipe.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    several = run.dataset.multi_label if teachers is None else teachers.head.multi_label
    model = build_initial_model(run.dataset.labels, recipe, run.initial_weights, run.dataset.tasks, several)
    if recipe.targets == "steps":
        frame_wise.check_settings(recipe, model)
    if recipe.freeze_bn:
        freeze_norms(model.net)
    if recipe.freeze_statistics:
        freeze_statistics(model.net)
    if teachers is not None:
        distillation.check_settings(recipe, model, teachers.head.labels, hardware.processes)
        distillation.name_labels(model, teachers.head)
    model.info |= {"data": run.dataset.name, "clips": len(run.training), **(run.details or {})}
    trainer = make_trainer(run, hardware)
    if recipe.precision == "fp16" and trainer.strategy.root_device.type != "cuda":
        raise ParameterError("precision", "fp16", "it needs a GPU; give bf16 or float32")

    implementation = hardware.implementation or (resumed or {}).get("implementation")
    record["implementation"] = _choose_implementation(model, recipe, implementation, trainer)
    if not run.held_out and (recipe.patience or recipe.keep == "best") and is_first_process():
        print("ainext: warning: no clips are held out, so patience and keep=best have no effect", file=sys.stderr)
    prepare = prepare_clips if recipe.scenes is None else prepare_scenes
    prepare = prepare if teachers is None else partial(prepare_lessons, teachers)
    module, batches, validation, tuning = prepare(run, model, hardware, trainer, record)
    with contextlib.ExitStack() as stack:
        if trainer.is_global_zero:
            stack.enter_context(holding(run.out))
            check_out(run.out, resume=resume, overwrite=overwrite)  # another run may have come and gone
            if overwrite:
                remove_run(run.out)
            if resumed is None:
                write_description(run, record["run"])
        if recipe.epochs:
            _fit(trainer, module, batches, validation, checkpoint, resume=resumed is not None)
        return _save(run, module, trainer, validation, tuning)


def _fit(
    trainer: L.Trainer, module: SoundClassifier, batches: Any, validation: Any, checkpoint: Path, resume: bool
) -> None:
    """Train. Raises `AinextError` in the first process; the others exit silently, as all fail for the same reason."""
    try:
        # Standard output is for results.
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(sys.stderr),
            callbacks.ignore_disk_errors_in_threads(),
        ):
            warnings.filterwarnings("ignore", module="lightning")  # advice on loader workers and logging intervals
            trainer.fit(module, batches, validation, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    except (AinextError, SystemExit) as error:
        if not trainer.is_global_zero:
            raise SystemExit(0) from None  # with another code, Lightning kills the first one before it can say why
        if isinstance(error, AinextError):
            raise
        # Lightning turns Ctrl-C and SIGTERM into a silent exit.
        raise Interrupted(f"interrupted; resume the run to continue from {checkpoint}") from None


def _save(
    run: Run, module: SoundClassifier, trainer: L.Trainer, validation: Any, tuning: FineTuning | None
) -> Path | None:
    """Save the last weights or those of the best evaluation, whichever the recipe keeps. A student is scored, too."""
    best = run.out / BEST
    if run.recipe.keep == "best" and run.held_out and run.recipe.epochs:
        if best.is_file() and matches_checkpoint(best, module.record):  # it could have been left by another run
            module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
        else:
            print(f"ainext: warning: {best}: was never saved, so the last weights are kept", file=sys.stderr)
    if not trainer.is_global_zero:
        return None
    if module.unreadable:
        reasons, _, what = module.missing()
        print(f"left out {counted(len(reasons), what)} that could not be read", file=sys.stderr)
    model = module.model
    model.net = module.kept.cpu().eval()
    desynchronise(model.net)
    if tuning is not None:
        tuning.accept(model)
    if isinstance(module, distillation.Student) and validation is not None:
        write_figures(run.out, module.conclude(model, validation, run.out))
    with writing(run.out / MODEL):
        save_model(model, run.out / MODEL)
    return run.out / MODEL


def _record_to_resume(checkpoint: Path, description: dict[str, Any]) -> dict[str, Any] | None:
    """The record of the run to resume; None if there is no checkpoint. Raises `FileError` if it is another run."""
    if not checkpoint.is_file():
        if is_first_process():
            print(
                f"ainext: warning: {checkpoint}: nothing to resume, so the run starts from the beginning",
                file=sys.stderr,
            )
        return None
    record = read_run_record(checkpoint)
    check_same(record["run"], description, checkpoint)
    return record


def _choose_implementation(
    model: StoredModel, recipe: Recipe, requested: Implementation | None, trainer: L.Trainer
) -> Implementation:
    """The implementation that was requested or with which the run was started, else the fastest on this device."""
    net, dtype = model.net, DTYPES[recipe.precision]
    known = implementations.supported(net, dtype)
    if trainer.world_size > 1:  # only batch normalisation as a module has the statistics of all processes
        synchronise(net)
        known = ["convolutions"]
    if requested is not None and requested not in known:
        what = f"{trainer.world_size} processes" if trainer.world_size > 1 else f"this network with {recipe.precision}"
        raise ParameterError("implementation", requested, f"{what} can only be trained with {', '.join(known)}")
    if requested is not None or len(known) == 1 or not recipe.epochs:  # without steps, there is nothing to measure
        return requested or known[0]
    device = trainer.strategy.root_device
    return implementations.fastest(net.to(device), dtype, device, net.config.clip_frames, recipe.batch_size)

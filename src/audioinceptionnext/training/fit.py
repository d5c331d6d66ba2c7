"""From a dataset to a trained network on disk."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.sampling import EpochOrder, balanced_weights
from audioinceptionnext.data.waveforms import Waveforms, loader
from audioinceptionnext.errors import AinextError, writing
from audioinceptionnext.network.storage import StoredModel, save_model
from audioinceptionnext.training import implementations
from audioinceptionnext.training.batch_transform import Hearing
from audioinceptionnext.training.distributed import desynchronise, synchronise
from audioinceptionnext.training.hardware import (
    Bar,
    Checkpoints,
    CSVLog,
    Machine,
    SafeCheckpoints,
    TensorBoardLog,
    Terminable,
    first_process,
    keep_memory,
    no_tracebacks_of_threads,
    slurm,
)
from audioinceptionnext.training.initial_model import begin, standardise
from audioinceptionnext.training.module import DTYPES, SoundClassifier
from audioinceptionnext.training.noise import read_noise
from audioinceptionnext.training.recipe import Recipe, as_yaml
from audioinceptionnext.training.run_record import check_same, digest, is_of, of_checkpoint
from audioinceptionnext.training.teacher import open_teacher

LAST, BEST = "last.ckpt", "best.ckpt"
MODEL, RUN, RECIPE = "model.safetensors", "run.json", "recipe.yaml"


@dataclass(frozen=True)
class Run:
    """What is trained, on what and where it is kept.

    Attributes:
        training, held_out: clips; the held-out ones are scored every ``evaluate_every`` epochs, and may be none.
        out: gets ``model.safetensors``, ``run.json``, ``recipe.yaml``, ``log/`` and ``tensorboard/``, and ``last.ckpt``
            to go on from, ``best.ckpt`` where clips are held out.
        start: weights to begin with, see `begin.open_weights`.
        what: what else tells this run from others in ``out``; a run that goes on has to be the same.
    """

    dataset: Dataset
    training: Sequence[Clip]
    held_out: Sequence[Clip]
    out: Path
    recipe: Recipe
    start: str | None = None
    what: dict[str, Any] | None = None

    def describe(self, processes: int = 1) -> dict[str, Any]:
        description = {
            "data": self.dataset.name,
            "labels": list(self.dataset.labels),
            "clips": len(self.training),
            "held_out": len(self.held_out),
            "training_list": digest(self.training),
            "held_out_list": digest(self.held_out),
            **(self.what or {}),
            "from": self.start,
            "processes": processes,
            "recipe": self.recipe.as_dict(),
        }
        return json.loads(json.dumps(description))  # as it is read back


def train(run: Run, resume: bool = False, machine: Machine = Machine()) -> Path | None:  # noqa: B008 (frozen)
    """Trains, and returns the model's path; in processes other than the first one None.

    Args:
        resume: go on from ``out``'s last checkpoint, if there is one.

    Raises:
        AinextError: clips that cannot be read (above 1 %), weights that do not fit, a run in ``out`` that was begun
            otherwise, a loss that is not a number, an interruption.
    """
    recipe, checkpoint = run.recipe, run.out / LAST
    machine.check_launch()
    record: dict[str, Any] = {"run": run.describe(machine.processes)}
    begun = _begun(run.out, record["run"]) if resume else None
    _quiet()
    keep_memory()
    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    L.seed_everything(recipe.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    model = begin(run.dataset.labels, recipe, run.start)
    model.info |= {"data": run.dataset.name, "clips": len(run.training), **(run.what or {})}
    try:
        trainer = _trainer(run, machine)
    except MisconfigurationException as error:  # more devices than there are, for one
        raise AinextError(
            f"--devices {machine.devices} --nodes {machine.nodes}: {' '.join(str(error).split())}"
        ) from error
    if begun is None and trainer.is_global_zero:
        _describe(run, record["run"])
    if recipe.precision == "fp16" and trainer.strategy.root_device.type != "cuda":
        raise AinextError("precision fp16 needs a GPU; give bf16 or float32")

    noise = read_noise(recipe.noise, model.sample_rate) if recipe.noise else None
    named = recipe.background if recipe.background_share else None
    background = read_noise(named, model.sample_rate, "background") if named else None
    teacher = open_teacher(recipe.teacher, model, (run.what or {}).get("fold")) if recipe.teacher else None
    reader = Reader(model.sample_rate, run.dataset.sample_rate)
    heard = _waveforms(run.training, reader, _longest(model, recipe), machine, recipe.seed)
    if run.start is None and recipe.standardise == "data":
        standardise(model, heard)
    weights = balanced_weights([c.label for c in run.training], len(run.dataset.labels))
    drawn = weights if recipe.sampling == "balanced" else None
    order = EpochOrder(len(heard), recipe.batch, recipe.seed, drawn, trainer.global_rank, trainer.world_size)
    batches = loader(heard, recipe.batch, order, machine.workers)
    record["form"] = _form(model, recipe, machine.form or (begun or {}).get("form"), trainer)
    module = SoundClassifier(
        model,
        recipe,
        math.ceil(len(batches) / recipe.accumulate),
        run.training,
        record["form"],
        _class_weights(run, recipe),
        noise,
        background,
        teacher,
        record,
    )
    validation = None
    if not run.held_out and (recipe.patience or recipe.keep == "best") and first_process():
        print("ainext: nothing is held out, so patience and keep=best have nothing to go by", file=sys.stderr)
    if run.held_out:
        validation = loader(_waveforms(run.held_out, reader, None, machine), recipe.batch, None, machine.workers)
    _fit(trainer, module, batches, validation, checkpoint, resume=begun is not None)
    return _finish(run, module, trainer)


def _fit(
    trainer: L.Trainer, module: SoundClassifier, batches: Any, validation: Any, checkpoint: Path, resume: bool
) -> None:
    """Raises `AinextError` in the first process; others end without a word, for all of them come to the same end."""
    try:
        # Standard output is for results.
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr), no_tracebacks_of_threads():
            warnings.filterwarnings("ignore", module="lightning")  # advice on loader workers and logging intervals
            trainer.fit(module, batches, validation, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    except (AinextError, SystemExit) as error:
        if not trainer.is_global_zero:
            raise SystemExit(0) from None  # another code, and Lightning kills the first one before it can say why
        if isinstance(error, AinextError):
            raise
        # Ctrl-C and SIGTERM, which Lightning turns into an exit without a word.
        raise AinextError(f"interrupted; the same command with --resume goes on from {checkpoint}") from None


def _finish(run: Run, module: SoundClassifier, trainer: L.Trainer) -> Path | None:
    """Saves what is kept: the last weights, or those of the best evaluation."""
    best = run.out / BEST
    if run.recipe.keep == "best" and run.held_out:
        if best.is_file() and is_of(best, module.record):  # and not left there by another run
            module.load_state_dict(torch.load(best, map_location="cpu", weights_only=True)["state_dict"])
        else:
            print(f"ainext: {best}: was never saved, so the last weights are kept", file=sys.stderr)
    if not trainer.is_global_zero:
        return None
    if module.unreadable:
        print(f"{len(module.unreadable)} clips could not be read and were left out", file=sys.stderr)
    model = module.model
    model.net = module.kept.cpu().eval()
    desynchronise(model.net)
    with writing(run.out / MODEL):
        save_model(model, run.out / MODEL)
    return run.out / MODEL


def _begun(out: Path, description: dict[str, Any]) -> dict[str, Any] | None:
    """The record of the run in ``out``, None where there is none. Raises `AinextError` for another run's."""
    if not (out / LAST).is_file():
        if first_process():
            print(f"ainext: {out / LAST}: nothing to resume, so this begins from the start", file=sys.stderr)
        return None
    record = of_checkpoint(out / LAST)
    check_same(record["run"], description, out / LAST)
    return record


def _describe(run: Run, description: dict[str, Any]) -> None:
    """Writes ``run.json`` and the recipe."""
    with writing(run.out / RUN):
        run.out.mkdir(parents=True, exist_ok=True)
        (run.out / RUN).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (run.out / RECIPE).write_text(as_yaml(run.recipe), encoding="utf-8")


def _waveforms(
    clips: Sequence[Clip], reader: Reader, seconds: float | None, machine: Machine, seed: int = 0
) -> Waveforms:
    def tell(done: int, of: int) -> None:
        if sys.stderr.isatty() and (done % 50 == 0 or done == of):
            print(f"\rdecoding {done}/{of} clips", end="\n" if done == of else "", file=sys.stderr, flush=True)

    return Waveforms(clips, reader, seconds, seed, cache=machine.cache, workers=machine.workers, progress=tell)


def _longest(model: StoredModel, recipe: Recipe) -> float:
    """Seconds that a step can hear; a shift needs the sound around it, so that it is drawn from more."""
    return Hearing(model.front_end(), recipe, model.clip_seconds).longest + 2 * recipe.shift_seconds


def _class_weights(run: Run, recipe: Recipe) -> Tensor | None:
    """(classes,): the inverse of each class's clips, mean 1 over the clips; classes without clips get 0."""
    if recipe.loss_weights != "balanced":
        return None
    count = torch.bincount(torch.tensor([c.label for c in run.training]), minlength=len(run.dataset.labels)).float()
    return torch.where(count > 0, count.sum() / ((count > 0).sum() * count.clamp(min=1)), 0.0)


def _form(model: StoredModel, recipe: Recipe, wanted: str | None, trainer: L.Trainer) -> str:
    """How steps are computed: as told, as the run began, or as measured on this device."""
    net, dtype = model.net, DTYPES[recipe.precision]
    known = implementations.supported(net, dtype)
    if trainer.world_size > 1:  # statistics over all processes: the plain form's
        synchronise(net)
        known = ["convolutions"]
    if wanted is not None and wanted not in known:
        on = f"{trainer.world_size} processes" if trainer.world_size > 1 else f"this network with {recipe.precision}"
        raise AinextError(f"--form {wanted}: {on} can take {', '.join(known)}")
    if wanted is not None or len(known) == 1:
        return wanted or known[0]
    device = trainer.strategy.root_device
    return implementations.fastest(net.to(device), dtype, device, net.config.clip_frames, recipe.batch)


class _EarlyStopping(EarlyStopping):
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """A run that had stopped and is resumed has nothing left to do."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


def _trainer(run: Run, machine: Machine) -> L.Trainer:
    recipe, out = run.recipe, run.out
    # Without anything to monitor, the best checkpoint is the newest: one file, written after every epoch.
    callbacks: list[L.Callback] = [
        Checkpoints(out, Path(LAST).stem, save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False),
        Bar(),
        Terminable(),
    ]
    if run.held_out:
        best = Checkpoints(
            out, Path(BEST).stem, "top1", mode="max", save_weights_only=True, save_on_train_epoch_end=False,
            enable_version_counter=False,
        )  # fmt: skip
        callbacks.append(best)
        if recipe.patience:
            callbacks.append(_EarlyStopping("top1", mode="max", patience=recipe.patience))
    loggers: list[Logger] = [
        CSVLog(out, name="log"),  # a folder a start, so that a resumed run deletes nothing
        TensorBoardLog(out, name="tensorboard"),
    ]
    if machine.wandb:
        importlib.import_module("wandb")  # Lightning's own error would not name what is missing
        from lightning.pytorch.loggers import WandbLogger

        loggers.append(WandbLogger(project="audioinceptionnext", name=out.name, save_dir=out, config=run.describe()))
    several = machine.devices * machine.nodes > 1
    return L.Trainer(
        max_epochs=recipe.epochs,
        default_root_dir=out,
        callbacks=callbacks,
        logger=loggers,
        log_every_n_steps=min(5, max(1, len(run.training) // (recipe.batch * machine.devices * machine.nodes))),
        check_val_every_n_epoch=min(recipe.evaluate_every, recipe.epochs),
        accumulate_grad_batches=recipe.accumulate,
        gradient_clip_val=recipe.gradient_norm or None,
        enable_model_summary=False,
        accelerator="auto",
        devices=machine.devices,
        num_nodes=machine.nodes,
        strategy="ddp_find_unused_parameters_true" if several and recipe.head_epochs else "ddp" if several else "auto",
        precision="16-mixed" if recipe.precision == "fp16" and torch.cuda.is_available() else None,
        plugins=[SafeCheckpoints(), *slurm()],
        use_distributed_sampler=False,  # the order already knows who hears what
        num_sanity_val_steps=0,
    )


def _quiet() -> None:
    """Lightning's notes on devices and its advertisements; what matters is on the progress bar."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)

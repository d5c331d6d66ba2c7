"""Lightning's trainer for a run: its callbacks, its loggers and its processes."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from audioinceptionnext.errors import MissingDependencyError, ParameterError
from audioinceptionnext.training import callbacks
from audioinceptionnext.training.distillation import Student
from audioinceptionnext.training.frame_wise import FrameWiseDetector
from audioinceptionnext.training.hardware import Hardware, slurm_environment
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.multi_label import MultiLabelClassifier
from audioinceptionnext.training.progress import progress
from audioinceptionnext.training.run_folder import BEST, LAST, LOG, TENSORBOARD
from audioinceptionnext.training.run_record import Run


def check_loggers(hardware: Hardware) -> None:
    """Check that what the logs need is installed.

    Raises:
        MissingDependencyError: it is not.
    """
    if not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
        raise MissingDependencyError("the log for TensorBoard", "audioinceptionnext[train]")
    if hardware.wandb:
        try:
            importlib.import_module("wandb")  # Lightning's own error would not name what is missing
        except ModuleNotFoundError:
            raise MissingDependencyError("logging to Weights & Biases", "audioinceptionnext[wandb]") from None


def make_trainer(run: Run, hardware: Hardware) -> L.Trainer:
    """The trainer of a run.

    Raises:
        ParameterError: the hardware is not there.
    """
    silence_lightning()
    recipe, out = run.recipe, run.out
    # Without anything to monitor, the best checkpoint is the newest one: a single file, written after every epoch.
    last = callbacks.RelocatableCheckpoint(
        out, Path(LAST).stem, save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False
    )
    used: list[L.Callback] = [last, bar := progress(), callbacks.InterruptOnSigterm()]
    by_clip = MultiLabelClassifier if run.dataset.multi_label else SoundClassifier
    figure = {"clip": by_clip, "steps": FrameWiseDetector, "teacher": Student}[recipe.targets].figure
    if run.held_out:
        best = callbacks.RelocatableCheckpoint(
            out, Path(BEST).stem, figure, mode="max", save_weights_only=True, save_on_train_epoch_end=False,
            enable_version_counter=False,
        )  # fmt: skip
        used.append(best)
        if recipe.patience:
            used.append(callbacks.ResumableEarlyStopping(figure, mode="max", patience=recipe.patience))
    loggers: list[Logger] = [
        callbacks.TolerantCSVLogger(out, name=LOG),  # one folder per start, so that a resumed run deletes nothing
        callbacks.TolerantTensorBoardLogger(out, name=TENSORBOARD),
    ]
    if hardware.wandb:
        loggers.append(_wandb_logger(run))
    parallel = hardware.processes > 1
    strategy = "ddp_find_unused_parameters_true" if recipe.head_epochs else "ddp"
    try:
        return L.Trainer(
            max_epochs=recipe.epochs,
            default_root_dir=out,
            callbacks=used,
            logger=loggers,
            log_every_n_steps=min(5, max(1, len(run.training) // (recipe.batch_size * hardware.processes))),
            check_val_every_n_epoch=min(recipe.evaluate_every, recipe.epochs),
            accumulate_grad_batches=recipe.accumulate,
            gradient_clip_val=recipe.gradient_norm or None,
            enable_model_summary=False,
            enable_progress_bar=isinstance(bar, L.pytorch.callbacks.ProgressBar),
            accelerator="auto",
            devices=hardware.devices,
            num_nodes=hardware.nodes,
            strategy=strategy if parallel else "auto",
            precision="16-mixed" if recipe.precision == "fp16" and torch.cuda.is_available() else None,
            plugins=[callbacks.AtomicCheckpointIO(), *slurm_environment()],
            use_distributed_sampler=False,  # `EpochOrder` already gives each process its clips
            num_sanity_val_steps=0,
        )
    except MisconfigurationException as error:  # for example, more devices than there are
        raise ParameterError("devices", hardware.devices, " ".join(str(error).split())) from error


def _wandb_logger(run: Run) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(project="audioinceptionnext", name=run.out.name, save_dir=run.out, config=run.describe())


def silence_lightning() -> None:
    """Suppress Lightning's notes on devices and its advertisements; the progress bar shows what matters."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)

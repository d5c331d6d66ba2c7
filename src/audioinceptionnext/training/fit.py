"""From a dataset to a trained network on disk."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.waveforms import Waveforms, collate
from audioinceptionnext.errors import AinextError
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel, save_model
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.recipe import Recipe

LAST = "last.ckpt"
MODEL = "model.safetensors"


def split(dataset: Dataset, folds: str) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Clips to train on and clips held out. ``folds`` is ``1-4``, ``1,2,5`` or ``all``.

    Raises `AinextError` for folds that the dataset does not have.
    """
    if folds == "all":
        return dataset.clips, ()
    wanted: set[int] = set()
    try:
        for part in folds.split(","):
            first, _, last = part.partition("-")
            wanted |= set(range(int(first), int(last or first) + 1))
    except ValueError:
        raise AinextError(f"--folds {folds}: give numbers such as 1-4 or 1,2,5, or all") from None
    if not wanted or not wanted <= set(dataset.folds):
        raise AinextError(f"--folds {folds}: {dataset.name} has the folds {', '.join(map(str, dataset.folds))}")
    return dataset.in_folds(wanted), dataset.in_folds(set(dataset.folds) - wanted)


def train(
    dataset: Dataset, out: Path, recipe: Recipe, folds: str = "all", resume: bool = False, threads: int | None = None
) -> Path:
    """Trains, and leaves in ``out``: ``model.safetensors``, ``last.ckpt`` for ``resume``, ``metrics.csv``.

    Raises:
        AinextError: folds that do not exist, clips that cannot be read, nothing to resume.
    """
    training, held_out = split(dataset, folds)
    checkpoint = out / LAST
    if resume and not checkpoint.is_file():
        raise AinextError(f"{checkpoint}: nothing to resume; start without --resume")
    if threads is not None:
        torch.set_num_threads(threads)
    L.seed_everything(recipe.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    net = create_model(recipe.variant, len(dataset.labels), dropout=recipe.dropout)
    info: dict[str, Any] = {"data": dataset.name, "folds": folds, "clips": len(training), "recipe": recipe.as_dict()}
    run = "dense" if max(recipe.crops) * 1000 / 5 > net.config.clip_frames else "windows"
    model = StoredModel(net, dataset.labels, run=run, info=info)  # type: ignore[arg-type]

    print(f"decoding {len(training) + len(held_out)} clips", file=sys.stderr, flush=True)
    heard = Waveforms(training, model.sample_rate)
    _standardise(model, heard)
    loader = _loader(heard, recipe.batch, shuffle=True)
    total_steps = recipe.epochs * len(loader)
    module = SoundClassifier(model, recipe, total_steps)
    trainer = _trainer(out, recipe)
    validation = [_loader(Waveforms(held_out, model.sample_rate), recipe.batch)] if held_out else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*num_workers.*|.*does not have many workers.*|.*isinstance.*")
        trainer.fit(module, loader, validation, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    if trainer.interrupted:
        raise AinextError(f"interrupted; go on with the same command and --resume (from {checkpoint})")
    save_model(model, out / MODEL)
    return out / MODEL


def _standardise(model: StoredModel, heard: Waveforms, most: int = 400) -> None:
    """Sets the network's input statistics from the training clips, evenly chosen."""
    front = model.front_end()
    step = max(1, math.ceil(len(heard) / most))
    values = torch.cat([front(heard[i][0][None]).flatten() for i in range(0, len(heard), step)])
    model.net.mean.copy_(values.mean())
    model.net.std.copy_(values.std())


def _loader(clips: Waveforms, batch: int, shuffle: bool = False) -> DataLoader[Any]:
    return DataLoader(clips, batch, shuffle=shuffle, collate_fn=collate)


def _trainer(out: Path, recipe: Recipe) -> L.Trainer:
    keep = ModelCheckpoint(out, save_last=True, save_top_k=0, every_n_epochs=1, save_on_train_epoch_end=True)
    callbacks: Sequence[L.Callback] = [keep, TQDMProgressBar(refresh_rate=1 if sys.stderr.isatty() else 50)]
    return L.Trainer(
        max_epochs=recipe.epochs,
        default_root_dir=out,
        callbacks=list(callbacks),
        logger=CSVLogger(out, name="", version=""),
        log_every_n_steps=5,
        check_val_every_n_epoch=5,
        enable_model_summary=False,
        accelerator="auto",
        devices=1,
        num_sanity_val_steps=0,
    )

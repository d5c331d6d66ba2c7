"""From a dataset to a trained network on disk."""

from __future__ import annotations

import contextlib
import json
import logging
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

from audioinceptionnext.data import Dataset
from audioinceptionnext.data.waveforms import EpochShuffle, Waveforms, collate
from audioinceptionnext.errors import AinextError
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.recognition import writing
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.recipe import Recipe

LAST = "last.ckpt"
MODEL = "model.safetensors"
RUN = "run.json"


def train(
    dataset: Dataset,
    out: Path,
    recipe: Recipe,
    folds: str = "all",
    start: Path | None = None,
    resume: bool = False,
    threads: int | None = None,
) -> Path:
    """Trains, and leaves in ``out``: ``model.safetensors``, ``run.json``, ``log/``, and ``last.ckpt`` to resume.

    Args:
        folds: the folds to train on, as in `Dataset.split`; the rest is held out and scored every fifth epoch.
        start: weights to begin with, a ``.safetensors`` file of the same classes; variant and input statistics are its.
        resume: go on from ``out``'s last checkpoint, which was begun with this same recipe and these folds.

    Raises:
        AinextError: folds that do not exist, clips that cannot be read, weights of other classes, nothing to resume
            or a run of another recipe.
    """
    training, held_out = dataset.split(folds)
    checkpoint = out / LAST
    _describe_run(out, {"data": dataset.name, "folds": folds, "recipe": recipe.as_dict()}, resume)
    if threads is not None:
        torch.set_num_threads(threads)
    # Its notes on devices and its advertisements; what matters is on the progress bar.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    L.seed_everything(recipe.seed, verbose=False)
    torch.set_float32_matmul_precision("high")
    model = _begin(dataset, recipe, start)
    model.info |= {"data": dataset.name, "folds": folds, "clips": len(training)}

    print(f"decoding {len(training) + len(held_out)} clips", file=sys.stderr, flush=True)
    heard = Waveforms(training, model.sample_rate)
    if start is None:
        _standardise(model, heard)
    loader = _loader(heard, recipe.batch, EpochShuffle(len(heard), recipe.seed))
    total_steps = recipe.epochs * len(loader)
    module = SoundClassifier(model, recipe, total_steps)
    trainer = _trainer(out, recipe)
    validation = [_loader(Waveforms(held_out, model.sample_rate), recipe.batch)] if held_out else None
    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        warnings.filterwarnings("ignore", module="lightning")  # advice on loader workers and logging intervals
        trainer.fit(module, loader, validation, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    if trainer.interrupted:
        raise AinextError(f"interrupted; go on with the same command and --resume (from {checkpoint})")
    save_model(model, out / MODEL)
    return out / MODEL


def _describe_run(out: Path, description: dict[str, Any], resume: bool) -> None:
    """Writes ``run.json``; of a run that goes on, checks that it is the same."""
    path = out / RUN
    description = json.loads(json.dumps(description))  # tuples as lists, as they are read back
    if not resume:
        with writing(path):
            out.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        return
    if not (out / LAST).is_file() or not path.is_file():
        raise AinextError(f"{out / LAST}: nothing to resume; start without --resume")
    begun = json.loads(path.read_text(encoding="utf-8"))
    before, now = ({"data": d["data"], "folds": d["folds"], **d["recipe"]} for d in (begun, description))
    for key, value in before.items():
        if value != now[key]:
            raise AinextError(f"{path}: the run was begun with {key} {value}, not {now[key]}; give the same")


def _begin(dataset: Dataset, recipe: Recipe, start: Path | None) -> StoredModel:
    """A fresh network, or the one in ``start``; with the recipes of all that it went through."""
    if start is None:
        try:
            net = create_model(recipe.variant, len(dataset.labels), dropout=recipe.dropout)
        except ValueError as error:
            raise AinextError(f"--variant: {error}") from error
        model = StoredModel(net, dataset.labels)
    else:
        model = load_model(start)
        if model.labels != dataset.labels:
            raise AinextError(f"{start}: knows other classes than {dataset.name}")
        model.net.dropout.p = recipe.dropout
    longer = max(recipe.crops) * 1000 / model.hop_ms > model.net.config.clip_frames
    model.run = "dense" if longer else "windows"
    before = model.info.get("recipes", [])
    model.info = {"recipes": [*before, recipe.as_dict()]}
    return model


def _standardise(model: StoredModel, heard: Waveforms, most: int = 400) -> None:
    """Sets the network's input statistics from the training clips, evenly chosen."""
    front = model.front_end()
    step = max(1, math.ceil(len(heard) / most))
    values = torch.cat([front(heard[i][0][None]).flatten() for i in range(0, len(heard), step)])
    model.net.mean.copy_(values.mean())
    model.net.std.copy_(values.std())


def _loader(clips: Waveforms, batch: int, order: EpochShuffle | None = None) -> DataLoader[Any]:
    return DataLoader(clips, batch, sampler=order, collate_fn=collate)


def _trainer(out: Path, recipe: Recipe) -> L.Trainer:
    # Without anything to monitor, the best checkpoint is the newest: one file, written after every epoch.
    keep = ModelCheckpoint(
        out, Path(LAST).stem, save_top_k=1, save_on_train_epoch_end=True, enable_version_counter=False
    )
    callbacks: Sequence[L.Callback] = [keep, TQDMProgressBar(refresh_rate=1 if sys.stderr.isatty() else 50)]
    return L.Trainer(
        max_epochs=recipe.epochs,
        default_root_dir=out,
        callbacks=list(callbacks),
        logger=CSVLogger(out, name="log"),  # a folder a start, so that a resumed run deletes nothing
        log_every_n_steps=5,
        check_val_every_n_epoch=5,
        enable_model_summary=False,
        accelerator="auto",
        devices=1,
        num_sanity_val_steps=0,
    )

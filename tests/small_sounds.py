"""A small data set with two classes that are easy to tell apart, and the smallest training that learns something."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext.data import Dataset, load_dataset
from audioinceptionnext.data.waveforms import Batch
from audioinceptionnext.network import create_model
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel, load_model
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_record import Run
from tests.audio_files import write_wav

RATE = 24_000
LABELS = ("hiss", "whistle")
NETWORK = {"depths": [1, 1, 1, 1], "widths": [8, 8, 16, 16]}
QUICK: dict[str, Any] = {
    "network": "tiny",
    "network_settings": NETWORK,
    "clip_seconds": 0.64,
    "batch_size": 4,
    "epochs": 3,
    "learning_rate": 0.003,
    "dropout": 0.0,
    "precision": "float32",
    "evaluate_every": 1,
}


def write_kitchen(folder: Path, clips: int = 24, folds: int = 2, seconds: tuple[float, float] = (0.5, 1.2)) -> Path:
    """A Kitchen20 of two classes, which alternate. Each source has two neighbouring clips, one of each class."""
    (folder / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    with (folder / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "target", "category", "source_id"])
        for number in range(clips):
            target = number % 2
            write_wav(folder / "audio" / f"{number}.wav", sound(target, rng.uniform(*seconds), rng), RATE)
            fold = 1 + number * folds // clips
            writer.writerow([f"{number}.wav", fold, target, LABELS[target], number // 2])
    return folder


def sound(target: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Noise for class 0, a tone of random pitch in a little noise for class 1."""
    time = np.arange(int(RATE * seconds)) / RATE
    noise = rng.standard_normal(len(time)) * 0.02
    return noise * 8 if target == 0 else noise + 0.3 * np.sin(2 * np.pi * rng.uniform(900, 1500) * time)


def quick(**changes: Any) -> Recipe:
    return Recipe.from_dict(QUICK | changes)


def run_on(root: Path, out: Path, folds: str | None = "1", **changes: Any) -> Run:
    """A run that trains on fold 1 and holds out the others."""
    dataset: Dataset = load_dataset("kitchen20", root)
    training, held_out = dataset.select(folds)
    return Run(dataset, training, held_out, out, quick(**changes))


def small_net(classes: int = 2, **changes: Any) -> Network:
    torch.manual_seed(0)
    return create_model("tiny", classes, **NETWORK | {"clip_frames": 64} | changes)


def batch_of(labels: list[int], samples: int = RATE // 2) -> Batch:
    waveforms = torch.randn(len(labels), samples, generator=torch.Generator().manual_seed(0)) * 0.1
    lengths = torch.full((len(labels),), samples)
    return Batch(waveforms, lengths, torch.tensor(labels), torch.arange(len(labels)), [], lengths)


def module_of(recipe: Recipe, class_weights: Tensor | None = None, classes: int = 2) -> SoundClassifier:
    model = StoredModel(small_net(classes, dropout=0.0), tuple(f"class {n}" for n in range(classes)))
    return SoundClassifier(model, recipe, 10, class_weights=class_weights)


def content(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def weights(path: Path) -> dict[str, Tensor]:
    return load_model(path).net.state_dict()


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)

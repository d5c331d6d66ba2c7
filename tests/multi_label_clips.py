"""A list of clips in which any of three sounds may be at once, and the smallest training that tells them apart."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import load_dataset
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.splits import split_clips
from tests.audio_files import write_wav
from tests.small_sounds import quick

RATE = 8000
SOUNDS = ("Hiss", "Hum, low", "Whistle")  # a comma belongs to a name, as in AudioSet's
SETTINGS: dict[str, Any] = {
    "sample_rate": RATE,
    "window_ms": 20,
    "hop_ms": 10,
    "bands": 64,
    "batch_size": 8,
    "learning_rate": 0.03,
    "precise_bn": 4,
}


def sound(label: str, count: int, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(count) / RATE
    if label == "Hiss":
        return 0.05 * rng.standard_normal(count)
    return 0.2 * np.sin(2 * np.pi * (200 if label == "Hum, low" else 1500) * rng.uniform(0.9, 1.1) * time)


def mixture(labels: tuple[str, ...], seconds: float, rng: np.random.Generator) -> np.ndarray:
    count = round(seconds * RATE)
    return sum((sound(label, count, rng) for label in labels), 0.001 * rng.standard_normal(count))


def write_clips(folder: Path, training: int = 16, validation: int = 8, seconds: float = 0.7) -> Path:
    """A list of clips, of each eight of which three have two labels, three have one, one has none and one has all."""
    (folder / "audio").mkdir(parents=True)
    rng = np.random.default_rng(0)
    chosen = [SOUNDS[:2], SOUNDS[1:], SOUNDS[::2], SOUNDS[:1], SOUNDS[1:2], SOUNDS[2:], (), SOUNDS]
    with (folder / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "labels", "split", "fold"])
        for number in range(training + validation):
            labels = chosen[number % len(chosen)]
            write_wav(folder / "audio" / f"{number}.wav", mixture(labels, seconds, rng), RATE)
            split = "train" if number < training else "validation"
            writer.writerow([f"{number}.wav", "; ".join(labels), split, 1 + number // len(chosen) % 2])
    return folder


def run_of(clips: Path, out: Path, **changes: Any) -> Run:
    dataset = load_dataset("csv", clips)
    return Run(dataset, *split_clips(dataset), out, quick(**SETTINGS | changes))

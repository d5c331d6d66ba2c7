"""Recordings with overlapping annotated segments, and runs that train on them. Needs torch."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import load_dataset
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.splits import split_clips
from tests.audio_files import write_wav
from tests.small_sounds import LABELS, quick

RATE = 8000
STEPS: dict[str, Any] = {
    "targets": "steps",
    "clip_seconds": None,
    "crops": [2.56],
    "sample_rate": RATE,
    "window_ms": 20,
    "hop_ms": 5,
    "bands": 64,
}


def write_scenes(folder: Path, recordings: int = 8, seconds: float = 7.3) -> Path:
    """A list of recordings in which a hiss and a whistle come and go, each in its own time, so that they overlap."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    with (folder / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "start", "end", "label", "split"])
        for number in range(recordings):
            time = np.arange(round(seconds * RATE)) / RATE
            samples = 0.002 * rng.standard_normal(len(time))
            for label in LABELS:
                start = rng.uniform(0.2, 1.0)
                while (end := start + rng.uniform(0.5, 1.2)) < seconds:
                    inside = (time >= start) & (time < end)
                    samples += inside * (0.1 * rng.standard_normal(len(time)) if label == "hiss" else _whistle(time))
                    split = "train" if number < recordings - 2 else "validation"
                    writer.writerow([f"{number}.wav", f"{start:.3f}", f"{end:.3f}", label, split])
                    start = end + rng.uniform(0.6, 1.5)
            write_wav(folder / f"{number}.wav", samples, RATE)
    return folder


def _whistle(time: np.ndarray) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 1200 * time)


def run_of(scenes: Path, out: Path, **changes: Any) -> Run:
    dataset = load_dataset("csv", scenes)
    return Run(dataset, *split_clips(dataset), out, quick(**STEPS | changes))

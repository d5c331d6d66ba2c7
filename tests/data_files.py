"""The files of small data sets: recordings, lists, and the annotations of EPIC-SOUNDS."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas

from examples.stand_in import POSITION_COLUMNS as EPIC
from tests.audio_files import sine, write_wav

RATE = 8000
TONE = sine(440, 0.1, RATE)
SEGMENTS = [
    ("P01_1_0", "P01", "P01_1", "00:00:00.100", "00:00:00.501", 2399, 12024, "thud", "rustle", 4),
    ("P01_1_1", "P01", "P01_1", "00:00:01.000", "00:00:01.500", 24000, 36000, "", "open / close", 3),
    ("P02_9_0", "P02", "P02_9", "00:00:00.000", "00:00:00.100", 0, 2400, "", "zip", 42),
]
TEST = [("P03_1_0", "P03", "P03_1", "00:00:00.000", "00:00:00.100", 0, 2400)]


def wav(path: Path, samples: np.ndarray = TONE, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_wav(path, samples, rate)


def write_list(path: Path, *rows: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def epic_lists(root: Path, suffix: str) -> None:
    header = (*EPIC, "description", "class", "class_id")
    lists = [
        ("EPIC_Sounds_train", header, SEGMENTS[:2]),
        ("EPIC_Sounds_validation", header, SEGMENTS[2:]),
        ("EPIC_Sounds_recognition_test_timestamps", EPIC, TEST),
    ]
    for name, columns, rows in lists:
        if suffix == "csv":
            write_list(root / "annotations" / f"{name}.csv", columns, *rows)
        else:
            root.mkdir(exist_ok=True)
            frame = pandas.DataFrame(rows, columns=columns)
            (frame if name.endswith("train") else frame.set_index("annotation_id")).to_pickle(root / f"{name}.pkl")


def epic_hdf5(path: Path, **samples: int) -> Path:
    with h5py.File(path, "w") as file:
        for video, length in samples.items():  # nothing is allocated, so that hours take no space
            file.create_dataset(video, (length,), "f4", chunks=(min(1024, length),))
    return path

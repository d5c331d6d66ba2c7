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


def kitchen_lists(root: Path) -> None:
    """The lists of EPIC-KITCHENS-100 with a few segments; the name ``water`` is both a verb's and a noun's."""
    position = ("narration_id", "participant_id", "video_id", "narration_timestamp", "start_timestamp",
                "stop_timestamp", "start_frame", "stop_frame")  # fmt: skip
    header = (*position, "narration", "verb", "verb_class", "noun", "noun_class", "all_nouns", "all_noun_classes")
    place = ("P01", "P01_1", "00:00:00.560")
    words = ("take big plate", "take", 0, "plate", 2, "['plate', 'lid']", "[2, 7]")
    train = [
        ("P01_1_0", *place, "00:00:00.14", "00:00:00.55", 8, 33, *words),
        ("P01_1_1", *place, "00:00:01.005", "00:00:01.5", 60, 90, "water plants", "water", 96, "plant", 299, "", ""),
    ]
    validation = [("P02_9_0", "P02", "P02_9", "", "00:00:00.00", "00:00:00.10", 1, 6, *words)]
    test = [("P03_1_0", "P03", "P03_1", "", "00:00:00.00", "00:00:00.10", 1, 6)]
    write_list(root / "EPIC_100_train.csv", header, *train)
    write_list(root / "EPIC_100_validation.csv", header, *validation)
    write_list(root / "EPIC_100_test_timestamps.csv", position, *test)
    verbs = ["take", *(f"do-{n}" for n in range(1, 96)), "water"]
    nouns = ["tap", "water", "plate", *(f"thing:{n}" for n in range(3, 300))]
    for task, names in (("verb", verbs), ("noun", nouns)):
        rows = [(number, name, f"['{name}', 'other']", "some") for number, name in enumerate(names)]
        write_list(root / f"EPIC_100_{task}_classes.csv", ("id", "key", "instances", "category"), *rows)

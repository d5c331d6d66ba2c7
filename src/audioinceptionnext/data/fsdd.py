"""Free Spoken Digit Dataset (Jackson et al.): spoken digits at 8 kHz; its test split is the recordings 0 to 4 of each.

Layout: ``recordings/{digit}_{speaker}_{index}.wav``, as in the original repository; with a ``meta.csv``
(``filename, target, category, speaker, index, split``) that is taken instead. A group is a speaker: the official split
has every speaker on both sides, leak-free folds have not.
"""

from __future__ import annotations

import re
from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.table import Row, class_names, label_of, present, read_table, split_of
from audioinceptionnext.errors import AinextError, printable

COLUMNS = ("filename", "target", "category", "speaker", "split")
_NAME = re.compile(r"(\d)_([^_]+)_(\d+)", re.ASCII)
_TESTS = 5  # recordings of each speaker and digit, the first ones


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Raises `AinextError`: ``root`` holds no FSDD, or none of its clips."""
    folder = audio or (root / "recordings" if (root / "recordings").is_dir() else root)
    meta = root / "meta.csv"
    return _by_list(meta, folder) if meta.is_file() else _by_names(root, folder)


def _by_list(meta: Path, folder: Path) -> Dataset:
    table = read_table(meta, COLUMNS, "FSDD")
    names = class_names(table, "target", "category")

    def make(_: int, row: Row) -> Clip:
        label = label_of(row, names, "target", "category")
        split = split_of(row["split"])
        return Clip(present(folder / row["filename"]), label, split=split, group=row["speaker"] or None)

    return table.dataset("fsdd", names, make)


def _by_names(root: Path, folder: Path) -> Dataset:
    clips, problems = [], []
    for path in sorted(folder.glob("*.wav")) if folder.is_dir() else []:
        if path.name.startswith("."):
            continue
        if name := _NAME.fullmatch(path.stem):
            digit, speaker, index = name.groups()
            split = "test" if int(index) < _TESTS else "train"
            clips.append(Clip(path, int(digit), split=split, group=speaker))
        else:
            problems.append(f"{printable(path)}: is not named as digit_speaker_index.wav: left out")
    if not clips:
        what = "neither meta.csv nor recordings/{digit}_{speaker}_{index}.wav is there"
        raise AinextError(f"{printable(root)}: no FSDD here: {what}; --root names the folder that holds it")
    return Dataset("fsdd", tuple("0123456789"), tuple(clips), tuple(problems))

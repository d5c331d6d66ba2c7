"""Free Spoken Digit Dataset (Jackson et al.): spoken digits at 8 kHz, 10 classes, split train and test.

Layout: ``recordings/{digit}_{speaker}_{index}.wav``, as in the original repository. If there is a ``meta.csv``
(``filename, target, category, speaker, index, split``), it is read instead. Without it, the test split is the official
one: the recordings 0 to 4 of each speaker and digit. A group is a speaker. The official split has all speakers on both
sides; leak-free folds do not.
"""

from __future__ import annotations

import re
from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.table import Row, class_names, existing, label_of, read_table, split_of
from audioinceptionnext.errors import FileError, printable

COLUMNS = ("filename", "target", "category", "speaker", "split")
_NAME = re.compile(r"(\d)_([^_]+)_(\d+)", re.ASCII)
_TEST_RECORDINGS = 5  # of each speaker and digit, the first ones


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read FSDD below ``root``, with its recordings in the folder ``audio`` if that is given.

    Raises:
        FileError: ``root`` does not hold FSDD, or none of its clips.
    """
    folder = audio or (root / "recordings" if (root / "recordings").is_dir() else root)
    meta = root / "meta.csv"
    return _by_list(meta, folder) if meta.is_file() else _by_names(root, folder)


def _by_list(meta: Path, folder: Path) -> Dataset:
    table = read_table(meta, COLUMNS, "FSDD")
    names = class_names(table, "target", "category")

    def make(_: int, row: Row) -> Clip:
        label = label_of(row, names, "target", "category")
        split = split_of(row["split"])
        return Clip(existing(folder / row["filename"]), label, split=split, group=row["speaker"] or None)

    return table.dataset("fsdd", names, make)


def _by_names(root: Path, folder: Path) -> Dataset:
    clips, problems = [], []
    for path in sorted(folder.glob("*.wav")) if folder.is_dir() else []:
        if path.name.startswith("."):
            continue
        if name := _NAME.fullmatch(path.stem):
            digit, speaker, index = name.groups()
            split = "test" if int(index) < _TEST_RECORDINGS else "train"
            clips.append(Clip(path, int(digit), split=split, group=speaker))
        else:
            problems.append(f"{printable(path)}: is not named digit_speaker_index.wav: left out")
    if not clips:
        what = "neither meta.csv nor recordings/{digit}_{speaker}_{index}.wav is there"
        raise FileError(root, f"no FSDD here: {what}; give the folder that holds it")
    return Dataset("fsdd", tuple("0123456789"), tuple(clips), tuple(problems))

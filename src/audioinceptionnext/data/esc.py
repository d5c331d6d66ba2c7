"""ESC-50 and ESC-10 (Piczak, 2015): environmental sounds, clips of 5 s, 5 folds without common sources.

Layout of ESC-50: ``meta/esc50.csv`` (``filename, fold, target, category, esc10, src_file, take``) and the clips under
``audio/``. ESC-10 is the ten classes that the column ``esc10`` marks, or a folder of its own with ``meta.csv``
(in the format of Kitchen20) and ``audio/``.
"""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.data.clip import Dataset
from audioinceptionnext.data.table import Columns, Row, Table, folded, list_at, read_table
from audioinceptionnext.errors import FileError

_ESC50 = Columns(group="src_file")
_OWN = Columns()
_LIST = "meta/esc50.csv"
# The names of ESC-10, in its order, by those of ESC-50, so that a model fits either copy.
_NAMES = {
    "dog": "dog_bark",
    "rain": "rain",
    "sea_waves": "sea_waves",
    "crying_baby": "baby_cry",
    "clock_tick": "clock_tick",
    "sneezing": "person_sneeze",
    "helicopter": "helicopter",
    "chainsaw": "chainsaw",
    "rooster": "rooster",
    "crackling_fire": "fire_crackling",
}


def load_esc50(root: Path, audio: Path | None = None) -> Dataset:
    """Read ESC-50 below ``root``, with its clips in the folder ``audio`` if that is given.

    Raises:
        FileError: ``root`` does not hold ESC-50, or none of its clips.
    """
    table = read_table(list_at(root, _LIST, "ESC-50"), _ESC50.all, "ESC-50")
    folder = audio or root / "audio"
    return folded("esc50", table, _ESC50, lambda row: folder / row["filename"], num_folds=5)


def load_esc10(root: Path, audio: Path | None = None) -> Dataset:
    """Read ESC-10 from ESC-50 or from a folder of its own, with its clips in the folder ``audio`` if that is given.

    Raises:
        FileError: ``root`` holds neither, or none of the clips.
    """
    folder = audio or root / "audio"

    def path_of(row: Row) -> Path:
        return folder / row["filename"]

    if (root / _LIST).is_file():
        table = read_table(root / _LIST, (*_ESC50.all, "esc10"), "ESC-50")
        return folded("esc10", _ten_of(table), _ESC50, path_of, num_folds=5, labels=tuple(_NAMES.values()))
    if not (root / "meta.csv").is_file():
        what = "neither meta.csv nor ESC-50's meta/esc50.csv is there"
        raise FileError(root, f"no ESC-10 here: {what}; give the folder that holds it")
    return folded("esc10", read_table(root / "meta.csv", _OWN.all, "ESC-10"), _OWN, path_of, num_folds=5)


def _ten_of(table: Table) -> Table:
    """The rows that are marked as ESC-10, with its class names and indices."""
    order = list(_NAMES)
    rows = []
    for line, row in table.rows:
        if row["esc10"].lower() not in ("true", "1"):
            continue
        if row["category"] not in _NAMES:
            table.problems.append((line, f"{row['category']!r} is marked as ESC-10, but is none of its ten classes"))
            continue
        target = str(order.index(row["category"]))
        rows.append((line, row | {"target": target, "category": _NAMES[row["category"]]}))
    return Table(table.path, rows, table.problems)

"""UrbanSound8K (Salamon et al., 2014): 8,732 street sounds of up to 4 s, 10 classes; its ten folds are the protocol.

Layout: ``metadata/UrbanSound8K.csv`` (``slice_file_name, fsID, start, end, salience, fold, classID, class``) and the
clips under ``audio/fold1`` to ``audio/fold10``. ``start`` and ``end`` say where a clip was in its Freesound recording
(``fsID``), not in its file.
"""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.data.clip import Dataset
from audioinceptionnext.data.table import Columns, Row, folded, list_at, read_table

COLUMNS = Columns(file="slice_file_name", target="classID", label="class", group="fsID")


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Raises `AinextError`: ``root`` holds no UrbanSound8K, or none of its clips."""
    path = list_at(root, "metadata/UrbanSound8K.csv", "UrbanSound8K")
    table = read_table(path, COLUMNS.all, "UrbanSound8K")
    folder = audio or root / "audio"

    def place(row: Row) -> Path:
        return folder / f"fold{row[COLUMNS.fold]}" / row[COLUMNS.file]

    return folded("urbansound8k", table, COLUMNS, place, folds=10)

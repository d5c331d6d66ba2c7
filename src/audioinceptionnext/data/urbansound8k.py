"""UrbanSound8K (Salamon et al., 2014): 8,732 clips of city sounds of up to 4 s, 10 classes, 10 folds.

Published results are ten-fold cross-validation over these folds.

Layout: ``metadata/UrbanSound8K.csv`` (``slice_file_name, fsID, start, end, salience, fold, classID, class``) and the
clips under ``audio/fold1`` to ``audio/fold10``. ``start`` and ``end`` are times in the Freesound recording (``fsID``)
that a clip was cut from, not in its file.
"""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.data.clip import Dataset
from audioinceptionnext.data.table import Columns, Row, folded, list_at, read_table

COLUMNS = Columns(file="slice_file_name", target="classID", label="class", group="fsID")


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read UrbanSound8K below ``root``, with its fold folders in the folder ``audio`` if that is given.

    Raises:
        FileError: ``root`` does not hold UrbanSound8K, or none of its clips.
    """
    path = list_at(root, "metadata/UrbanSound8K.csv", "UrbanSound8K")
    table = read_table(path, COLUMNS.all, "UrbanSound8K")
    folder = audio or root / "audio"

    def path_of(row: Row) -> Path:
        return folder / f"fold{row[COLUMNS.fold]}" / row[COLUMNS.file]

    return folded("urbansound8k", table, COLUMNS, path_of, num_folds=10)

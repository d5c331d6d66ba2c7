"""Kitchen20 (Moreaux et al., 2019): 800 clips of 5 s, 20 kitchen sounds and actions, 5 folds.

Layout: ``meta.csv`` (``filename, fold, target, category, source_id, …``) and the clips under ``audio/``.
"""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.data.clip import Dataset
from audioinceptionnext.data.table import Columns, folded, list_at, read_table

COLUMNS = Columns()


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read Kitchen20 below ``root``, with its clips in the folder ``audio`` if that is given.

    Raises:
        FileError: ``root`` does not hold Kitchen20, or none of its clips.
    """
    table = read_table(list_at(root, "meta.csv", "Kitchen20"), COLUMNS.all, "Kitchen20")
    folder = audio or root / "audio"
    return folded("kitchen20", table, COLUMNS, lambda row: folder / row[COLUMNS.file], num_folds=5)

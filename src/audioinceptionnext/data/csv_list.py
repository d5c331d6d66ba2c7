"""Recordings of your own with a list: one CSV file, one row a clip, which may be a part of a recording.

Columns: ``path`` (or ``filename``), ``label`` (or ``category``, ``class``), and as needed ``start`` and ``end``
(seconds), ``fold``, ``split`` (train, validation, test), ``group`` (or ``source_id``: clips of one source), ``id``.
Further columns are ignored. Paths count from the list's folder, or from ``audio/`` in it.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.recordings import Recordings, recordings_at
from audioinceptionnext.data.table import (
    BadRow,
    MissingClip,
    Row,
    Table,
    in_order,
    is_file,
    read_table,
    seconds,
    split_of,
    whole,
)
from audioinceptionnext.errors import AinextError, printable

COLUMNS = {
    "path": ("path", "filename"),
    "label": ("label", "category", "class"),
    "start": ("start",),
    "end": ("end",),
    "fold": ("fold",),
    "split": ("split",),
    "group": ("group", "source_id"),
    "id": ("id",),
}
NEEDED = ("path", "label")
_USUAL = ("meta.csv", "clips.csv")


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read the list at ``root``: a ``.csv`` file, or a folder that holds ``meta.csv``, ``clips.csv`` or one list.

    Labels are in order of their names, or of their values where all are numbers.

    Args:
        audio: a folder that paths count from instead, or an HDF5 file whose members they name.

    Raises:
        AinextError: no list or several, columns that are missing or misspelt, no row that can be used.
    """
    table = _renamed(read_table(_list_in(root), (), "a clip list"))
    labels = in_order({row["label"] for _, row in table.rows if row["label"]})
    index = {label: number for number, label in enumerate(labels)}
    where = _Places(table.path.parent, audio)
    seen: dict[object, int] = {}

    def make(line: int, row: Row) -> Clip:
        if not row["label"]:
            raise BadRow("no label")
        if not row["path"]:
            raise BadRow("no path")
        start, end = seconds(row, "start") or 0.0, seconds(row, "end")
        if end is not None and end <= start:
            raise BadRow(f"ends at {end:g} s, where it starts at {start:g} s")
        path, key = where.find(row["path"])
        clip = Clip(
            path,
            index[row["label"]],
            start,
            end,
            fold=whole(row, "fold") if "fold" in row else None,
            split=split_of(row["split"]) if "split" in row else None,
            group=row.get("group") or None,
            key=key,
            id=row.get("id") or None,
        )
        for what in ((path, key, start, end), clip.id):
            if what is not None and seen.setdefault(what, line) != line:
                thing = f"id {clip.id}" if what == clip.id else "this clip"
                raise BadRow(f"{thing} stands in line {seen[what]} already")
        return clip

    return table.dataset("csv", labels, make)


class _Places:
    """Where paths of the list lead."""

    def __init__(self, folder: Path, audio: Path | None) -> None:
        self.hdf5: Recordings | None = recordings_at(audio) if audio is not None and audio.is_file() else None
        base = folder if audio is None else audio
        self.bases = (base, base / "audio")

    def find(self, name: str) -> tuple[Path, str | None]:
        if self.hdf5 is not None:
            found = self.hdf5.find(name, Path(name).stem)
            if found is None:
                raise MissingClip(Path(f"{self.hdf5.place}:{name}"))
            return found
        for base in self.bases:
            if is_file(base / name):
                return base / name, None
        raise MissingClip(self.bases[0] / name)


def _list_in(root: Path) -> Path:
    if root.is_file():
        return root
    for name in _USUAL:
        if (root / name).is_file():
            return root / name
    lists = sorted(path for path in root.glob("*.csv") if not path.name.startswith("."))
    if len(lists) == 1:
        return lists[0]
    what = "no .csv list here" if not lists else f"{len(lists)} .csv lists here and none is called meta.csv"
    raise AinextError(f"{printable(root)}: {what}; --root names the list or the folder that holds it")


def _renamed(table: Table) -> Table:
    """The table under our names of the columns."""
    columns = list(table.rows[0][1]) if table.rows else []
    names = {}
    for ours, aliases in COLUMNS.items():
        if found := next((alias for alias in aliases if alias in columns), None):
            names[found] = ours
            continue
        for column in columns:
            if near := difflib.get_close_matches(column.lower(), aliases, 1, cutoff=0.85):
                raise AinextError(
                    f"{printable(table.path)}: has a column {printable(column)!r}; did you mean {near[0]}?"
                )
        if ours in NEEDED:
            needed = f"no column {' or '.join(aliases)}; it has {printable(', '.join(columns)) or 'no whole row'}"
            raise AinextError(f"{printable(table.path)}: {needed}")
    rows = [(line, {names[old]: value for old, value in row.items() if old in names}) for line, row in table.rows]
    return Table(table.path, rows, table.problems)

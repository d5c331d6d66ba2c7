"""A CSV list of your own recordings: one row per clip, which may be a part of a recording.

Columns: ``path`` (or ``filename``), ``label`` (or ``category``, ``class``), and as needed ``start`` and ``end``
(seconds), ``fold``, ``split`` (train, validation, test), ``group`` (or ``source_id``: clips of one source), ``id``.
Other columns are ignored. Paths are relative to the folder of the list, or to ``audio/`` in it.
"""

from __future__ import annotations

import difflib
import unicodedata
from pathlib import Path

from audioinceptionnext.data import clip_list
from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.recordings import Recordings, recordings_at
from audioinceptionnext.data.table import (
    BadRow,
    MissingClip,
    Row,
    Table,
    composed,
    is_file,
    read_table,
    seconds,
    sorted_labels,
    split_of,
    whole_number,
)
from audioinceptionnext.errors import FileError, printable

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
_USUAL_NAMES = ("meta.csv", "clips.csv")


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read the list at ``root``. Labels are sorted by name, or by value if all are numbers.

    Args:
        root: a ``.csv`` file, or a folder that holds ``meta.csv``, ``clips.csv`` or a single other list.
        audio: a folder that paths are relative to, or an HDF5 file whose recordings they name.

    Raises:
        FileError: there is no list or more than one, a column is missing or misspelt, or no row can be used.
    """
    table = _renamed(read_table(_list_in(root), (), "a clip list"))
    labels = sorted_labels({row["label"] for _, row in table.rows if row["label"]})
    index = {label: number for number, label in enumerate(labels)}
    locations = _Locations(table.path.parent, audio)
    seen: dict[object, int] = {}

    def make(line: int, row: Row) -> Clip:
        if not row["label"]:
            raise BadRow("no label")
        if not row["path"]:
            raise BadRow("no path")
        start, end = seconds(row, "start") or 0.0, seconds(row, "end")
        if end is not None and end <= start:
            raise BadRow(f"ends at {end:g} s, but starts at {start:g} s")
        path, key = locations.find(row["path"])
        clip = Clip(
            path,
            index[row["label"]],
            start,
            end,
            fold=whole_number(row, "fold") if "fold" in row else None,
            split=split_of(row["split"]) if "split" in row else None,
            group=row.get("group") or None,
            key=key,
            id=row.get("id") or None,
        )
        for identity in ((path, key, start, end), clip.id):
            if identity is not None and seen.setdefault(identity, line) != line:
                what = f"id {clip.id}" if identity == clip.id else "this clip"
                raise BadRow(f"{what} is already in line {seen[identity]}")
        return clip

    return table.dataset("csv", labels, make)


class _Locations:
    """Finds the recordings that the paths of the list name."""

    def __init__(self, folder: Path, audio: Path | None) -> None:
        self.hdf5: Recordings | None = recordings_at(audio) if audio is not None and audio.is_file() else None
        base = folder if audio is None else audio
        self.folders = (base, base / "audio")

    def find(self, name: str) -> tuple[Path, str | None]:
        if self.hdf5 is not None:
            found = self.hdf5.find(name, Path(name).stem)
            if found is None:
                raise MissingClip(Path(f"{self.hdf5.place}:{name}"))
            return found
        for spelling in dict.fromkeys((name, composed(name), unicodedata.normalize("NFD", name))):
            for folder in self.folders:
                if is_file(folder / spelling):
                    return folder / spelling, None
        raise MissingClip(self.folders[0] / name)


def _list_in(root: Path) -> Path:
    if root.is_file():
        return root
    for name in _USUAL_NAMES:
        if (root / name).is_file():
            return root / name
    lists = sorted(path for path in root.glob("*.csv") if not path.name.startswith(".") and path.name != clip_list.NAME)
    if len(lists) == 1:
        return lists[0]
    what = "no .csv list here" if not lists else f"{len(lists)} .csv lists here, and none is called meta.csv"
    raise FileError(root, f"{what}; give the list, or the folder that holds it")


def _renamed(table: Table) -> Table:
    """The table with its columns renamed to the keys of `COLUMNS`, and without other columns."""
    columns = list(table.rows[0][1]) if table.rows else []
    names = {}
    for ours, aliases in COLUMNS.items():
        if found := next((alias for alias in aliases if alias in columns), None):
            names[found] = ours
            continue
        for column in columns:
            if near := difflib.get_close_matches(column.lower(), aliases, 1, cutoff=0.85):
                raise FileError(table.path, f"has a column {printable(column)!r}; did you mean {near[0]}?")
        if ours in NEEDED:
            needed = f"no column {' or '.join(aliases)}; it has {printable(', '.join(columns)) or 'no complete row'}"
            raise FileError(table.path, needed)
    rows = [(line, {names[old]: value for old, value in row.items() if old in names}) for line, row in table.rows]
    rows = [(line, row | {"label": composed(row["label"])}) for line, row in rows]
    return Table(table.path, rows, table.problems)

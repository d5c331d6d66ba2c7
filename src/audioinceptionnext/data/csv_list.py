"""A CSV list of your own recordings: one row per clip, which may be a part of a recording.

Columns: ``path`` (or ``filename``, ``fname``, ``file``), ``label`` (or ``category``, ``class``), and as needed
``start`` and ``end`` (seconds; or ``onset`` and ``offset``), ``fold``, ``split`` (train, validation, test), ``group``
(or ``source_id``: clips of one source), ``id``. Other columns are ignored. Paths are relative to the folder of the
list, or to ``audio/`` in it; ``.wav`` may be left out.

With a column ``labels`` in place of ``label`` (or ``event_labels``, ``event_label``, as in DESED), any number of labels
can be true for a clip. Their names are separated by ``;``. In a list without any ``;``, as FSD50K's, a comma separates
too, but not one that a space follows: that is part of a name, as in AudioSet's "Waves, surf". If all parts of such a
name are labels themselves, the row is a problem. Rows of the same clip are one clip with the labels of all of them. No
name says that none of the labels is true.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

from audioinceptionnext.data import clip_list
from audioinceptionnext.data.clip import NONE_OF_THEM, Clip, Dataset
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
    "path": ("path", "filename", "fname", "file"),
    "label": ("label", "category", "class"),
    "start": ("start", "onset"),
    "end": ("end", "offset"),
    "fold": ("fold",),
    "split": ("split",),
    "group": ("group", "source_id"),
    "id": ("id",),
}
NEEDED = ("path", "label")
SEVERAL = "labels"  # in place of the column label
SEVERAL_ALIASES = (SEVERAL, "event_labels", "event_label")
SEPARATOR = ";"
_USUAL_NAMES = ("meta.csv", "clips.csv")


def load(root: Path, audio: Path | None = None) -> Dataset:
    """Read the list at ``root``. Labels are sorted by name, or by value if all are numbers.

    The data set is multi-label if the list has a column ``labels``.

    Args:
        root: a ``.csv`` or ``.tsv`` file, or a folder that holds ``meta.csv``, ``clips.csv`` or a single other list.
        audio: a folder that paths are relative to, or an HDF5 file whose recordings they name.

    Raises:
        FileError: there is no list or more than one, a column is missing, misspelt or one too many, no row names a
            label, or no row can be used.
    """
    table = _renamed(read_table(_list_in(root), (), "a clip list"))
    several = any(SEVERAL in row for _, row in table.rows)
    table = _one_row_per_clip(table) if several else table
    labels = sorted_labels({name for _, row in table.rows for name in _names(row)})
    if several and not labels:
        raise FileError(table.path, f"no row names a label; write the names into the column {SEVERAL}")
    index = {label: number for number, label in enumerate(labels)}
    locations = _Locations(table.path.parent, audio)
    seen: dict[object, int] = {}

    def make(line: int, row: Row) -> Clip:
        first, *others = sorted(index[name] for name in _names(row)) or [NONE_OF_THEM]
        if first == NONE_OF_THEM and not several:
            raise BadRow("no label")
        if not row["path"]:
            raise BadRow("no path")
        start, end = seconds(row, "start") or 0.0, seconds(row, "end")
        if end is not None and end <= start:
            raise BadRow(f"ends at {end:g} s, but starts at {start:g} s")
        path, key = locations.find(row["path"])
        clip = Clip(
            path,
            first,
            start,
            end,
            fold=whole_number(row, "fold") if "fold" in row else None,
            split=split_of(row["split"]) if "split" in row else None,
            group=row.get("group") or None,
            key=key,
            id=row.get("id") or None,
            also=tuple(others),
        )
        for identity in ((path, key, start, end), clip.id):
            if identity is not None and seen.setdefault(identity, line) != line:
                what = f"id {clip.id}" if identity == clip.id else "this clip"
                raise BadRow(f"{what} is already in line {seen[identity]}")
        return clip

    return replace(table.dataset("csv", labels, make), multi_label=several)


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
            for path in (folder / f"{spelling}{ending}" for folder in self.folders for ending in ("", ".wav")):
                if is_file(path):
                    return path, None
        raise MissingClip(self.folders[0] / name)


def _list_in(root: Path) -> Path:
    if root.is_file():
        return root
    for name in _USUAL_NAMES:
        if (root / name).is_file():
            return root / name
    lists = sorted(path for ending in ("csv", "tsv") for path in root.glob(f"*.{ending}"))
    lists = [path for path in lists if not path.name.startswith(".") and path.name != clip_list.NAME]
    if len(lists) == 1:
        return lists[0]
    what = "no .csv list here" if not lists else f"{len(lists)} .csv lists here, and none is called meta.csv"
    raise FileError(root, f"{what}; give the list, or the folder that holds it")


def _renamed(table: Table) -> Table:
    """The table with its columns renamed to the keys of `COLUMNS`, and without other columns."""
    columns = list(table.rows[0][1]) if table.rows else []
    names = {}
    known = dict(COLUMNS)
    if several := next((name for name in SEVERAL_ALIASES if name in columns), None):
        if other := next((name for name in known["label"] if name in columns), None):
            raise FileError(table.path, f"has a column {other} and a column {several}; keep one of them")
        known["label"] = (several,)
    for ours, aliases in known.items():
        if found := next((alias for alias in aliases if alias in columns), None):
            names[found] = SEVERAL if found == several else ours
            continue
        spellings = (*aliases, SEVERAL) if ours == "label" else aliases
        for column in columns:
            if near := difflib.get_close_matches(column.lower(), spellings, 1, cutoff=0.85):
                raise FileError(table.path, f"has a column {printable(column)!r}; did you mean {near[0]}?")
        if ours in NEEDED:
            needed = f"no column {' or '.join(spellings)}; it has {printable(', '.join(columns)) or 'no complete row'}"
            raise FileError(table.path, needed)
    rows = [(line, {names[old]: value for old, value in row.items() if old in names}) for line, row in table.rows]
    rows = [(line, row | {key: composed(row[key]) for key in ("label", SEVERAL) if key in row}) for line, row in rows]
    return Table(table.path, rows, table.problems)


def _names(row: Row) -> list[str]:
    """The labels of a row, each once."""
    text = row[SEVERAL].split(SEPARATOR) if SEVERAL in row else [row["label"]]
    return list(dict.fromkeys(name for part in text if (name := part.strip())))


def _one_row_per_clip(table: Table) -> Table:
    """The table with all labels of a clip in its first row, separated by `SEPARATOR`."""
    commas = not any(SEPARATOR in row[SEVERAL] for _, row in table.rows)
    found: dict[object, tuple[int, Row]] = {}
    for line, row in table.rows:
        text = re.sub(r",(?!\s)", SEPARATOR, row[SEVERAL]) if commas else row[SEVERAL]
        clip = (row["path"] or line, row.get("start"), row.get("end"))
        first, kept = found.setdefault(clip, (line, row | {SEVERAL: ""}))
        odd = next((key for key in ("fold", "split", "group", "id") if row.get(key) != kept.get(key)), None)
        if odd is None:
            kept[SEVERAL] += SEPARATOR + text
        else:
            table.problems.append((line, f"{odd} is {row[odd]!r}, but {kept[odd]!r} in line {first}, of the same clip"))
    names = {name for _, row in found.values() for name in _names(row)} if commas else set()
    # AudioSet has no name whose parts are all labels.
    lists = {name for name in names if "," in name and names.issuperset(map(str.strip, name.split(",")))}
    rows = []
    for line, row in found.values():
        if several := next((name for name in _names(row) if name in lists), None):
            problem = f"{printable(several)!r} is one label here; separate labels with {SEPARATOR}"
            table.problems.append((line, problem))
        else:
            rows.append((line, row))
    return Table(table.path, rows, table.problems)

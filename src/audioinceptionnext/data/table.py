"""CSV lists of clips: what every dataset does with one. A row that cannot be used becomes a problem, one line."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.errors import AinextError, printable

Row = dict[str, str]

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


class BadRow(Exception):
    """Why a row cannot be used; the line and the file are added by `Table.dataset`."""


class MissingClip(BadRow):
    """A recording that the list names and that is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{printable(path)} is missing")
        self.path = path


@dataclass
class Table:
    """A list as read: its rows with their line numbers, and its problems so far, by line."""

    path: Path
    rows: list[tuple[int, Row]]
    problems: list[tuple[int, str]] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)

    def clips(self, make: Callable[[int, Row], Clip]) -> list[Clip]:
        """What ``make`` gives for each line and row; rows that it refuses with `BadRow` become problems."""
        clips = []
        for line, row in self.rows:
            try:
                clips.append(make(line, row))
            except BadRow as bad:
                self.problems.append((line, str(bad)))
                self.missing += [bad.path] if isinstance(bad, MissingClip) else []
        return clips

    def lines(self) -> tuple[str, ...]:
        """The problems as `Dataset` states them."""
        return tuple(f"{printable(self.path)}: line {line}: {text}" for line, text in sorted(self.problems))

    def dataset(self, name: str, labels: Sequence[str], make: Callable[[int, Row], Clip]) -> Dataset:
        """A dataset of `clips`. Raises `AinextError` where no row can be used."""
        clips = self.clips(make)
        if not clips and len(self.missing) == len(self.problems):
            what = f"{len(self.missing)} of {len(self.missing)} clips are missing, e.g. {printable(self.missing[0])}"
            raise AinextError(f"{printable(self.path)}: {what}; get them, or say where they are (--root, --audio)")
        if not clips:
            line, text = min(self.problems)
            what = f"none of its {len(self.problems)} rows can be used"
            raise AinextError(f"{printable(self.path)}: {what}, e.g. line {line}: {text}")
        return Dataset(name, tuple(labels), tuple(clips), self.lines())


def read_table(path: Path, columns: Sequence[str], what: str, header: Sequence[str] | None = None) -> Table:
    """Read a CSV list (UTF-8; comma, semicolon or tab).

    Args:
        columns: those that it must have.
        what: the dataset's name in messages.
        header: names of the columns, for a list whose first line is a row like all others.

    Raises:
        AinextError: not text, a column that is not there, no rows.
    """
    rows: list[tuple[int, Row]] = []
    problems: list[tuple[int, str]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            names = [name.strip() for name in (header or next(reader, []))]
            for values in reader:
                if len(values) == len(names):
                    rows.append((reader.line_num, dict(zip(names, map(str.strip, values), strict=True))))
                elif values:
                    hint = " (a value with a comma in it stands in quotes)" if len(values) > len(names) else ""
                    problems.append((reader.line_num, f"{len(values)} values for {len(names)} columns{hint}"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise AinextError(f"{printable(path)}: not a CSV list in UTF-8: {error}; save it as one") from None
    except OSError as error:
        raise AinextError(f"{printable(path)}: cannot be read: {error.strerror or error}") from None
    if absent := [column for column in columns if column not in names]:
        has = f"{what}'s list has {', '.join(columns)}"
        raise AinextError(
            f"{printable(path)}: has no column {absent[0]!r}; {has}; --root names the folder that holds it"
        )
    if not rows and not problems:
        raise AinextError(f"{printable(path)}: lists no clips")
    return Table(path, rows, problems)


@dataclass(frozen=True)
class Columns:
    """What a list with cross-validation folds calls its columns."""

    file: str = "filename"
    fold: str = "fold"
    target: str = "target"
    label: str = "category"
    group: str = "source_id"

    @property
    def all(self) -> tuple[str, ...]:
        return self.file, self.fold, self.target, self.label, self.group


def folded(
    name: str,
    table: Table,
    columns: Columns,
    place: Callable[[Row], Path],
    folds: int,
    names: Sequence[str] | None = None,
) -> Dataset:
    """A dataset of whole files in folds 1 to ``folds``, from a list that states class indices and names.

    Args:
        place: where a row's file is.
        names: of the classes; those in the list unless given.

    Raises:
        AinextError: class indices that are not 0 to n-1, or no row that can be used.
    """
    classes = names or class_names(table, columns.target, columns.label)

    def make(_: int, row: Row) -> Clip:
        label = label_of(row, classes, columns.target, columns.label)
        fold = whole(row, columns.fold)
        if not 1 <= fold <= folds:
            raise BadRow(f"fold {fold}; {name} has the folds 1 to {folds}")
        return Clip(present(place(row)), label, fold=fold, group=row[columns.group] or None)

    return table.dataset(name, classes, make)


def class_names(table: Table, target: str, label: str) -> list[str]:
    """The names of classes 0 to n-1, each by the first row that has it. Raises `AinextError` where one is left out."""
    names: dict[int, str] = {}
    for _, row in table.rows:
        if row[target].isdecimal() and row[label]:
            names.setdefault(int(row[target]), row[label])
    if not names:
        raise AinextError(f"{printable(table.path)}: no row has a {target} (a whole number) and a {label}")
    if sorted(names) != list(range(len(names))) or len(set(names.values())) < len(names):
        what = f"the targets are not 0 to {len(names) - 1}, one for each {label}"
        raise AinextError(f"{printable(table.path)}: {what}; a list of your own is --data csv")
    return [names[i] for i in range(len(names))]


def label_of(row: Row, names: Sequence[str], target: str, label: str) -> int:
    """The class index of a row; raises `BadRow` where index and name do not go together."""
    if not row[label]:
        raise BadRow(f"no {label}")
    number = whole(row, target)
    if not 0 <= number < len(names):
        raise BadRow(f"{target} {number}; the classes are 0 to {len(names) - 1}")
    if names[number] != row[label]:
        raise BadRow(f"{target} {number} is {names[number]!r}, not {row[label]!r}")
    return number


def whole(row: Row, column: str) -> int:
    try:
        return int(row[column])
    except ValueError:
        raise BadRow(f"{column} is {row[column]!r}, not a whole number") from None


def seconds(row: Row, column: str) -> float | None:
    """None where the list has no such column or the row no value. Raises `BadRow`: not a time."""
    text = row.get(column, "")
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not 0 <= value < math.inf:
        raise BadRow(f"{column} is {text!r}, not a number of seconds")
    return value


def split_of(text: str) -> str:
    if text.lower() not in SPLITS:
        raise BadRow(f"split is {text!r}, not train, validation or test")
    return SPLITS[text.lower()]


def is_file(path: Path) -> bool:
    """Also of a name that no file can have, as stands in a list with its columns mixed up."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def present(path: Path) -> Path:
    if not is_file(path):
        raise MissingClip(path)
    return path


def in_order(labels: set[str]) -> list[str]:
    """Class names as a list: by name, and numbers by value."""
    if all(label.isdecimal() for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)


def list_at(root: Path, name: str, what: str) -> Path:
    """The list itself, for a dataset that is known by it. Raises `AinextError` where it is not there."""
    if not (root / name).is_file():
        raise AinextError(
            f"{printable(root)}: no {what} here: {name} is missing; --root names the folder that holds it"
        )
    return root / name

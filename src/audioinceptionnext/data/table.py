"""CSV lists of clips, as most data sets have them. A row that cannot be used becomes a problem, stated in one line."""

from __future__ import annotations

import csv
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.errors import FileError, counted, printable

Row = dict[str, str]
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

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
    """Why a row cannot be used. `Table` adds the file and the line."""


class MissingClip(BadRow):
    """The recording that a row names is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{printable(path)} is missing")
        self.path = path


@dataclass
class Table:
    """The content of a list.

    Attributes:
        path: of the list.
        rows: the number of its line and the values by column, for each row.
        problems: the number of its line and what is wrong with it, for each row that cannot be used.
        missing: recordings that rows name and that are not there.
    """

    path: Path
    rows: list[tuple[int, Row]]
    problems: list[tuple[int, str]] = field(default_factory=list)
    missing: list[Path] = field(default_factory=list)

    def clips(self, make: Callable[[int, Row], Clip]) -> list[Clip]:
        """Make a clip of each row.

        Args:
            make: takes a line number and a row. If it raises `BadRow`, the row is left out and becomes a problem.
        """
        clips = []
        for line, row in self.rows:
            try:
                clips.append(make(line, row))
            except BadRow as bad:
                self.problems.append((line, str(bad)))
                self.missing += [bad.path] if isinstance(bad, MissingClip) else []
        return clips

    def messages(self) -> tuple[str, ...]:
        """The problems as `Dataset.problems` has them, in order of their lines."""
        return tuple(f"{printable(self.path)}: line {line}: {text}" for line, text in sorted(self.problems))

    def dataset(self, name: str, labels: Sequence[str], make: Callable[[int, Row], Clip]) -> Dataset:
        """Make a data set of `clips`.

        Raises:
            FileError: no row can be used.
        """
        clips = self.clips(make)
        if not clips and len(self.missing) == len(self.problems):
            number, first = len(self.missing), printable(self.missing[0])
            what = f"{number} of {counted(number, 'clip')} {'is' if number == 1 else 'are'} missing, e.g. {first}"
            raise FileError(self.path, f"{what}; get them, or give the folder that holds them")
        if not clips:
            line, text = min(self.problems)
            what = f"none of its {counted(len(self.problems), 'row')} can be used"
            raise FileError(self.path, f"{what}, e.g. line {line}: {text}")
        return Dataset(name, tuple(labels), tuple(clips), self.messages())


def read_table(path: Path, columns: Sequence[str], what: str, header: Sequence[str] | None = None) -> Table:
    """Read a CSV list in UTF-8 with commas, semicolons or tabs.

    Args:
        path: of the list.
        columns: that the list must have.
        what: name of the data set in messages.
        header: names of the columns, for a list without a header.

    Raises:
        FileError: the list is not text, lacks a column or has no rows.
    """
    rows: list[tuple[int, Row]] = []
    problems: list[tuple[int, str]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = max(_DELIMITERS, key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            names = [name.strip() for name in (header or next(reader, []))]
            for values in reader:
                if len(values) == len(names):
                    rows.append((reader.line_num, dict(zip(names, map(str.strip, values), strict=True))))
                elif values:
                    hint = (
                        f" (put a value with a {_DELIMITERS[delimiter]} in quotes)" if len(values) > len(names) else ""
                    )
                    problems.append((reader.line_num, f"{len(values)} values for {len(names)} columns{hint}"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(path, f"not a CSV list in UTF-8 ({error}); save it as one") from None
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from None
    if absent := [column for column in columns if column not in names]:
        needed = f"the list of {what} has {', '.join(columns)}"
        raise FileError(path, f"has no column {absent[0]!r}; {needed}; give the folder that holds it")
    if not rows and not problems:
        raise FileError(path, "lists no clips")
    return Table(path, rows, problems)


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a list with cross-validation folds."""

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
    path_of: Callable[[Row], Path],
    *,
    num_folds: int,
    labels: Sequence[str] | None = None,
) -> Dataset:
    """Make a data set of whole files in folds, from a list that states class indices and names.

    Args:
        name: of the data set.
        table: its list.
        columns: how the list calls its columns.
        path_of: gives the file of a row.
        num_folds: the folds are 1 to ``num_folds``.
        labels: names of the classes; those in the list unless given.

    Raises:
        FileError: the class indices are not 0 to n-1, or no row can be used.
    """
    classes = labels or class_names(table, columns.target, columns.label)

    def make(_: int, row: Row) -> Clip:
        label = label_of(row, classes, columns.target, columns.label)
        fold = whole_number(row, columns.fold)
        if not 1 <= fold <= num_folds:
            raise BadRow(f"fold {fold}; {name} has the folds 1 to {num_folds}")
        return Clip(existing(path_of(row)), label, fold=fold, group=row[columns.group] or None)

    return table.dataset(name, classes, make)


def class_names(table: Table, target: str, label: str) -> list[str]:
    """Return the names of the classes 0 to n-1, each from the first row that has it.

    Raises:
        FileError: an index has no name, or two indices have the same name.
    """
    names: dict[int, str] = {}
    for _, row in table.rows:
        if row[target].isdecimal() and row[label]:
            names.setdefault(int(row[target]), row[label])
    if not names:
        raise FileError(table.path, f"no row has a {target} (a whole number) and a {label}")
    if sorted(names) != list(range(len(names))) or len(set(names.values())) < len(names):
        what = f"the targets are not 0 to {len(names) - 1}, one for each {label}"
        raise FileError(table.path, f"{what}; read a list of your own as the data set csv")
    return [names[i] for i in range(len(names))]


def label_of(row: Row, names: Sequence[str], target: str, label: str) -> int:
    """Return the class index of a row.

    Raises:
        BadRow: the index is out of range, or has another name.
    """
    if not row[label]:
        raise BadRow(f"no {label}")
    number = whole_number(row, target)
    if not 0 <= number < len(names):
        raise BadRow(f"{target} {number}; the classes are 0 to {len(names) - 1}")
    if names[number] != row[label]:
        raise BadRow(f"{target} {number} is {names[number]!r}, not {row[label]!r}")
    return number


def whole_number(row: Row, column: str) -> int:
    """Return a value as an integer. Raises `BadRow`."""
    try:
        return int(row[column])
    except ValueError:
        raise BadRow(f"{column} is {row[column]!r}, not a whole number") from None


def seconds(row: Row, column: str) -> float | None:
    """Return a time in seconds, or None if the list has no such column or the row no value. Raises `BadRow`."""
    text = row.get(column, "")
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not 0 <= value < math.inf:
        raise BadRow(f"{column} is {text!r}, not a number of seconds")
    return value


def split_of(text: str) -> str:
    """Return ``train``, ``validation`` or ``test`` for any of `SPLITS`. Raises `BadRow`."""
    if text.lower() not in SPLITS:
        raise BadRow(f"split is {text!r}, not train, validation or test")
    return SPLITS[text.lower()]


def is_file(path: Path) -> bool:
    """Whether this is a file; also False for names that no file can have, as in a list with mixed-up columns."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def existing(path: Path) -> Path:
    """Return ``path`` if it is a file. Raises `MissingClip`."""
    if not is_file(path):
        raise MissingClip(path)
    return path


def composed(text: str) -> str:
    """A name in Unicode's composed form (NFC), so that "café" is one label, however macOS wrote it."""
    return unicodedata.normalize("NFC", text)


def sorted_labels(labels: set[str]) -> list[str]:
    """Sort class names by name, or by value if all are numbers."""
    if all(label.isdecimal() for label in labels):
        return sorted(labels, key=lambda label: (int(label), label))
    return sorted(labels)


def list_at(root: Path, name: str, what: str) -> Path:
    """Return the path of a data set's list.

    Raises:
        FileError: it does not exist, so this is not the folder of the data set ``what``.
    """
    if not (root / name).is_file():
        raise FileError(root, f"no {what} here: {name} is missing; give the folder that holds it")
    return root / name

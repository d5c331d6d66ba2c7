"""Tables over many recordings as CSV, TSV or Parquet: one row per segment, or one row per recording."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, Self, cast

from audioinceptionnext.errors import FileError, MissingDependencyError, beside, writing
from audioinceptionnext.results.formats import EXCEL_MARK, csv_field, excel_text
from audioinceptionnext.results.types import RecognitionData

if TYPE_CHECKING:
    import pyarrow as pa

#: The columns: the recording's name, start and end in seconds, the label, its score from 0 to 1, the model's name.
COLUMNS: tuple[str, ...] = ("file", "start", "end", "label", "score", "model")
#: Of a table of recordings: the recording's name, its duration in seconds, the number of its segments, the most
#: probable label of the recording as a whole with its score, the model's name, and why it could not be recognised.
RECORDING_COLUMNS: tuple[str, ...] = ("file", "duration", "segments", "label", "score", "model", "problem")
#: The last column of both, if the labels have names in another language.
NAME_COLUMN = "name"
_DECIMALS = {"start": 3, "end": 3, "duration": 3, "score": 4}
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*_SEPARATORS, ".parquet")
GROUP_ROWS = 2**14  # rows written to Parquet at a time, about 10 MB of memory


def write_table(results: Iterable[RecognitionData | Mapping[str, Any]], path: str | PathLike[str]) -> int:
    """Write one table over many recordings and return its number of rows.

    Args:
        results: one per recording. They may come one by one from a generator, or from `read_results` of a cluster.
        path: see `SegmentTable`, which also lists the errors.

    >>> write_table(map(model.predict, files), "all.parquet")
    >>> write_table(read_results("night"), "night.csv")
    """
    with SegmentTable(path) as table:
        for result in results:
            table.add(result)
    return table.rows


class _Table:
    columns: tuple[str, ...]

    def __init__(self, path: str | PathLike[str], excel: bool = False, names: bool = False) -> None:
        check_table_path(path)
        self.path = Path(path)
        self.rows = 0
        if names:
            self.columns = (*self.columns, NAME_COLUMN)
        separator = _SEPARATORS.get(self.path.suffix.lower())
        target = Path(os.path.realpath(self.path))
        with writing(self.path):
            if target.is_dir():  # fail now, and not when everything is done
                raise IsADirectoryError
            self._rows: _Rows = (
                _Parquet(target, self.columns)
                if separator is None
                else _Text(target, self.columns, separator, EXCEL_MARK if excel else "")
            )

    def _add(self, rows: list[dict[str, Any]]) -> None:
        with writing(self.path):
            self._rows.add(rows)
        self.rows += len(rows)

    def close(self) -> None:
        """Complete the file.

        Raises:
            FileError: the disk is full.
        """
        with writing(self.path):
            self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class SegmentTable(_Table):
    """A table over many recordings that grows with each of them: one row per segment, with the columns `COLUMNS`.

    CSV and TSV grow by one whole recording at a time, so that a process that is killed leaves what it has done.
    Parquet can only be read once it is complete: it grows in another file of the same folder, whose name begins with
    ``_``, and `close` gives it its name. So does CSV where there is an older table, which stays if the new one cannot
    be written. A ``with`` statement closes the table after errors and Ctrl-C, too.

    A recording without segments has no row; `RecordingTable` has one for each. Times are rounded to the millisecond
    and scores to 0.0001, as in JSON.

    Args:
        path: its suffix says what is written: ``.csv``, ``.tsv`` or ``.parquet``.
        excel: whether CSV and TSV are for Excel: with its mark of UTF-8, and without formulas.
        names: whether there is a column with the names of the labels, for results of `Recogniser.in_language`.

    Raises:
        FileError: the suffix is another one, or the file cannot be written.
        MissingDependencyError: pyarrow, which Parquet needs, is not installed.

    >>> with SegmentTable("all.csv") as table:
    ...     for file in files:
    ...         table.add(model.predict(file))
    """

    columns = COLUMNS

    def add(self, result: RecognitionData | Mapping[str, Any]) -> None:
        """Add one recording, given as its result or as the JSON object of that.

        Raises:
            FileError: the disk is full.
        """
        data = result.as_dict() if isinstance(result, RecognitionData) else result
        names = {"file": data.get("file"), "model": data.get("model")}
        self._add([{**names, **segment} for segment in data.get("segments", ())])  # one that failed has none


class RecordingTable(_Table):
    """A table with one row per recording, also for those without segments, with the columns `RECORDING_COLUMNS`.

    Arguments and errors are those of `SegmentTable`. The label is empty where there is only digital silence.

    >>> with RecordingTable("recordings.csv") as table:
    ...     table.add(model.predict("monday.wav"))
    ...     table.fail("tuesday.wav", "damaged")
    """

    columns = RECORDING_COLUMNS

    def add(self, result: RecognitionData) -> None:
        """Add one recording. Raises `FileError`: the disk is full."""
        data = result.as_dict()
        found = data["clip"] and data["clip"][0]["score"]
        best = data["clip"][0] if found else {"label": "", NAME_COLUMN: "", "score": 0.0}
        row = {name: data[name] for name in ("file", "duration", "model")}
        self._add([{**row, "segments": len(data["segments"]), **best, "problem": ""}])

    def fail(self, file: str, reason: str) -> None:
        """Add a recording that could not be recognised, with the reason. Raises `FileError`: the disk is full."""
        self._add([dict.fromkeys(RECORDING_COLUMNS) | {"file": file, "problem": reason}])


def check_table_path(path: str | PathLike[str]) -> None:
    """Check that a table can be written to a path, by its suffix.

    Raises:
        FileError: the suffix is not that of a table.
        MissingDependencyError: pyarrow, which Parquet needs, is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        reason = f"{suffix} is not a table's suffix" if suffix else "a table's name needs a suffix"
        raise FileError(path, f"{reason}; give a name that ends in {', '.join(SUFFIXES)}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise MissingDependencyError("a Parquet table", "audioinceptionnext[parquet]")


def is_other_file(path: Path, columns: Sequence[str]) -> bool:
    """Whether there is a file that holds anything but a table with these columns, which would be lost.

    A column of names may follow them.
    """
    if not path.is_file() or not path.stat().st_size:
        return False
    separator = _SEPARATORS.get(path.suffix.lower())
    if separator is not None:
        with path.open("rb") as file:
            first = file.readline(2**16).decode("utf-8", "replace")
        found = first.removeprefix(EXCEL_MARK).rstrip("\r\n")
        return found.removesuffix(f"{separator}{NAME_COLUMN}") != separator.join(columns)
    import pyarrow as pa
    from pyarrow import parquet

    try:
        found_names = list(parquet.read_schema(path).names)
        return found_names not in (list(columns), [*columns, NAME_COLUMN])
    except (pa.ArrowException, OSError):
        return True


def arrow_fields(*names: str) -> list[tuple[str, pa.DataType]]:
    """These columns of results with their types in Arrow, which are the same wherever Parquet is written."""
    import pyarrow as pa

    numbers = dict.fromkeys(_DECIMALS, pa.float64()) | {"segments": pa.int64()}
    return [(name, numbers.get(name, pa.string())) for name in names]


class AppendOnlyFile:
    """A file to which whole pieces are appended. Its methods raise ``OSError``, as those of files do."""

    def __init__(self, path: Path, mode: str) -> None:
        self.file = cast(BinaryIO, path.open(mode, buffering=0))
        self.length = self.file.tell()  # bytes

    def append(self, piece: bytes) -> None:
        """Append all of ``piece``; or none of it, if the disk is full."""
        try:
            written = 0
            while written < len(piece):
                written += self.file.write(piece[written:])
        except OSError:
            with suppress(OSError):
                self.file.truncate(self.length)
                self.file.seek(self.length)
            raise
        self.length += len(piece)


class _Rows(Protocol):
    def add(self, rows: list[dict[str, Any]]) -> None: ...

    def close(self) -> None: ...


class _Text:
    def __init__(self, path: Path, columns: tuple[str, ...], separator: str, mark: str) -> None:
        self._columns, self._separator, self._for_excel = columns, separator, bool(mark)
        self._path, self._part = path, beside(path) if path.exists() else path
        self._failed = False
        self._file = AppendOnlyFile(self._part, "wb")
        try:
            self._append(f"{mark}{separator.join(columns)}\n")
        except OSError:
            self._file.file.close()
            self._part.unlink()
            raise

    def add(self, rows: list[dict[str, Any]]) -> None:
        self._append("".join(map(self._line, rows)))

    def _append(self, text: str) -> None:
        try:
            self._file.append(text.encode("utf-8", "replace"))
        except OSError:
            self._failed = True
            raise

    def _line(self, row: dict[str, Any]) -> str:
        return self._separator.join(self._field(name, row.get(name)) for name in self._columns) + "\n"

    def _field(self, name: str, value: Any) -> str:
        if value is None:
            return ""
        if name in _DECIMALS:
            return f"{value:.{_DECIMALS[name]}f}"
        text = excel_text(str(value)) if self._for_excel else str(value)
        return csv_field(text, self._separator)

    def close(self) -> None:
        if self._file.file.closed:
            return
        self._file.file.close()
        if self._part == self._path:
            return
        if self._failed:
            self._part.unlink()
        else:
            self._part.replace(self._path)


class _Parquet:
    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._path, self._part = path, beside(path)
        self._waiting: list[dict[str, Any]] = []
        self._error: OSError | None = None
        self._file = self._part.open("wb")
        self._writer = parquet.ParquetWriter(self._file, pa.schema(arrow_fields(*columns)), compression="zstd")

    def add(self, rows: list[dict[str, Any]]) -> None:
        self._waiting += [{name: _text(value) for name, value in row.items()} for row in rows]
        if len(self._waiting) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._error is not None:
            raise self._error
        try:
            if self._waiting:
                self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._writer.schema))
        except OSError as error:  # a half-written group cannot be read or repaired
            self._error = error
            raise
        self._waiting = []

    def close(self) -> None:
        if self._file.closed:
            return
        try:
            self._flush()
            self._writer.close()
            self._file.close()
        except OSError:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._part.unlink()
            raise
        self._part.replace(self._path)


def _text(value: Any) -> Any:
    """A value that Parquet accepts: on Linux, a file's name may hold bytes that are not text."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

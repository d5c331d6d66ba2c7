"""One table over many recordings, with one row per segment, as CSV, TSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from audioinceptionnext.errors import FileError, MissingDependencyError, writing
from audioinceptionnext.results.formats import csv_field
from audioinceptionnext.results.types import RecognitionData

if TYPE_CHECKING:
    import pyarrow as pa

#: The columns: the recording's name, start and end in seconds, the label, its score from 0 to 1, the model's name.
COLUMNS: tuple[str, ...] = ("file", "start", "end", "label", "score", "model")
_NUMBERS = ("start", "end", "score", "duration")
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


class SegmentTable:
    """A table over many recordings that grows with each of them: one row per segment, with the columns `COLUMNS`.

    CSV and TSV grow by one whole recording at a time, so that a process that is killed leaves what it has done.
    Parquet can only be read once it is complete: it grows as ``_NAME.part`` in the same folder, and `close` gives it
    its name. A ``with`` statement closes the table after errors and Ctrl-C, too. An existing file is replaced.

    A recording without segments has no row. Times are rounded to the millisecond and scores to 0.0001, as in JSON.

    Args:
        path: its suffix says what is written: ``.csv``, ``.tsv`` or ``.parquet``.

    Raises:
        FileError: the suffix is another one, or the file cannot be written.
        MissingDependencyError: pyarrow, which Parquet needs, is not installed.

    >>> with SegmentTable("all.csv") as table:
    ...     for file in files:
    ...         table.add(model.predict(file))
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        check_table_path(path)
        self.path = Path(path)
        self.rows = 0
        separator = _SEPARATORS.get(self.path.suffix.lower())
        with writing(self.path):
            self._rows: _Rows = _Parquet(self.path) if separator is None else _Text(self.path, separator)

    def add(self, result: RecognitionData | Mapping[str, Any]) -> None:
        """Add one recording, given as its result or as the JSON object of that.

        Raises:
            FileError: the disk is full.
        """
        data = result.as_dict() if isinstance(result, RecognitionData) else result
        names = {"file": data.get("file"), "model": data.get("model")}
        rows = [{**names, **segment} for segment in data.get("segments", ())]  # a recording that failed has none
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

    def __enter__(self) -> SegmentTable:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


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


def arrow_fields(*names: str) -> list[tuple[str, pa.DataType]]:
    """These columns of results with their types in Arrow, which are the same wherever Parquet is written."""
    import pyarrow as pa

    return [(name, pa.float64() if name in _NUMBERS else pa.string()) for name in names]


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
    def __init__(self, path: Path, separator: str) -> None:
        self._separator = separator
        self._file = AppendOnlyFile(path, "wb")
        self._file.append(f"{separator.join(COLUMNS)}\n".encode())

    def add(self, rows: list[dict[str, Any]]) -> None:
        self._file.append("".join(map(self._line, rows)).encode("utf-8", "replace"))

    def _line(self, row: dict[str, Any]) -> str:
        times, score = [f"{row[name]:.3f}" for name in ("start", "end")], f"{row['score']:.4f}"
        file, label, model = (csv_field(row[name], self._separator) for name in ("file", "label", "model"))
        return self._separator.join((file, *times, label, score, model)) + "\n"

    def close(self) -> None:
        self._file.file.close()


class _Parquet:
    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if path.is_dir():  # fail now, and not when everything is done
            raise IsADirectoryError
        self._path = path
        self._part = path.with_name(f"_{path.name}.part")  # readers of folders of Parquet skip names that begin with _
        self._waiting: list[dict[str, Any]] = []
        self._error: OSError | None = None
        self._file = self._part.open("wb")
        self._writer = parquet.ParquetWriter(self._file, pa.schema(arrow_fields(*COLUMNS)), compression="zstd")

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

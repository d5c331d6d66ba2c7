"""One table over many recordings, a row a segment, as CSV, TSV or Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from audioinceptionnext.errors import AinextError, writing
from audioinceptionnext.results.formats import quoted
from audioinceptionnext.results.types import RecognitionData

if TYPE_CHECKING:
    import pyarrow as pa

#: The columns: seconds from the recording's start, 0 to 1 for the score, the recording's and the model's name.
COLUMNS: tuple[str, ...] = ("file", "start", "end", "label", "score", "model")
_NUMBERS = ("start", "end", "score", "duration")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (*_SEPARATORS, ".parquet")
GROUP = 2**14  # rows that Parquet is written at a time: some 10 MB of memory


def write_table(recognitions: Iterable[RecognitionData | Mapping[str, Any]], path: str | PathLike[str]) -> int:
    """Writes one table over many recordings; returns its number of rows. See `Table`, also for the errors.

    The recordings may come one by one from a generator, and may be what `read_results` gives of a cluster's run::

        write_table(map(recogniser.predict, files), "all.parquet")
        write_table(read_results("night"), "night.csv")
    """
    with Table(path) as table:
        for heard in recognitions:
            table.add(heard)
    return table.rows


class Table:
    """A table that grows as recordings are heard, a row a segment, with the columns `COLUMNS`.

    The suffix says how it is written. ``.csv`` and ``.tsv`` grow by whole recordings at once, so a process that is
    killed leaves what was done. Parquet can only be read once it is closed: it grows beside, as ``_NAME.part``, and
    takes its name in `close`, which a ``with`` calls after errors and Ctrl-C too. A file that was there is replaced.

    A recording without segments has no row. Times are to the ms and scores to 0.0001, as in the JSON.

    Args:
        path: ``.csv``, ``.tsv`` or ``.parquet``.

    Raises:
        AinextError: another suffix, pyarrow is missing for Parquet, or the file cannot be written.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        check(path)
        self.path = Path(path)
        self.rows = 0
        separator = _SEPARATORS.get(self.path.suffix.lower())
        with writing(self.path):
            self._rows: _Rows = _Parquet(self.path) if separator is None else _Text(self.path, separator)

    def add(self, heard: RecognitionData | Mapping[str, Any]) -> None:
        """Adds one recording, or its object in INTERFACE's JSON. Raises AinextError when the disk is full."""
        found = heard.as_dict() if isinstance(heard, RecognitionData) else heard
        both = {"file": found.get("file"), "model": found.get("model")}
        rows = [{**both, **segment} for segment in found.get("segments", ())]  # what could not be heard has none
        with writing(self.path):
            self._rows.add(rows)
        self.rows += len(rows)

    def close(self) -> None:
        """Finishes the file. Raises AinextError if that fails."""
        with writing(self.path):
            self._rows.close()

    def __enter__(self) -> Table:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def check(path: str | PathLike[str]) -> None:
    """Raises AinextError if the suffix is none of a table's, or what writes it is not installed."""
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise AinextError(f"{path}: no table is written as {suffix or 'this'}: end the name in {', '.join(_SUFFIXES)}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise AinextError(f"{path}: Parquet needs more: pip install 'audioinceptionnext[parquet]', or end it in .csv")


def arrow_fields(*names: str) -> list[tuple[str, pa.DataType]]:
    """Columns of results with their types in Arrow; the same wherever Parquet is written."""
    import pyarrow as pa

    return [(name, pa.float64() if name in _NUMBERS else pa.string()) for name in names]


class Growing:
    """A file that grows by whole pieces. Raises ``OSError`` as files do."""

    def __init__(self, path: Path, mode: str) -> None:
        self.file = cast(BinaryIO, path.open(mode, buffering=0))
        self.length = self.file.tell()  # bytes

    def append(self, piece: bytes) -> None:
        """All of it; when the disk is full, none of it."""
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
        self._file = Growing(path, "wb")
        self._file.append(f"{separator.join(COLUMNS)}\n".encode())

    def add(self, rows: list[dict[str, Any]]) -> None:
        self._file.append("".join(map(self._line, rows)).encode("utf-8", "replace"))

    def _line(self, row: dict[str, Any]) -> str:
        times, score = [f"{row[name]:.3f}" for name in ("start", "end")], f"{row['score']:.4f}"
        file, label, model = (quoted(row[name], self._separator) for name in ("file", "label", "model"))
        return self._separator.join((file, *times, label, score, model)) + "\n"

    def close(self) -> None:
        self._file.file.close()


class _Parquet:
    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        if path.is_dir():  # said now, and not when all is done
            raise IsADirectoryError
        self._path = path
        self._part = path.with_name(f"_{path.name}.part")  # readers of a folder of Parquet skip names with _ in front
        self._waiting: list[dict[str, Any]] = []
        self._broken: OSError | None = None
        self._file = self._part.open("wb")
        self._writer = parquet.ParquetWriter(self._file, pa.schema(arrow_fields(*COLUMNS)), compression="zstd")

    def add(self, rows: list[dict[str, Any]]) -> None:
        self._waiting += [{name: _text(value) for name, value in row.items()} for row in rows]
        if len(self._waiting) >= GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._broken is not None:
            raise self._broken
        try:
            if self._waiting:
                self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._writer.schema))
        except OSError as error:  # what a half-written group leaves cannot be read, nor mended
            self._broken = error
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
    """Linux allows bytes in names that are no text; Parquet does not."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value

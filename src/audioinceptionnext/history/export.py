"""A history as a table: CSV or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any, Unpack

from audioinceptionnext.errors import FileError, MissingDependencyError, replacing
from audioinceptionnext.history.database import History
from audioinceptionnext.history.records import Filters, HistoryEvent
from audioinceptionnext.results.table import is_other_file

#: The columns of a table, which are those of the database.
COLUMNS = ("id", "source", "start", "end", "label", "score", "model", "clip", "clip_start", "corrected")
_TIMES = ("start", "end", "clip_start")


def export(history: History, path: str | PathLike[str], zone: tzinfo | None = None, **filters: Unpack[Filters]) -> int:
    """Write rows of a history as a table, ordered by time, and return their number.

    In CSV, times are ISO 8601 with the offset of the time zone; in Parquet, they are times in UTC, to the millisecond.
    What a row lacks is empty. An older table at ``path`` is replaced once the new one is complete.

    Args:
        path: ends in ``.csv`` or ``.parquet``.
        zone: the time zone of CSV; that of the machine unless given.
        filters: see `Filters`.

    Raises:
        FileError: another suffix, or a file of anything else is there, or it cannot be written.
        MissingDependencyError: pyarrow, which Parquet needs, is not installed.

    >>> with History("history.db", read_only=True) as history:
    ...     export(history, "dogs.csv", labels=["Dog"])
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        raise FileError(path, "give a name that ends in .csv or .parquet")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise MissingDependencyError("a Parquet table", "audioinceptionnext[parquet]")
    if is_other_file(path, COLUMNS):
        raise FileError(path, "is there already and is no table of a history; give another name")
    pages = history.pages(**filters)
    with replacing(path) as new:
        return _write_csv(new, pages, zone) if suffix == ".csv" else _write_parquet(new, pages)


def _write_csv(path: Path, pages: Iterator[list[HistoryEvent]], zone: tzinfo | None) -> int:
    rows = 0
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for page in pages:
            writer.writerows(row.as_dict(zone) | {"corrected": int(row.corrected)} for row in page)
            rows += len(page)
    return rows


def _write_parquet(path: Path, pages: Iterable[list[HistoryEvent]]) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    moment = pa.timestamp("ms", "UTC")
    types: dict[str, Any] = dict.fromkeys(COLUMNS, pa.string()) | dict.fromkeys(_TIMES, moment)
    types |= {"id": pa.int64(), "score": pa.float64(), "corrected": pa.bool_()}
    schema = pa.schema(list(types.items()))
    rows = 0
    with path.open("wb") as file, parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for page in pages:
            writer.write_table(pa.Table.from_pylist([_arrow_row(row) for row in page], schema=schema))
            rows += len(page)
    return rows


def _arrow_row(row: HistoryEvent) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in COLUMNS}
    for name in _TIMES:
        if values[name] is not None:
            values[name] = datetime.fromtimestamp(values[name], UTC)
    return values

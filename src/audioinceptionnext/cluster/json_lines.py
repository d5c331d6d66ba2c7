"""Files of JSON lines that grow and may be cut off at any moment, and their copies as Parquet."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from audioinceptionnext.results.table import AppendOnlyFile, arrow_fields

SYNC_S = 5.0  # a power cut loses at most the rows of this time; a killed process loses none that was written


class JsonLinesFile:
    """A file that grows by whole lines. Its methods raise ``OSError``, as files do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = AppendOnlyFile(path, "ab")
        self._last_sync = time.monotonic()

    @property
    def length(self) -> int:
        """In bytes."""
        return self._file.length

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append all rows in one write. If the disk is full, the file stays as it was."""
        self._file.append(to_json_lines(rows))
        if time.monotonic() - self._last_sync > SYNC_S:
            os.fsync(self._file.file.fileno())
            self._last_sync = time.monotonic()

    def close(self) -> None:
        os.fsync(self._file.file.fileno())
        self._file.file.close()


def to_json_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    """One line per row, UTF-8."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "replace")


def read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of whole lines, so that a file can be read while it grows."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def drop_torn_lines(path: Path) -> int:
    """Cut the file off before the first line that is not whole, and return the number of bytes that are left.

    After a kill only the end can be torn; after a power cut more can be.
    """
    good = 0
    with path.open("r+b") as file:
        for line in file:
            try:
                json.loads(line)
            except ValueError:
                break
            if not line.endswith(b"\n"):
                break
            good += len(line)
        file.truncate(good)
    return good


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file's content in one step: a crash leaves all of the new content or all of the old."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def to_parquet(json_lines: Path, target: Path, failures: bool = False) -> None:
    """Write the rows of a file of JSON lines as Parquet, put in place by a rename. No rows give no file.

    Args:
        failures: the rows have the columns ``file``, ``error`` and ``kind`` instead of those of results.
    """
    import pyarrow as pa
    from pyarrow import json as arrow_json
    from pyarrow import parquet

    size = json_lines.stat().st_size
    if not size:
        target.unlink(missing_ok=True)
        return
    if failures:
        columns = arrow_fields("file", "error", "kind")
    else:
        clip = pa.list_(pa.struct(arrow_fields("label", "score")))
        segments = pa.list_(pa.struct(arrow_fields("start", "end", "label", "score")))
        columns = [*arrow_fields("file", "duration", "model"), ("clip", clip), ("segments", segments)]
        columns.append(("warnings", pa.list_(pa.string())))
    table = arrow_json.read_json(
        json_lines,
        arrow_json.ReadOptions(block_size=size + 1, use_threads=False),
        arrow_json.ParseOptions(explicit_schema=pa.schema(columns), unexpected_field_behavior="ignore"),
    )
    hidden = target.with_name(f"_{target.name}.part")  # readers of a folder of Parquet skip names with _ in front
    parquet.write_table(table, hidden, compression="zstd")
    hidden.replace(target)

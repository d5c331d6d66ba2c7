"""Files of JSON lines that grow and may be cut off at any moment, and their copies as Parquet."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from audioinceptionnext.results.table import Growing, arrow_fields

SYNC_S = 5.0  # a power cut costs at most this; a killed process nothing that was written


class Journal:
    """A file that grows by whole lines. Raises ``OSError`` as files do."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = Growing(path, "ab")
        self._synced = time.monotonic()

    @property
    def length(self) -> int:
        """In bytes."""
        return self._file.length

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """In one write. When the disk is full the file is as before."""
        self._file.append(as_lines(rows))
        if time.monotonic() - self._synced > SYNC_S:
            os.fsync(self._file.file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        os.fsync(self._file.file.fileno())
        self._file.file.close()


def as_lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "replace")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Of the whole lines, so that a file can be read while it grows."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield json.loads(line)


def cut(path: Path) -> int:
    """Drops what is no whole line: a torn end, and after a power cut perhaps more. Returns the bytes that are left."""
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


def replace(path: Path, content: bytes) -> None:
    """All of the new content, or all of the old."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def to_parquet(lines: Path, target: Path, failed: bool = False) -> None:
    """A Parquet file of the same rows, put in place by a rename; none for no rows."""
    import pyarrow as pa
    from pyarrow import json as arrow_json
    from pyarrow import parquet

    size = lines.stat().st_size
    if not size:
        target.unlink(missing_ok=True)
        return
    if failed:
        columns = arrow_fields("file", "error", "kind")
    else:
        clip = pa.list_(pa.struct(arrow_fields("label", "score")))
        segments = pa.list_(pa.struct(arrow_fields("start", "end", "label", "score")))
        columns = [*arrow_fields("file", "duration", "model"), ("clip", clip), ("segments", segments)]
        columns.append(("warnings", pa.list_(pa.string())))
    table = arrow_json.read_json(
        lines,
        arrow_json.ReadOptions(block_size=size + 1, use_threads=False),
        arrow_json.ParseOptions(explicit_schema=pa.schema(columns), unexpected_field_behavior="ignore"),
    )
    hidden = target.with_name(f"_{target.name}.part")  # readers of a folder of Parquet skip names with _ in front
    parquet.write_table(table, hidden, compression="zstd")
    hidden.replace(target)

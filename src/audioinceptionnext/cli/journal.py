"""``ainext listen --log``: a file of segments."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np

from audioinceptionnext.errors import AinextError, ParameterError, writing
from audioinceptionnext.inference.events import Event

_LOG_COLUMNS = ("source", "began", "start", "end", "label", "score")


class Journal:
    """A file to which segments are appended, one whole line at a time.

    Args:
        path: ends in .csv or .jsonl.
        on_failure: called once with the error if a line cannot be written. Then no further one is.

    Raises:
        ParameterError: another suffix, or a file with other lines.
        FileError: the file cannot be written.
    """

    def __init__(self, path: Path, on_failure: Callable[[AinextError], None]) -> None:
        if path.suffix not in (".csv", ".jsonl"):
            raise ParameterError("log", path, "give a file that ends in .csv or .jsonl")
        self._path, self._csv = path, path.suffix == ".csv"
        self._on_failure: Callable[[AinextError], None] | None = on_failure
        with writing(path):
            if path.is_file() and not self._fits(path):
                raise ParameterError("log", path, "this file has other lines than a log of segments; give another file")
            self._file = path.open("ab+")
            size = self._file.seek(0, os.SEEK_END)
            if self._csv and not size:
                self._append(f"{','.join(_LOG_COLUMNS)}\n")
            elif size:
                self._file.seek(size - 1)
                if self._file.read() != b"\n":  # a process was killed while writing
                    self._append("\n")

    def _fits(self, path: Path) -> bool:
        """Whether the first line of a file is one of a journal, or was not completed."""
        with path.open("rb") as file:
            first = file.readline()
        if not first.endswith(b"\n") and not self._csv:
            return first[:11] == b'{"source": '[: len(first)]
        if self._csv:
            return not first or first.decode("utf-8", "replace").strip().split(",") == [*_LOG_COLUMNS]
        try:
            return set(_LOG_COLUMNS) <= set(json.loads(first))
        except (ValueError, TypeError):
            return False

    def samples(self, source: str, began: datetime, start: float, samples: np.ndarray) -> None:
        """Nothing is done with the sound."""

    def event(self, source: str, began: datetime, event: Event) -> None:
        """Append a segment that has ended."""
        if event.kind != "end" or self._on_failure is None:
            return
        row = {"source": source, "began": began.isoformat(timespec="milliseconds"), **event.segment.as_dict()}
        if self._csv:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerow(row.values())
            line = text.getvalue()
        else:
            line = json.dumps(row, ensure_ascii=False) + "\n"
        try:
            with writing(self._path):
                self._append(line)
        except AinextError as error:
            failed, self._on_failure = self._on_failure, None
            failed(error)

    def close(self) -> None:
        with suppress(OSError):  # what could not be written has been reported
            self._file.close()

    def _append(self, text: str) -> None:
        self._file.write(text.encode("utf-8", errors="replace"))
        self._file.flush()

"""Detections of the videos that are finished, kept beside the output until that is written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from audioinceptionnext.errors import FileError, writing
from audioinceptionnext.results.types import Segment


class FinishedVideos:
    """The file ``OUT.unfinished``: JSON lines, first what was asked for, then one line for each finished video.

    A killed process loses the video that it was at, and the next one that is asked for the same goes on with the rest.
    As a context manager, it removes the file once its body is done; after an exception the file stays, unless no video
    is finished.

    Args:
        target: the output.
        call: all that the detections depend on, as JSON has it.

    Attributes:
        path: of the file.
        results: the segments of the videos that are finished, by id.

    Raises:
        FileError: the output cannot be written, or the file holds videos of another call.

    >>> with FinishedVideos(Path("test.zip"), {"model": "epic.onnx"}) as finished:
    ...     finished.add("P01_101", [])
    """

    def __init__(self, target: Path, call: Mapping[str, Any]) -> None:
        self.path = target.with_name(f"{target.name}.unfinished")
        with writing(target):
            if target.is_dir():
                raise IsADirectoryError
            target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind(b"\n") + 1]  # a killed process may have left half a line
        try:
            head, *rows = map(json.loads, whole.splitlines() or [b"null"])
        except ValueError:
            head, rows = "damaged", []
        if whole and head != call:
            self._file.close()
            what = "holds the finished videos of a call with another model, list or options"
            raise FileError(self.path, f"{what}; remove it, or give the output another name")
        self._file.truncate(len(whole))
        if not whole:
            self._append(call)
        self.results = {row["video"]: [Segment(*one) for one in row["detections"]] for row in rows}

    def add(self, video: str, found: Sequence[Segment]) -> None:
        """Keep the detections of one more video."""
        rows = [(one.start, one.end, one.label, one.score) for one in found]
        self._append({"video": video, "detections": rows})
        self.results[video] = list(found)

    def _append(self, row: Mapping[str, Any]) -> None:
        with writing(self.path):
            self._file.write(json.dumps(row).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def __enter__(self) -> FinishedVideos:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if kind is None or not self.results:
            self.path.unlink(missing_ok=True)

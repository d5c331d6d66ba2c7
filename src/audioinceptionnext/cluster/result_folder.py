"""The results of a batch run: a folder that grows by whole lines, and that a later run continues.

    DIR/run.json           the model (with its sha256) and the settings; a run with others is refused
    DIR/parts/*.jsonl      one line per recording, as in the JSON of `ainext predict`, in no order; .part while it grows
    DIR/parquet/*.parquet  the same rows, one file per finished part
    DIR/failed.jsonl       one line per recording that failed: file, error, kind; also as failed.parquet
    DIR/ray.log            what Ray logged

**Exactly once.** One process, the one that the user started, writes everything. Workers hand their results back and
write nothing, so a task that Ray runs again because its worker died leaves no trace of its first try. A recording
that is in the folder already is dropped when it arrives again. The workers need no folder in common with that
process, and a full disk is met in one place. ``docs/scale.md`` says what this costs.

**Killed at any moment.** The rows of a task are appended in one write. A line that a kill cut off lacks its line end;
the next run drops it and recognises that recording again. When a part is full, or the run ends, a rename takes the
`.part` from its name. It is then copied to Parquet, which a rename puts in place as well. The next run completes
whatever of this a kill prevented.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from audioinceptionnext.cluster.json_lines import (
    JsonLinesFile,
    drop_torn_lines,
    read_json_lines,
    replace_file,
    to_json_lines,
    to_parquet,
)
from audioinceptionnext.cluster.listing import recording_key
from audioinceptionnext.cluster.types import FailureKind
from audioinceptionnext.errors import FileError

PART_BYTES = 64 * 2**20  # a part is held in memory once, to convert it to Parquet
# These kinds of failure say nothing about the recording itself, so the next run tries it again.
TEMPORARY_FAILURES: tuple[FailureKind, ...] = ("missing", "download")
RUN, FAILED = "run.json", "failed.jsonl"


def read_results(folder: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a result folder, also while it still grows.

    Each row is one recording, a dict as `Recognition.as_dict` gives it, with the absolute path or the URI as ``file``.
    It has ``warnings`` too, a list of lines, if something of the recording was lost.

    Raises:
        FileError: this is not a result folder.

    >>> for row in read_results("night"):
    ...     print(row["file"], row["clip"][0]["label"])
    """
    if not (Path(folder) / "parts").is_dir():
        raise FileError(folder, "not a result folder of `ainext batch`: it has no folder named parts")
    for part in sorted((Path(folder) / "parts").glob("*.jsonl*")):
        yield from read_json_lines(part)


def read_failed(folder: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the failures of a result folder: dicts of ``file``, ``error`` (one line) and ``kind`` (`FailureKind`)."""
    if (path := Path(folder) / FAILED).is_file():
        yield from read_json_lines(path)


class ResultFolder:
    """The folder that one run writes its results to.

    Args:
        path: created if it does not exist.
        job: everything that the results depend on, see `worker.Job.as_dict`. A folder with results of another job is
            refused.
        retry_failed: forget all failures of earlier runs, not only the temporary ones.

    Attributes:
        done, failed: keys (see `listing.recording_key`) of the recordings in the folder.

    Raises:
        FileError: the folder cannot be written, another run is writing to it, or it holds results of another job.
    """

    def __init__(self, path: Path, job: dict[str, Any], retry_failed: bool = False) -> None:
        self.path = path
        self._part: JsonLinesFile | None = None
        try:
            for folder in (path / "parts", path / "parquet"):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
            try:
                _check_same_job(path, job)
                self.done = self._recover()
                self.failed = self._keep_failed(retry_failed)
                self._failures = JsonLinesFile(path / FAILED)
            except BaseException:
                self._unlock()
                raise
        except OSError as error:
            raise FileError(path, f"cannot be used as the result folder: {_strerror(error)}") from error

    def add(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Write the rows of new recordings, and return these rows.

        Raises:
            FileError: the disk is full. The rows that were written before are kept.
        """
        good: dict[int, dict[str, Any]] = {}
        bad: dict[int, dict[str, Any]] = {}
        for row in rows:
            if (key := recording_key(row["file"])) not in self.done and key not in self.failed:
                (bad if "error" in row else good)[key] = row
        try:
            if good:
                self._part = self._part or JsonLinesFile(self._next_part())
                self._part.append(good.values())
                self.done.update(good)
            if bad:
                self._failures.append(bad.values())
                self.failed.update(bad)
            if self._part is not None and self._part.length >= PART_BYTES:
                self._finish_part()
        except OSError as error:
            reason = f"{_strerror(error)}; the results so far are kept; free some space and run the command again"
            raise FileError(self.path, reason) from error
        return [*good.values(), *bad.values()]

    def close(self) -> None:
        """Finish the files. Never raises, since the next run completes what this leaves undone."""
        with suppress(OSError):
            self._finish_part()
        with suppress(OSError):
            self._failures.close()
            to_parquet(self.path / FAILED, self.path / "failed.parquet", failures=True)
        self._unlock()

    def __enter__(self) -> ResultFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_part(self) -> Path:
        taken = [int(part.name.partition(".")[0]) for part in (self.path / "parts").glob("*.jsonl*")]
        return self.path / "parts" / f"{max(taken, default=0) + 1:06}.jsonl.part"

    def _finish_part(self) -> None:
        if self._part is not None:
            part, self._part = self._part, None
            part.close()
            self._publish(part.path)

    def _publish(self, part: Path) -> None:
        """Give a complete part its final name, and copy it to Parquet."""
        finished = part.with_name(part.name.removesuffix(".part"))
        part.rename(finished)
        to_parquet(finished, self._parquet_path(finished))

    def _parquet_path(self, part: Path) -> Path:
        return self.path / "parquet" / f"{part.stem}.parquet"

    def _recover(self) -> set[int]:
        """Complete what a killed run left undone, and return the keys of all results."""
        from pyarrow import parquet

        parts = self.path / "parts"
        for part in sorted(parts.glob("*.jsonl.part")):
            if drop_torn_lines(part):
                self._publish(part)
            else:
                part.unlink()
        done: set[int] = set()
        for part in sorted(parts.glob("*.jsonl")):
            copy = self._parquet_path(part)
            if not copy.exists():
                to_parquet(part, copy)
            # Reading one column of Parquet is a hundred times as fast as reading the lines.
            files = parquet.read_table(copy, columns=["file"])["file"].to_pylist()
            done.update(map(recording_key, files))
        return done

    def _keep_failed(self, retry: bool) -> set[int]:
        """Drop the failures that are to be tried again, and return the keys of the others."""
        path = self.path / FAILED
        kept: dict[int, dict[str, Any]] = {}
        if path.exists() and not retry:
            drop_torn_lines(path)
            for row in read_json_lines(path):
                key = recording_key(row["file"])
                if row["kind"] not in TEMPORARY_FAILURES and key not in self.done:
                    kept[key] = row
        replace_file(path, to_json_lines(kept.values()))
        return set(kept)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _check_same_job(path: Path, job: dict[str, Any]) -> None:
    """Write run.json, or raise `FileError` if the one that is there describes another job."""
    text = json.dumps(job, ensure_ascii=False, indent=2) + "\n"
    job = json.loads(text)  # as it will be read: tuples become lists
    try:
        before = json.loads((path / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        replace_file(path / RUN, text.encode())
        return
    except ValueError as error:
        raise FileError(path / RUN, "damaged; give another folder for the results") from error
    for name in {**job, **before}:
        if (old := before.get(name)) != (new := job.get(name)):
            reason = f"has results with {name} {_shortened(old)}, not {_shortened(new)}; give another folder"
            raise FileError(path, reason)


def _shortened(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:36]}..."


def _lock(path: Path) -> int | None:
    """Lock the folder until this process ends, however it ends. None where the system has no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows: nothing keeps two runs apart there
        return None
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        reason = "another run is writing to this folder; wait until it ends, or give another folder"
        raise FileError(path, reason) from error
    except OSError:  # a network drive without locks
        pass
    return handle


def _strerror(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

"""The results of a run on many machines: a folder that grows by whole lines, and that a later run goes on with.

    DIR/run.json           the model (with sha256) and the settings; a run with other ones is refused
    DIR/parts/*.jsonl      a line a recording, as `ainext predict --json` has it, in no order; .part while it grows
    DIR/parquet/*.parquet  the same rows, a file a finished part
    DIR/failed.jsonl       a line a recording that could not be heard: file, error, kind; also as failed.parquet
    DIR/ray.log            what Ray said

**Once and only once.** One process, the one that the user started, writes all of it. Workers hand results back and
write nothing, so a task that Ray runs again because its worker died leaves no trace of its first try; a recording that
is in the folder already is dropped when it arrives again. The workers need no folder in common with it, and a full
disk is met in one place. What this costs: `docs/scale.md`, "Where the bottleneck moves".

**Killed at any moment.** A task's rows are appended in one write. What a kill cuts off lacks its line end; the next run
drops it and hears that recording again. When a part is full, or the run ends, it loses its `.part` by a rename and is
copied to Parquet, which is renamed into place as well; the next start makes up for what of this a kill prevented.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from audioinceptionnext.cluster.json_lines import Journal, as_lines, cut, read_lines, replace, to_parquet
from audioinceptionnext.cluster.listing import key
from audioinceptionnext.errors import AinextError

PART_BYTES = 64 * 2**20  # a part is held in memory once, to make Parquet of it
# Kinds of failure that say nothing of the recording itself: the next run tries again.
PASSING = ("missing", "download")
RUN, FAILED = "run.json", "failed.jsonl"


def read_results(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a run's folder, one dict a recording, as they are in INTERFACE's JSON; also while it still grows.

    A row has ``warnings`` too, a list of lines, where something of the recording was lost. Raises `AinextError` if the
    folder is none.
    """
    if not (Path(folder) / "parts").is_dir():
        raise AinextError(f"{folder}: not a folder of `ainext predict --on ray` (it has no folder parts)")
    for part in sorted((Path(folder) / "parts").glob("*.jsonl*")):
        yield from read_lines(part)


def read_failed(folder: str | Path) -> Iterator[dict[str, Any]]:
    """The recordings that could not be heard: file, error (one line), kind.

    Kinds: ``missing`` (no such file), ``download`` (a store did not give it), ``unreadable`` (our reader refused it),
    ``crashed`` (each worker that heard it died), ``bug``.
    """
    if (path := Path(folder) / FAILED).is_file():
        yield from read_lines(path)


class Folder:
    """A run's folder, open for writing by one process at a time.

    Args:
        path: made if it is not there.
        facts: of the model and the settings; a folder that holds results of others is refused.
        retry_failed: forget all failures, not only the passing ones.

    Attributes:
        done, failed: keys (see `sources.key`) of what is there.

    Raises:
        AinextError: it cannot be written, another run is writing there, or it is of another model or other settings.
    """

    def __init__(self, path: Path, facts: dict[str, Any], retry_failed: bool = False) -> None:
        self.path = path
        self._part: Journal | None = None
        try:
            for folder in (path / "parts", path / "parquet"):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
            try:
                _agree(path, facts)
                self.done = self._recover()
                self.failed = self._keep_failed(retry_failed)
                self._failures = Journal(path / FAILED)
            except BaseException:
                self._unlock()
                raise
        except OSError as error:
            raise AinextError(f"--out {path}: {_reason(error)}") from error

    def add(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Writes what is new; returns it. Raises `AinextError` when the disk is full; what was written stays."""
        good: dict[int, dict[str, Any]] = {}
        bad: dict[int, dict[str, Any]] = {}
        for row in rows:
            if (one := key(row["file"])) not in self.done and one not in self.failed:
                (bad if "error" in row else good)[one] = row
        try:
            if good:
                self._part = self._part or Journal(self._next_part())
                self._part.append(good.values())
                self.done.update(good)
            if bad:
                self._failures.append(bad.values())
                self.failed.update(bad)
            if self._part is not None and self._part.length >= PART_BYTES:
                self._seal()
        except OSError as error:
            line = f"--out {self.path}: {_reason(error)}; what was done stays: make room and run it again"
            raise AinextError(line) from error
        return [*good.values(), *bad.values()]

    def close(self) -> None:
        """Finishes what was begun; never raises, since the next start makes up for what it leaves undone."""
        with suppress(OSError):
            self._seal()
        with suppress(OSError):
            self._failures.close()
            to_parquet(self.path / FAILED, self.path / "failed.parquet", failed=True)
        self._unlock()

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_part(self) -> Path:
        taken = [int(part.name.partition(".")[0]) for part in (self.path / "parts").glob("*.jsonl*")]
        return self.path / "parts" / f"{max(taken, default=0) + 1:06}.jsonl.part"

    def _seal(self) -> None:
        if self._part is not None:
            part, self._part = self._part, None
            part.close()
            self._finish(part.path)

    def _finish(self, part: Path) -> None:
        done = part.with_name(part.name.removesuffix(".part"))
        part.rename(done)
        to_parquet(done, self._parquet(done))

    def _parquet(self, part: Path) -> Path:
        return self.path / "parquet" / f"{part.stem}.parquet"

    def _recover(self) -> set[int]:
        """Makes each part whole, in both forms; returns the keys of what is there."""
        from pyarrow import parquet

        parts = self.path / "parts"
        for part in sorted(parts.glob("*.jsonl.part")):
            if cut(part):
                self._finish(part)
            else:
                part.unlink()
        done: set[int] = set()
        for part in sorted(parts.glob("*.jsonl")):
            if not self._parquet(part).exists():
                to_parquet(part, self._parquet(part))
            # One column of Parquet: a hundred times as fast as reading the lines.
            done.update(map(key, parquet.read_table(self._parquet(part), columns=["file"])["file"].to_pylist()))
        return done

    def _keep_failed(self, retry: bool) -> set[int]:
        path, kept = self.path / FAILED, {}
        if path.exists() and not retry:
            cut(path)
            rows = {key(row["file"]): row for row in read_lines(path) if row["kind"] not in PASSING}
            kept = {one: row for one, row in rows.items() if one not in self.done}
        replace(path, as_lines(kept.values()))
        return set(kept)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _agree(path: Path, facts: dict[str, Any]) -> None:
    """Writes run.json, or compares with the one that is there. Raises `AinextError`."""
    text = json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
    facts = json.loads(text)  # as it comes back: tuples are lists
    try:
        before = json.loads((path / RUN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        replace(path / RUN, text.encode())
        return
    except ValueError as error:
        raise AinextError(f"{path / RUN}: damaged: give another --out") from error
    for name in {**facts, **before}:
        if (was := before.get(name)) != (now := facts.get(name)):
            line = f"--out {path}: has results with {name} {_short(was)}, not {_short(now)}: give another --out"
            raise AinextError(line)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:36]}..."


def _lock(path: Path) -> int | None:
    """Held until this process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows: nothing keeps two runs apart there
        return None
    handle = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise AinextError(f"--out {path}: another run is writing there: wait for it, or give another --out") from error
    except OSError:  # a network drive without locks
        pass
    return handle


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

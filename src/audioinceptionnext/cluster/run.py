"""The whole of it: list, hear on workers, write; with progress."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, TextIO

import numpy as np

from audioinceptionnext.cluster.downloads import STOP
from audioinceptionnext.cluster.listing import find_recordings, key, tasks
from audioinceptionnext.cluster.ray_cluster import cluster, first_line, quiet
from audioinceptionnext.cluster.result_folder import Folder
from audioinceptionnext.cluster.types import Absent
from audioinceptionnext.cluster.worker import Attempts, Job, Worker, pack
from audioinceptionnext.errors import AinextError

BATCH = 16  # recordings a task: Ray's share of a task is milliseconds, and a killed run hears this many again
_SHOWN_EVERY_S = {True: 0.5, False: 30.0}  # on a terminal, in a log


@dataclass(frozen=True)
class Place:
    """Where to run; see `machines.cluster`."""

    address: str | None = None
    workers: int | None = None
    batch: int = BATCH
    verbose: bool = False


@dataclass(frozen=True)
class Summary:
    """What ``--json`` prints.

    Attributes:
        files: recordings that were found, and names that gave none.
        done, failed: of these, in this run or an earlier one.
        earlier: of these, done before this run.
        left: found but neither done nor failed: the folder changed while it was read.
        warnings: recordings of which something was lost, in this run.
        seconds: of sound heard in this run.
        wall, start: seconds this run took, and those until its first result.
        rate: recordings a second from then on, until the last result.
        out: the folder.
    """

    files: int
    done: int
    failed: int
    earlier: int
    left: int
    warnings: int
    seconds: float
    wall: float
    start: float
    rate: float
    out: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {name: round(getattr(self, name), 3) for name in ("seconds", "wall", "start", "rate")}


def recognise(
    given: Sequence[str], job: Job, content: bytes, out: Path, place: Place, retry_failed: bool = False
) -> Summary:
    """Hears what ``given`` names (see `sources.find_recordings`) and writes it to ``out`` (see `folder`).

    Args:
        content: the model file.
        retry_failed: also hear again what could not be heard in an earlier run.

    Raises:
        AinextError: ``out`` cannot be written or is of other settings, the cluster cannot be reached or gave up.
    """
    begun = time.monotonic()
    here = str(Path.cwd())
    with Folder(out, job.facts(), retry_failed) as folder, quiet(None if place.verbose else out / "ray.log") as stderr:
        census = Census(given, here, folder)
        progress = Progress(census, stderr, begun)
        try:
            if next(tasks(find_recordings(given, here), folder.done | folder.failed, 1), None):
                with cluster(place.address, place.workers, place.verbose) as workers:
                    for rows in _heard(given, here, folder, job, content, workers, place):
                        progress.count(folder.add(rows))
        except AinextError:
            raise
        except Exception as error:  # whatever Ray raises
            more = "" if place.verbose else f"; more in {out / 'ray.log'}"
            raise AinextError(f"{_cause(error)}; what was done stays{more}") from error
        finally:
            progress.stop()
        census.join()
        progress.count(folder.add({"file": one.file, "error": one.reason, "kind": "missing"} for one in census.absent))
    return progress.summary(out)


def _heard(
    given: Sequence[str], here: str, folder: Folder, job: Job, content: bytes, workers: int, place: Place
) -> Iterator[list[dict[str, Any]]]:
    """Rows, a task's at a time, in whatever order the workers end."""
    import ray
    import ray.data

    known = ray.put(np.fromiter(folder.done | folder.failed, np.uint64))
    model = ray.put(content)
    attempts = ray.remote(num_cpus=0)(Attempts).remote()
    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars, context.target_max_block_size
    # A row is a task. Blocks of one row, or Ray Data would gather the whole listing into one block, for one worker.
    context.enable_progress_bars, context.target_max_block_size = place.verbose, 1

    def list_tasks(_: Any) -> Iterator[dict[str, list[str]]]:
        done = set(ray.get(known).tolist())
        for task in tasks(find_recordings(given, here), done, place.batch):
            yield {"task": [pack(task)]}

    try:
        # One task lists, ahead of the workers by no more than Ray Data lets it. On this machine, whose files these are.
        this = {f"node:{ray.util.get_node_ip_address()}": 0.001}
        listed = ray.data.from_items([0]).map_batches(list_tasks, batch_size=1, num_cpus=0, resources=this)
        # Ray's defaults for actors: started again without limit, their tasks given to them again. See `Worker`.
        pool = ray.data.ActorPoolStrategy(size=workers)
        rows = listed.map_batches(
            Worker, fn_constructor_args=(job, model, attempts), batch_size=1, num_cpus=1, compute=pool
        )
        for batch in rows.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            for text in batch.get("rows", ()):
                found = [json.loads(line) for line in text.split("\n")]
                if stops := [row["error"] for row in found if row.get("kind") == STOP]:
                    raise AinextError(stops[0])
                yield found
    finally:
        context.enable_progress_bars, context.target_max_block_size = before


class Census(Thread):
    """Counts, beside the listing that feeds the workers, how much there is: that one only runs as far as they come."""

    def __init__(self, given: Iterable[str], here: str, folder: Folder) -> None:
        super().__init__(daemon=True)
        self._items = find_recordings(given, here)
        self._done, self._failed = frozenset(folder.done), frozenset(folder.failed)
        self.files = self.earlier = self.failed = 0
        self.absent: list[Absent] = []
        self.finished = False
        self.start()

    def run(self) -> None:
        for item in self._items:
            one = key(item.file)
            if isinstance(item, Absent) and one not in self._done and one not in self._failed:
                self.absent.append(item)
                continue
            self.files += 1
            self.earlier += one in self._done
            self.failed += one in self._failed
        self._done = self._failed = frozenset()
        self.finished = True


class Progress:
    """Counts what comes, and says so on stderr: a line that changes on a terminal, a line now and then in a log."""

    def __init__(self, census: Census, stderr: TextIO, begun: float) -> None:
        self.census, self.stderr, self.begun = census, stderr, begun
        self.done = self.failed = self.warnings = 0
        self.seconds = 0.0
        self.first = self.last = 0.0  # when the first and the last results came
        self._rows_of_first = 0
        self._stopped = Event()
        self._terminal = stderr.isatty()
        self._thread = Thread(target=self._tell, daemon=True)
        self._thread.start()

    def count(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        self.last = time.monotonic()
        if not self.first:
            self.first, self._rows_of_first = self.last, len(rows)
        for row in rows:
            self.failed += "error" in row
            self.done += "error" not in row
            self.warnings += "warnings" in row
            self.seconds += row.get("duration", 0.0)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        if self._terminal:
            print("\r\x1b[K", end="", file=self.stderr, flush=True)

    def _tell(self) -> None:
        while not self._stopped.wait(_SHOWN_EVERY_S[self._terminal]):
            start, end = ("\r\x1b[K", "") if self._terminal else ("ainext: ", "\n")
            print(start + self._line(), end=end, file=self.stderr, flush=True)

    def _line(self) -> str:
        there = f"{self.census.files:,}{'' if self.census.finished else '+'}"
        if not self.first:
            return f"starting; {there} files found"
        bad = self.census.failed + self.failed
        done = f"{self.census.earlier + self.done:,} of {there} files, {self._rate(time.monotonic()):.1f} a second"
        return done + (f", {bad:,} failed" if bad else "")

    def _rate(self, until: float) -> float:
        """Recordings a second since the first results, without those, whose beginning was the cluster's start."""
        return (self.done + self.failed - self._rows_of_first) / max(until - self.first, 1e-3)

    def summary(self, out: Path) -> Summary:
        census, now = self.census, time.monotonic()
        files = census.files + len(census.absent)
        done, failed = census.earlier + self.done, census.failed + self.failed
        return Summary(
            files=files,
            done=done,
            failed=failed,
            earlier=census.earlier,
            left=max(0, files - done - failed),
            warnings=self.warnings,
            seconds=self.seconds,
            wall=now - self.begun,
            start=(self.first or now) - self.begun,
            rate=self._rate(self.last),
            out=str(out),
        )


def _cause(error: BaseException) -> str:
    """The line that says most: ours where it is one of ours, else the innermost."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        if isinstance(error, AinextError):
            return str(error)
        inner = getattr(error, "cause", None) or error.__cause__
        inner = inner if isinstance(inner, BaseException) else None
    return f"the cluster gave up: {type(error).__name__}: {first_line(error)}"

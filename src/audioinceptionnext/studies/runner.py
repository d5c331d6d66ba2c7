"""Does the runs of a study, more than one at a time if asked to or on GPUs, and goes on where it was stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from audioinceptionnext.errors import AinextError, counted, writing
from audioinceptionnext.studies.plan import Unit
from audioinceptionnext.studies.worker import FAILURE, is_done

LOG, SPEC = "study.log", "unit.json"
POLL_S = 0.2

Log = Callable[[str], None]


@dataclass
class Running:
    """A run in progress. ``slot`` numbers the runs that go on at the same time, from 0."""

    unit: Unit
    process: subprocess.Popen[bytes]
    started: float
    slot: int


@dataclass
class Runner:
    """Does runs, each in its own process.

    Attributes:
        jobs: runs at a time. Each has a GPU to itself, as far as there are enough.
        threads: CPU threads per run.
        cache: a folder for decoded audio, which all runs share.
        gpus: number of GPUs.
        log: called with a line of progress.
        failed: names of the runs that failed, and why.
    """

    jobs: int
    threads: int
    cache: Path
    gpus: int = 0
    log: Log = lambda text: print(text, file=sys.stderr, flush=True)
    failed: dict[str, str] = field(default_factory=dict)
    _running: list[Running] = field(default_factory=list)

    def run(self, units: Sequence[Unit]) -> None:
        """Do all runs that are not done. If one fails, it is noted in ``failed``, and the others go on.

        Raises:
            AinextError: it was interrupted. Runs that are done stay done.
        """
        waiting = [unit for unit in units if not is_done(unit)]
        self._total, self._done = len(waiting), 0
        self._started = time.monotonic()
        try:
            with _sigterm_as_interrupt():
                while waiting or self._running:
                    self._start_waiting(waiting)
                    time.sleep(POLL_S)
                    self._collect()
                    waiting = self._without_orphans(waiting)
        except KeyboardInterrupt:
            done = f"{self._done} of {self._total} runs done"
            raise AinextError(f"interrupted with {done}; give the same command again to continue") from None
        finally:
            for one in self._running:
                one.process.terminate()
            for one in self._running:
                one.process.wait()

    def _start_waiting(self, waiting: list[Unit]) -> None:
        for unit in list(waiting):
            if len(self._running) >= self.jobs:
                return
            if unit.initial_weights is None or unit.initial_weights.is_file():
                waiting.remove(unit)
                self._running.append(self._start(unit))

    def _start(self, unit: Unit) -> Running:
        slot = min(set(range(self.jobs)) - {one.slot for one in self._running})
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot % self.gpus)
        with writing(unit.folder / SPEC):
            unit.folder.mkdir(parents=True, exist_ok=True)
            (unit.folder / FAILURE).unlink(missing_ok=True)
            (unit.folder / SPEC).write_text(unit.as_json(), encoding="utf-8")
            log = (unit.folder / LOG).open("ab")
        arguments = [str(unit.folder / SPEC), str(self.threads), str(self.cache)]
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "audioinceptionnext.studies.worker", *arguments],
                stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        return Running(unit, process, time.monotonic(), slot)

    def _collect(self) -> None:
        """Note the runs that have ended."""
        for one in [running for running in self._running if running.process.poll() is not None]:
            self._running.remove(one)
            assert one.process.stdin is not None
            with contextlib.suppress(OSError):
                one.process.stdin.close()
            self._done += 1
            which = f"{self._done} of {self._total}: {one.unit.name}"
            if one.process.returncode == 0:
                minutes = (time.monotonic() - one.started) / 60
                self.log(f"{which}: {minutes:.1f} minutes{self._time_left()}")
            else:
                reason = _failure_reason(one.unit.folder, one.process.returncode)
                self.failed[one.unit.name] = reason
                self.log(f"{which}: failed: {reason}")

    def _time_left(self) -> str:
        """How long the rest will take, at the speed so far."""
        left = self._total - self._done
        if not left:
            return ""
        seconds = (time.monotonic() - self._started) / self._done * left
        return f", about {format_duration(seconds)} left"

    def _without_orphans(self, waiting: list[Unit]) -> list[Unit]:
        """Without the runs whose initial weights will never come, because the run that was to give them failed."""
        folders = {unit.folder for unit in waiting} | {one.unit.folder for one in self._running}
        orphans = [
            unit
            for unit in waiting
            if (weights := unit.initial_weights) and not weights.is_file() and weights.parent not in folders
        ]
        for unit in orphans:
            self._done += 1
            self.failed[unit.name] = "the run that gives its initial weights failed"
        return [unit for unit in waiting if unit not in orphans]


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Treats SIGTERM like Ctrl-C: the runs are stopped, and an error is raised."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _failure_reason(folder: Path, code: int) -> str:
    """Why a run failed, with the file of its log."""
    log = folder / LOG
    if code == -signal.SIGKILL:
        return f"killed, perhaps out of memory; see {log}"
    if (folder / FAILURE).is_file():
        reason = (folder / FAILURE).read_text(encoding="utf-8")
    else:  # an error that nobody foresaw: its traceback ends with what it was
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit code {code}"
    return f"{reason[:300]} ({log})"


def format_duration(seconds: float) -> str:
    """``40 seconds``, ``12 minutes`` or ``3.5 hours``."""
    if seconds < 90:
        return counted(round(seconds), "second")
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

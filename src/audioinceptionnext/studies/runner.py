"""Does the runs of a study, several at a time if asked for or on GPUs, and goes on where it was stopped."""

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

from audioinceptionnext.errors import AinextError, writing
from audioinceptionnext.studies.plan import Unit
from audioinceptionnext.studies.worker import is_done

LOG, SPEC = "study.log", "unit.json"
POLL = 0.2  # seconds

Tell = Callable[[str], None]


@dataclass
class Running:
    unit: Unit
    process: subprocess.Popen[bytes]
    begun: float
    slot: int


@dataclass
class Runner:
    """
    Attributes:
        jobs: runs at a time. On GPUs each has one to itself, as far as there are.
        threads: of the CPU, for each.
        cache: a folder for decoded audio, which all share.
        failed: units that could not be done, and why.
    """

    jobs: int
    threads: int
    cache: Path
    gpus: int = 0
    tell: Tell = lambda text: print(text, file=sys.stderr, flush=True)
    failed: dict[str, str] = field(default_factory=dict)
    _running: list[Running] = field(default_factory=list)

    def run(self, units: Sequence[Unit]) -> None:
        """Does all that are not done. One that fails is noted in ``failed`` and the others go on.

        Raises:
            AinextError: an interruption; what is done stays done.
        """
        waiting = [unit for unit in units if not is_done(unit)]
        self._total, self._done = len(waiting), 0
        self._begun = time.monotonic()
        try:
            with _terminable():
                while waiting or self._running:
                    self._start(waiting)
                    time.sleep(POLL)
                    self._collect()
                    waiting = self._without_hope(waiting)
        except KeyboardInterrupt:
            raise AinextError(
                f"interrupted with {self._done} of {self._total} runs done; the same command goes on"
            ) from None
        finally:
            for one in self._running:
                one.process.terminate()
            for one in self._running:
                one.process.wait()

    def _start(self, waiting: list[Unit]) -> None:
        for unit in list(waiting):
            if len(self._running) >= self.jobs:
                return
            if unit.start is None or unit.start.is_file():
                waiting.remove(unit)
                self._running.append(self._begin(unit))

    def _begin(self, unit: Unit) -> Running:
        slot = min(set(range(self.jobs)) - {one.slot for one in self._running})
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = str(slot % self.gpus)
        with writing(unit.folder / SPEC):
            unit.folder.mkdir(parents=True, exist_ok=True)
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
        for one in [running for running in self._running if running.process.poll() is not None]:
            self._running.remove(one)
            assert one.process.stdin is not None
            with contextlib.suppress(OSError):
                one.process.stdin.close()
            self._done += 1
            minutes = (time.monotonic() - one.begun) / 60
            if one.process.returncode == 0:
                self.tell(f"{self._done} of {self._total}: {one.unit.name}: {minutes:.1f} minutes{self._left()}")
            else:
                why = _last_line(one.unit.folder / LOG, one.process.returncode)
                self.failed[one.unit.name] = why
                self.tell(f"{self._done} of {self._total}: {one.unit.name}: failed: {why}")

    def _left(self) -> str:
        """How long the rest will take if it goes on as so far."""
        left = self._total - self._done
        if not left:
            return ""
        seconds = (time.monotonic() - self._begun) / self._done * left
        return f", about {duration(seconds)} left"

    def _without_hope(self, waiting: list[Unit]) -> list[Unit]:
        """Without those that begin with what a failed run was to give."""
        running = {one.unit.folder for one in self._running}
        folders = {unit.folder for unit in waiting} | running
        hopeless = [u for u in waiting if u.start and not u.start.is_file() and u.start.parent not in folders]
        for unit in hopeless:
            self._done += 1
            self.failed[unit.name] = "what it begins with could not be trained"
        return [unit for unit in waiting if unit not in hopeless]


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM as Ctrl-C: children are told, and it ends in a line."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _last_line(log: Path, code: int) -> str:
    if code == -signal.SIGKILL:
        return f"killed, out of memory perhaps; see {log}"
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    told = [line.removeprefix("failed: ") for line in lines if line.startswith("failed: ")]
    why = told[-1] if told else lines[-1] if lines else f"exit code {code}"
    return f"{why[:300]} ({log})"


def duration(seconds: float) -> str:
    """``40 seconds``, ``12 minutes``, ``3.5 hours``."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"

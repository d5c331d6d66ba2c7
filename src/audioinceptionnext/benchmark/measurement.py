"""The measurement: each row in a process of its own, all of them gone round again and again.

What else the machine does, and how warm it is, changes over minutes; going round lets it fall on all rows alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audioinceptionnext.benchmark.engines import Task, serve
from audioinceptionnext.benchmark.process import Process, RowFailed
from audioinceptionnext.benchmark.rows import Row, missing
from audioinceptionnext.benchmark.subjects import Preparation, Subject

TURN = 0.5  # seconds that a row's calls of one batch size may take in a round, but for the first that is counted
CALLS = 20  # and how many there are at most

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Skipped:
    """``failed``: it should have worked here; otherwise something is not installed or not in this machine."""

    name: str
    reason: str
    failed: bool


@dataclass
class Measured:
    """A row and what was found.

    Attributes:
        nanoseconds: by batch size, of each round, of each call.
        ready_s: loading, compiling and warming up.
        peak_rss: bytes, by batch size, of a process that ran calls of that size and smaller ones.
        logits: (inputs, classes).
    """

    number: int
    row: Row
    subject: Subject
    parameters: int
    macs: int
    file_bytes: int
    ready_s: float
    peak_rss: dict[int, int]
    peak_gpu: int | None
    logits: np.ndarray
    reference: np.ndarray
    process: Process = field(repr=False)
    nanoseconds: dict[int, list[list[int]]] = field(default_factory=dict)
    accuracy: dict[str, Any] = field(default_factory=dict)

    def milliseconds(self, batch: int) -> np.ndarray:
        """Of a clip, of all calls."""
        return np.concatenate([np.array(calls) for calls in self.nanoseconds[batch]]) / 1e6 / batch

    def rounds(self, batch: int) -> np.ndarray:
        """Milliseconds a clip, the median of each round."""
        return np.array([np.median(calls) for calls in self.nanoseconds[batch]]) / 1e6 / batch


class Bench(AbstractContextManager["Bench"]):
    """Opens rows, measures them, closes them.

    Attributes:
        measured: rows that run; those that stop keep the rounds they did.
        skipped: the others, and those that stopped.
    """

    def __init__(
        self,
        rows: Sequence[tuple[int, Row]],
        preparation: Preparation,
        cores: Sequence[int],
        batches: tuple[int, ...],
        tell: Tell,
    ) -> None:
        self._rows, self._preparation, self._cores, self._batches = rows, preparation, cores, batches
        self._tell = tell
        self._processes: list[Process] = []
        self._stopped: set[int] = set()
        self.measured: list[Measured] = []
        self.skipped: list[Skipped] = []
        self.rounds_done = 0

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.close()

    def open(self, cuda: bool) -> None:
        """Loads and warms up every row, one after another, and has it hear the inputs."""
        for number, row in self._rows:
            self._tell(f"loading {number}: {row.name}")
            if reason := missing(row, cuda):
                self._skip(row, reason, failed=False)
                continue
            try:
                self.measured.append(self._opened(number, row))
            except ModuleNotFoundError as error:
                self._skip(row, f"{error.name} is not installed", failed=False)
            except Exception as error:  # whatever an exporter, a quantiser or an engine may raise
                self._skip(row, _reason(error), failed=True)

    def run(self, rounds: int) -> None:
        for number in range(1, rounds + 1):
            self._tell(f"round {number} of {rounds}")
            for found in self.running:
                try:
                    taken = {batch: found.process.ask((batch, TURN, CALLS)) for batch in self._batches}
                except RowFailed as error:
                    self.stop(found, error)
                    continue
                for batch, calls in taken.items():
                    found.nanoseconds.setdefault(batch, []).append(calls)
            self.rounds_done = number

    @property
    def running(self) -> list[Measured]:
        return [found for found in self.measured if found.number not in self._stopped]

    @property
    def timed(self) -> list[Measured]:
        return [found for found in self.measured if found.nanoseconds]

    def stop(self, found: Measured, error: Exception) -> None:
        """A row that fails after it was opened: what it gave stays."""
        self._stopped.add(found.number)
        self._skip(found.row, _reason(error), failed=True)

    def _opened(self, number: int, row: Row) -> Measured:
        prepared = self._preparation
        file, inputs = prepared.file(row), prepared.inputs(row.network)
        reference, (parameters, macs) = prepared.reference(row.network), prepared.size(row)
        task = Task(row.engine, row.precision, row.device, file, inputs, len(self._cores), self._batches)
        process = Process(serve, (task,), self._cores)
        try:
            ready = process.answer()
            logits = process.ask("inputs")[:, 0]
        except BaseException:
            process.close()
            raise
        self._processes.append(process)
        return Measured(
            number, row, prepared.subject(row.network), parameters, macs, file.stat().st_size, ready["ready_s"],
            ready["peak_rss"], ready["peak_gpu"], logits, reference, process,
        )  # fmt: skip

    def _skip(self, row: Row, reason: str, failed: bool) -> None:
        self.skipped.append(Skipped(row.name, reason, failed))
        self._tell(f"skipped {row.name}: {reason}")


def _reason(error: Exception) -> str:
    lines = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip().splitlines()  # torch writes its errors in colours
    known = isinstance(error, RowFailed) or type(error).__module__.startswith("audioinceptionnext")
    if not lines:
        return type(error).__name__
    return lines[0][:300] if known else f"{type(error).__name__}: {lines[0][:300]}"

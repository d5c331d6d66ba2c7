"""The measurement: each row runs in its own process, and all rows take turns, round after round.

The load and the temperature of the computer change over minutes. Taking turns spreads these changes over all rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audioinceptionnext.benchmark.backends import Task, serve
from audioinceptionnext.benchmark.process import Process, RowFailed
from audioinceptionnext.benchmark.rows import Row, why_unavailable
from audioinceptionnext.benchmark.subjects import Preparation, Subject
from audioinceptionnext.errors import AinextError

# Per row, batch size and round: calls go on for this many seconds, and there are at most this many calls.
TURN_S = 0.5
MAX_CALLS = 20

Log = Callable[[str], None]


@dataclass(frozen=True)
class Skipped:
    """A row that was not measured.

    Attributes:
        failed: it should have worked here. Otherwise it needs software or hardware that is not there.
    """

    name: str
    reason: str
    failed: bool


@dataclass
class Measured:
    """A row and its measurements.

    Attributes:
        number: of the row, from 1.
        parameters, macs: of the network as the row runs it; multiply-accumulates of one clip.
        ready_s: seconds to load, compile and warm up.
        peak_rss: bytes by batch size, of a process that ran calls of that size and of smaller ones.
        peak_gpu: bytes, on a GPU.
        logits: (inputs, classes).
        reference: (inputs, classes), of the network as trained, in float32.
        nanoseconds: of each call in each round, by batch size.
        accuracy: filled in by `accuracy.score`.
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

    def milliseconds(self, batch_size: int) -> np.ndarray:
        """(calls,): milliseconds per clip of all calls."""
        return np.concatenate([np.array(calls) for calls in self.nanoseconds[batch_size]]) / 1e6 / batch_size

    def rounds(self, batch_size: int) -> np.ndarray:
        """(rounds,): milliseconds per clip, the median of each round."""
        return np.array([np.median(calls) for calls in self.nanoseconds[batch_size]]) / 1e6 / batch_size


class Bench(AbstractContextManager["Bench"]):
    """Opens rows, measures them, and closes them.

    Args:
        rows: with their numbers.
        preparation: makes the files that the rows run.
        cores: the CPU cores that every process is pinned to.
        batch_sizes: clips per call.
        log: called with a line of progress.

    Attributes:
        measured: rows that run. Rows that fail later keep the rounds that they completed.
        skipped: rows that could not be opened, and rows that failed later.
        rounds_done: completed rounds.
    """

    def __init__(
        self,
        rows: Sequence[tuple[int, Row]],
        preparation: Preparation,
        cores: Sequence[int],
        batch_sizes: tuple[int, ...],
        log: Log,
    ) -> None:
        self._rows, self._preparation, self._cores, self._batch_sizes = rows, preparation, cores, batch_sizes
        self._log = log
        self._processes: list[Process] = []
        self._stopped: set[int] = set()
        self.measured: list[Measured] = []
        self.skipped: list[Skipped] = []
        self.rounds_done = 0

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.close()

    def open(self, cuda: bool) -> None:
        """Load and warm up all rows, one after another, and compute the logits of the inputs with each."""
        for number, row in self._rows:
            self._log(f"loading {number}: {row.name}")
            if reason := why_unavailable(row, cuda):
                self._skip(row, reason, failed=False)
                continue
            try:
                self.measured.append(self._opened(number, row))
            except ModuleNotFoundError as error:
                self._skip(row, f"{error.name} is not installed", failed=False)
            except Exception as error:  # whatever an exporter, a quantiser or a backend may raise
                self._skip(row, _reason(error), failed=True)

    def run(self, rounds: int) -> None:
        """Time all rows that still run, in turns."""
        for number in range(1, rounds + 1):
            self._log(f"round {number} of {rounds}")
            for measured in self.running:
                try:
                    calls = {size: measured.process.request((size, TURN_S, MAX_CALLS)) for size in self._batch_sizes}
                except RowFailed as error:
                    self.stop(measured, error)
                    continue
                for size, nanoseconds in calls.items():
                    measured.nanoseconds.setdefault(size, []).append(nanoseconds)
            self.rounds_done = number

    @property
    def running(self) -> list[Measured]:
        """Rows that have not failed."""
        return [measured for measured in self.measured if measured.number not in self._stopped]

    @property
    def timed(self) -> list[Measured]:
        """Rows with at least one complete round."""
        return [measured for measured in self.measured if measured.nanoseconds]

    def stop(self, measured: Measured, error: Exception) -> None:
        """Measure a row no further, because it failed. Its results so far stay."""
        self._stopped.add(measured.number)
        self._skip(measured.row, _reason(error), failed=True)

    def _opened(self, number: int, row: Row) -> Measured:
        prepared = self._preparation
        file, inputs = prepared.file(row), prepared.inputs(row.network)
        reference, (parameters, macs) = prepared.reference(row.network), prepared.size(row)
        task = Task(row.backend, row.precision, row.device, file, inputs, len(self._cores), self._batch_sizes)
        process = Process(serve, (task,), self._cores)
        try:
            ready = process.receive()
            logits = process.request("inputs")[:, 0]
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
        self._log(f"skipped {row.name}: {reason}")


def _reason(error: Exception) -> str:
    lines = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip().splitlines()  # torch writes its errors in colours
    if not lines:
        return type(error).__name__
    ours = isinstance(error, RowFailed | AinextError)
    return lines[0][:300] if ours else f"{type(error).__name__}: {lines[0][:300]}"

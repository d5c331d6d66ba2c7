"""A function in a process of its own, with its threads pinned, that answers until it is closed."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from typing import Any

from audioinceptionnext.benchmark.worker import Failure

LIMIT = 600  # seconds that an answer may take: compiling on a slow machine takes minutes


class RowFailed(Exception):
    """Why a row cannot be measured, in one line."""


class Process:
    """
    Args:
        function: called there with a `child.Channel` and the arguments; found by its name, so one of a module.
        cores: those that it may use. Every library is told to use as many threads.

    Where it waits for a question it is blocked on a pipe, not spinning.
    """

    def __init__(self, function: Callable[..., None], arguments: Sequence[Any], cores: Sequence[int]) -> None:
        threads = str(len(cores))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")
        environment = os.environ | dict.fromkeys(names, threads) | {"TORCHINDUCTOR_FREEZING": "1"}
        command = [sys.executable, "-m", "audioinceptionnext.benchmark.worker", ",".join(map(str, cores))]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment
        )
        self._tell((function, *arguments))

    def ask(self, question: Any) -> Any:
        """The answer. Raises `RowFailed`."""
        self._tell(question)
        return self.answer()

    def answer(self) -> Any:
        """What it says next, asked or not. Raises `RowFailed`: what went wrong, or that it died."""
        assert self._process.stdout is not None
        timer = threading.Timer(LIMIT, self._process.kill)
        timer.start()
        try:
            found = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise RowFailed(self._how_it_ended()) from None
        finally:
            timer.cancel()
        if isinstance(found, Failure):
            raise RowFailed(str(found))
        return found

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def _tell(self, message: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # if it is gone, `answer` says how
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed: out of memory, or no answer in ten minutes"
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process ended with {ended}" + (f": {lines[-1][:200]}" if lines else "")


def answer_of(function: Callable[..., None], arguments: Sequence[Any], cores: Sequence[int]) -> Any:
    """What a function says in a process of its own, which ends with it. Raises `RowFailed`."""
    with contextlib.closing(Process(function, arguments, cores)) as process:
        return process.answer()

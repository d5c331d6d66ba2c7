"""Runs a function in its own process, with its threads pinned to given cores."""

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
from audioinceptionnext.errors import AinextError

TIMEOUT_S = 600  # for one result: compiling on a slow computer takes minutes


class RowFailed(AinextError):
    """Why a row cannot be measured, in one line."""


class Process:
    """A function that runs in its own process until `close` is called.

    The function talks to this process through a `worker.Channel`. While it waits for a request, it is blocked on a
    pipe and does not spin.

    Args:
        function: called there with the channel and the arguments. It is pickled by name, so it must be at the top
            level of a module.
        arguments: further arguments of the function; they are pickled.
        cores: the CPU cores that the process may use. Environment variables set the same number of threads in all
            libraries.
    """

    def __init__(self, function: Callable[..., None], arguments: Sequence[Any], cores: Sequence[int]) -> None:
        threads = str(len(cores))
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS")
        environment = os.environ | dict.fromkeys(names, threads) | {"TORCHINDUCTOR_FREEZING": "1"}
        # Imported, not run as a script, so that both sides know its classes by the same name.
        code = "import sys; from audioinceptionnext.benchmark.worker import main; main(sys.argv[1])"
        command = [sys.executable, "-c", code, ",".join(map(str, cores))]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, env=environment
        )
        self._send((function, *arguments))

    def request(self, message: Any) -> Any:
        """Send a message to the function and return what it sends back.

        Raises:
            RowFailed: as `receive`.
        """
        self._send(message)
        return self.receive()

    def receive(self) -> Any:
        """Return the next value that the function sends.

        Raises:
            RowFailed: the function raised an exception, or its process died or took too long.
        """
        assert self._process.stdout is not None
        timer = threading.Timer(TIMEOUT_S, self._process.kill)
        timer.start()
        try:
            value = pickle.load(self._process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise RowFailed(self._how_it_ended()) from None
        finally:
            timer.cancel()
        if isinstance(value, Failure):
            raise RowFailed(str(value))
        return value

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._stderr.close()

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # if the process is gone, `receive` says how it ended
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed: out of memory, or no result in ten minutes"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"its process ended with {ended}" + (f": {lines[-1][:200]}" if lines else "")


def run_in_process(function: Callable[..., None], arguments: Sequence[Any], cores: Sequence[int]) -> Any:
    """Run a function in its own process and return the first value that it sends; see `Process`.

    Raises:
        RowFailed: as `Process.receive`.
    """
    with contextlib.closing(Process(function, arguments, cores)) as process:
        return process.receive()

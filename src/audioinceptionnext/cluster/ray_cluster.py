"""The Ray cluster to run on: the cores of this computer without any set-up, or an existing cluster."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from audioinceptionnext.errors import AinextError, MissingDependencyError, ParameterError
from audioinceptionnext.inference.parallel import available_cores

# The object store holds file names and JSON lines. Ray's default, a third of the memory, would lack elsewhere.
OBJECT_STORE_BYTES = 150 * 2**20
CONNECT_S = 10.0

# Ray reads these when it is imported: it must not report usage to anyone, nor print advice about GPUs.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def check_installed() -> None:
    """Raise `MissingDependencyError` unless Ray and what Ray Data needs are installed."""
    if any(find_spec(module) is None for module in ("ray", "pyarrow", "pandas")):
        raise MissingDependencyError("batch recognition", "audioinceptionnext[cluster]")


@contextmanager
def ray_session(address: str | None, workers: int | None, verbose: bool = False) -> Iterator[int]:
    """Connect to a cluster, and yield the number of workers to start.

    Args:
        address: of an existing cluster: ``auto`` or ``host:6379``. None starts one on this computer, and stops it at
            the end.
        workers: the number of workers; one per core unless given.
        verbose: print what Ray logs.

    Raises:
        ParameterError: there is no cluster at ``address``, or it refuses the connection.
        AinextError: Ray does not start on this computer.
    """
    os.environ.update(_ENVIRONMENT)
    if address is None and not any(name.startswith("RAY_AUTH_") for name in os.environ):
        # Keeps everybody else on this computer and its network out. Ray would write a token to the user's home folder.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    if address is not None:
        _check_address(address)
    import ray

    level = logging.INFO if verbose else logging.ERROR
    try:
        if address is None:
            workers = workers or len(available_cores())
            ray.init(
                "local",
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=verbose,
                logging_level=level,
            )
        else:
            ray.init(address, log_to_driver=verbose, logging_level=level)
            workers = workers or int(ray.cluster_resources().get("CPU", 0)) or 1
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = _refusal(error)
        if address is None:
            raise AinextError(f"Ray cannot be started: {reason}") from error
        raise ParameterError("address", address, reason) from error
    try:
        yield workers
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise `ParameterError` unless something listens there. Ray would try for half a minute and end the process."""
    if address.startswith("ray://"):
        raise ParameterError("address", address, "run this command on a computer of the cluster, and give auto")
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ParameterError("address", address, "give host:port, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ParameterError("address", address, f"{reason}; is a Ray cluster running there?") from error


def _refusal(error: Exception) -> str:
    if "uthentication" in f"{error}{error.__cause__}":
        return "the cluster requires its token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, as for `ray status`"
    return first_line(error)


@contextmanager
def redirect_output(log: Path | None) -> Iterator[TextIO]:
    """Send all other output to ``log``, that of Ray's C++ and its processes included, and yield the real stderr.

    With None, all of it goes to stderr.
    """
    if log is None:
        with redirect_stdout(sys.stderr):
            yield sys.stderr
        return
    stderr = sys.stderr
    with log.open("a", encoding="utf-8", buffering=1) as file:
        sys.stderr.flush()
        original = os.dup(2)
        os.dup2(file.fileno(), 2)
        # If Python's stderr is that of the process, it now needs the copy; in a test it is a separate buffer.
        terminal = os.fdopen(os.dup(original), "w", buffering=1) if _is_stderr(stderr) else stderr
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield terminal
        finally:
            os.dup2(original, 2)
            os.close(original)
            if terminal is not stderr:
                terminal.close()


def _is_stderr(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):
        return False


def first_line(error: BaseException) -> str:
    """The first line of another library's message, which may be many lines long."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)

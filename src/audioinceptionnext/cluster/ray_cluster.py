"""A Ray cluster to run on: this machine's cores with no set-up, or one that is there already."""

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

from audioinceptionnext.errors import AinextError

# What lies in it are names of files and JSON lines: Ray's default, a third of the memory, would be taken from others.
STORE_BYTES = 150 * 2**20
CONNECT_S = 10.0

# Before Ray is imported, which reads them then: nothing is reported to anyone, and no advice about GPUs.
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def check_installed() -> None:
    """Raises `AinextError` unless Ray and what Ray Data needs are installed."""
    if any(find_spec(module) is None for module in ("ray", "pyarrow", "pandas")):
        raise AinextError("--on ray needs Ray: pip install 'audioinceptionnext[cluster]'")


@contextmanager
def cluster(address: str | None, workers: int | None, verbose: bool = False) -> Iterator[int]:
    """Connects, and yields how many workers to start: as many as there are cores unless told.

    Args:
        address: of an existing cluster, ``auto`` or ``host:6379``; None starts one of this machine that ends with us.

    Raises:
        AinextError: nothing answers at the address, or it will not have us.
    """
    os.environ.update(_ENVIRONMENT)
    if address is None and not any(name.startswith("RAY_AUTH_") for name in os.environ):
        # Nobody else on this machine or its network gets in. Ray itself would put a token into the user's home.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    level = logging.INFO if verbose else logging.ERROR
    try:
        if address is None:
            workers = workers or _cores()
            ray.init(
                "local",
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                log_to_driver=verbose,
                logging_level=level,
            )
        else:
            _check(address)
            ray.init(address, log_to_driver=verbose, logging_level=level)
            workers = workers or int(ray.cluster_resources().get("CPU", 0)) or 1
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        where = f"--address {address}" if address else "Ray"
        raise AinextError(f"{where}: {_refusal(error)}") from error
    try:
        yield workers
    finally:
        ray.shutdown()


def _cores() -> int:
    """Those that this process may use: a container or `taskset` may leave fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _check(address: str) -> None:
    """Ray itself asks for half a minute and then ends the process."""
    if address.startswith("ray://"):
        raise AinextError(f"--address {address}: run ainext on a machine of the cluster, with --address auto")
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise AinextError(f"--address {address}: give host:port, such as 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host, int(port)), CONNECT_S).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise AinextError(f"--address {address}: {reason}: is Ray running there (ray start --head)?") from error


def _refusal(error: Exception) -> str:
    if "uthentication" in f"{error}{error.__cause__}":
        return "the cluster asks for its token: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, as for `ray status`"
    return first_line(error)


@contextmanager
def quiet(log: Path | None) -> Iterator[TextIO]:
    """What anyone but us writes goes to ``log``, Ray's C++ and its processes included; yields the real stderr.

    With None it goes to stderr.
    """
    if log is None:
        with redirect_stdout(sys.stderr):
            yield sys.stderr
        return
    said = sys.stderr
    with log.open("a", encoding="utf-8", buffering=1) as file:
        sys.stderr.flush()
        ours = os.dup(2)
        os.dup2(file.fileno(), 2)
        # Where Python's stderr is the process's, it now needs the copy; in a test it is a buffer of its own.
        terminal = os.fdopen(os.dup(ours), "w", buffering=1) if _is_stderr(said) else said
        try:
            with redirect_stdout(file), redirect_stderr(file):
                yield terminal
        finally:
            os.dup2(ours, 2)
            os.close(ours)
            if terminal is not said:
                terminal.close()


def _is_stderr(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):
        return False


def first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)

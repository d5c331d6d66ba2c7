"""Recordings as files of the machine that hears them. Those of a store arrive while others are heard."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path, PurePosixPath

from audioinceptionnext.cluster.types import Recording

# On their way at once: a store takes some 50 ms to begin its answer, a worker 30 ms to hear 5 s. And so many lie on the
# disk of a worker, at most, besides the one that it hears.
AHEAD = 4
STOP = "stop"  # the kind of a failure that ends the run: what is wrong is wrong for all


class UnavailableError(Exception):
    """A recording that did not get here; ``kind`` as in `folder.read_failed`, or STOP."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def arrivals(task: list[Recording], run: str) -> Iterator[tuple[Recording, Future[str]]]:
    """Each recording with its path on this machine to come, or an `UnavailableError`.

    A download is deleted as soon as the next one is asked for.

    Args:
        run: names the folders of downloads, so that `sweep` finds those that a killed worker left.
    """
    prefix = f"ainext-{run}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix) as folder, ThreadPoolExecutor(AHEAD) as pool:
        coming: deque[tuple[Recording, Path, Future[str]]] = deque()
        rest = enumerate(task)

        def send_for(most: int) -> None:
            for number, recording in islice(rest, most):
                place = Path(folder, f"{number}{PurePosixPath(recording.path).suffix}")
                coming.append((recording, place, pool.submit(_fetch, recording, place)))

        send_for(1 + AHEAD)
        while coming:
            recording, place, arrival = coming.popleft()
            yield recording, arrival
            place.unlink(missing_ok=True)
            send_for(1)


def sweep(run: str) -> None:
    """Removes what workers of this run that were killed on this machine had downloaded."""
    if os.name != "posix":  # elsewhere, asking whether a process lives may end it
        return
    for folder in Path(tempfile.gettempdir()).glob(f"ainext-{run}-*"):
        try:
            os.kill(int(folder.name.split("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # another user's
            continue


def _fetch(recording: Recording, place: Path) -> str:
    if not recording.root:
        if not os.path.lexists(recording.path):  # it was there when the user's machine listed it
            reason = f"no such file on {socket.gethostname()}: workers need the same folders, or an object store's URI"
            raise UnavailableError("missing", reason)
        return recording.path
    from audioinceptionnext.cluster.object_stores import download

    try:
        download(recording, place)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            message = f"{place.parent} on {socket.gethostname()}: no room to download {recording.file}"
            raise UnavailableError(STOP, f"{message}: make some, or set TMPDIR") from error
        kind = "missing" if isinstance(error, FileNotFoundError) else "download"
        raise UnavailableError(kind, " ".join(str(error).splitlines())) from error
    return str(place)

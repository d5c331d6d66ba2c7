"""Makes recordings local files of the worker that recognises them, and downloads the next ones meanwhile."""

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
from typing import Literal

from audioinceptionnext.cluster.types import FailureKind, Recording
from audioinceptionnext.errors import AinextError

# Downloads in flight at a time, and at most as many files on a worker's disk besides the one being recognised. A store
# takes some 50 ms to begin its response, and a worker 30 ms to recognise 5 s of sound.
DOWNLOADS_AHEAD = 4


class UnavailableError(AinextError):
    """A recording is not on this computer, and cannot be downloaded to it.

    Attributes:
        kind: of the failure; ``stop`` if it will be the same for every recording and has to end the run.
        reason: what is wrong, and what to do.
    """

    def __init__(self, kind: FailureKind | Literal["stop"], reason: str) -> None:
        super().__init__(kind, reason)
        self.kind = kind

    @property
    def reason(self) -> str:
        return str(self.args[1])

    def __str__(self) -> str:
        return self.reason


def download_ahead(task: list[Recording], run_id: str) -> Iterator[tuple[Recording, Future[str]]]:
    """Yield each recording with a future of its local path, which may raise `UnavailableError`.

    A download is deleted as soon as the next recording is asked for.

    Args:
        task: the recordings, in the order in which they are yielded.
        run_id: part of the names of temporary folders, so that `remove_leftovers` finds those of killed workers.
    """
    prefix = f"ainext-{run_id}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix) as folder, ThreadPoolExecutor(DOWNLOADS_AHEAD) as pool:
        waiting: deque[tuple[Recording, Path, Future[str]]] = deque()
        rest = enumerate(task)

        def submit(count: int) -> None:
            for number, recording in islice(rest, count):
                target = Path(folder, f"{number}{PurePosixPath(recording.path).suffix}")
                waiting.append((recording, target, pool.submit(_local_path, recording, target)))

        submit(1 + DOWNLOADS_AHEAD)
        while waiting:
            recording, target, local_path = waiting.popleft()
            yield recording, local_path
            target.unlink(missing_ok=True)
            submit(1)


def remove_leftovers(run_id: str) -> None:
    """Remove the downloads of this run's workers that were killed on this computer."""
    if os.name != "posix":  # elsewhere, asking whether a process lives may end it
        return
    for folder in Path(tempfile.gettempdir()).glob(f"ainext-{run_id}-*"):
        try:
            os.kill(int(folder.name.split("-")[2]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # the process belongs to another user
            continue


def _local_path(recording: Recording, target: Path) -> str:
    """The recording's own path, or that of its download."""
    if not recording.root:
        if not os.path.lexists(recording.path):  # it was there when the command listed it, on its own computer
            reason = f"no such file on {socket.gethostname()}; workers need the same folders, or an object store's URI"
            raise UnavailableError("missing", reason)
        return recording.path
    from audioinceptionnext.cluster.object_stores import download

    try:
        download(recording, target)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            place = f"{target.parent} on {socket.gethostname()}"
            reason = f"{place}: no space left to download {recording.file}; free some, or set TMPDIR"
            raise UnavailableError("stop", reason) from error
        kind: FailureKind = "missing" if isinstance(error, FileNotFoundError) else "download"
        raise UnavailableError(kind, " ".join(str(error).splitlines())) from error
    return str(target)

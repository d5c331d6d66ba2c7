"""The folder of kept clips: how a clip gets there, and which are deleted to stay within limits."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from os import PathLike
from pathlib import Path

from audioinceptionnext.errors import FileError, ParameterError, beside, check_can_write, writing
from audioinceptionnext.history.clip_file import clip_start_of, in_name, read_name
from audioinceptionnext.history.database import History

_UNFINISHED = re.compile(r"_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.-[0-9a-f]{12}\.(?:flac|opus)\.part")
_ABANDONED_S = 60.0  # after which nobody writes an unfinished file any more: a clip takes well under a second
_LOOK_AGAIN_S = 600.0  # from one look at the whole folder to the next, for what other processes do there
_AGE_S = 60.0  # from one look for clips that are too old to the next
_DAY_S = 86_400


class ClipFolder:
    """A folder of clips. Other files in it are left alone, and so are the clips of other histories.

    Rows and files agree whenever the process may end: a file appears under its name when it is whole, and only then
    its row states it. A row no longer states a file before that is deleted. `tidy` mends what lies between.

    Args:
        folder: is created if there is none.
        history: whose rows state the clips, if there is one.
        max_mb: the oldest clips are deleted when all together take more, in units of 1,000,000 bytes.
        max_days: clips of segments that began earlier are deleted.

    Raises:
        ParameterError: a limit is not above 0.
        FileError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        history: History | None = None,
        max_mb: float | None = None,
        max_days: float | None = None,
    ) -> None:
        for name, value in (("max_mb", max_mb), ("max_days", max_days)):
            if value is not None and not value > 0:
                raise ParameterError(name, value, "give a number above 0")
        self.path, self._history = Path(folder), history
        self._max_bytes = None if max_mb is None else max_mb * 1e6
        self._max_age = None if max_days is None else max_days * _DAY_S
        self._lock = threading.Lock()
        self._files: dict[str, tuple[float, int]] = {}  # the start of the segment and the size, of each clip
        self._looked = self._aged = -float("inf")
        with writing(self.path):
            if self.path.exists() and not self.path.is_dir():
                raise FileError(self.path, "is a file; give a folder")
            self.path.mkdir(parents=True, exist_ok=True)
        check_can_write(self.path / "x")
        self.tidy()

    def write(self, name: str, content: bytes) -> None:
        """Write a clip, so that there is either the whole file or none.

        Raises:
            FileError: the disk is full, or the folder is gone.
        """
        path = self.path / name
        part = beside(path)
        with writing(path):
            try:
                with part.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
            except BaseException:
                with suppress(OSError):
                    part.unlink()
                raise
        if (found := read_name(name)) is not None:
            with self._lock:
                self._files[name] = found.start, len(content)

    def delete(self, names: Iterable[str]) -> int:
        """Delete clips, after no row states them any more. Returns how many files there were."""
        names = [name for name in names if is_clip_name(name)]
        if self._history is not None and names:
            self._history.clear_clips(names)
        deleted = 0
        for name in names:
            with suppress(OSError):
                (self.path / name).unlink()
                deleted += 1
            with self._lock:
                self._files.pop(name, None)
        return deleted

    def keep_limits(self, now: float | None = None) -> int:
        """Delete what is too old, and the oldest clips if there is too much. Returns how many were deleted.

        Args:
            now: Unix seconds; the clock's unless given.
        """
        if self._max_bytes is None and self._max_age is None:
            return 0
        if time.monotonic() > self._looked + _LOOK_AGAIN_S:
            self._look()
        now = time.time() if now is None else now
        with self._lock:
            clips = [(start, name, size) for name, (start, size) in self._files.items()]
        excess = 0.0 if self._max_bytes is None else sum(size for *_, size in clips) - self._max_bytes
        if excess <= 0 and (self._max_age is None or time.monotonic() < self._aged + _AGE_S):
            return 0
        self._aged = time.monotonic()
        deleted: list[str] = []
        for start, name, size in sorted(clips):
            if excess <= 0 and (self._max_age is None or now - start <= self._max_age):
                break
            excess -= size
            deleted.append(name)
        return self.delete(deleted)

    def tidy(self) -> None:
        """Mend what a process left that was killed: delete unfinished files, and state clips that no row states yet."""
        self._look()
        if self._history is None:
            return
        stated = self._history.clips()
        for name in self._files.keys() - stated:
            if (found := read_name(name)) is None:
                continue
            for row in self._history.events(after=found.start - 0.001, before=found.start + 0.001):
                names = in_name(row.source), in_name(row.label)
                if row.clip is None and not row.corrected and names == (found.source, found.label):
                    if (clip_start := clip_start_of(self.path / name)) is not None:
                        self._history.set_clip(row.id, name, clip_start)
                    break

    def _look(self) -> None:
        """See which clips there are, and delete unfinished ones that nobody writes any more."""
        self._looked = time.monotonic()
        known = self._files  # reading a hundred thousand names takes seconds
        files: dict[str, tuple[float, int]] = {}
        with suppress(OSError), os.scandir(self.path) as entries:
            for one in entries:
                with suppress(OSError):  # another process has deleted it
                    if _UNFINISHED.fullmatch(one.name) and one.stat().st_mtime < time.time() - _ABANDONED_S:
                        Path(one.path).unlink()
                    elif one.name in known:
                        files[one.name] = known[one.name][0], one.stat().st_size
                    elif (name := read_name(one.name)) is not None:
                        files[one.name] = name.start, one.stat().st_size
        with self._lock:
            self._files = files


def is_clip_name(name: str) -> bool:
    """Whether a clip may be called so, which no path and no file of anything else is."""
    return read_name(name) is not None and os.sep not in name and "/" not in name

"""From what the user typed to recordings, one at a time: the paths of a million need not fit into memory."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from audioinceptionnext.audio.discover import MissingPath, find_media
from audioinceptionnext.cluster.object_stores import find_in_store
from audioinceptionnext.cluster.types import MissingRecording, Recording

TASK_BYTES = 64 * 2**20  # tasks of large recordings hold fewer of them: an hour of video is a task of its own
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # at least two letters: C:\ is a drive


def recording_key(file: str) -> int:
    """A 64-bit hash that stands for a recording's name, in a tenth of the memory.

    Among ten million recordings, two share a key in one of 400,000 archives.
    """
    return int.from_bytes(hashlib.blake2b(file.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def find_recordings(paths: Iterable[str], base: str) -> Iterator[Recording | MissingRecording]:
    """Expand files, folders, glob patterns, URIs and ``@list.txt``, in the given order, each recording once.

    Args:
        paths: as typed. A list holds one path or URI per line; empty lines are skipped. A file whose own name begins
            with @ is that file, if it exists.
        base: the folder that relative paths start from, also those within a list.
    """
    seen: set[int] = set()
    for path in paths:
        for item in _expand(path, base):
            if (key := recording_key(item.file)) not in seen:
                seen.add(key)
                yield item


def make_tasks(
    items: Iterable[Recording | MissingRecording], done: Collection[int], task_size: int
) -> Iterator[list[Recording]]:
    """Group the recordings that are not done into tasks.

    Args:
        items: what `find_recordings` yields; missing recordings are left out.
        done: keys (see `recording_key`) of recordings to leave out.
        task_size: the maximum number of recordings per task. Large ones make a task end before, at about TASK_BYTES.
    """
    task: list[Recording] = []
    size = 0
    for item in items:
        if isinstance(item, MissingRecording) or recording_key(item.file) in done:
            continue
        if task and (len(task) == task_size or size + item.size > TASK_BYTES):
            yield task
            task, size = [], 0
        task.append(item)
        size += item.size
    if task:
        yield task


def _expand(path: str, base: str) -> Iterator[Recording | MissingRecording]:
    if path.startswith("@") and not os.path.lexists(_absolute(path, base)):
        yield from _read_list(_absolute(path[1:], base), base)
    else:
        yield from _find(path, base)


def _find(path: str, base: str, listed: bool = False) -> Iterator[Recording | MissingRecording]:
    if _URI.match(path):
        yield from find_in_store(path, listed)
        return
    for item in find_media([_absolute(path, base)]):
        if isinstance(item, MissingPath):
            yield MissingRecording(_as_text(item.path), item.reason)
        else:
            yield Recording(_as_text(item), str(item), size=_size(item))


def _read_list(path: str, base: str) -> Iterator[Recording | MissingRecording]:
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for line in lines:
                if entry := line.strip("\r\n"):
                    yield from _find(entry, base, listed=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield MissingRecording(_as_text(path), f"cannot be read as a list of files: {reason}")


def _absolute(path: str, base: str) -> str:
    return os.path.normpath(os.path.join(base, path))  # noqa: PTH118 - works for patterns, and does not follow links


def _as_text(path: str | Path) -> str:
    """A name that JSON and Parquet can hold: Linux allows bytes in names that are not text."""
    return os.fsencode(path).decode("utf-8", "replace")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

"""From what the user typed to recordings, one at a time: a million of them need not fit in memory as paths."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from audioinceptionnext.audio.discover import Missing, find_media
from audioinceptionnext.cluster.object_stores import find_in_store
from audioinceptionnext.cluster.types import Absent, Recording

TASK_BYTES = 64 * 2**20  # a task holds fewer recordings than asked for when they are large: an hour of video is alone
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters and more: C:\ is a drive


def key(file: str) -> int:
    """64 bits that stand for a recording's name: a tenth of the memory. Among ten million, two agree once in 400,000
    archives."""
    return int.from_bytes(hashlib.blake2b(file.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def find_recordings(given: Iterable[str], here: str) -> Iterator[Recording | Absent]:
    """Expands files, folders, patterns, URIs and ``@list.txt``, in that order of the user's; each recording comes once.

    Args:
        given: as typed. A list holds one path or URI a line; empty lines are skipped. A file whose name begins with @
            is taken for itself where it exists.
        here: the folder that relative paths start from, also those within a list.
    """
    seen: set[int] = set()
    for name in given:
        for item in _expand(name, here):
            if (one := key(item.file)) not in seen:
                seen.add(one)
                yield item


def tasks(items: Iterable[Recording | Absent], done: Collection[int], most: int) -> Iterator[list[Recording]]:
    """What is still to be heard, in portions: at most ``most`` recordings, or about TASK_BYTES."""
    task: list[Recording] = []
    size = 0
    for item in items:
        if isinstance(item, Absent) or key(item.file) in done:
            continue
        if task and (len(task) == most or size + item.size > TASK_BYTES):
            yield task
            task, size = [], 0
        task.append(item)
        size += item.size
    if task:
        yield task


def _expand(name: str, here: str) -> Iterator[Recording | Absent]:
    if name.startswith("@") and not os.path.lexists(_absolute(name, here)):
        yield from _in_list(_absolute(name[1:], here), here)
    else:
        yield from _named(name, here)


def _named(name: str, here: str, listed: bool = False) -> Iterator[Recording | Absent]:
    if _URI.match(name):
        yield from find_in_store(name, listed)
        return
    for item in find_media([_absolute(name, here)]):
        if isinstance(item, Missing):
            yield Absent(_text(item.path), item.reason)
        else:
            yield Recording(_text(item), str(item), size=_size(item))


def _in_list(path: str, here: str) -> Iterator[Recording | Absent]:
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for line in lines:
                if name := line.strip("\r\n"):
                    yield from _named(name, here, listed=True)
    except (OSError, ValueError) as error:
        yield Absent(_text(path), f"cannot be read as a list of files: {getattr(error, 'strerror', None) or error}")


def _absolute(name: str, here: str) -> str:
    return os.path.normpath(os.path.join(here, name))  # noqa: PTH118 - of patterns too, and without following links


def _text(path: str | Path) -> str:
    """A name as JSON and Parquet can hold it: Linux allows bytes in names that are no text."""
    return os.fsencode(path).decode("utf-8", "replace")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

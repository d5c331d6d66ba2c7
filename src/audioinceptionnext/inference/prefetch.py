"""Items made ahead of time in a thread, so that decoding goes on while the network computes."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Generator[T]) -> Generator[T]:
    """Yield the same items; while the caller uses one, a thread makes the next.

    An exception of ``items`` is raised here, in its place. When the caller stops early, ``items`` is closed.
    """
    end = object()
    thread = ThreadPoolExecutor(1, "prefetch")
    try:
        following = thread.submit(next, items, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, items, end)
            yield item  # type: ignore[misc]
    finally:
        thread.shutdown()  # waits for the item that is being made
        items.close()

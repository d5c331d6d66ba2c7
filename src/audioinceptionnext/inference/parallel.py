"""Several things at a time, given in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MAX_PARALLEL = (
    8  # at a time unless told: each holds some 150 MB, and Python's own part of the work is done one at a time
)


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def parallel_map(work: Callable[[T], R], items: Iterable[T], at_once: int) -> Generator[tuple[T, R | Exception]]:
    """Each item with what ``work`` makes of it or the exception that it raised, ``at_once`` of them in threads.

    Items are taken as room is made, so at most twice ``at_once`` results wait. With 1 no thread is made.
    """

    def tried(item: T) -> R | Exception:
        try:
            return work(item)
        except Exception as error:
            return error

    if at_once <= 1:
        yield from ((item, tried(item)) for item in items)
        return
    waiting: deque[tuple[T, Future[R | Exception]]] = deque()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(tried, item)))
                while len(waiting) >= 2 * at_once or (waiting and waiting[0][1].done()):
                    first, result = waiting.popleft()
                    yield first, result.result()
            while waiting:
                first, result = waiting.popleft()
                yield first, result.result()
        finally:
            for _, result in waiting:  # the caller stopped
                result.cancel()

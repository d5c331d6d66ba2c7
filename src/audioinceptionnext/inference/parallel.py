"""A map over threads that keeps the order, and the cores that may be used."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
# Recordings at a time, unless given. Each takes about 150 MB, and the part of the work in Python runs one at a time.
MAX_PARALLEL = 8


def available_cores() -> list[int]:
    """The numbers of the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def parallel_map(work: Callable[[T], R], items: Iterable[T], at_once: int) -> Generator[tuple[T, R | Exception]]:
    """Yield each item with the result of ``work``, or the exception that it raised, in the order of the items.

    Args:
        work: called with one item, in up to ``at_once`` threads; in this thread if that is 1.
        items: taken as they are needed, so that at most twice ``at_once`` results are waiting.
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
            for _, result in waiting:  # the caller has stopped
                result.cancel()

"""A bounded queue in front of a few threads, so that memory stays the same however many requests arrive."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")


class Busy(Exception):
    """The queue is full.

    Attributes:
        retry_after: seconds until there may be room.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Cancelled(Exception):
    """Raised within a task whose result is no longer wanted."""


class WorkQueue:
    """Runs tasks in ``workers`` threads, while at most ``waiting`` more tasks wait."""

    def __init__(self, workers: int, waiting: int) -> None:
        self.workers, self.capacity = workers, workers + waiting
        self.tasks = 0  # running and waiting
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="recognise")
        self._task_seconds = 1.0  # moving average of the time that a task takes

    @property
    def running(self) -> int:
        return min(self.tasks, self.workers)

    @property
    def waiting(self) -> int:
        return self.tasks - self.running

    def check(self) -> None:
        """Raise `Busy` if there is no room for another task."""
        if self.tasks >= self.capacity:
            # The time until the next task ends, estimated from those before: at least a second, at most a minute.
            raise Busy(min(60, math.ceil(max(1.0, self._task_seconds / self.workers))))

    async def run(self, task: Callable[[Event], T], disconnected: asyncio.Task[None] | None = None) -> T:
        """Run a task in a thread and return its result.

        Args:
            task: called with an event that is set when its result is no longer wanted.
            disconnected: ends when the client has left.

        Raises:
            Busy: there is no room in the queue.
            Cancelled: ``disconnected`` ended first.
        """
        self.check()
        self.tasks += 1
        stop = Event()

        def timed() -> T:
            if stop.is_set():
                raise Cancelled
            start = perf_counter()
            try:
                return task(stop)
            finally:
                self._task_seconds += 0.2 * (perf_counter() - start - self._task_seconds)

        job = asyncio.get_running_loop().run_in_executor(self._threads, timed)
        # The place in the queue is free when the thread is, not when the client has left.
        job.add_done_callback(self._release)
        try:
            futures: set[asyncio.Future[Any]] = {job, disconnected} if disconnected else {job}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                raise Cancelled
            return job.result()
        finally:
            stop.set()

    def _release(self, job: asyncio.Future[T]) -> None:
        self.tasks -= 1
        if not job.cancelled():
            job.exception()  # marks it as retrieved: nobody may be waiting for it any more

    def close(self) -> None:
        """Wait for running tasks, and drop waiting ones."""
        self._threads.shutdown(wait=True, cancel_futures=True)

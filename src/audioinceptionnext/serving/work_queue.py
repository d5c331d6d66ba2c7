"""Recordings that wait for a few threads: a bounded queue, so that memory stays what it is whatever comes."""

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
    """The queue is full. ``retry_after``: seconds until there may be room."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"busy: the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after


class Cancelled(Exception):
    """Raised within work whose result nobody wants any more."""


class Work:
    """Work for ``workers`` threads, of which ``waiting`` pieces may wait."""

    def __init__(self, workers: int, waiting: int) -> None:
        self.workers, self.most = workers, workers + waiting
        self.inside = 0  # running and waiting
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="hears")
        self._seconds = 1.0  # that a piece takes, as far as is known

    @property
    def running(self) -> int:
        return min(self.inside, self.workers)

    @property
    def waiting(self) -> int:
        return self.inside - self.running

    def check(self) -> None:
        """Raises `Busy` where another piece would not be taken."""
        if self.inside >= self.most:
            # When one of those inside is done; a guess from those before, at least a second and at most a minute.
            raise Busy(min(60, math.ceil(max(1.0, self._seconds / self.workers))))

    async def run(self, piece: Callable[[Event], T], unwanted: asyncio.Task[None] | None = None) -> T:
        """What ``piece`` returns, heard in a thread; to it is given an event that is set when nobody wants it any more.

        Args:
            unwanted: ends when nobody does.

        Raises:
            Busy: there is no room in the queue.
            Cancelled: ``unwanted`` ended first.
        """
        self.check()
        self.inside += 1
        stop = Event()

        def timed() -> T:
            if stop.is_set():
                raise Cancelled
            begin = perf_counter()
            try:
                return piece(stop)
            finally:
                self._seconds += 0.2 * (perf_counter() - begin - self._seconds)

        job = asyncio.get_running_loop().run_in_executor(self._threads, timed)
        # The place is free when the thread is, not when the client has left.
        job.add_done_callback(self._leave)
        try:
            futures: set[asyncio.Future[Any]] = {job, unwanted} if unwanted else {job}
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
            if not job.done():
                raise Cancelled
            return job.result()
        finally:
            stop.set()

    def _leave(self, job: asyncio.Future[T]) -> None:
        self.inside -= 1
        if not job.cancelled():
            job.exception()  # seen: nobody may be waiting for it

    def close(self) -> None:
        """Waits for what runs; what waits is dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)

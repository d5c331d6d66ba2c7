"""Receives a request's recording, if the server is not busy, and works on it in a thread of the queue."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from time import thread_time
from typing import Any

from starlette.requests import ClientDisconnect, Request

from audioinceptionnext.serving.errors import RequestError
from audioinceptionnext.serving.settings import Settings
from audioinceptionnext.serving.uploads import MAX_FIELD_BYTES, Upload, body_chunks, receive
from audioinceptionnext.serving.work_queue import Busy, Cancelled, WorkQueue

#: Runs a task in a thread of the queue. The task gets an event that is set when its result is no longer wanted.
Run = Callable[[Callable[[Event], Any]], Awaitable[Any]]


class Reception:
    """What all routes of a server that take a recording go through.

    Args:
        queue: whose threads work on the recordings.
        settings: how many uploads may be under way, and how large they may be.
        folder: of the uploads.
    """

    def __init__(self, queue: WorkQueue, settings: Settings, folder: Path) -> None:
        self.queue, self.settings, self.folder = queue, settings, folder
        self._uploads = 0  # under way

    def check(self) -> None:
        """Refuse the request (503) if the server is busy: before a byte of the body is read."""
        try:
            if self._uploads >= self.settings.uploads:
                raise Busy(retry_after=1)
            self.queue.check()
        except Busy as busy:
            raise _busy(busy) from None

    @asynccontextmanager
    async def receive(
        self, request: Request, max_field_bytes: int = MAX_FIELD_BYTES
    ) -> AsyncIterator[tuple[Upload, Run]]:
        """The request's recording, which is removed at the end, and what runs a task on it.

        Args:
            max_field_bytes: size of the form's other fields.

        Raises:
            RequestError: as `uploads.receive`; 503 if the server is busy, also by running a task.
            starlette.requests.ClientDisconnect: the client has left.
        """
        self.check()
        self._uploads += 1
        try:
            upload = await receive(request, self.folder, self.settings, max_field_bytes)
        finally:
            self._uploads -= 1
        try:
            async with self._running(request) as run:
                yield upload, run
        finally:
            upload.close()

    @asynccontextmanager
    async def receive_body(self, request: Request, max_bytes: int) -> AsyncIterator[tuple[bytes, Run]]:
        """The request's body in memory, for what is no recording, and what runs a task on it.

        Raises:
            RequestError: 408 for a slow client, 413 for a body of more than ``max_bytes``, 503 if the server is busy.
            starlette.requests.ClientDisconnect: the client has left.
        """
        self.check()
        self._uploads += 1
        body = bytearray()
        try:
            async for chunk in body_chunks(request, self.settings):
                body += chunk
                if len(body) > max_bytes:
                    raise RequestError(413, f"the body is larger than {max_bytes / 1e6:g} MB: send less")
        finally:
            self._uploads -= 1
        async with self._running(request) as run:
            yield bytes(body), run

    @asynccontextmanager
    async def _running(self, request: Request) -> AsyncIterator[Run]:
        """What runs tasks for a request that has arrived whole, until its client leaves."""
        request.state.received = True
        disconnected = asyncio.create_task(_disconnect(request))
        try:
            yield lambda task: self.queue.run(task, disconnected)
        except Busy as busy:
            raise _busy(busy) from None
        except Cancelled:
            raise ClientDisconnect from None
        finally:
            disconnected.cancel()


class DecodingClock:
    """Whether decoding takes longer than sound of any kind does: a file that yields nothing must not hold a worker.

    Args:
        allowance: CPU seconds that decoding may take for nothing.

    Attributes:
        seconds: of sound so far, to be set from outside. Each of them earns a tenth of a second.
    """

    def __init__(self, allowance: float) -> None:
        self.seconds = 0.0
        self._allowance, self._start = allowance, math.inf

    def is_over(self) -> bool:
        """To be called in the thread that decodes, whose CPU time counts."""
        now = thread_time()
        self._start = min(self._start, now)
        return now - self._start > self._allowance + 0.1 * self.seconds

    def check(self, stop: Event, name: str) -> None:
        """To be called for each packet of a recording.

        Raises:
            Cancelled: nobody wants the result any more.
            RequestError: 415, decoding takes too long.
        """
        if stop.is_set():
            raise Cancelled
        if self.is_over():
            raise RequestError(415, f"{name}: takes too long to decode, since it is damaged: convert it")


def too_long(name: str, settings: Settings) -> RequestError:
    """The refusal of a recording that exceeds the limit."""
    return RequestError(413, f"{name}: longer than {settings.max_seconds / 60:g} min, this server's limit: cut it")


def _busy(busy: Busy) -> RequestError:
    seconds = str(busy.retry_after)
    detail = f"the server is busy and its queue is full: try again in {seconds} s"
    return RequestError(503, detail, headers={"Retry-After": seconds})


async def _disconnect(request: Request) -> None:
    """Return when the client has left. The body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

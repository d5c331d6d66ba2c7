"""Results that the server keeps for a while, so that a link can lead to them. Recordings are never kept."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from time import time
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from audioinceptionnext.serving import schema
from audioinceptionnext.serving.errors import RequestError, problems
from audioinceptionnext.serving.settings import RESULTS_FOLDER, Settings

EXPIRY_S = 60.0  # from one look for results that have been kept for long enough to the next
log = logging.getLogger("audioinceptionnext.serving")


@dataclass(frozen=True)
class _Kept:
    path: Path
    size: int
    until: float  # seconds since 1970


class ResultStore:
    """Keeps results as files, and drops the oldest ones beyond the limits of `Settings`.

    It may be used by several threads. What it keeps is gone when the server stops.

    Args:
        folder: the server's temporary folder.
        clock: the time in seconds since 1970.
    """

    def __init__(self, folder: Path, settings: Settings, clock: Callable[[], float] = time) -> None:
        self._folder, self._settings, self._clock = folder / RESULTS_FOLDER, settings, clock
        self._kept: dict[str, _Kept] = {}  # by id, oldest first
        self._lock = Lock()

    def keep(self, response: dict[str, Any]) -> dict[str, Any]:
        """The response with ``kept``: an ``id`` that nobody can guess, and the time ``until`` which it is kept at most.

        It comes back as it is if it cannot be kept: it is too large, or the disk is full, which the log says.
        """
        until = self._clock() + self._settings.result_seconds
        name = secrets.token_urlsafe(16)
        moment = datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
        with_id = response | {"kept": {"id": name, "until": moment}}
        body = json.dumps(with_id, ensure_ascii=False).encode()
        if not self._settings.results or len(body) > self._settings.result_bytes:
            return response
        path = self._folder / f"{name}.json"
        try:
            self._folder.mkdir(exist_ok=True)
            path.write_bytes(body)
        except OSError as error:
            log.warning("a result is not kept: %s", error.strerror or error)
            with suppress(OSError):
                path.unlink()
            return response
        with self._lock:
            self._kept[name] = _Kept(path, len(body), until)
            self._drop()
        return with_id

    def read(self, name: str) -> bytes | None:
        """The JSON of the response that is kept under an id; None if there is none any more."""
        self.drop_expired()
        kept = self._kept.get(name)
        try:
            return kept.path.read_bytes() if kept else None
        except FileNotFoundError:  # dropped just now
            return None

    def drop_expired(self) -> None:
        """Remove what has been kept for long enough."""
        with self._lock:
            self._drop()

    async def expire(self) -> None:
        """Remove it as long as the server runs."""
        while True:
            await asyncio.sleep(EXPIRY_S)
            self.drop_expired()

    def _drop(self) -> None:
        size, now = sum(one.size for one in self._kept.values()), self._clock()
        for name, one in list(self._kept.items()):
            if one.until > now and len(self._kept) <= self._settings.results and size <= self._settings.result_bytes:
                return
            size -= one.size
            del self._kept[name]
            one.path.unlink(missing_ok=True)


def add_results(api: APIRouter, store: ResultStore) -> None:
    """Add the route to a server's API."""

    @api.get(
        "/v1/results/{id}",
        response_model=schema.Prediction,
        responses=problems(401, 403, own={404: "There is no such result, or no more."}),
        summary="A result that the server has kept",
        response_description="What the request with keep=true got.",
    )
    async def result(id: str) -> Response:
        body = await run_in_threadpool(store.read, id)
        if body is None:
            raise RequestError(404, "this result is not kept any more: recognise the recording again")
        return Response(body, media_type="application/json")

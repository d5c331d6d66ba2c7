"""``/v1/predict``: an upload in, what was heard out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect, Request

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import AinextError, printable
from audioinceptionnext.inference.recogniser import TOP_K, Recogniser
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import TimelineSettings
from audioinceptionnext.results.thumbnail import drawn
from audioinceptionnext.serving.errors import Refused
from audioinceptionnext.serving.model_pool import Shelf
from audioinceptionnext.serving.settings import Settings
from audioinceptionnext.serving.uploads import Upload, receive
from audioinceptionnext.serving.work_queue import Busy, Cancelled, Work

INCLUDES = ("log_mel", "probabilities")


@dataclass(frozen=True)
class Wish:
    """What a request asks for."""

    model: str | None = None
    top_k: int = TOP_K
    threshold: float | None = None
    hop: float | None = None
    include: frozenset[str] = frozenset()


def wish(model: str | None, top_k: int, threshold: float | None, hop: float | None, include: str) -> Wish:
    """Raises `Refused` (422) for an unknown thing to include."""
    wanted = frozenset(filter(None, include.split(",")))
    if unknown := sorted(wanted - set(INCLUDES)):
        raise Refused(422, f"include {unknown[0][:40]}: choose from {', '.join(INCLUDES)}")
    return Wish(model, top_k, threshold, hop, wanted)


class Predictor:
    """Receives, waits, hears, answers."""

    def __init__(self, shelf: Shelf, work: Work, settings: Settings, folder: Path) -> None:
        self.shelf, self.work, self.settings, self.folder = shelf, work, settings, folder
        self.uploads = 0  # under way

    async def __call__(self, request: Request, wish: Wish) -> dict[str, Any]:
        """The answer's JSON.

        Raises:
            Refused: with the status that fits.
            starlette.requests.ClientDisconnect: the client left.
        """
        recogniser = await self._recogniser(wish)
        upload = await self._receive(request)
        request.state.whole = True
        unwanted = asyncio.create_task(_left(request))
        try:
            return await self._in_turn(lambda stop: self._hear(recogniser, upload, wish, stop), unwanted)
        except Cancelled:
            raise ClientDisconnect from None
        finally:
            unwanted.cancel()
            upload.close()

    async def _recogniser(self, wish: Wish) -> Recogniser:
        recogniser = await asyncio.to_thread(self.shelf.get, wish.model)
        try:
            recogniser.check_hop(wish.hop)
        except AinextError as error:
            raise Refused(422, str(error).replace("--hop", "hop")) from None
        return recogniser

    async def _receive(self, request: Request) -> Upload:
        self._check()  # before a byte of it is taken
        self.uploads += 1
        try:
            return await receive(request, self.folder, self.settings)
        finally:
            self.uploads -= 1

    def _check(self) -> None:
        try:
            if self.uploads >= self.settings.uploads:
                raise Busy(1)
            self.work.check()
        except Busy as busy:
            raise _refused(busy) from None

    async def _in_turn(self, piece: Callable[[Event], dict[str, Any]], unwanted: asyncio.Task[None]) -> dict[str, Any]:
        try:
            return await self.work.run(piece, unwanted)
        except Busy as busy:
            raise _refused(busy) from None

    def _hear(self, recogniser: Recogniser, upload: Upload, wish: Wish, stop: Event) -> dict[str, Any]:
        """In a thread."""
        most = self.settings.most_seconds
        too_long = Refused(413, f"{upload.name}: longer than {most / 60:g} minutes, the most that this server takes")

        def progress(seconds: float) -> None:
            if stop.is_set():
                raise Cancelled
            if seconds > most:
                raise too_long

        if (decode.duration_of(upload.path) or 0) > most:
            raise too_long
        settings = None if wish.threshold is None else TimelineSettings.from_threshold(wish.threshold)
        try:
            heard = recogniser.predict(upload.path, wish.top_k, settings, wish.hop, progress)
        except AinextError as error:  # names our own file, of which the client knows nothing
            raise Refused(415, str(error).replace(printable(upload.path), upload.name)) from None
        heard.warnings = [line.replace(printable(upload.path), upload.name) for line in heard.warnings]
        heard.file = upload.name
        return _answer(heard, wish.include)


def _answer(heard: Recognition, include: frozenset[str]) -> dict[str, Any]:
    answer = heard.as_dict() | {"warnings": heard.warnings}
    if "log_mel" in include and heard.log_mel is not None:
        answer["log_mel"] = drawn(heard.log_mel, heard.sample_rate)
    if "probabilities" in include:
        answer["probabilities"] = {
            "labels": list(heard.labels),
            "hop": heard.hop,
            "window": heard.window,
            "steps": np.round(heard.probabilities.astype(np.float64), 4).tolist(),
        }
    return answer


def _refused(busy: Busy) -> Refused:
    return Refused(503, str(busy), {"Retry-After": str(busy.retry_after)})


async def _left(request: Request) -> None:
    """Ends when the client is gone; the body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

"""``/v1/predict``: receives a recording, waits for a worker, and responds with the result."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect, Request

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import MediaError, ParameterError
from audioinceptionnext.inference.recogniser import TOP_K, Recogniser
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import SegmentationSettings
from audioinceptionnext.results.thumbnail import encode_log_mel
from audioinceptionnext.serving.errors import RequestError
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.settings import Settings
from audioinceptionnext.serving.uploads import Upload, receive
from audioinceptionnext.serving.work_queue import Busy, Cancelled, WorkQueue

INCLUDES = ("log_mel", "probabilities")


@dataclass(frozen=True)
class PredictRequest:
    """The query of a request.

    Attributes:
        model: one of the server's models; the default unless given.
        top_k: number of labels for the recording as a whole.
        threshold: the onset threshold; the model's own unless given.
        step_seconds: from one step to the next; the model's own unless given.
        track: number of the sound track, from 1 on; the first that can be decoded and is not silent unless given.
        include: what the response holds besides the result, of `INCLUDES`.
    """

    model: str | None = None
    top_k: int = TOP_K
    threshold: float | None = None
    step_seconds: float | None = None
    track: int | None = None
    include: frozenset[str] = frozenset()


def parse_include(text: str) -> frozenset[str]:
    """Names that are separated by commas. Raises `RequestError` (422) for an unknown one."""
    include = frozenset(filter(None, text.split(",")))
    if unknown := sorted(include - set(INCLUDES)):
        raise RequestError.of_parameter("include", unknown[0], f"choose from {', '.join(INCLUDES)}")
    return include


class Predictor:
    """Handles the requests of one server."""

    def __init__(self, models: ModelPool, queue: WorkQueue, settings: Settings, folder: Path) -> None:
        self.models, self.queue, self.settings, self.folder = models, queue, settings, folder
        self._uploads = 0  # under way

    async def __call__(self, request: Request, query: PredictRequest) -> dict[str, Any]:
        """The JSON object of the response.

        Raises:
            RequestError: with the status that fits.
            starlette.requests.ClientDisconnect: the client has left.
        """
        recogniser = await self._recogniser(query)
        upload = await self._receive(request)
        request.state.received = True
        disconnected = asyncio.create_task(_disconnect(request))
        try:
            return await self.queue.run(lambda stop: self._predict(recogniser, upload, query, stop), disconnected)
        except Busy as busy:
            raise _busy(busy) from None
        except Cancelled:
            raise ClientDisconnect from None
        finally:
            disconnected.cancel()
            upload.close()

    async def _recogniser(self, query: PredictRequest) -> Recogniser:
        recogniser = await asyncio.to_thread(self.models.get, query.model)
        try:
            recogniser.check_step(query.step_seconds)
        except ParameterError as error:
            raise RequestError.of_library(error) from None
        return recogniser

    async def _receive(self, request: Request) -> Upload:
        try:  # before a byte of the body is read
            if self._uploads >= self.settings.uploads:
                raise Busy(retry_after=1)
            self.queue.check()
        except Busy as busy:
            raise _busy(busy) from None
        self._uploads += 1
        try:
            return await receive(request, self.folder, self.settings)
        finally:
            self._uploads -= 1

    def _predict(self, recogniser: Recogniser, upload: Upload, query: PredictRequest, stop: Event) -> dict[str, Any]:
        """Recognise the upload, in a thread of the queue."""
        limit = self.settings.max_seconds
        too_long = RequestError(413, f"{upload.name}: longer than {limit / 60:g} min, this server's limit: cut it")

        def progress(seconds: float) -> None:
            if stop.is_set():
                raise Cancelled
            if seconds > limit:
                raise too_long

        if (decode.duration_of(upload.path) or 0) > limit:
            raise too_long
        settings = None if query.threshold is None else SegmentationSettings.from_threshold(query.threshold)
        try:
            result = recogniser.predict(
                upload.path,
                top_k=query.top_k,
                settings=settings,
                step_seconds=query.step_seconds,
                track=query.track,
                progress=progress,
            )
        except (MediaError, ParameterError) as error:
            raise RequestError.of_library(error, upload.name) from None
        result.file = upload.name
        return _response(result, query.include)


def _response(result: Recognition, include: frozenset[str]) -> dict[str, Any]:
    response = result.as_dict() | {"warnings": result.warnings}
    if "log_mel" in include and result.log_mel is not None:
        response["log_mel"] = encode_log_mel(result.log_mel, result.sample_rate)
    if "probabilities" in include:
        response["probabilities"] = {
            "labels": list(result.labels),
            "step_seconds": result.step_seconds,
            "window_seconds": result.window_seconds,
            "steps": np.round(result.probabilities.astype(np.float64), 4).tolist(),
        }
    return response


def _busy(busy: Busy) -> RequestError:
    seconds = str(busy.retry_after)
    detail = f"the server is busy and its queue is full: try again in {seconds} s"
    return RequestError(503, detail, headers={"Retry-After": seconds})


async def _disconnect(request: Request) -> None:
    """Return when the client has left. The body has been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass

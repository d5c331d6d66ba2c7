"""``/v1/predict``: receives a recording, waits for a worker, and responds with the result."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import thread_time
from typing import Any

import numpy as np
from starlette.requests import ClientDisconnect, Request

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import MediaError, ParameterError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import SegmentationSettings
from audioinceptionnext.results.thumbnail import encode_log_mel
from audioinceptionnext.serving.errors import RequestError
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.parameters import PredictParameters
from audioinceptionnext.serving.settings import Settings
from audioinceptionnext.serving.uploads import Upload, display_name, receive
from audioinceptionnext.serving.work_queue import Busy, Cancelled, WorkQueue

MAX_VALUES = 2_000_000  # probabilities in a response, which are some 16 MB of JSON and several times that in memory


@dataclass(frozen=True)
class Job:
    """What a request asks for.

    Attributes:
        recogniser: the model.
        parameters: as they were given.
        settings: how probabilities become segments.
    """

    recogniser: Recogniser
    parameters: PredictParameters
    settings: SegmentationSettings


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


class Predictor:
    """Handles the requests of one server."""

    def __init__(self, models: ModelPool, queue: WorkQueue, settings: Settings, folder: Path) -> None:
        self.models, self.queue, self.settings, self.folder = models, queue, settings, folder
        self._uploads = 0  # under way

    async def __call__(self, request: Request) -> dict[str, Any]:
        """The JSON object of the response.

        Raises:
            RequestError: with the status that fits.
            starlette.requests.ClientDisconnect: the client has left.
        """
        query = request.query_params.multi_items()
        self._check()
        job = await self._job(query)  # what is wrong with it is said before a byte of the body is read
        upload = await self._receive(request)
        request.state.received = True
        disconnected = asyncio.create_task(_disconnect(request))
        try:
            if upload.fields:
                job = await self._job([*query, *upload.fields])
            return await self.queue.run(lambda stop: self._predict(job, upload, stop), disconnected)
        except Busy as busy:
            raise _busy(busy) from None
        except Cancelled:
            raise ClientDisconnect from None
        finally:
            disconnected.cancel()
            upload.close()

    def _check(self) -> None:
        """Refuse the request if the server is busy."""
        try:
            if self._uploads >= self.settings.uploads:
                raise Busy(retry_after=1)
            self.queue.check()
        except Busy as busy:
            raise _busy(busy) from None

    async def _job(self, given: Iterable[tuple[str, str]]) -> Job:
        parameters = PredictParameters.read(given)
        recogniser, settings = await asyncio.to_thread(parameters.of_model, self.models.get)
        try:
            recogniser.check_step(parameters.hop)
        except ParameterError as error:
            raise RequestError.of_library(error) from None
        return Job(recogniser, parameters, settings)

    async def _receive(self, request: Request) -> Upload:
        self._check()  # before a byte of the body is read
        self._uploads += 1
        try:
            return await receive(request, self.folder, self.settings)
        finally:
            self._uploads -= 1

    def _predict(self, job: Job, upload: Upload, stop: Event) -> dict[str, Any]:
        """Recognise the upload, in a thread of the queue."""
        limit, name = self.settings.max_seconds, display_name(job.parameters.name or upload.name)
        include = job.parameters.include.split(",")
        values_per_second = len(job.recogniser.labels) / (job.parameters.hop or job.recogniser.step_seconds)
        too_long = RequestError(413, f"{name}: longer than {limit / 60:g} min, this server's limit: cut it")

        clock = DecodingClock(self.settings.decode_seconds)

        def progress(seconds: float) -> None:
            clock.seconds = seconds
            if stop.is_set():
                raise Cancelled
            if seconds > limit:
                raise too_long
            if "probabilities" in include and seconds * values_per_second > MAX_VALUES:
                reason = f"more than {MAX_VALUES:,} of them: choose fewer labels, a longer hop or a shorter recording"
                raise RequestError(422, f"probabilities: {reason}", parameter="include")

        def on_packet() -> None:
            if stop.is_set():
                raise Cancelled
            if clock.is_over():
                raise RequestError(415, f"{name}: takes too long to decode, since it is damaged: convert it")

        if (decode.duration_of(upload.path) or 0) > limit:
            raise too_long
        try:
            result = job.recogniser.predict(
                upload.path,
                top_k=job.parameters.top_k,
                settings=job.settings,
                step_seconds=job.parameters.hop,
                track=job.parameters.track,
                progress=progress,
                on_packet=on_packet,
            )
        except (MediaError, ParameterError) as error:
            raise RequestError.of_library(error, name) from None
        result.file = name
        return _response(result, include)


def _response(result: Recognition, include: Collection[str]) -> dict[str, Any]:
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

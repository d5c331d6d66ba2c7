"""``/v1/predict``: receives a recording, waits for a worker, and responds with the result."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from starlette.requests import Request

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import MediaError, ParameterError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.thumbnail import encode_log_mel
from audioinceptionnext.serving.errors import RequestError
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.parameters import PredictParameters
from audioinceptionnext.serving.reception import DecodingClock, Reception, too_long
from audioinceptionnext.serving.uploads import Upload, display_name
from audioinceptionnext.serving.work_queue import Cancelled

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


class Predictor:
    """Handles the requests of one server."""

    def __init__(self, models: ModelPool, reception: Reception) -> None:
        self.models, self.reception, self.settings = models, reception, reception.settings

    async def __call__(self, request: Request) -> dict[str, Any]:
        """The JSON object of the response.

        Raises:
            RequestError: with the status that fits.
            starlette.requests.ClientDisconnect: the client has left.
        """
        query = request.query_params.multi_items()
        self.reception.check()
        job = await self._job(query)  # what is wrong with it is said before a byte of the body is read
        async with self.reception.receive(request) as (upload, run):
            if upload.fields:
                job = await self._job([*query, *upload.fields])
            return await run(lambda stop: self._predict(job, upload, stop))

    async def _job(self, given: Iterable[tuple[str, str]]) -> Job:
        parameters = PredictParameters.read(given)
        recogniser, settings = await asyncio.to_thread(parameters.of_model, self.models.get)
        try:
            recogniser.check_step(parameters.hop)
        except ParameterError as error:
            raise RequestError.of_library(error) from None
        return Job(recogniser, parameters, settings)

    def _predict(self, job: Job, upload: Upload, stop: Event) -> dict[str, Any]:
        """Recognise the upload, in a thread of the queue."""
        limit, name = self.settings.max_seconds, display_name(job.parameters.name or upload.name)
        include = job.parameters.include.split(",")
        values_per_second = len(job.recogniser.labels) / (job.parameters.hop or job.recogniser.step_seconds)
        clock = DecodingClock(self.settings.decode_seconds)

        def progress(seconds: float) -> None:
            clock.seconds = seconds
            if stop.is_set():
                raise Cancelled
            if seconds > limit:
                raise too_long(name, self.settings)
            if "probabilities" in include and seconds * values_per_second > MAX_VALUES:
                reason = f"more than {MAX_VALUES:,} of them: choose fewer labels, a longer hop or a shorter recording"
                raise RequestError(422, f"probabilities: {reason}", parameter="include")

        if (decode.duration_of(upload.path) or 0) > limit:
            raise too_long(name, self.settings)
        try:
            result = job.recogniser.predict(
                upload.path,
                top_k=job.parameters.top_k,
                settings=job.settings,
                step_seconds=job.parameters.hop,
                track=job.parameters.track,
                progress=progress,
                on_packet=lambda: clock.check(stop, name),
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

"""``/v1/predict``: receives a recording, waits for a worker and responds with the result, after progress if asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import MediaError, ParameterError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.results.likely_steps import encode_likely_steps
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.thumbnail import encode_log_mel
from audioinceptionnext.serving.errors import RequestError
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.parameters import PredictParameters
from audioinceptionnext.serving.progress import Progress, ProgressResponse, is_wanted
from audioinceptionnext.serving.reception import DecodingClock, Reception, too_long
from audioinceptionnext.serving.result_store import ResultStore
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
    """Handles the requests of one server.

    Args:
        models: of the server.
        reception: of its recordings.
        store: of results for links to them.
        count: called with the duration of each recording that has been recognised, in seconds.
    """

    def __init__(
        self, models: ModelPool, reception: Reception, store: ResultStore, count: Callable[[float], object]
    ) -> None:
        self.models, self.reception, self.settings = models, reception, reception.settings
        self._store, self._count = store, count

    async def __call__(self, request: Request) -> Response:
        """The response: the JSON object of the result, or lines of JSON for a client that accepts these.

        Raises:
            RequestError: with the status that fits.
            starlette.requests.ClientDisconnect: the client has left.
        """
        self.reception.check()
        job = await self._job(request.query_params.multi_items())  # is wrong before a byte of the body is read
        progress, accepted = Progress(), asyncio.Event()
        task = asyncio.create_task(self._recognise(request, job, progress, accepted))
        if is_wanted(request):
            # What is wrong until the recording has its place in the queue is said by the status of the response.
            waiting = asyncio.create_task(accepted.wait())
            await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if accepted.is_set():
                return ProgressResponse(task, progress)
        return Response(await task, media_type="application/json")

    async def _recognise(self, request: Request, job: Job, progress: Progress, accepted: asyncio.Event) -> bytes:
        """Receive the recording and recognise it in the queue's turn: the JSON of the response."""
        async with self.reception.receive(request) as (upload, run):
            if upload.fields:
                job = await self._job([*request.query_params.multi_items(), *upload.fields])
            work = asyncio.ensure_future(run(lambda stop: self._predict(job, upload, stop, progress)))
            await asyncio.sleep(0)  # it begins, and ends at once if the queue is full
            if not work.done():
                accepted.set()
            body: bytes = await work
        self._count(progress.seconds)
        return body

    async def _job(self, given: Iterable[tuple[str, str]]) -> Job:
        parameters = PredictParameters.read(given)
        recogniser, settings = await asyncio.to_thread(parameters.of_model, self.models.get)
        try:
            recogniser.check_step(parameters.hop)
        except ParameterError as error:
            raise RequestError.of_library(error) from None
        return Job(recogniser, parameters, settings)

    def _predict(self, job: Job, upload: Upload, stop: Event, said: Progress) -> bytes:
        """Recognise the upload, in a thread of the queue: the JSON of the response."""
        limit, name = self.settings.max_seconds, display_name(job.parameters.name or upload.name)
        include = job.parameters.include.split(",")
        values_per_second = len(job.recogniser.labels) / (job.parameters.hop or job.recogniser.step_seconds)
        clock = DecodingClock(self.settings.decode_seconds)

        def progress(seconds: float) -> None:
            clock.seconds = said.seconds = seconds
            if stop.is_set():
                raise Cancelled
            if seconds > limit:
                raise too_long(name, self.settings)
            if "probabilities" in include and seconds * values_per_second > MAX_VALUES:
                reason = f"more than {MAX_VALUES:,} of them: choose fewer labels, a longer hop or a shorter recording"
                raise RequestError(422, f"probabilities: {reason}", parameter="include")

        said.state, said.duration = "running", decode.duration_of(upload.path)
        if (said.duration or 0) > limit:
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
        said.seconds = result.duration
        response = _response(result, job.settings, include)
        if job.parameters.keep == "true":
            response = self._store.keep(response)
        return json.dumps(response, ensure_ascii=False).encode()


def _response(result: Recognition, settings: SegmentationSettings, include: Collection[str]) -> dict[str, Any]:
    response = result.as_dict() | {"warnings": result.warnings}
    if "log_mel" in include and result.log_mel is not None:
        response["log_mel"] = encode_log_mel(result.log_mel, result.sample_rate)
    if "likely_steps" in include:
        response["likely_steps"] = encode_likely_steps(result, settings)
    if "probabilities" in include:
        response["probabilities"] = {
            "labels": list(result.labels),
            "step_seconds": result.step_seconds,
            "window_seconds": result.window_seconds,
            "steps": np.round(result.probabilities.astype(np.float64), 4).tolist(),
        }
    return response

"""``/v1/corrections``: receives a recording with the segments that a person has corrected, and counts them."""

from __future__ import annotations

from threading import Event
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import MediaError, ParameterError
from audioinceptionnext.serving.corrections import (
    MAX_SEGMENTS_BYTES,
    Corrections,
    CorrectionsFolder,
    SavedCorrections,
    read_segments,
)
from audioinceptionnext.serving.errors import RequestError, problems
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.parameters import Query, curl, describe_parameters, json_response, recording_form
from audioinceptionnext.serving.reception import DecodingClock, Reception, too_long
from audioinceptionnext.serving.uploads import Upload, display_name

OFF = "this server stores no corrections: whoever runs it can set a folder for them when starting ainext serve"
_RATE = 8_000  # at which recordings are decoded, to see whether they can be and how long they are
_SEGMENTS = "JSON: a list of objects with start, end (seconds) and label. An empty one says that nothing sounds."


class CorrectionParameters(Query):
    """The parameters of ``POST /v1/corrections``, besides the file."""

    segments: str = Field("", description=_SEGMENTS, examples=['[{"start": 0.4, "end": 2.1, "label": "Dog"}]'])
    model: str = Field("", description="Whose segments were corrected: labels that differ in case only become its own.")
    name: str = Field("", description="The file's name, if the body is the recording itself.")


BODY = {"required": True, "content": recording_form(CorrectionParameters, "segments")}
SAMPLE = """curl -F file=@dinner.mp4 -F 'segments=[{"start": 0.4, "end": 2.1, "label": "Dog"}]' \\
  http://127.0.0.1:8000/v1/corrections"""


class Correct:
    """Handles the requests of one server.

    Args:
        reception: of recordings.
        models: whose labels are known.
        folder: None if this server stores no corrections.
    """

    def __init__(self, reception: Reception, models: ModelPool, folder: CorrectionsFolder | None) -> None:
        self.reception, self.models, self._folder = reception, models, folder

    @property
    def folder(self) -> CorrectionsFolder:
        """The folder. Raises `RequestError` (404) if there is none."""
        if self._folder is None:
            raise RequestError(404, OFF)
        return self._folder

    async def save(self, request: Request) -> dict[str, Any]:
        """Save the recording and its segments.

        Raises:
            RequestError: with the status that fits.
            starlette.requests.ClientDisconnect: the client has left.
        """
        folder, query = self.folder, request.query_params.multi_items()
        CorrectionParameters.read(query)  # what is wrong with it is said before a byte of the body is read
        async with self.reception.receive(request, MAX_SEGMENTS_BYTES) as (upload, run):
            given = CorrectionParameters.read([*query, *upload.fields])
            if given.model:
                self.models.check(given.model)
            known = self.models.spellings(given.model)
            return await run(lambda stop: self._save(folder, given, known, upload, stop))

    def _save(
        self, folder: CorrectionsFolder, given: CorrectionParameters, known: dict[str, str], upload: Upload, stop: Event
    ) -> dict[str, Any]:
        """Save an upload, in a thread of the queue."""
        if not given.segments:
            raise RequestError(422, f"segments is missing: give {_SEGMENTS}", parameter="segments")
        name = display_name(given.name or upload.name)
        segments = read_segments(given.segments, known)
        seconds = self._decode(upload, name, stop)
        return folder.save(upload.path, name, segments, seconds)

    def _decode(self, upload: Upload, name: str, stop: Event) -> float:
        """The duration of a recording all of which can be decoded, since training will do the same."""
        settings = self.reception.settings
        clock, seconds = DecodingClock(settings.decode_seconds), 0.0
        try:
            for block in decode.read_blocks(upload.path, _RATE, on_packet=lambda: clock.check(stop, name)):
                seconds += len(block) / _RATE
                clock.seconds = seconds
                if seconds > settings.max_seconds:
                    raise too_long(name, settings)
        except (MediaError, ParameterError) as error:
            raise RequestError.of_library(error, name) from None
        return seconds


def add_corrections(api: APIRouter, correct: Correct) -> None:
    """Add the routes to a server's API."""
    off = {404: "This server stores no corrections, or has no such model."}
    full = {507: "The server's disk is full; nothing was saved."}

    @api.post(
        "/v1/corrections",
        response_model=SavedCorrections,
        responses=problems(400, 401, 403, 408, 413, 415, 422, 503, own=off | full),
        openapi_extra={"parameters": describe_parameters(CorrectionParameters), "requestBody": BODY} | curl(SAMPLE),
        summary="Save a recording with its corrected segments",
        response_description="The recording is saved with its label track, and counted.",
    )
    async def save(request: Request) -> Response:
        return json_response(await correct.save(request))

    @api.get(
        "/v1/corrections",
        response_model=Corrections,
        responses=problems(401, 403, 422, own=off),
        summary="Count what has been corrected",
        response_description="How much has been corrected, and how much more is worth it.",
    )
    async def count(request: Request) -> Response:
        Query.read(request.query_params.multi_items())
        return json_response(await run_in_threadpool(correct.folder.summary))

"""``/v1/events``: the history of what was recognised live, its clips, and corrections of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from audioinceptionnext.errors import FileError, ParameterError
from audioinceptionnext.history.clips import ClipFolder, is_clip_name
from audioinceptionnext.history.database import History
from audioinceptionnext.history.records import Filters, HistoryEvent, iso_time, read_time
from audioinceptionnext.serving.corrections import clean_label
from audioinceptionnext.serving.errors import RequestError, problems
from audioinceptionnext.serving.event_parameters import (
    Correction,
    CountsParameters,
    EventCounts,
    Events,
    EventsParameters,
    Filter,
    HistoryEntry,
    HistorySummary,
    cursor,
)
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.parameters import ADDRESS, Query, curl, describe_parameters, json_response
from audioinceptionnext.serving.settings import Settings

T = TypeVar("T")

OFF = "this server keeps no history: whoever runs it can set a file for it when starting ainext serve"
MAX_BODY = 10_000  # bytes of a correction
MAX_ID = 2**63 - 1  # of SQLite
_TYPES = {".opus": "audio/ogg", ".flac": "audio/flac"}  # by the suffix of a clip's name


class EventsApi:
    """Handles the requests of one server.

    Args:
        history: None if this server keeps none. It is opened once more to look things up, so that this does not keep
            live streams waiting.
        clips: the kept clips; None if there are none.
        models: by whose groups events can be chosen.
        settings: of the server.
    """

    def __init__(
        self, history: History | None, clips: ClipFolder | None, models: ModelPool, settings: Settings
    ) -> None:
        self._history, self._reader = history, None if history is None else History(history.path, read_only=True)
        self.clips, self.models, self.settings = clips, models, settings

    def close(self) -> None:
        """Close what this has opened."""
        if self._reader is not None:
            self._reader.close()

    async def look_up(self, work: Callable[[History], T]) -> T:
        """What a function returns that only reads the history, in a thread, with errors as the client gets them.

        Raises:
            RequestError: 404 if there is no history.
        """
        return await self._call(work, self._reader)

    async def change(self, work: Callable[[History], T]) -> T:
        """The same of a function that writes."""
        return await self._call(work, self._history)

    async def _call(self, work: Callable[[History], T], history: History | None) -> T:
        if history is None:
            raise RequestError(404, OFF)
        try:
            return await run_in_threadpool(work, history)
        except ParameterError as error:
            raise RequestError.of_library(error) from None
        except FileError as error:
            raise RequestError(500, f"the server's history {error.reason}") from None

    def find(self, history: History, query: EventsParameters) -> dict[str, Any]:
        """The members of `Events`."""
        newest_first, limit = query.order == "newest", query.limit
        filters = self._filters(history, query)
        found = history.events(limit=limit + 1, newest_first=newest_first, beyond=query.beyond(), **filters)
        more = len(found) > limit
        found = found[:limit]
        next_one = cursor(found[-1].start, found[-1].id) if more else None
        return {"events": [self._entry(event, query.zone) for event in found], "next": next_one}

    def counts(self, history: History, query: CountsParameters) -> dict[str, Any]:
        """The members of `EventCounts`."""
        counts = history.counts(query.by, query.zone, **self._filters(history, query))
        listed = [{"start": one.start.isoformat(), "label": one.label, "events": one.number} for one in counts]
        return {"by": query.by, "time_zone": query.time_zone, "counts": listed}

    def summary(self, history: History) -> dict[str, Any]:
        """The members of `HistorySummary`."""
        ends = [history.events(limit=1, newest_first=newest) for newest in (False, True)]
        first, last = (iso_time(end[0].start, UTC) if end else None for end in ends)
        return {
            "events": history.number(),
            "first": first,
            "last": last,
            "sources": history.sources(),
            "labels": history.labels(),
            "clips": self.clips is not None,
        }

    def correct(self, history: History, id: int, correction: Correction) -> dict[str, Any]:
        """Change an event. Returns the members of `HistoryEntry`."""
        start, end = (
            None if value is None else read_time(name, value, UTC)
            for name, value in (("start", correction.start), ("end", correction.end))
        )
        event = self._event(history, id)
        label = None
        if correction.label is not None:
            label = clean_label(correction.label)
            label = self.models.spellings(event.model).get(label.casefold(), label)
        changed = history.update(id, start=start, end=end, label=label)
        if changed is None:
            raise _gone(id)
        return self._entry(changed, UTC)

    def delete(self, history: History, id: int) -> None:
        """Delete an event, and its clip unless another one has it, too."""
        self._event(history, id)
        for event in history.delete([id]):
            if self.clips is not None and self._clip(event) is not None and event.clip not in history.clips():
                self.clips.delete([event.clip or ""])

    def clip(self, history: History, id: int) -> Path:
        """The file of an event's clip. Raises `RequestError` (404) if there is none."""
        path = self._clip(self._event(history, id))
        if path is None or not path.is_file():
            raise RequestError(404, f"event {id} has no clip: none was kept, or it was deleted since")
        return path

    def _event(self, history: History, id: int) -> HistoryEvent:
        event = history.event(id) if id <= MAX_ID else None
        if event is None:
            raise _gone(id)
        return event

    def _entry(self, event: HistoryEvent, zone: tzinfo) -> dict[str, Any]:
        entry = event.as_dict(zone)
        return entry if self.clips else entry | {"clip": None, "clip_start": None}

    def _clip(self, event: HistoryEvent) -> Path | None:
        """Where the clip of an event is, which is never outside the folder, whatever the database says."""
        if self.clips is None or event.clip is None or not is_clip_name(event.clip):
            return None
        path = (self.clips.path / event.clip).resolve()  # a link may lead elsewhere
        return path if path.parent == self.clips.path.resolve() else None

    def _filters(self, history: History, query: Filter) -> Filters:
        after, before = query.bounds()
        labels = self._labels(history, query.labels) if any(query.labels) else None
        sources = query.source if any(query.source) else None
        return Filters(after=after, before=before, labels=labels, sources=sources, min_score=query.min_score)

    def _labels(self, history: History, wanted: list[str]) -> list[str]:
        """The labels of the history that names, patterns and groups stand for. The models' own are known, too."""
        every = self.models.label_set(history.labels())
        return [every.names[place] for place in every.choose(wanted)]


def add_events(api: APIRouter, events: EventsApi) -> None:
    """Add the routes to a server's API."""
    off = {404: "This server keeps no history."}
    gone = {404: "This server keeps no history, or has no such event."}
    unreadable: dict[int | str, dict[str, Any]] = {  # which Starlette says as plain text
        400: {"description": "The header Range is malformed."},
        416: {"description": "The clip has no such range."},
    }
    identified = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}]}
    body = {"required": True, "content": {"application/json": {"schema": Correction.model_json_schema()}}}

    def described(parameters: type[Query], query: str) -> dict[str, Any]:
        sample = curl(f"curl '{ADDRESS}/v1/events{query}'")
        return {"parameters": describe_parameters(parameters)} | sample

    @api.get(
        "/v1/events",
        response_model=Events,
        responses=problems(401, 403, 422, own=off),
        openapi_extra=described(EventsParameters, "?after=2026-11-29&time_zone=Europe/Berlin&labels=Dog,Smoke*"),
        summary="The events of the history",
        response_description="The events that fit.",
    )
    async def find(request: Request) -> Response:
        query = EventsParameters.read(request.query_params.multi_items())
        return json_response(await events.look_up(lambda history: events.find(history, query)))

    @api.get(
        "/v1/events/counts",
        response_model=EventCounts,
        responses=problems(401, 403, 422, own=off),
        openapi_extra=described(CountsParameters, "/counts?by=day&after=2026-11-01&time_zone=Europe/Berlin"),
        summary="How many events there are, by hour or day",
        response_description="A number for each label and each hour or day.",
    )
    async def count(request: Request) -> Response:
        query = CountsParameters.read(request.query_params.multi_items())
        return json_response(await events.look_up(lambda history: events.counts(history, query)))

    @api.get(
        "/v1/events/summary",
        response_model=HistorySummary,
        responses=problems(401, 403, 422, own=off),
        openapi_extra=curl(f"curl {ADDRESS}/v1/events/summary"),
        summary="What the history holds",
        response_description="Its inputs and labels, and from when to when it reaches.",
    )
    async def summarise(request: Request) -> Response:
        Query.read(request.query_params.multi_items())
        return json_response(await events.look_up(events.summary))

    @api.get(
        "/v1/events/{id:int}/clip",
        responses=problems(401, 403, own={404: "There is no such event, or it has no clip."}) | unreadable,
        openapi_extra=identified | curl(f"curl -O {ADDRESS}/v1/events/17/clip"),
        summary="The kept clip of an event",
        response_class=FileResponse,
        response_description="The clip. A part of it can be asked for with the header Range.",
    )
    async def clip(request: Request) -> Response:
        id = request.path_params["id"]
        path = await events.look_up(lambda history: events.clip(history, id))
        return FileResponse(path, media_type=_TYPES[path.suffix], filename=path.name, content_disposition_type="inline")

    @api.patch(
        "/v1/events/{id:int}",
        response_model=HistoryEntry,
        responses=problems(400, 401, 403, 408, 413, 422, own=gone),
        openapi_extra=identified
        | {"requestBody": body}
        | curl(f"""curl -X PATCH -d '{{"label": "Cat"}}' {ADDRESS}/v1/events/17"""),
        summary="Correct an event",
        response_description="The event as it is now.",
    )
    async def correct(request: Request) -> Response:
        id, correction = request.path_params["id"], await _read_correction(request, events.settings.idle_seconds)
        return json_response(await events.change(lambda history: events.correct(history, id, correction)))

    @api.delete(
        "/v1/events/{id:int}",
        status_code=204,
        responses=problems(401, 403, own=gone),
        openapi_extra=identified | curl(f"curl -X DELETE {ADDRESS}/v1/events/17"),
        summary="Delete an event and its clip",
        response_description="They are deleted.",
    )
    async def delete(request: Request) -> Response:
        id = request.path_params["id"]
        await events.change(lambda history: events.delete(history, id))
        return Response(status_code=204)


async def _read_correction(request: Request, idle_seconds: float) -> Correction:
    """The body of a request. Raises `RequestError`."""
    content = b""
    try:
        async with asyncio.timeout(idle_seconds):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_BODY:
                    raise RequestError(413, "the correction is too long: give start, end and label alone")
    except TimeoutError:
        raise RequestError(408, f"the correction did not arrive within {idle_seconds:g} s: send it again") from None
    request.state.received = True
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        raise RequestError(400, 'the body is no JSON: send an object such as {"label": "Dog"}') from None
    try:
        correction = Correction.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])[:100] if first["loc"] else None
        detail = (
            f"{name or 'the correction'}: {first['msg']}; give an object with start, end and label, or some of them"
        )
        raise RequestError(422, detail, parameter=name) from None
    if not correction.model_dump(exclude_none=True):
        raise RequestError(422, "the correction changes nothing: give start, end or label")
    return correction


def _gone(id: int) -> RequestError:
    return RequestError(404, f"there is no event {id} in the history, or no longer")

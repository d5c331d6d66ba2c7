"""``/v1/embed`` and ``/v1/teach``: the features of examples, and a model that is taught from them."""

from __future__ import annotations

import re
from threading import Event
from time import perf_counter
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import FileResponse, Response

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import AinextError, MediaError, ParameterError
from audioinceptionnext.serving.errors import RequestError, problems
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.parameters import Query, curl, describe_parameters, json_response, recording_body
from audioinceptionnext.serving.reception import DecodingClock, Reception
from audioinceptionnext.serving.taught_models import TaughtModels
from audioinceptionnext.serving.uploads import Upload, display_name
from audioinceptionnext.teaching.features import MAX_SECONDS, features_of
from audioinceptionnext.teaching.lesson import Described

OFF = "this server teaches no models: whoever runs it can allow that when starting ainext serve"
MAX_BODY_BYTES = 32_000_000  # of examples as JSON: some 2,000 vectors of 1,120 channels
MAX_EXAMPLES, MAX_LABELS, MAX_LABEL = 2_000, 200, 100
_Name = Annotated[str, Path(description="Of the model.")]
_Feature = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
_NAME = re.compile(r"[^\W_][\w .-]{0,59}")  # it is the name of a file, too
EMBED_SAMPLE = "curl -F file=@doorbell-1.wav http://127.0.0.1:8000/v1/embed"
TEACH_SAMPLE = "curl -d @examples.json http://127.0.0.1:8000/v1/teach"


class EmbedParameters(Query):
    """The parameters of ``POST /v1/embed``, besides the file."""

    model: str = Field("", description="Whose features; the default model's unless given.")
    name: str = Field("", description="The file's name, if the body is the recording itself.")


class Embedding(BaseModel):
    """What the last layer of a model gets of a recording."""

    model: str
    duration: float = Field(description=f"Seconds of the recording that count, {MAX_SECONDS:g} at most.")
    silent: bool = Field(description="Whether all of it is digital silence, so that there are no features.")
    features: list[list[float]] = Field(description="A vector for each stretch of 5 s that is not digital silence.")


class LessonExample(BaseModel):
    """An example of a class."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field(min_length=1, max_length=MAX_LABEL, description="nothing is for what is to get no label.")
    features: Annotated[list[list[_Feature]], Field(min_length=1, max_length=100)] = Field(
        description="As /v1/embed gives them, of the model in from."
    )
    source: str | None = Field(None, max_length=200, description="Examples cut from one recording state the same.")


class LessonRequest(BaseModel):
    """What ``POST /v1/teach`` takes."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str = Field(description="Of the new model, which replaces one of the same name that was taught.")
    base: str = Field("", alias="from", description="The model whose features these are; the default unless given.")
    examples: Annotated[list[LessonExample], Field(min_length=1, max_length=MAX_EXAMPLES)] = Field(
        description="Objects with label, features (as /v1/embed gives them) and, if cut from one recording, source."
    )


class TaughtModel(BaseModel):
    """A model that was taught, and how well it recognises examples that were left out, in five folds."""

    model: str = Field(description="Its name, which all other routes take.")
    clips: int = Field(description="The number of examples.")
    classes: int
    top1: float = Field(description="Percent of the examples that are recognised.")
    per_class: dict[str, float] = Field(description="The same for each class.")
    confusions: dict[str, dict[str, int]] = Field(description="How many examples of each class are taken for each.")
    threshold: float = Field(description="The onset threshold of its labels.")
    seconds: float = Field(description="That teaching took.")


BODY = recording_body(EmbedParameters)


class Teach:
    """Handles the requests of one server.

    Args:
        reception: of recordings and of examples.
        models: which can be taught.
        taught: those that were; None if this server teaches none.
    """

    def __init__(self, reception: Reception, models: ModelPool, taught: TaughtModels | None) -> None:
        self.reception, self.models, self._taught = reception, models, taught

    def taught_models(self) -> TaughtModels:
        """The models that were taught. Raises `RequestError` (404) if there can be none."""
        if self._taught is None:
            raise RequestError(404, OFF)
        return self._taught

    async def embed(self, request: Request) -> dict[str, Any]:
        """The features of a recording.

        Raises:
            RequestError: with the status that fits.
            starlette.requests.ClientDisconnect: the client has left.
        """
        query = request.query_params.multi_items()
        self.taught_models()
        EmbedParameters.read(query)  # what is wrong with it is said before a byte of the body is read
        async with self.reception.receive(request) as (upload, run):
            given = EmbedParameters.read([*query, *upload.fields])
            return await run(lambda stop: self._embed(given, upload, stop))

    def _embed(self, given: EmbedParameters, upload: Upload, stop: Event) -> dict[str, Any]:
        recogniser, name = self.models.get(given.model), display_name(given.name or upload.name)
        clock, blocks, seconds = DecodingClock(self.reception.settings.decode_seconds), [], 0.0
        try:
            for block in decode.read_blocks(
                upload.path, recogniser.sample_rate, on_packet=lambda: clock.check(stop, name)
            ):
                blocks.append(block)
                seconds = clock.seconds = seconds + len(block) / recogniser.sample_rate
                if seconds >= MAX_SECONDS:
                    break
        except (MediaError, ParameterError) as error:
            raise RequestError.of_library(error, name) from None
        waveform = np.concatenate(blocks)[: round(MAX_SECONDS * recogniser.sample_rate)]
        features = features_of(recogniser, waveform)
        return {
            "model": recogniser.name,
            "duration": round(len(waveform) / recogniser.sample_rate, 3),
            "silent": not len(features),
            "features": [[float(f"{value:.6g}") for value in row] for row in features],
        }

    async def teach(self, request: Request) -> dict[str, Any]:
        """Teach a model, and offer it.

        Raises:
            RequestError: with the status that fits.
            starlette.requests.ClientDisconnect: the client has left.
        """
        taught = self.taught_models()
        Query.read(request.query_params.multi_items())
        async with self.reception.receive_body(request, MAX_BODY_BYTES) as (body, run):
            return await run(lambda _: self._teach(taught, body))

    def _teach(self, taught: TaughtModels, body: bytes) -> dict[str, Any]:
        begun, lesson = perf_counter(), read_lesson(body)
        taught.check(lesson.name)
        base = lesson.base or self.models.default
        channels = int(self.models.get(base).metadata.get("features", 0))
        if any(len(row) != channels for one in lesson.examples for row in one.features):
            detail = f"examples: a vector does not have the {channels} numbers of {base} that /v1/embed gives"
            raise RequestError(422, detail, parameter="examples")
        described = [Described(one.label.strip(), np.array(one.features), one.source) for one in lesson.examples]
        try:
            learnt = taught.teach(lesson.name, base, described)
        except AinextError as error:
            raise RequestError(422, f"examples: {error.reason}", parameter="examples") from None
        return {
            "model": lesson.name,
            "clips": sum(learnt.clips.values()),
            "classes": len(learnt.clips),
            "top1": learnt.top1,
            "per_class": learnt.per_class,
            "confusions": learnt.confusions,
            "threshold": learnt.head.threshold,
            "seconds": round(perf_counter() - begun, 3),
        }


def read_lesson(body: bytes) -> LessonRequest:
    """The request in a body.

    Raises:
        RequestError: 422, it is no such JSON.
    """
    try:
        lesson = LessonRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
        name = str(first["loc"][0]) if first["loc"] else None
        raise RequestError(422, f"{place or 'the body'}: {first['msg']}; /docs describes it", parameter=name) from None
    if not _NAME.fullmatch(lesson.name) or lesson.name != lesson.name.rstrip(" ."):
        reason = "begin with a letter or a digit, and use only these, spaces, dots, hyphens and underscores, at most 60"
        raise RequestError.of_parameter("name", lesson.name, reason)
    labels = {one.label.strip() for one in lesson.examples}
    if not all(label and label.isprintable() for label in labels):
        raise RequestError(422, "examples: a label is empty or cannot be printed", parameter="examples")
    if len(labels) > MAX_LABELS:
        raise RequestError(422, f"examples: {len(labels)} labels, and {MAX_LABELS} are allowed", parameter="examples")
    return lesson


def add_teaching(api: APIRouter, teach: Teach) -> None:
    """Add the routes to a server's API."""
    off = {404: "This server teaches no models, or has no such model."}
    full = {
        409: "The name is that of another model, or the server has as many taught models as it keeps.",
        507: "The server's disk is full; nothing was saved.",
    }

    @api.post(
        "/v1/embed",
        response_model=Embedding,
        responses=problems(400, 401, 403, 408, 413, 415, 422, 503, own=off),
        openapi_extra={"parameters": describe_parameters(EmbedParameters), "requestBody": BODY} | curl(EMBED_SAMPLE),
        summary="Features of a recording, to teach from",
        response_description="What the model's last layer gets of the recording.",
    )
    async def embed(request: Request) -> Response:
        return json_response(await teach.embed(request))

    @api.post(
        "/v1/teach",
        response_model=TaughtModel,
        responses=problems(401, 403, 408, 413, 422, 503, own=off | full),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": LessonRequest.model_json_schema()}},
            }
        }
        | curl(TEACH_SAMPLE),
        summary="Teach a model sounds",
        response_description="The model is taught, and offered under its name.",
    )
    async def taught(request: Request) -> Response:
        return json_response(await teach.teach(request))

    @api.get(
        "/v1/models/{name}/file",
        responses=problems(401, 403, own=off),
        response_class=FileResponse,
        openapi_extra=curl("curl -OJ http://127.0.0.1:8000/v1/models/mine/file"),
        summary="Download a model that was taught",
        response_description="The ONNX file, which every command takes.",
    )
    async def file(name: _Name) -> Response:
        path = teach.taught_models().path_of(name)
        return FileResponse(path, media_type="application/octet-stream", filename=f"{name}.onnx")

    @api.delete(
        "/v1/models/{name}",
        status_code=204,
        openapi_extra=curl("curl -X DELETE http://127.0.0.1:8000/v1/models/mine"),
        responses=problems(401, 403, own=off),
        summary="Delete a model that was taught",
        response_description="The model is gone.",
    )
    async def delete(name: _Name) -> Response:
        teach.taught_models().delete(name)
        return Response(status_code=204)

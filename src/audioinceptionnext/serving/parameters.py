"""What ``/v1/predict`` and ``/v1/listen`` may be asked for, as query parameters or form fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from audioinceptionnext.errors import FileError, ParameterError, suggest
from audioinceptionnext.inference.recogniser import TOP_K, Recogniser
from audioinceptionnext.results.languages import list_languages
from audioinceptionnext.results.settings import MAX_SECONDS, SegmentationSettings
from audioinceptionnext.results.thresholds import parse_thresholds
from audioinceptionnext.serving.errors import RequestError

P = TypeVar("P", bound="Query")

# Parameters that may be repeated, and how many characters they may have in all: more than all of AudioSet's labels.
_LISTS = {"labels": 10_000, "ignore": 10_000, "threshold": 20_000, "source": 10_000}
INCLUDES = ("log_mel", "probabilities")
FILE_INCLUDES = (*INCLUDES, "likely_steps")
_ALIASES = {"onset_threshold": "threshold", "sample_rate": "rate", "label": "labels"}  # as on the command line
_LANGUAGE = (
    f"Also gives each label's name in this language: {', '.join(list_languages())}, or another that the model has a "
    "table of. The names may be used in labels, ignore and threshold."
)
_Seconds = Annotated[float | None, Field(ge=0, le=MAX_SECONDS)]


def _split(allowed: tuple[str, ...]) -> AfterValidator:
    """Checks names that are separated by commas."""

    def check(text: str) -> str:
        for name in filter(None, text.split(",")):
            if name not in allowed:
                raise ParameterError("include", name, f"give {' or '.join(allowed)}")
        return text

    return AfterValidator(check)


class Query(BaseModel):
    """The parameters of a request. What is unknown, given twice or out of range is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def read(cls: type[P], given: Iterable[tuple[str, str]]) -> P:
        """The parameters of a request.

        Args:
            given: names and values, as they arrived.

        Raises:
            RequestError: 422 for an unknown name, a value that does not fit or is too long, or two values where one is
                wanted.
        """
        values: dict[str, list[str]] = {}
        for name, value in given:
            if _ALIASES.get(name) in cls.model_fields:
                name = _ALIASES[name]
            if name not in cls.model_fields:
                detail = f"there is no parameter called {name[:100]!r}; {suggest(name[:100], cls.model_fields)}"
                raise RequestError(422, detail, parameter=name[:100])
            if value not in (seen := values.setdefault(name, [])):
                seen.append(value)
        for name, seen in values.items():
            if name not in _LISTS and len(seen) > 1:
                raise RequestError.of_parameter(name, " and ".join(seen), "give it once")
            if name in _LISTS and sum(map(len, seen)) > _LISTS[name]:
                reason = f"give at most {_LISTS[name]:,} characters; patterns and groups are shorter"
                raise RequestError.of_parameter(name, None, reason)
        try:
            return cls.model_validate({name: v if name in _LISTS else v[0] for name, v in values.items()})
        except ValidationError as error:
            raise cls._refusal(error) from None

    @classmethod
    def _refusal(cls, error: ValidationError) -> RequestError:
        """The first of pydantic's errors in this project's words."""
        first = error.errors()[0]
        if isinstance(said := first.get("ctx", {}).get("error"), ParameterError):
            return RequestError.of_library(said)
        name = str(first["loc"][0])
        schema = cls.model_json_schema()["properties"][name]
        return RequestError.of_parameter(name, first["input"] or "empty", f"give {_expected(schema)}")


class Parameters(Query):
    """The parameters that files and live streams share."""

    model: str = Field("", description="One of /v1/models; the first of them unless given.", examples=["everyday"])
    threshold: list[str] = Field(
        [],
        description="Probability that a segment must reach at least once, for all labels or for some, as in "
        "Speech=0.9 or group:Animal=0.7. May be repeated; the model's own unless given.",
        examples=[["0.5", "Speech=0.9"]],
    )
    offset_threshold: float | None = Field(
        None,
        gt=0,
        le=1,
        description="A segment ends when its probability falls below this; 0.6 of the threshold unless given. With the "
        "model's own thresholds it applies to 0.5 and scales with them.",
    )
    smoothing: _Seconds = Field(
        None,
        description="Length of the moving average over the probabilities, in seconds; the model's own, or 0.32, unless "
        "given.",
    )
    min_duration: _Seconds = Field(
        None,
        description="Segments that are shorter than this many seconds are dropped; the model's own, or 0.3, unless "
        "given.",
    )
    merge_gap: _Seconds = Field(
        None,
        description="Segments of one label that are closer than this many seconds are merged; the model's own, or 0.3, "
        "unless given.",
    )
    hop: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Seconds from one step to the next; the model's own unless given."
    )
    labels: list[str] = Field(
        [],
        description="Labels to look for, separated by commas: names, patterns such as Smoke detector* and groups such "
        "as group:Animal. May be repeated; all unless given.",
        examples=[["Speech,group:Animal"]],
    )
    ignore: list[str] = Field([], description="Labels to leave out, named in the same way.")
    language: str = Field("", description=_LANGUAGE, examples=["de"])

    def of_model(self, get: Callable[[str], Recogniser]) -> tuple[Recogniser, SegmentationSettings]:
        """The model with the labels that are asked for, and how its probabilities become segments.

        Thousands of patterns take a second, so that this does not belong on the event loop.

        Args:
            get: gives the model of a name.

        Raises:
            RequestError: 404 for an unknown model, 422 for labels or thresholds that it cannot have.
        """
        recogniser = get(self.model)
        try:
            if self.language:
                recogniser = recogniser.in_language(self.language)
            chosen = recogniser.choose(_given(self.labels), _given(self.ignore))
            everywhere, by_label = parse_thresholds(self.threshold)
            settings = chosen.segmentation_settings(
                by_label,
                onset_threshold=everywhere,
                offset_threshold=self.offset_threshold,
                smoothing=self.smoothing,
                min_duration=self.min_duration,
                merge_gap=self.merge_gap,
            )
        except ParameterError as error:
            raise RequestError.of_library(error) from None
        except FileError as error:
            raise RequestError.of_names(error) from None
        return chosen, settings


class ModelsParameters(Query):
    """The parameters of ``GET /v1/models``."""

    language: str = Field("", description="Gives names of the labels and groups in this language.", examples=["de"])


class PredictParameters(Parameters):
    """The parameters of ``POST /v1/predict``."""

    top_k: int = Field(TOP_K, ge=1, le=1000, description="Labels for the recording as a whole.")
    track: int | None = Field(
        None,
        ge=1,
        description="Sound track of the file, counted from 1; the first that can be decoded and is not silent unless "
        "given.",
    )
    include: Annotated[str, _split(FILE_INCLUDES)] = Field(
        "",
        description=f"{', '.join(INCLUDES)} and likely_steps, separated by commas: what the response holds besides the "
        "result.",
    )
    keep: Literal["false", "true"] = Field(
        "false", description="Whether the server keeps the result for a while, for GET /v1/results/{id}."
    )
    name: str = Field("", description="The file's name, if the body is the recording itself.")


class ListenParameters(Parameters):
    """The parameters of ``WS /v1/listen``."""

    rate: float | None = Field(None, gt=0, lt=1e9, description="Sample rate in Hz; the model's own unless given.")
    encoding: Literal["s16le", "f32le"] = Field("s16le", description="16-bit integers or floats.")
    channels: int = Field(1, ge=1, le=32, description="Number of interleaved channels.")
    lookahead: float | None = Field(
        None, ge=0, lt=1e9, description="Seconds of sound after its window for which a step waits."
    )
    include: Annotated[str, _split((*INCLUDES, "events"))] = Field(
        "",
        description=f"{', '.join(INCLUDES)} and events, separated by commas: what messages hold besides the step.",
    )
    name: str = Field(
        "microphone",
        description="What the server's history and rules call the stream. A second one of this name gets a number.",
    )


def _given(texts: list[str]) -> list[str] | None:
    """A list of names; None if all of it is empty, as a field of a form is that nobody has filled in."""
    return texts if any(texts) else None


def describe_parameters(parameters: type[Query]) -> list[dict[str, Any]]:
    """The query parameters for OpenAPI."""
    properties = parameters.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False, "description": schema.pop("description"), "schema": schema}
        for name, schema in properties.items()
    ]


def recording_form(parameters: type[Query], *required: str) -> dict[str, Any]:
    """The web form with a recording and parameters, for OpenAPI; ``required`` names those that have to be given."""
    properties = {"file": {"type": "string", "format": "binary", "description": "Audio or video."}}
    properties |= parameters.model_json_schema()["properties"]
    schema = {"type": "object", "required": ["file", *required], "properties": properties}
    return {"multipart/form-data": {"schema": schema}}


def recording_body(parameters: type[Query]) -> dict[str, Any]:
    """A request body for OpenAPI: a recording in such a form, or by itself."""
    alone = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return {"required": True, "content": recording_form(parameters) | alone}


ADDRESS = "http://127.0.0.1:8000"  # in the examples


def curl(*calls: str) -> dict[str, Any]:
    """Examples of a route for OpenAPI and ``/docs``, which puts the server's own address in their place."""
    return {"x-codeSamples": [{"lang": "Shell", "source": call} for call in calls]}


def json_response(content: dict[str, Any]) -> Response:
    """The response with a JSON object, in UTF-8."""
    return Response(json.dumps(content, ensure_ascii=False), media_type="application/json")


def _expected(schema: dict[str, Any]) -> str:
    """What a value has to be, in words: ``a number above 0 and at most 1``."""
    schema = schema.get("anyOf", [schema])[0]
    if "enum" in schema:
        return " or ".join(schema["enum"])
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        limits = f"from {low:g} to {high:g}"
    elif low is not None:
        limits = f"of at least {low:g}"
    else:
        limits = f"above {schema['exclusiveMinimum']:g}" + ("" if high is None else f" and at most {high:g}")
    kind = "a whole number" if schema["type"] == "integer" else "a number"
    return f"{kind} {limits}"

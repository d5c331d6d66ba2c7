"""What ``/v1/events`` may be asked for, and what it responds with."""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, Field

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.history.records import read_time
from audioinceptionnext.serving.parameters import Query

MAX_EVENTS = 5_000  # in a response
_PLACE = re.compile(r"(-?\d{1,12}\.\d{3})-(\d{1,18})")  # a cursor: start and id
_TIME = "ISO 8601, such as 2026-11-29T08:00:00+01:00, or Unix seconds. Without an offset, it is in the time zone."


def read_zone(name: str) -> tzinfo:
    """The time zone of a name such as Europe/Berlin. Raises `ParameterError` for one that there is not."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # no such name, one that is a path, or a folder of the database
        raise ParameterError("time_zone", name, "give a name such as Europe/Berlin or UTC") from None


def _check_zone(name: str) -> str:
    read_zone(name)
    return name


_Zone = Annotated[str, AfterValidator(_check_zone)]


class Filter(Query):
    """The parameters that choose among events."""

    after: str = Field("", description=f"Only events that begin then or later: {_TIME}", examples=["2026-11-29"])
    before: str = Field("", description="Only events that begin earlier, in the same way.")
    labels: list[str] = Field(
        [],
        description="Only events of these labels, separated by commas: names, patterns such as Smoke detector* and "
        "groups of the server's models, such as group:Animal. May be repeated.",
    )
    source: list[str] = Field([], description="Only events of this input, by its name. May be repeated.")
    min_score: float | None = Field(
        None, ge=0, le=1, description="Only events with at least this score; those that people have added have none."
    )
    time_zone: _Zone = Field("UTC", description="In which times and days are.", examples=["Europe/Berlin"])

    @property
    def zone(self) -> tzinfo:
        return read_zone(self.time_zone)

    def bounds(self) -> tuple[float | None, float | None]:
        """``after`` and ``before`` in Unix seconds. Raises `ParameterError`."""
        given = (("after", self.after), ("before", self.before))
        after, before = (read_time(name, value, self.zone) if value else None for name, value in given)
        return after, before


class EventsParameters(Filter):
    """The parameters of ``GET /v1/events``."""

    order: Literal["newest", "oldest"] = Field("newest", description="Which events come first, by their start.")
    limit: int = Field(100, ge=1, le=MAX_EVENTS, description="Events in the response, at most.")
    cursor: str = Field("", description="The next of the response before, to go on where it ended.")

    def beyond(self) -> tuple[float, int] | None:
        """Start and id of the last event before. Raises `ParameterError`."""
        if not self.cursor:
            return None
        if not (place := _PLACE.fullmatch(self.cursor)):
            raise ParameterError("cursor", self.cursor, "give the next of a response")
        return float(place[1]), int(place[2])


def cursor(start: float, id: int) -> str:
    """What `EventsParameters.beyond` reads."""
    return f"{start:.3f}-{id}"


class CountsParameters(Filter):
    """The parameters of ``GET /v1/events/counts``."""

    by: Literal["hour", "day"] = Field("hour", description="What is counted: events that begin in an hour, or a day.")


class Correction(BaseModel):
    """What is wrong with an event, as a person has it. What is left out stays as it is."""

    start: float | str | None = Field(
        None,
        description="ISO 8601, such as 2026-11-29T08:00:00+01:00, or Unix seconds. Without an offset, it is in UTC.",
    )
    end: float | str | None = Field(None, description="In the same way.")
    label: str | None = Field(
        None, min_length=1, max_length=200, description="What sounds: a model's label or any other."
    )

    model_config = {"extra": "forbid", "json_schema_extra": {"examples": [{"label": "Dog"}]}}


_EXAMPLE: dict[str, Any] = {
    "id": 17,
    "source": "kitchen",
    "start": "2026-11-29T07:15:02.340+00:00",
    "end": "2026-11-29T07:15:06.100+00:00",
    "label": "Kettle whistle",
    "score": 0.93,
    "model": "everyday",
    "clip": "2026-11-29T07-15-02.340+0000_kitchen_Kettle-whistle_5f0c.flac",
    "clip_start": "2026-11-29T07:15:01.340+00:00",
    "corrected": False,
}


class HistoryEntry(BaseModel):
    """A segment that was recognised live, or that a person has added."""

    id: int
    source: str = Field(description="The name of the input.")
    start: str = Field(description="ISO 8601, in the time zone that was asked for.")
    end: str
    label: str
    score: float | None = Field(description="0 to 1; null of an event that a person has added.")
    model: str = Field(description="Empty of an event that a person has added.")
    clip: str | None = Field(description="The file of the kept clip, which /v1/events/{id}/clip gives; null without.")
    clip_start: str | None = Field(description="When the clip begins, which is some time before the event.")
    corrected: bool = Field(description="Whether a person has changed or added it.")

    model_config = {"json_schema_extra": {"examples": [_EXAMPLE]}}


class Events(BaseModel):
    events: list[HistoryEntry]
    next: str | None = Field(description="The cursor of the events that follow; null if these are the last.")

    model_config = {"json_schema_extra": {"examples": [{"events": [_EXAMPLE], "next": None}]}}


class EventCount(BaseModel):
    start: str = Field(description="Of the hour or the day, ISO 8601.")
    label: str
    events: int


class EventCounts(BaseModel):
    by: str
    time_zone: str
    counts: list[EventCount] = Field(description="Ordered by start and label, without hours and days of no event.")

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "by": "hour",
                    "time_zone": "Europe/Berlin",
                    "counts": [{"start": "2026-11-29T08:00:00+01:00", "label": "Kettle whistle", "events": 2}],
                }
            ]
        }
    }


class HistorySummary(BaseModel):
    events: int
    first: str | None = Field(description="When the first event begins; null if there is none.")
    last: str | None
    sources: list[str]
    labels: list[str]
    clips: bool = Field(description="Whether this server gives the clips that were kept.")

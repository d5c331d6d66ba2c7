"""What a history consists of: its rows, counts of them, and what may be asked of them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, TypedDict

from audioinceptionnext.errors import ParameterError

_LOST_PLUS = re.compile(r" (?=\d\d:?\d\d$)")  # a + in a query that was not escaped, before the offset


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """One row of a history.

    Attributes:
        id: of the row. It is never given twice.
        source: the input's name.
        start, end: Unix seconds (UTC), to the millisecond.
        label: one of the model's labels, or what a person wrote.
        score: 0 to 1; None if a person added the segment.
        model: the model's name; empty if a person added the segment.
        clip: name of the file in the folder of kept clips; None if there is none.
        clip_start: Unix seconds at which that file begins.
        corrected: whether a person has changed or added the segment.
    """

    id: int
    source: str
    start: float
    end: float
    label: str
    score: float | None
    model: str
    clip: str | None = None
    clip_start: float | None = None
    corrected: bool = False

    def as_dict(self, zone: tzinfo | None = None) -> dict[str, Any]:
        """The JSON object: times as ISO 8601 in this time zone, or in that of the machine.

        >>> history.event(1).as_dict()["start"]
        '2026-11-29T08:15:02.340+01:00'
        """
        clip_start = None if self.clip_start is None else iso_time(self.clip_start, zone)
        return {
            "id": self.id,
            "source": self.source,
            "start": iso_time(self.start, zone),
            "end": iso_time(self.end, zone),
            "label": self.label,
            "score": None if self.score is None else round(self.score, 4),
            "model": self.model,
            "clip": self.clip,
            "clip_start": clip_start,
            "corrected": self.corrected,
        }


@dataclass(frozen=True, slots=True)
class Count:
    """How many segments of a label began in an hour or on a day.

    Attributes:
        start: the start of the hour or of the day, with its time zone.
        label: of the segments.
        number: how many there are; at least 1.
    """

    start: datetime
    label: str
    number: int


class Filters(TypedDict, total=False):
    """Which rows are wanted. What is left out, or is None, excludes nothing.

    Keys:
        after, before: Unix seconds. A segment counts where it begins: at ``after`` or later, and earlier than
            ``before``. So no segment belongs to two days.
        labels, sources: exact names, of which one must fit.
        min_score: the lowest score, 0 to 1. Segments that a person added have no score and always fit.
        after_id: only rows with a higher id, which were added later.
    """

    after: float | None
    before: float | None
    labels: Sequence[str] | None
    sources: Sequence[str] | None
    min_score: float | None
    after_id: int | None


def iso_time(seconds: float, zone: tzinfo | None = None) -> str:
    """Unix seconds as ISO 8601 with milliseconds and the offset of a time zone, or of that of the machine."""
    return datetime.fromtimestamp(round(seconds, 3), zone).astimezone(zone).isoformat(timespec="milliseconds")


def read_time(name: str, value: str | float, zone: tzinfo | None = None) -> float:
    """Unix seconds of what was given as such, or as ISO 8601.

    Args:
        name: what errors call it.
        zone: the time zone of what states no offset; that of the machine unless given.

    Raises:
        ParameterError: it is no such time.

    >>> read_time("after", "2026-11-29T08:00+01:00")
    1795935600.0
    """
    try:
        seconds = float(value)
    except ValueError:
        try:
            time = datetime.fromisoformat(_LOST_PLUS.sub("+", str(value)))
            seconds = (time if time.tzinfo else time.replace(tzinfo=zone)).timestamp()
        except (ValueError, OverflowError, OSError):
            seconds = math.nan
    try:
        datetime.fromtimestamp(seconds, zone)
    except (ValueError, OverflowError, OSError):
        raise ParameterError(
            name, value, "give a day or a time as ISO 8601, such as 2026-11-29T08:00, or Unix seconds"
        ) from None
    return seconds

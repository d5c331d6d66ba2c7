"""The hours of the week at which a rule holds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIMES = re.compile(r"(\d{1,2}):(\d\d)\s*[-–]\s*(\d{1,2}):(\d\d)")
_DAY = 24 * 60  # minutes


@dataclass(frozen=True)
class Hours:
    """Stretches of the week, in local time.

    Attributes:
        spans: minutes of the day at which stretches begin and end. One that ends no later than it begins goes on past
            midnight, into the next day.
        days: on which stretches begin, 0 to 6 from Monday on.

    >>> nights = Hours((read_span("22:00-06:30"),), read_days(["mon-fri"]))
    >>> nights.first(datetime(2026, 11, 28, 12), datetime(2026, 12, 5))
    datetime.datetime(2026, 11, 30, 22, 0)
    """

    spans: tuple[tuple[int, int], ...] = ((0, _DAY),)
    days: frozenset[int] = frozenset(range(7))

    def first(self, begin: datetime, end: datetime) -> datetime | None:
        """The first moment from ``begin`` to ``end`` that lies in these hours; None if there is none.

        Both have the local time and no time zone.
        """
        found: list[datetime] = []
        midnight = datetime.combine(begin.date(), time())
        for day in range(-1, min(8, (end - midnight).days + 1)):
            date = midnight + timedelta(days=day)
            if date.weekday() not in self.days:
                continue
            for start, stop in self.spans:
                opens = date + timedelta(minutes=start)
                closes = date + timedelta(minutes=stop if stop > start else stop + _DAY)
                if (moment := max(opens, begin)) < closes and moment <= end:
                    found.append(moment)
        return min(found, default=None)

    def __str__(self) -> str:
        spans = ", ".join(f"{_clock(start)}-{_clock(stop)}" for start, stop in self.spans)
        days = "" if len(self.days) == 7 else f" on {', '.join(DAYS[day][:3] for day in sorted(self.days))}"
        return spans + days


def read_span(text: str) -> tuple[int, int]:
    """The minutes of ``22:00-06:30``. Raises `ValueError`, which says what to give instead."""
    if not (found := _TIMES.fullmatch(text)):
        raise ValueError(f"{text[:40]!r} are no hours; give them as in '22:00-06:30'")
    hours, minutes, to_hours, to_minutes = map(int, found.groups())
    for hour, minute, latest in ((hours, minutes, _DAY - 1), (to_hours, to_minutes, _DAY)):
        if minute > 59 or 60 * hour + minute > latest:
            raise ValueError(f"there is no time of day {hour:02}:{minute:02}; give 00:00 to 23:59, or 24:00 as the end")
    start, end = 60 * hours + minutes, 60 * to_hours + to_minutes
    if start == end:
        raise ValueError(f"{text[:40]!r} begins when it ends; leave this out for the whole day")
    return start, end


def read_days(texts: Sequence[str]) -> frozenset[int]:
    """The days of ``mon-fri, sun``. Raises `ValueError`, which says what to give instead."""
    found: set[int] = set()
    for text in (part.strip().lower() for one in texts for part in one.split(",")):
        names = [part.strip() for part in re.split("[-–]", text)]
        places = [
            next((at for at, day in enumerate(DAYS) if len(name) > 2 and day.startswith(name)), None) for name in names
        ]
        first, last = places[0], places[-1]
        if first is None or last is None or len(places) > 2:
            raise ValueError(f"{text[:40]!r} is no day of the week; give days as in 'mon-fri, sun'")
        found |= {(first + step) % 7 for step in range((last - first) % 7 + 1)}
    return frozenset(found)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"

"""The history: one SQLite file with a row for every segment that was recognised live, or added by a person.

docs/listen.md documents the schema, which any program may read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from os import PathLike
from typing import Any, Literal, Unpack

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.history.file import HistoryFile
from audioinceptionnext.history.records import Count, Filters, HistoryEvent

_COLUMNS = 'id, source, start, "end", label, score, model, clip, clip_start, corrected'
_MAX_VARIABLES = 500  # in one statement


class History(HistoryFile):
    """A history database. Any number of threads and processes may use one file at once, to read and to write.

    What a method has written is on disk when it returns, so that neither the end of the process nor a power cut can
    lose it.

    Args:
        path: of the file. A new or empty one becomes a history.
        read_only: open an existing history without ever writing to it.

    Raises:
        FileError: the file is none of ours, was written by a newer version, is locked for long, or cannot be read or
            written. All methods raise it, too, if the disk is full for instance.

    >>> with History("history.db") as history:
    ...     history.add("kitchen", time.time() - 2, time.time(), "Kettle whistle", 0.93, "everyday")
    ...     history.events(labels=["Kettle whistle"], newest_first=True, limit=10)
    """

    def __init__(self, path: str | PathLike[str], *, read_only: bool = False) -> None:
        super().__init__(path, read_only)

    def add(
        self,
        source: str,
        start: float,
        end: float,
        label: str,
        score: float | None = None,
        model: str = "",
        *,
        clip: str | None = None,
        clip_start: float | None = None,
        corrected: bool = False,
    ) -> int:
        """Add a row and return its id. The arguments are the attributes of `HistoryEvent`.

        Raises:
            ParameterError: the end is before the start, a time is not finite, or the label is empty.
        """
        _check(start, end, label)
        score = None if score is None else round(float(score), 4)
        times = round(float(start), 3), round(float(end), 3)
        row = source, *times, label, score, model, clip, clip_start, int(corrected)
        with self._writing() as database:
            inserted = database.execute(
                'INSERT INTO events (source, start, "end", label, score, model, clip, clip_start, corrected) '
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        return int(inserted.lastrowid or 0)

    def event(self, id: int) -> HistoryEvent | None:
        """The row with this id, or None."""
        rows = self._read(f"SELECT {_COLUMNS} FROM events WHERE id = ?", [id])
        return _event(rows[0]) if rows else None

    def events(
        self,
        *,
        limit: int | None = None,
        newest_first: bool = False,
        beyond: HistoryEvent | tuple[float, int] | None = None,
        **filters: Unpack[Filters],
    ) -> list[HistoryEvent]:
        """The rows that fit, ordered by start, and by id where the start is the same.

        Args:
            limit: return at most so many.
            newest_first: whether the order is reversed.
            beyond: return only what comes after this row, or after its start and id. So the next page begins where the
                last one ended, whatever was added meanwhile.
            filters: see `Filters`.
        """
        conditions, values = _conditions(filters)
        if beyond is not None:
            start, id = (beyond.start, beyond.id) if isinstance(beyond, HistoryEvent) else beyond
            conditions.append(f"(start, id) {'<' if newest_first else '>'} (?, ?)")
            values += [start, id]
        order = " DESC" if newest_first else ""
        return [
            _event(row)
            for row in self._read(
                f"SELECT {_COLUMNS} FROM events{_where(conditions)} ORDER BY start{order}, id{order} LIMIT ?",
                [*values, -1 if limit is None else limit],
            )
        ]

    def pages(self, rows: int = 10_000, **filters: Unpack[Filters]) -> Iterator[list[HistoryEvent]]:
        """All rows that fit, in lists of at most so many, so that a long history takes little memory."""
        page = self.events(limit=rows, **filters)
        while page:
            yield page
            page = self.events(limit=rows, beyond=page[-1], **filters)

    def counts(
        self, by: Literal["hour", "day"] = "hour", zone: tzinfo | None = None, **filters: Unpack[Filters]
    ) -> list[Count]:
        """How many of the rows that fit begin in each hour or on each day, for each label; ordered by time and label.

        Args:
            by: ``hour`` or ``day``. Hours and days without a segment are left out.
            zone: the time zone in which days begin, such as ``ZoneInfo("Europe/Berlin")``; None for that of the
                machine. When clocks are set back, the hour that comes twice is two hours.
            filters: see `Filters`.
        """
        after, before = filters.get("after"), filters.get("before")
        others: Filters = {
            **filters,
            "after": None,
            "before": None,
        }  # one range only, or SQLite may look up the wider one
        conditions, values = _conditions(others)
        where = _where([*conditions, "start >= ?", "start < ?"])
        counts: list[Count] = []
        with self._lock:
            end, last = (-math.inf if after is None else after), (math.inf if before is None else before)
            while (
                first := self._read(f"SELECT MIN(start) FROM events{where}", [*values, end, last])[0][0]
            ) is not None:
                start, end = _around(first, by, zone)
                moment = datetime.fromtimestamp(start, zone).astimezone(zone)
                rows = self._read(
                    f"SELECT label, COUNT(*) FROM events{where} GROUP BY label ORDER BY label",
                    [*values, first, min(end, last)],
                )
                counts += [Count(moment, label, number) for label, number in rows]
        return counts

    def number(self, **filters: Unpack[Filters]) -> int:
        """How many rows fit."""
        conditions, values = _conditions(filters)
        return int(self._read(f"SELECT COUNT(*) FROM events{_where(conditions)}", values)[0][0])

    def update(
        self, id: int, *, start: float | None = None, end: float | None = None, label: str | None = None
    ) -> HistoryEvent | None:
        """Change a segment as a person corrects it, and return its row; None if there is none any more.

        Raises:
            ParameterError: the end is before the start, a time is not finite, or the label is empty.
        """
        with self._writing() as database:
            row = database.execute(f"SELECT {_COLUMNS} FROM events WHERE id = ?", [id]).fetchone()
            if row is None:
                return None
            old = _event(row)
            start = old.start if start is None else round(float(start), 3) if math.isfinite(start) else start
            end = old.end if end is None else round(float(end), 3) if math.isfinite(end) else end
            label = old.label if label is None else label
            _check(start, end, label)
            database.execute(
                'UPDATE events SET start = ?, "end" = ?, label = ?, corrected = 1 WHERE id = ?', [start, end, label, id]
            )
            return _event(database.execute(f"SELECT {_COLUMNS} FROM events WHERE id = ?", [id]).fetchone())

    def delete(self, ids: Iterable[int]) -> list[HistoryEvent]:
        """Delete rows, and return those that there were. Their clips are files, which the caller deletes."""
        ids = list(ids)
        deleted: list[HistoryEvent] = []
        with self._writing() as database:
            for some in _parts(ids):
                where = f"WHERE id IN ({_marks(some)})"
                deleted += map(_event, database.execute(f"SELECT {_COLUMNS} FROM events {where}", some).fetchall())
                database.execute(f"DELETE FROM events {where}", some)
        return deleted

    def set_clip(self, id: int, clip: str, clip_start: float) -> bool:
        """State which file holds a segment's sound, and return whether the row still exists."""
        with self._writing() as database:
            return database.execute(
                "UPDATE events SET clip = ?, clip_start = ? WHERE id = ?", [clip, round(clip_start, 3), id]
            ).rowcount > 0  # fmt: skip

    def clear_clips(self, clips: Iterable[str]) -> int:
        """State that these files are gone, and return how many rows had them."""
        cleared = 0
        with self._writing() as database:
            for some in _parts(list(clips)):
                cleared += database.execute(
                    f"UPDATE events SET clip = NULL, clip_start = NULL WHERE clip IN ({_marks(some)})", some
                ).rowcount
        return cleared

    def clips(self) -> set[str]:
        """The names of all files that rows state."""
        return {name for (name,) in self._read("SELECT clip FROM events WHERE clip IS NOT NULL", [])}

    def sources(self) -> list[str]:
        """The names of all inputs, in alphabetical order."""
        return self._names("source")

    def labels(self) -> list[str]:
        """The labels of all segments, in alphabetical order."""
        return self._names("label")

    def _names(self, column: str) -> list[str]:
        """The values of a column that has an index, from which each is looked up: DISTINCT would read all of it."""
        after = f"SELECT (SELECT MIN({column}) FROM events WHERE {column} > name) FROM names WHERE name IS NOT NULL"
        names = f"WITH RECURSIVE names(name) AS (SELECT MIN({column}) FROM events UNION ALL {after})"
        return [name for (name,) in self._read(f"{names} SELECT name FROM names WHERE name IS NOT NULL", [])]


def _event(row: Sequence[Any]) -> HistoryEvent:
    *values, corrected = row
    return HistoryEvent(*[*values, bool(corrected)])


def _check(start: float, end: float, label: str) -> None:
    for name, value in (("start", start), ("end", end)):
        if not math.isfinite(value):
            raise ParameterError(name, value, "give Unix seconds")
    if end < start:
        raise ParameterError("end", end, f"this is before the start, {start}")
    if not label.strip():
        raise ParameterError("label", label, "give a label")


def _conditions(filters: Filters) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    tests = {"after": "start >= ?", "before": "start < ?", "after_id": "id > ?"}
    tests["min_score"] = "(score IS NULL OR score >= ?)"
    for name, condition in tests.items():
        if (value := filters.get(name)) is not None:
            conditions.append(condition)
            values.append(value)
    for column, names in (("label", filters.get("labels")), ("source", filters.get("sources"))):
        if names is not None:
            conditions.append(f"{column} IN ({_marks(names)})")
            values += names
    return conditions, values


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    for first in range(0, len(values), _MAX_VARIABLES):
        yield values[first : first + _MAX_VARIABLES]


def _around(seconds: float, by: str, zone: tzinfo | None) -> tuple[float, float]:
    """The start and the end of the hour or day in which a second lies, in Unix seconds."""
    local = datetime.fromtimestamp(seconds, zone)
    if by == "hour":  # whatever is added to UTC, the minutes are right
        start = math.floor(seconds) - local.minute * 60 - local.second
        return start, start + 3600
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return midnight.timestamp(), (midnight + timedelta(days=1)).timestamp()  # days on the calendar, not of 24 hours

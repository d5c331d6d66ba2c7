"""What happens to the segments of a stream: each is announced once, and then ends or is withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from audioinceptionnext.results.types import Segment

TOLERANCE_S = 1.0  # how far a segment may begin from where it was announced


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a segment of a stream.

    Attributes:
        kind: ``start``: it has begun; ``end``: it is complete; ``withdraw``: it was announced, but there is no such
            segment after all.
        id: ties the events of a segment together; from 1 on in each stream.
        segment: as it was known when it was announced or, at its end, as `Step.segments` has it.
    """

    kind: Literal["start", "end", "withdraw"]
    id: int
    segment: Segment

    def as_dict(self, names: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The JSON object: ``event`` (the kind), ``id``, and what is known of the segment by then.

        Args:
            names: of the labels, as for `Segment.as_dict`.
        """
        unknown = {"start": ("end",), "end": (), "withdraw": ("end", "score")}[self.kind]
        known = {name: value for name, value in self.segment.as_dict(names).items() if name not in unknown}
        return {"event": self.kind, "id": self.id, **known}


class Observer(Protocol):
    """Takes what happens at live inputs, such as a journal, rules or a history. It must not keep its caller waiting.

    One that also has `Follower.going_on` learns how long segments last while they go on.
    """

    def samples(self, source: str, began: datetime, start: float, samples: np.ndarray) -> None:
        """Take sound, in order, before the events that it brings.

        Args:
            source: the input's name.
            began: the time of day at which the input's second 0 was recorded. It may be set anew while nothing sounds,
                since the clock of an input is not exact.
            start: of the samples, in seconds from there; higher than the last ones' end if sound was skipped.
            samples: (n,) mono float32 at the model's rate.
        """

    def event(self, source: str, began: datetime, event: Event) -> None:
        """Take an event. Its ``id`` is unique within a source since ``began``.

        Args:
            source, began: as for `samples`. The segment begins at ``began + timedelta(seconds=event.segment.start)``.
        """

    def close(self) -> None:
        """Finish what is still under way, within a few seconds. Called once, after the last event."""


@runtime_checkable
class Follower(Protocol):
    """Takes what is known of segments while they go on."""

    def going_on(self, source: str, began: datetime, segments: Sequence[tuple[int, Segment]]) -> None:
        """Take segments that were announced and have not ended or been withdrawn, after the events of the same sound.

        Args:
            source, began: as for `Observer.samples`.
            segments: each with the ``id`` of its events, as it is known by now.
        """


@dataclass(slots=True)
class _Announced:
    id: int
    segment: Segment  # as it was announced
    end: float  # up to which it was last seen
    newest: Segment  # as it was last seen

    def may_be(self, segment: Segment) -> bool:
        """Whether this is what was announced: they overlap, or it begins or ends near the announced start."""
        start = self.segment.start
        last = max(self.end, start + TOLERANCE_S)
        return segment.start <= last and segment.end >= start - TOLERANCE_S


class Announcer:
    """Announces segments, and remembers which have not ended yet. Of one label, several may be so."""

    def __init__(self) -> None:
        self._announced: dict[str, list[_Announced]] = {}
        self._last_id = 0

    def see(self, segments: Iterable[Segment]) -> list[Event]:
        """Take what the timeline has by now, be it certain or not. What is new is announced.

        Args:
            segments: ordered by start. No two of them are what was announced as one.
        """
        events: list[Event] = []
        seen: set[int] = set()
        for segment in segments:
            if (known := self._nearest(segment, seen)) is None:
                known = _Announced(self._last_id + 1, segment, segment.end, segment)
                self._last_id = known.id
                self._announced.setdefault(segment.label, []).append(known)
                events.append(Event("start", known.id, segment))
            known.end, known.newest = max(known.end, segment.end), segment
            seen.add(known.id)
        return events

    def complete(self, segments: Iterable[Segment], known_until: Callable[[str], float]) -> list[Event]:
        """Take final segments, and withdraw what none of them can be any more.

        Args:
            segments: ordered by start.
            known_until: the second before which a label has no further final segment.
        """
        events: list[Event] = []
        for segment in segments:
            if (known := self._nearest(segment)) is None:
                events += self.see([segment])
                known = self._announced[segment.label][-1]
            self._announced[segment.label].remove(known)
            events.append(Event("end", known.id, segment))
        for label in [label for label, waiting in self._announced.items() if waiting]:
            until = known_until(label)
            for one in list(self._announced[label]):
                if max(one.end, one.segment.start + TOLERANCE_S) < until:
                    self._announced[label].remove(one)
                    events.append(Event("withdraw", one.id, one.segment))
        return events

    def going_on(self) -> list[tuple[int, Segment]]:
        """What was announced and has not ended yet, by id, as it was last seen."""
        return [(one.id, one.newest) for waiting in self._announced.values() for one in waiting]

    def _nearest(self, segment: Segment, seen: Iterable[int] = ()) -> _Announced | None:
        """Of what was announced and may be this segment, that which begins nearest to it."""
        waiting = self._announced.get(segment.label, ())
        fitting = [one for one in waiting if one.id not in seen and one.may_be(segment)]
        return min(fitting, key=lambda one: abs(one.segment.start - segment.start), default=None)


class Observers:
    """Several observers as one: each event goes to all of them in order. They are called by one thread at a time."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)
        self._lock = Lock()

    def samples(self, source: str, began: datetime, start: float, samples: np.ndarray) -> None:
        with self._lock:
            for one in self._observers:
                one.samples(source, began, start, samples)

    def event(self, source: str, began: datetime, event: Event) -> None:
        with self._lock:
            for one in self._observers:
                one.event(source, began, event)

    def going_on(self, source: str, began: datetime, segments: Sequence[tuple[int, Segment]]) -> None:
        with self._lock:
            for one in self._observers:
                if isinstance(one, Follower):
                    one.going_on(source, began, segments)

    def close(self) -> None:
        for one in self._observers:
            one.close()

"""Rules over live inputs: which segment raises an alert, and which targets get it."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from audioinceptionnext.alerts.alert import Alert
from audioinceptionnext.alerts.delivery import Item, Target, Warn
from audioinceptionnext.alerts.mqtt import MqttTarget
from audioinceptionnext.alerts.rules import Action, Broker, Command, Print, Rule, Rules, ToFile
from audioinceptionnext.alerts.targets import AlertFile, Printer, Program
from audioinceptionnext.alerts.webhook import WebhookTarget
from audioinceptionnext.inference.events import Event
from audioinceptionnext.results.types import Segment

CLOSE_S = 5.0  # for what still waits at the end
MAX_COOLDOWNS = 10_000  # that are remembered, of rules and inputs


class Judge:
    """Decides which segments raise alerts. It has no clock: all times are those of the sound.

    A rule raises at most one alert for a segment, at the first moment of it at which all conditions hold. So it looks
    at a segment again and again while that goes on.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules.rules
        self._last: dict[tuple[str, str], datetime] = {}  # by rule and source: when the last alert was raised

    def look(
        self, source: str, began: datetime, segment: Segment, ended: bool, fired: set[str]
    ) -> list[tuple[Rule, Alert]]:
        """The alerts that a segment raises now.

        Args:
            source, began, segment: as in `Observer.event`; the segment is as it is known by now.
            ended: whether nothing can lengthen it any more.
            fired: the names of the rules that it has set off, to which this adds.
        """
        found: list[tuple[Rule, Alert]] = []
        for rule in self._rules:
            key = rule.name, source
            if rule.name in fired or not rule.concerns(source, segment.label):
                continue
            if (moment := rule.moment(began, segment, self._last.get(key))) is None:
                continue
            fired.add(rule.name)
            if rule.cooldown:
                self._last.pop(key, None)  # so that the oldest comes first
                self._last[key] = moment
                if len(self._last) > MAX_COOLDOWNS:  # clients of a server can call their streams anything
                    del self._last[next(iter(self._last))]
            alert = Alert(
                # An input may have begun when clocks had another offset.
                time=(began + timedelta(seconds=segment.start)).astimezone(),
                rule=rule.name,
                source=source,
                label=segment.label,
                score=segment.score,
                start=segment.start,
                end=segment.end if ended else None,
                raised=moment.astimezone(),
                id=secrets.token_hex(8),
            )
            found.append((rule, alert))
        return found


@dataclass(slots=True)
class _Known:
    """What is known of a segment that goes on."""

    label: str
    score: float
    fired: set[str] = field(default_factory=set)
    alerts: list[tuple[Rule, Alert]] = field(default_factory=list)


@dataclass(slots=True)
class _Source:
    """An input since ``began``: its segments that go on, by the number of their events."""

    began: datetime
    segments: dict[int, _Known] = field(default_factory=dict)


class Alerts:
    """An `Observer` that carries out rules. Any thread may call it.

    It never waits for a target: each of them has a thread and a queue of its own. All times are those of the sound, so
    that a replay at any speed raises the same alerts.

    Args:
        rules: as `load_rules` reads them.
        warn: takes one line when a target fails or alerts are dropped. Prints it on stderr unless given. It may be
            called from any thread.
        show: takes the alerts of the action ``print``. Prints them as lines on stdout unless given. It is called from
            one thread.

    Raises:
        FileError: a file cannot be appended to.
        MissingDependencyError: paho-mqtt is not installed.

    >>> alerts = Alerts(load_rules("rules.yaml", model.label_set))
    """

    def __init__(
        self, rules: Rules, *, warn: Warn | None = None, show: Callable[[Alert], None] | None = None
    ) -> None:  # fmt: skip
        self._warn: Warn = warn or (lambda line: print(f"ainext: warning: {line}", file=sys.stderr, flush=True))
        self._show = show or (lambda alert: print(alert, flush=True))
        self._judge = Judge(rules)
        self._sources: dict[str, _Source] = {}
        self._on: dict[str, int] = {}  # by rule: how many segments that raised an alert go on
        self._lock = threading.Lock()
        self.targets: dict[Action, Target] = {}
        try:
            for action in dict.fromkeys(action for rule in rules.rules for action in rule.actions):
                self.targets[action] = self._target(action, [one for one in rules.rules if action in one.actions])
        except BaseException:
            self.close()
            raise

    def samples(self, source: str, began: datetime, start: float, samples: np.ndarray) -> None:
        """Rules need no samples."""

    def event(self, source: str, began: datetime, event: Event) -> None:
        """Take an event, as `Observer.event` does."""
        with self._lock:
            segments = self._of(source, began).segments
            if event.kind == "withdraw":
                self._end(segments.pop(event.id, None))
                self._forget(source)
                return
            known = segments.pop(event.id, None) or _Known(event.segment.label, event.segment.score)
            self._look(source, began, event.segment, event.kind == "end", known)
            if event.kind == "end":
                self._end(known)
                self._forget(source)
            else:
                segments[event.id] = known
                self._state(known.label)

    def going_on(self, source: str, began: datetime, segments: Iterable[tuple[int, Segment]]) -> None:
        """Take segments that were announced and have not ended, as they are known by now.

        Without this, a rule with a minimum duration raises its alert when the segment ends.

        Args:
            source: as in `event`.
            began: as in `event`.
            segments: with the numbers of their events.
        """
        with self._lock:
            known = self._of(source, began).segments
            for number, segment in segments:
                if number in known:
                    self._look(source, began, segment, False, known[number])

    def close(self) -> None:
        """Deliver what waits, within a few seconds, and say how many alerts were dropped."""
        with self._lock:
            for source in self._sources.values():
                self._end_all(source)
            until = time.monotonic() + CLOSE_S
            for target in self.targets.values():
                target.close()
        for target in self.targets.values():
            target.join(until)

    def _look(self, source: str, began: datetime, segment: Segment, ended: bool, known: _Known) -> None:
        known.score = segment.score
        for rule, alert in self._judge.look(source, began, segment, ended, known.fired):
            known.alerts.append((rule, alert))
            self._on[rule.name] = self._on.get(rule.name, 0) + 1
            for action in rule.actions:
                self.targets[action].put(Item(alert))

    def _end(self, known: _Known | None) -> None:
        """Turn off what a segment turned on that has ended or was withdrawn."""
        if known is None:
            return
        for rule, alert in known.alerts:
            self._on[rule.name] -= 1
            if not self._on[rule.name]:
                for action in rule.actions:
                    if isinstance(action, Broker):
                        self.targets[action].put(Item(alert, ended=True))
        self._state(known.label)

    def _end_all(self, source: _Source) -> None:
        while source.segments:
            self._end(source.segments.popitem()[1])

    def _forget(self, source: str) -> None:
        """Keep nothing of an input of which no segment goes on."""
        if not self._sources[source].segments:
            del self._sources[source]

    def _state(self, label: str) -> None:
        """Tell the broker the highest score of a label's segments that go on, of all inputs."""
        scores = [
            known.score
            for source in self._sources.values()
            for known in source.segments.values()
            if known.label == label
        ]
        for target in self.targets.values():
            if isinstance(target, MqttTarget):
                target.recognised(label, max(scores, default=0.0))

    def _of(self, source: str, began: datetime) -> _Source:
        """What is known of an input. If it has begun anew, the segments of before are over."""
        known = self._sources.get(source)
        if known is None or known.began != began:
            if known is not None:
                self._end_all(known)
            known = self._sources[source] = _Source(began)
        return known

    def _target(self, action: Action, rules: list[Rule]) -> Target:
        if isinstance(action, Print):
            return Printer(self._show, self._warn)
        if isinstance(action, ToFile):
            return AlertFile(action.path, self._warn)
        if isinstance(action, Command):
            return Program(action, self._warn)
        if isinstance(action, Broker):
            return MqttTarget(action, rules, self._warn)
        return WebhookTarget(action, self._warn)

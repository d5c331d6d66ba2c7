"""What ``ainext listen`` prints."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from rich.cells import cell_len, set_cell_size

from audioinceptionnext.alerts.alert import Alert
from audioinceptionnext.cli.streams import OutputEnded
from audioinceptionnext.errors import AinextError, printable
from audioinceptionnext.inference.events import Event
from audioinceptionnext.inference.stream import Step
from audioinceptionnext.results.formats import format_time
from audioinceptionnext.results.types import Segment, named_label

_REFRESH_S = 0.1  # from one status line to the next


class Printer:
    """Prints results to stdout, each line at once, and everything else to stderr. Several threads may use it.

    Args:
        as_json: whether to print JSON lines.
        steps: whether to print steps too.
        delay: seconds by which results follow the sound, shown until there are any.
        sources: the names of the inputs, if lines are to say whose they are; otherwise empty.
        names: of the labels, in the language that was asked for; otherwise empty.

    Attributes:
        closed: whether nobody reads the results any more.
        failed: why they cannot be written.
    """

    def __init__(
        self,
        as_json: bool,
        steps: bool,
        delay: float = 0.0,
        sources: Collection[str] = (),
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._as_json, self._steps, self._sources, self._names = as_json, steps, sources, names or {}
        self._width = max((len(_shown(source)) for source in sources), default=0)
        self._waiting = f"… (results follow the sound by {delay:.1f} s)" if delay else "…"
        self._status = ""
        self._open: dict[str, list[Segment]] = {}
        self._shown_at = 0.0
        self._lock = threading.RLock()
        self.closed = self._muted = False
        self.failed: AinextError | None = None

    def print_step(self, source: str, step: Step) -> None:
        """Print a step as ``{"event": "step", "start", "end", "label", "score"}``, if steps are asked for."""
        if self._steps:
            times = {"start": round(step.start, 3), "end": round(step.end, 3)}
            score = round(step.score, 4)
            values = {"event": "step", **times, **named_label(step.label, self._names), "score": score}
            self._print_json(source, values)

    def samples(self, source: str, began: datetime, start: float, samples: np.ndarray) -> None:
        """Nothing is done with the sound."""

    def event(self, source: str, began: datetime, event: Event) -> None:
        """Print an event as a line of JSON, or a segment that has ended as text."""
        segment = event.segment
        if self._as_json:
            kind, number, *known = event.as_dict(self._names).items()
            time_of_day = began + timedelta(seconds=segment.start)
            times = {"time": time_of_day.isoformat(timespec="milliseconds")}
            self._print_json(source, dict([kind, number]) | times | dict(known))
        elif event.kind == "end":
            times_of = f"{format_time(segment.start):>12}  {format_time(segment.end):>12}"
            line = f"{times_of}  {segment.score:>4.0%}  {self._name(segment)}"
            self._print(f"{_shown(source):{self._width}}  {line}" if self._sources else line)

    def print_alert(self, alert: Alert) -> None:
        """Print an alert as a line of JSON, or as text."""
        if self._as_json:
            self._print(json.dumps({"event": "alert"} | alert.as_dict(), ensure_ascii=False))
        else:
            self._print(str(replace(alert, label=self._names.get(alert.label, alert.label))))

    def close(self) -> None:
        """Nothing is under way."""

    def fail(self, error: AinextError) -> None:
        """Stop, since results cannot be written."""
        self.closed, self.failed = True, error

    def print_status(self, source: str, seconds: float, open_segments: list[Segment]) -> None:
        """Print one line on a terminal, which the next one replaces."""
        if not sys.stderr.isatty():
            return
        with self._lock:
            self._open[source] = open_segments
            if time.monotonic() < self._shown_at + _REFRESH_S:
                return
            self._shown_at = time.monotonic()
            found = [(one, name) for name, segments in self._open.items() for one in segments]
            # The line may have room for some only.
            labels = ", ".join(
                f"{_shown(name)}: {self._sounding(one)}" if self._sources else self._sounding(one)
                for one, name in sorted(found, key=lambda item: -item[0].score)
            )
            self._clear()
            line = f"{format_time(seconds)[:-2]}  {labels or self._waiting}"
            self._status = _cut(line, shutil.get_terminal_size().columns - 1)
            print(self._status, end="", file=sys.stderr, flush=True)

    def print_note(self, line: str) -> None:
        """Print a line on stderr."""
        with self._lock:
            self._clear()
            print(f"ainext: {printable(' '.join(line.split()))}", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._status:
            print(f"\r{' ' * cell_len(self._status)}\r", end="", file=sys.stderr, flush=True)
            self._status = ""

    def _print_json(self, source: str, values: dict[str, Any]) -> None:
        named = {"source": source} if self._sources else {}
        self._print(json.dumps(named | values, ensure_ascii=False))

    def _print(self, line: str) -> None:
        with self._lock:
            if self._muted:
                return
            self._clear()
            try:
                print(line, flush=True)
            except OutputEnded as ended:
                self.closed = self._muted = True
                if ended.reason is not None:  # `| head` has seen enough, which is no failure
                    self.failed = AinextError(ended.reason)

    def _name(self, segment: Segment) -> str:
        return _shown(self._names.get(segment.label, segment.label))

    def _sounding(self, segment: Segment) -> str:
        return f"{self._name(segment)} {segment.score:.0%}"


def _cut(line: str, columns: int) -> str:
    """As much of a line as fits; a terminal gives two columns to many Asian letters."""
    return line if cell_len(line) <= columns else set_cell_size(line, columns)


def _shown(name: str) -> str:
    return printable(" ".join(name.split()))

"""The loop of ``ainext listen``, and what it prints and writes."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from audioinceptionnext.audio.capture import Backlog, LiveInput
from audioinceptionnext.cli.streams import OutputEnded
from audioinceptionnext.errors import AinextError, ParameterError, counted, printable, unexpected, writing
from audioinceptionnext.inference.events import Event
from audioinceptionnext.inference.stream import Step, Stream
from audioinceptionnext.results.formats import format_time
from audioinceptionnext.results.types import Segment

BEHIND_S = 2.0  # a backlog that is longer is reported
CHUNK_S = 2.5  # taken at a time
BUFFER_S = 10.0  # read ahead from an input that waits for us
MAX_BACKLOG_S = 300.0  # kept of an input that does not wait
_POLL_S = 0.2  # how long a signal may go unnoticed while no sound comes
_LOG_COLUMNS = ("source", "began", "start", "end", "label", "score")
_REFRESH_S = 0.1  # from one status line to the next


class LiveLoop:
    """Recognises one input from its start to its end, or until something stops it.

    Args:
        source: the input.
        stream: makes a stream that starts at the given second.
        printer: takes the results.
        rate: of the input and the stream, in Hz.
        drop: whether to skip sound when recognition falls behind.
        stop_after: seconds of sound after which to stop.
    """

    def __init__(
        self,
        source: LiveInput,
        stream: Callable[[float], Stream],
        printer: Printer,
        rate: int,
        drop: bool = False,
        stop_after: float | None = None,
    ) -> None:
        self.source, self.printer, self.rate, self.drop = source, printer, rate, drop
        self._new_stream, self.stream = stream, stream(0)
        self._max_samples = None if stop_after is None else round(stop_after * rate)
        self._taken = self._skipped = 0  # samples; the former includes the latter
        self._ids = self._ids_before = 0  # of events: the highest one, and that of the streams before this one
        self._began = 0.0
        self._reported = False

    def run(self) -> bool:
        """Return whether all went well. Raises `AinextError` if no sound came at all."""
        limit = BUFFER_S if self.drop or self.source.waits else MAX_BACKLOG_S
        with _signals() as stop:
            backlog = Backlog(self.source, self.rate, limit, self.drop)
            try:
                self._recognise(backlog, stop)
                error = backlog.error if backlog.over else None
                if error is not None and not self._taken:
                    raise error
                self._print(self.stream.finish())
                self._print_summary(0.0 if self.source.waits or self._is_done() else backlog.seconds)
            finally:
                backlog.close()
        error = self.printer.failed or error
        if error is not None:
            known = isinstance(error, AinextError)
            self.printer.print_note(str(error) if known else f"{self.source.name}: {unexpected(error)}")
        return error is None

    def _recognise(self, backlog: Backlog, stop: threading.Event) -> None:
        chunk = round(CHUNK_S * self.rate)  # not more, or a signal would wait too long
        while not (stop.is_set() or self.printer.closed or self._is_done()):
            if self.drop and backlog.seconds > BEHIND_S + self.stream.window_seconds:
                self._skip(backlog)
            left = chunk if self._max_samples is None else min(chunk, self._max_samples - self._taken)
            samples = backlog.take(left, _POLL_S)
            if not len(samples) and backlog.over:
                return
            if len(samples) and not self._taken:
                self._began = time.monotonic() - len(samples) / self.rate
                self.printer.began = datetime.now().astimezone() - timedelta(seconds=len(samples) / self.rate)
            self._taken += len(samples)
            self._print(self.stream.push(samples))
            self._report_backlog(backlog)
            self.printer.print_status(self._taken / self.rate, self.stream.open_segments())

    def _is_done(self) -> bool:
        return self._max_samples is not None and self._taken >= self._max_samples

    def _print(self, steps: list[Step]) -> None:
        """Print what a stream has just returned, and its events."""
        for step in steps:
            self.printer.print_step(step)
        for event in self.stream.events:
            number = self._ids_before + event.id
            self._ids = max(self._ids, number)
            self.printer.print_event(replace(event, id=number))

    def _skip(self, backlog: Backlog) -> None:
        """Go on with the newest window in a new stream, since nothing is known about what lies between."""
        self._print(self.stream.finish())
        skipped = backlog.skip(round(self.stream.window_seconds * self.rate))
        self._taken += skipped
        self._skipped += skipped
        self.stream, self._ids_before = self._new_stream(self._taken / self.rate), self._ids
        self.printer.print_note(
            f"behind: skipped {skipped / self.rate:.1f} s, up to {format_time(self._taken / self.rate)}"
        )

    def _report_backlog(self, backlog: Backlog) -> None:
        """Say once that sound is waiting, unless it only came faster than real time, as a file through a pipe does."""
        late = time.monotonic() - self._began - self._taken / self.rate
        if self._reported or self.drop or self.source.recorded or min(backlog.seconds, late) < BEHIND_S:
            return
        self._reported = True
        advice = "a longer --hop or a smaller --model takes less time, and --drop skips ahead"
        self.printer.print_note(
            f"{min(backlog.seconds, late):.1f} s behind: recognition is slower than the sound; {advice}"
        )

    def _print_summary(self, left: float) -> None:
        parts = [f"listened to {format_time((self._taken - self._skipped) / self.rate)} of {self.source.name}"]
        parts.append(counted(self.printer.segments, "segment"))
        if self._skipped:
            parts.append(f"skipped {self._skipped / self.rate:.1f} s")
        if left >= BEHIND_S:
            parts.append(f"left out the last {left:.1f} s")
        self.printer.print_note(", ".join(parts))


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set. A second signal has its usual effect."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: object) -> None:
        stop.set()
        restore()

    main = threading.current_thread() is threading.main_thread()  # no other thread may have handlers
    for number in (signal.SIGINT, signal.SIGTERM) if main else ():
        before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()


class Printer:
    """Prints results to stdout and to the journal, each line at once, and everything else to stderr.

    Args:
        as_json: whether to print JSON lines.
        steps: whether to print steps too.
        journal: takes every segment; None for no journal.
        delay: seconds by which results follow the sound, shown until there are any.

    Attributes:
        began: the time of day at which the sound began.
        segments: the number of segments so far.
        closed: whether nobody reads the results any more.
        failed: why they cannot be written.
    """

    def __init__(self, as_json: bool, steps: bool, journal: Journal | None, delay: float = 0.0) -> None:
        self._as_json, self._steps, self._journal = as_json, steps, journal
        self._waiting = f"… (results follow the sound by {delay:.1f} s)" if delay else "…"
        self._status = ""
        self._shown_at = 0.0
        self.began = datetime.now().astimezone()
        self.segments = 0
        self.closed = self._muted = False
        self.failed: AinextError | None = None

    def print_step(self, step: Step) -> None:
        """Print a step as ``{"event": "step", "start", "end", "label", "score"}``, if steps are asked for."""
        if self._steps:
            times = {"start": round(step.start, 3), "end": round(step.end, 3)}
            values = {"event": "step", **times, "label": step.label, "score": round(step.score, 4)}
            self._print(json.dumps(values, ensure_ascii=False))

    def print_event(self, event: Event) -> None:
        """Print an event as a line of JSON, or a segment that has ended as text; the journal takes the latter only."""
        if self._as_json:
            kind, number, *known = event.as_dict().items()
            times = {"time": self._time(event.segment.start)}
            self._print(json.dumps(dict([kind, number]) | times | dict(known), ensure_ascii=False))
        if event.kind == "end":
            self._print_segment(event.segment)

    def _print_segment(self, segment: Segment) -> None:
        self.segments += 1
        if not self._as_json:
            label = printable(" ".join(segment.label.split()))
            self._print(
                f"{format_time(segment.start):>12}  {format_time(segment.end):>12}  {segment.score:>4.0%}  {label}"
            )
        if self._journal is not None:
            try:
                self._journal.write({"began": self._time(0), **segment.as_dict()})
            except AinextError as error:
                self.closed, self.failed, self._journal = True, error, None

    def _time(self, seconds: float) -> str:
        """The time of day at this second of the sound."""
        return (self.began + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

    def print_status(self, seconds: float, open_segments: list[Segment]) -> None:
        """Print one line on a terminal, which the next one replaces."""
        if not sys.stderr.isatty() or time.monotonic() < self._shown_at + _REFRESH_S:
            return
        self._shown_at = time.monotonic()
        best = sorted(open_segments, key=lambda one: -one.score)  # the line may have room for some only
        labels = ", ".join(f"{printable(' '.join(one.label.split()))} {one.score:.0%}" for one in best)
        self._clear()
        self._status = f"{format_time(seconds)[:-2]}  {labels or self._waiting}"[
            : shutil.get_terminal_size().columns - 1
        ]
        print(self._status, end="", file=sys.stderr, flush=True)

    def print_note(self, line: str) -> None:
        """Print a line on stderr."""
        self._clear()
        print(f"ainext: {printable(' '.join(line.split()))}", file=sys.stderr, flush=True)

    def _clear(self) -> None:
        if self._status:
            print(f"\r{' ' * len(self._status)}\r", end="", file=sys.stderr, flush=True)
            self._status = ""

    def _print(self, line: str) -> None:
        if self._muted:
            return
        self._clear()
        try:
            print(line, flush=True)
        except OutputEnded as ended:
            self.closed = self._muted = True
            if ended.reason is not None:  # `| head` has seen enough, which is no failure
                self.failed = AinextError(ended.reason)


class Journal:
    """A file to which segments are appended, one whole line at a time.

    Args:
        path: ends in .csv or .jsonl.
        source: what the lines call the input.

    Raises:
        ParameterError: another suffix, or a file with other lines.
        FileError: the file cannot be written.
    """

    def __init__(self, path: Path, source: str) -> None:
        if path.suffix not in (".csv", ".jsonl"):
            raise ParameterError("log", path, "give a file that ends in .csv or .jsonl")
        self._path, self._source, self._csv = path, source, path.suffix == ".csv"
        with writing(path):
            if path.is_file() and not self._fits(path):
                raise ParameterError("log", path, "this file has other lines than a log of segments; give another file")
            self._file = path.open("ab+")
            size = self._file.seek(0, os.SEEK_END)
            if self._csv and not size:
                self._append(f"{','.join(_LOG_COLUMNS)}\n")
            elif size:
                self._file.seek(size - 1)
                if self._file.read() != b"\n":  # a process was killed while writing
                    self._append("\n")

    def _fits(self, path: Path) -> bool:
        """Whether the first line of a file is one of a journal, or was not completed."""
        with path.open("rb") as file:
            first = file.readline()
        if not first.endswith(b"\n") and not self._csv:
            return first[:11] == b'{"source": '[: len(first)]
        if self._csv:
            return not first or first.decode("utf-8", "replace").strip().split(",") == [*_LOG_COLUMNS]
        try:
            return set(_LOG_COLUMNS) <= set(json.loads(first))
        except (ValueError, TypeError):
            return False

    def write(self, values: dict[str, Any]) -> None:
        """Append one line. Raises `FileError`."""
        row = {"source": self._source, **values}
        if self._csv:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerow(row.values())
            line = text.getvalue()
        else:
            line = json.dumps(row, ensure_ascii=False) + "\n"
        with writing(self._path):
            self._append(line)

    def close(self) -> None:
        with suppress(OSError):  # what could not be written has been reported
            self._file.close()

    def _append(self, text: str) -> None:
        self._file.write(text.encode("utf-8", errors="replace"))
        self._file.flush()

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
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from audioinceptionnext.audio.capture import Backlog, Input
from audioinceptionnext.errors import AinextError, unexpected, writing
from audioinceptionnext.inference.stream import Answer, Stream
from audioinceptionnext.inference.windows import BATCH
from audioinceptionnext.results.formats import clock
from audioinceptionnext.results.types import Segment

BEHIND_S = 2.0  # sound that waits longer is worth a word
KEPT_S = 10.0  # read ahead, of an input that waits
MOST_BEHIND_S = 300.0  # kept of one that does not
_LOOK_S = 0.2  # how long a signal may go unseen while no sound comes
_REFRESH_S = 0.1  # from one status line to the next


class Listening:
    """One source heard from its start to its end, or until something stops it.

    Args:
        source: the sound.
        stream: makes a stream that starts at so many seconds.
        printer: where the results go.
        rate: samples per second of source and stream.
        drop: whether to leave sound out when behind.
        most: seconds of sound after which to stop.
    """

    def __init__(
        self,
        source: Input,
        stream: Callable[[float], Stream],
        printer: Printer,
        rate: int,
        drop: bool = False,
        most: float | None = None,
    ) -> None:
        self.source, self.printer, self.rate, self.drop = source, printer, rate, drop
        self._new_stream, self.stream = stream, stream(0)
        self._most = None if most is None else round(most * rate)
        self._taken = self._skipped = 0  # samples; the former includes the latter
        self._began = 0.0
        self._told = False

    def run(self) -> bool:
        """Whether all went well. Raises AinextError if nothing could be heard at all."""
        most = KEPT_S if self.drop or self.source.waits else MOST_BEHIND_S
        with _signals() as stop:
            backlog = Backlog(self.source, self.rate, most, self.drop)
            try:
                self._hear(backlog, stop)
                error = backlog.error if backlog.over else None
                if error is not None and not self._taken:
                    raise error
                self._give(self.stream.finish())
                self._sum_up(0.0 if self.source.waits or self._enough() else backlog.seconds)
            finally:
                backlog.close()
        error = self.printer.failed or error
        if error is not None:
            known = isinstance(error, AinextError)
            self.printer.say(str(error) if known else f"{self.source.name}: {unexpected(error)}")
        return error is None

    def _hear(self, backlog: Backlog, stop: threading.Event) -> None:
        batch = round(BATCH * self.stream.hop * self.rate)  # not more, or a signal would wait too long
        while not (stop.is_set() or self.printer.closed or self._enough()):
            if self.drop and backlog.seconds > BEHIND_S + self.stream.window:
                self._skip(backlog)
            left = batch if self._most is None else min(batch, self._most - self._taken)
            samples = backlog.take(left, _LOOK_S)
            if not len(samples) and backlog.over:
                return
            if len(samples) and not self._taken:
                self._began = time.monotonic() - len(samples) / self.rate
                self.printer.began = datetime.now().astimezone() - timedelta(seconds=len(samples) / self.rate)
            self._taken += len(samples)
            self._give(self.stream.push(samples))
            self._tell_if_behind(backlog)
            self.printer.status(self._taken / self.rate, self.stream.sounding())

    def _enough(self) -> bool:
        return self._most is not None and self._taken >= self._most

    def _give(self, answers: list[Answer]) -> None:
        for answer in answers:
            self.printer.answer(answer)
            for segment in answer.segments:
                self.printer.segment(segment)

    def _skip(self, backlog: Backlog) -> None:
        """Go on with the newest window. What lies before is another stream: nothing is known of what is between."""
        self._give(self.stream.finish())
        skipped = backlog.skip(round(self.stream.window * self.rate))
        self._taken += skipped
        self._skipped += skipped
        self.stream = self._new_stream(self._taken / self.rate)
        self.printer.say(f"behind: skipped {skipped / self.rate:.1f} s, up to {clock(self._taken / self.rate)}")

    def _tell_if_behind(self, backlog: Backlog) -> None:
        """Once: sound waits, and not because it came faster than time goes, as a file through a pipe does."""
        late = time.monotonic() - self._began - self._taken / self.rate
        if self._told or self.drop or self.source.recorded or min(backlog.seconds, late) < BEHIND_S:
            return
        self._told = True
        wanted = "a longer --hop or a smaller --model needs less, --drop skips ahead"
        self.printer.say(
            f"{min(backlog.seconds, late):.1f} s behind: the sound comes faster than it is heard; {wanted}"
        )

    def _sum_up(self, unheard: float) -> None:
        count = self.printer.segments
        parts = [f"heard {clock((self._taken - self._skipped) / self.rate)} of {self.source.name}"]
        parts.append(f"{count} segment{'' if count == 1 else 's'}")
        if self._skipped:
            parts.append(f"skipped {self._skipped / self.rate:.1f} s")
        if unheard >= BEHIND_S:
            parts.append(f"left {unheard:.1f} s that had come unheard")
        self.printer.say(", ".join(parts))


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one does what it always does."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: object) -> None:
        stop.set()
        restore()

    main = threading.current_thread() is threading.main_thread()  # no other may have handlers
    for number in (signal.SIGINT, signal.SIGTERM) if main else ():
        before[number] = signal.signal(number, handle)
    try:
        yield stop
    finally:
        restore()


class Printer:
    """Results to stdout and to the journal, each line at once; all else to stderr.

    Attributes:
        began: the time at which the sound began, for the journal.
        segments: how many were given.
        closed: whether nobody takes the results any more.
        failed: why they cannot be written.
    """

    def __init__(self, as_json: bool, answers: bool, journal: Journal | None) -> None:
        self._as_json, self._answers, self._journal = as_json, answers, journal
        self._status = ""
        self._shown = 0.0
        self.began = datetime.now().astimezone()
        self.segments = 0
        self.closed = self._muted = False
        self.failed: AinextError | None = None

    def answer(self, answer: Answer) -> None:
        if self._answers:
            found = {"start": round(answer.start, 3), "end": round(answer.end, 3), "answer": answer.label}
            self._print(json.dumps({**found, "score": round(answer.score, 4)}, ensure_ascii=False))

    def segment(self, segment: Segment) -> None:
        self.segments += 1
        found = segment.as_dict()
        if self._as_json:
            self._print(json.dumps(found, ensure_ascii=False))
        else:
            label = " ".join(segment.label.split())
            self._print(f"{clock(segment.start):>12}  {clock(segment.end):>12}  {label}  {segment.score:.0%}")
        if self._journal is not None:
            try:
                self._journal.write({"began": self.began.isoformat(timespec="milliseconds"), **found})
            except AinextError as error:
                self.closed, self.failed, self._journal = True, error, None

    def status(self, seconds: float, sounding: list[Segment]) -> None:
        """One line on a terminal, written over by the next."""
        if not sys.stderr.isatty() or time.monotonic() < self._shown + _REFRESH_S:
            return
        self._shown = time.monotonic()
        sounds = ", ".join(f"{' '.join(one.label.split())} {one.score:.0%}" for one in sounding)
        self._clear()
        self._status = f"{clock(seconds)[:-2]}  {sounds or '…'}"[: shutil.get_terminal_size().columns - 1]
        print(self._status, end="", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        self._clear()
        print(f"ainext: {' '.join(line.split())}", file=sys.stderr, flush=True)

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
        except OSError as error:
            self.closed = self._muted = True
            if not isinstance(error, BrokenPipeError):  # `| head` has seen enough: no failure
                self.failed = AinextError(f"cannot write the results: {(error.strerror or str(error)).lower()}")
            # Python would try again at its end, and complain.
            with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), sys.stdout.fileno())


class Journal:
    """A file to which segments are appended, each line whole as soon as it is there.

    Raises AinextError: neither .csv nor .jsonl, or it cannot be written.
    """

    def __init__(self, path: Path, source: str) -> None:
        if path.suffix not in (".csv", ".jsonl"):
            raise AinextError(f"--out {path}: give a file that ends in .csv or .jsonl")
        self._path, self._source, self._csv = path, source, path.suffix == ".csv"
        with writing(path):
            self._file = path.open("ab+")
            size = self._file.seek(0, os.SEEK_END)
            if self._csv and not size:
                self._append("source,began,start,end,label,score\n")
            elif size:
                self._file.seek(size - 1)
                if self._file.read() != b"\n":  # someone was killed while writing
                    self._append("\n")

    def write(self, found: dict[str, Any]) -> None:
        row = {"source": self._source, **found}
        if self._csv:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerow(row.values())
            line = text.getvalue()
        else:
            line = json.dumps(row, ensure_ascii=False) + "\n"
        with writing(self._path):
            self._append(line)

    def close(self) -> None:
        with suppress(OSError):  # what could not be written has been told of
            self._file.close()

    def _append(self, text: str) -> None:
        self._file.write(text.encode("utf-8", errors="replace"))
        self._file.flush()

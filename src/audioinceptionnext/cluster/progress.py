"""Counts of a batch run: how many recordings there are, how many are done, and the summary at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, TextIO

from audioinceptionnext.cluster.listing import find_recordings, recording_key
from audioinceptionnext.cluster.result_folder import ResultFolder
from audioinceptionnext.cluster.types import MissingRecording
from audioinceptionnext.errors import counted

_TERMINAL_INTERVAL_S, _LOG_INTERVAL_S = 0.5, 30.0  # between two progress lines


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a batch run did.

    Attributes:
        recordings: the recordings that were found, and the names that led to none.
        done, failed: how many of them have a result or failed, in this run or an earlier one.
        earlier: how many of them were done before this run.
        unprocessed: found, but neither done nor failed, since files changed while they were listed.
        warnings: recordings of this run of which something was lost.
        audio_seconds: duration of the recordings that this run recognised.
        wall_seconds: how long this run took.
        startup_seconds: how long it took until the first result.
        recordings_per_second: from the first result to the last.
        out: the result folder.
    """

    recordings: int
    done: int
    failed: int
    earlier: int
    unprocessed: int
    warnings: int
    audio_seconds: float
    wall_seconds: float
    startup_seconds: float
    recordings_per_second: float
    out: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON object: numbers rounded to 0.001."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()}


class RecordingCounter(Thread):
    """Counts the recordings in the background.

    The listing that feeds the workers cannot do that, since it only runs as far ahead as they need it.

    Attributes:
        found: recordings that were found so far.
        earlier, failed: how many of them have a result or a failure of an earlier run.
        missing: names that led to no recording.
        finished: everything has been counted.
    """

    def __init__(self, paths: Iterable[str], base: str, folder: ResultFolder) -> None:
        super().__init__(daemon=True)
        self._items = find_recordings(paths, base)
        self._done, self._failed = frozenset(folder.done), frozenset(folder.failed)
        self.found = self.earlier = self.failed = 0
        self.missing: list[MissingRecording] = []
        self.finished = False
        self.start()

    def run(self) -> None:
        for item in self._items:
            key = recording_key(item.file)
            if isinstance(item, MissingRecording) and key not in self._done and key not in self._failed:
                self.missing.append(item)
                continue
            self.found += 1
            self.earlier += key in self._done
            self.failed += key in self._failed
        self._done = self._failed = frozenset()
        self.finished = True


class Progress:
    """Counts the rows of results, and prints a progress line on stderr.

    On a terminal the line changes in place; in a log a new one comes every half minute.

    Args:
        counter: of the recordings that there are.
        stderr: where the line is printed.
        start: `time.monotonic` when the run began.
    """

    def __init__(self, counter: RecordingCounter, stderr: TextIO, start: float) -> None:
        self.counter, self.stderr, self.start = counter, stderr, start
        self.done = self.failed = self.warnings = 0
        self.audio_seconds = 0.0
        self._first_time = self._last_time = 0.0  # of the first and the last rows
        self._first_rows = 0
        self._stopped = Event()
        self._terminal = stderr.isatty()
        self._thread = Thread(target=self._print_lines, daemon=True)
        self._thread.start()

    def count(self, rows: list[dict[str, Any]]) -> None:
        """Count the rows of a task."""
        if not rows:
            return
        self._last_time = time.monotonic()
        if not self._first_time:
            self._first_time, self._first_rows = self._last_time, len(rows)
        for row in rows:
            self.failed += "error" in row
            self.done += "error" not in row
            self.warnings += "warnings" in row
            self.audio_seconds += row.get("duration", 0.0)

    def stop(self) -> None:
        """Print no more lines, and clear the one on the terminal."""
        self._stopped.set()
        self._thread.join()
        if self._terminal:
            print("\r\x1b[K", end="", file=self.stderr, flush=True)

    def summary(self, out: Path) -> Summary:
        """The counts so far."""
        counter, now = self.counter, time.monotonic()
        recordings = counter.found + len(counter.missing)
        done, failed = counter.earlier + self.done, counter.failed + self.failed
        return Summary(
            recordings=recordings,
            done=done,
            failed=failed,
            earlier=counter.earlier,
            unprocessed=max(0, recordings - done - failed),
            warnings=self.warnings,
            audio_seconds=self.audio_seconds,
            wall_seconds=now - self.start,
            startup_seconds=(self._first_time or now) - self.start,
            recordings_per_second=self._rate(self._last_time),
            out=str(out),
        )

    def _print_lines(self) -> None:
        interval = _TERMINAL_INTERVAL_S if self._terminal else _LOG_INTERVAL_S
        before, after = ("\r\x1b[K", "") if self._terminal else ("ainext: ", "\n")
        while not self._stopped.wait(interval):
            print(before + self._line(), end=after, file=self.stderr, flush=True)

    def _line(self) -> str:
        found = counted(self.counter.found, "recording")
        if not self.counter.finished:
            found = f"{self.counter.found:,}+ recordings"
        if not self._first_time:
            return f"starting; {found} found"
        done, failed = self.counter.earlier + self.done, self.counter.failed + self.failed
        line = f"{done:,} of {found}, {self._rate(time.monotonic()):.1f} per second"
        return line + (f", {failed:,} failed" if failed else "")

    def _rate(self, until: float) -> float:
        """Recordings per second since the first rows. These are left out: waiting for them was the cluster's start."""
        return (self.done + self.failed - self._first_rows) / max(until - self._first_time, 1e-3)

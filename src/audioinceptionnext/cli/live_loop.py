"""The loop of ``ainext listen`` over one input, and several of them at once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta

from audioinceptionnext.audio.capture import Backlog, LiveInput
from audioinceptionnext.cli.live_printer import Printer
from audioinceptionnext.errors import AinextError, counted, unexpected
from audioinceptionnext.inference.events import Follower, Observer
from audioinceptionnext.inference.parallel import available_cores
from audioinceptionnext.inference.stream import Step, Stream
from audioinceptionnext.results.formats import format_time

BEHIND_S = 2.0  # a backlog that is longer is reported
CHUNK_S = 2.5  # taken at a time
BUFFER_S = 10.0  # read ahead from an input that waits for us
MAX_BACKLOG_S = 300.0  # kept of an input that does not wait
CLOCK_EVERY_S = 60.0  # from one comparison of an input's own clock with that of the computer to the next
_CLOCK_OFF_S = 1.0  # how far they may be apart
_CLOCK_DRIFT_S = 5.0  # by which no clock drifts in that time
_AT_ONCE_S = 0.4  # in which an input gives what it had ready at its beginning
_AT_ONCE_POLL_S = 0.05
_POLL_S = 0.2  # how long a signal may go unnoticed while no sound comes


class LiveLoop:
    """Recognises one input from its start to its end, or until something stops it.

    Args:
        source: the input.
        stream: makes a stream that starts at the given second.
        printer: takes the results, after all observers.
        rate: of the input and the stream, in Hz.
        drop: whether to skip sound when recognition falls behind.
        stop_after: seconds of sound after which to stop.
        name: what results call the input; its own name unless given.
        observer: takes the sound and all events.
        stop: set to stop.
        turn: what recognition waits for, if more inputs are recognised than there are cores.
    """

    def __init__(
        self,
        source: LiveInput,
        stream: Callable[[float], Stream],
        printer: Printer,
        rate: int,
        drop: bool = False,
        stop_after: float | None = None,
        *,
        name: str | None = None,
        observer: Observer | None = None,
        stop: threading.Event | None = None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        self.source, self.printer, self.rate, self.drop = source, printer, rate, drop
        self.name, self._observer = name or source.name, observer
        self._stop, self._turn = stop or threading.Event(), turn or nullcontext()
        self._new_stream, self.stream = stream, stream(0)
        self._max_samples = None if stop_after is None else round(stop_after * rate)
        # Samples: where the sound has got to, and how many of them recognition skipped, or never came.
        self._taken = self._skipped = self._missed = 0
        self._broken_off = False
        self._ids = self._ids_before = 0  # of events: the highest one, and that of the streams before this one
        self._segments = 0
        self._began, self._began_at = 0.0, datetime.now().astimezone()  # of second 0: a monotonic time, and that of day
        self._reported = False
        self._clock = _Clock(may_jump=not source.waits)

    def run(self) -> bool:
        """Return whether all went well. Raises `AinextError` if no sound came at all."""
        limit = BUFFER_S if self.drop or self.source.waits else MAX_BACKLOG_S
        backlog = Backlog(self.source, self.rate, limit, self.drop)
        try:
            self._recognise(backlog)
            error = backlog.error if backlog.over else None
            if error is not None and not self._taken:
                raise error
            self._report(self.stream.finish())
            self._print_summary(0.0 if self.source.waits or self._is_done() else backlog.seconds)
        finally:
            backlog.close()
        if error is not None:
            self.printer.print_note(self._line(error))
        return error is None

    def run_among_others(self) -> bool:
        """The same, where an input without sound is no reason to end the others."""
        try:
            return self.run()
        except Exception as error:
            self.printer.print_note(self._line(error))
            return False

    def _line(self, error: Exception) -> str:
        return str(error) if isinstance(error, AinextError) else f"{self.source.name}: {unexpected(error)}"

    def _recognise(self, backlog: Backlog) -> None:
        chunk = round(CHUNK_S * self.rate)  # not more, or a signal would wait too long
        while not (self._stop.is_set() or self.printer.closed or self._is_done()):
            if self.drop and backlog.seconds > BEHIND_S + self.stream.window_seconds:
                self._skip(backlog)
            left = chunk if self._max_samples is None else min(chunk, self._max_samples - self._received)
            samples = backlog.take(left, _POLL_S)
            if not len(samples):
                if backlog.breaks_off():
                    self._report(self.stream.finish())
                    self._broken_off = True
                elif backlog.over:
                    return
            elif not self._taken:
                self._began = time.monotonic() - len(samples) / self.rate
                began = self._find_beginning(len(samples) / self.rate, backlog)
                # Whole milliseconds, so that all who add seconds to it and round give the same time.
                self._began_at = began.replace(microsecond=began.microsecond // 1000 * 1000)
            if self._broken_off:
                if not len(samples):
                    continue
                self._go_on(len(samples) / self.rate + backlog.seconds)
            # What an input that waits for us holds back is not known, once the backlog is full.
            if len(samples) and not self.source.recorded and (backlog.seconds < BUFFER_S / 2 or not self.source.waits):
                self._follow_clock(len(samples), backlog.seconds)
            if self._observer is not None and len(samples):
                self._observer.samples(self.name, self._began_at, self._taken / self.rate, samples)
            self._taken += len(samples)
            with self._turn:
                steps = self.stream.push(samples)
            self._report(steps)
            if isinstance(self._observer, Follower) and (going_on := self.stream.going_on()):
                numbered = [(self._ids_before + number, segment) for number, segment in going_on]
                self._observer.going_on(self.name, self._began_at, numbered)
            self._report_backlog(backlog)
            self.printer.print_status(self.name, self._taken / self.rate, self.stream.open_segments())

    def _find_beginning(self, came: float, backlog: Backlog) -> datetime:
        """The time of day of second 0.

        What a pipe holds while the model is loaded, and some seconds of a server that is asked for a stream, come at
        once. Sound cannot come before it was made, so the earliest time counts.

        Args:
            came: how many seconds came first.
            backlog: has those that come after them.
        """
        found: list[datetime] = []
        while True:
            waiting = 0.0 if self.source.recorded else backlog.seconds
            found.append(datetime.now().astimezone() - timedelta(seconds=came + waiting))
            if self.source.recorded or len(found) > _AT_ONCE_S / _AT_ONCE_POLL_S:
                return min(found)
            self._stop.wait(_AT_ONCE_POLL_S)

    @property
    def _received(self) -> int:
        """Samples that came, be they skipped or not."""
        return self._taken - self._missed

    def _is_done(self) -> bool:
        return self._max_samples is not None and self._received >= self._max_samples

    def _report(self, steps: list[Step]) -> None:
        """Pass on what a stream has just returned, and its events."""
        for step in steps:
            self.printer.print_step(self.name, step)
        for event in self.stream.events:
            number = self._ids_before + event.id
            self._ids = max(self._ids, number)
            self._segments += event.kind == "end"
            event = replace(event, id=number)
            if self._observer is not None:
                self._observer.event(self.name, self._began_at, event)
            self.printer.event(self.name, self._began_at, event)

    def _go_on(self, came: float) -> None:
        """Go on in a new stream after the sound broke off, at the second that the clock says.

        Args:
            came: how many seconds have come since.
        """
        if self._taken:
            now = round((time.time() - self._began_at.timestamp() - came) * self.rate)
            self._missed += max(0, now - self._taken)
            self._taken = max(self._taken, now)
        self._broken_off, self._clock = False, _Clock(may_jump=not self.source.waits)
        self.stream, self._ids_before = self._new_stream(self._taken / self.rate), self._ids

    def _follow_clock(self, samples: int, waiting: float) -> None:
        """Set the time of day right when nothing sounds: an input has a clock of its own, and that of the computer may
        be set.

        Args:
            samples: how many have just come.
            waiting: seconds of sound that have come after them.
        """
        late = time.time() - waiting - self._began_at.timestamp() - (self._taken + samples) / self.rate
        off = self._clock.off(late)
        if abs(off) > _CLOCK_OFF_S and not self.stream.open_segments():
            self._report(self.stream.finish())
            self._began_at += timedelta(milliseconds=round(1000 * off))
            self._clock.set_right(off)
            self.stream, self._ids_before = self._new_stream(self._taken / self.rate), self._ids

    def _skip(self, backlog: Backlog) -> None:
        """Go on with the newest window in a new stream, since nothing is known about what lies between."""
        self._report(self.stream.finish())
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
        parts = [f"listened to {format_time((self._received - self._skipped) / self.rate)} of {self.source.name}"]
        parts.append(counted(self._segments, "segment"))
        if self._skipped:
            parts.append(f"skipped {self._skipped / self.rate:.1f} s")
        if self._missed:
            parts.append(f"without sound for {format_time(self._missed / self.rate)}")
        if left >= BEHIND_S:
            parts.append(f"left out the last {left:.1f} s")
        self.printer.print_note(", ".join(parts))


class _Clock:
    """Says how much later the sound comes than it did at first. Single blocks may be late; the earliest counts.

    Args:
        may_jump: whether a sudden difference means that the computer's clock was set. From an input that waits, such as
            a pipe, sound may also come faster than real time.
    """

    def __init__(self, may_jump: bool) -> None:
        self._may_jump = may_jump
        self._usual = self._last = math.nan
        self._earliest, self._until = math.inf, time.monotonic() + CLOCK_EVERY_S

    def off(self, late: float) -> float:
        """Take by how many seconds a block is late. Returns how much more that is than it was at first; 0 meanwhile."""
        self._earliest = min(self._earliest, late)
        if time.monotonic() < self._until:
            return 0.0
        earliest, self._earliest, self._until = self._earliest, math.inf, time.monotonic() + CLOCK_EVERY_S
        if math.isnan(self._usual):
            self._usual = earliest
        elif not self._may_jump and abs(earliest - self._last) > _CLOCK_DRIFT_S:
            self._usual += earliest - self._last
        self._last = earliest
        return earliest - self._usual

    def set_right(self, seconds: float) -> None:
        """So many seconds were added to the time of day of the sound."""
        self._last -= seconds


def run_all(loops: Sequence[LiveLoop]) -> bool:
    """Run several loops, each in a thread of its own, until all have ended. Returns whether all went well."""
    complete: list[bool] = []
    threads = [
        threading.Thread(target=lambda loop=loop: complete.append(loop.run_among_others()), daemon=True)
        for loop in loops
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # a signal waits for a join without a limit on some systems
            thread.join(_POLL_S)
    return len(complete) == len(loops) and all(complete)


def turns() -> threading.Semaphore:
    """What several loops share, so that no more of them recognise at a time than there are cores.

    More would take more memory, and no less time.
    """
    return threading.Semaphore(len(available_cores()))

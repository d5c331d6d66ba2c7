"""Targets of alerts: each has a thread and a bounded queue, so that none of them keeps listening waiting."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from audioinceptionnext.alerts.alert import Alert
from audioinceptionnext.errors import AinextError, counted, unexpected

MAX_WAITING = 1000  # of a target; then the oldest are dropped
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 30.0  # from one attempt to the next, doubling
SAY_EVERY_S = 300.0  # a target says no more often what is wrong with it

_MANY = 3  # reasons for which alerts were dropped that are told apart

Warn = Callable[[str], None]


class Undelivered(Exception):
    """An alert could not be delivered.

    Attributes:
        again: whether another attempt may succeed.
    """

    def __init__(self, reason: str, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


@dataclass(frozen=True, slots=True)
class Item:
    """What waits for delivery.

    Attributes:
        alert: what it is about.
        ended: whether it only says that the segment has ended; losing that is no loss of an alert.
        put_at: by `time.monotonic`.
    """

    alert: Alert
    ended: bool = False
    put_at: float = field(default_factory=time.monotonic)


class Target:
    """Delivers alerts in order, in a thread of its own. Subclasses have `deliver`.

    Args:
        name: what messages call it.
        warn: called with one line when delivery fails, goes on, or alerts are lost; from the target's thread or the
            caller's. At most every five minutes for each of these.
        retry_for: seconds in which a failed delivery is repeated; for ever unless given.

    Attributes:
        delivered, dropped: how many alerts were so far.
    """

    def __init__(self, name: str, warn: Warn, retry_for: float = float("inf")) -> None:
        self.name, self._warn, self._retry_for = name, warn, retry_for
        self.delivered = self.dropped = 0
        self._unsaid: Counter[str] = Counter()  # by reason: how many were dropped since the last line that said so
        self._said_at: dict[str, float] = {}
        self._waiting: deque[Item] = deque()
        self._alerts = 0  # of the items that wait
        self._current: Item | None = None  # that is being delivered
        self._changed = threading.Condition()
        self.closing = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"alerts: {name}", daemon=True)
        self._thread.start()

    def deliver(self, item: Item) -> None:
        """Deliver one item; to be overridden. Raises `Undelivered`."""
        raise NotImplementedError

    def release(self) -> None:
        """Release what the target holds, when no more is to be delivered; to be overridden."""

    def put(self, item: Item) -> None:
        """Add an item, which never waits: of too many, the oldest are dropped."""
        dropped = 0
        with self._changed:
            self._waiting.append(item)
            self._alerts += not item.ended
            while self._alerts > MAX_WAITING:
                alert = not self._waiting.popleft().ended
                self._alerts -= alert
                dropped += alert
            self._changed.notify_all()
        if dropped:
            self._drop(dropped, f"more than {MAX_WAITING:,} wait")

    def close(self) -> None:
        """Deliver what waits, without repeating what fails, and end. `join` says when."""
        self.closing.set()
        with self._changed:
            self._changed.notify_all()

    def join(self, until: float) -> None:
        """Wait for the end after `close`, until this time of `time.monotonic`. What is left by then is dropped."""
        self._thread.join(max(0.0, until - time.monotonic()))
        with self._changed:
            self._closed = True
            left = self._alerts + (self._current is not None and not self._current.ended)
            self._waiting.clear()
        if left:
            self._drop(left, "they were not delivered before the end")
        if self._unsaid:
            self._say_dropped()

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                self._try(item)
        finally:
            self.release()

    def _next(self) -> Item | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closing.is_set())
            self._current = item = self._waiting.popleft() if self._waiting else None
            self._alerts -= item is not None and not item.ended
            return item

    def _try(self, item: Item) -> None:
        """Deliver an item, as often as it takes and makes sense."""
        delay, failed = RETRY_FIRST_S, False
        while True:
            try:
                self.deliver(item)
                break
            except Undelivered as error:
                reason, again = str(error), error.again
            except AinextError as error:
                reason, again = str(error), True
            except Exception as error:
                reason, again = unexpected(error), False
            if not again or self.closing.is_set() or time.monotonic() + delay > item.put_at + self._retry_for:
                if not item.ended:
                    self._drop(1, reason)
                return
            self._say("failed", f"{reason}; trying again")
            failed = True
            self.closing.wait(delay)
            delay = min(2 * delay, RETRY_MOST_S)
        self.delivered += not (item.ended or self._closed)
        if failed:
            more = f", {counted(self._alerts, 'alert')} waiting" if self._alerts else ""
            self._say("recovered", f"delivers again{more}")

    def _drop(self, number: int, reason: str) -> None:
        if self._closed and self._thread is threading.current_thread():
            return  # `join` has counted it
        with self._changed:
            self.dropped += number
            known = reason in self._unsaid or len(self._unsaid) < _MANY
            self._unsaid[reason if known else "other reasons"] += number
        if time.monotonic() >= self._said_at.get("dropped", float("-inf")) + SAY_EVERY_S:
            self._say_dropped()

    def _say_dropped(self) -> None:
        with self._changed:
            unsaid, self._unsaid, dropped = self._unsaid, Counter(), self.dropped
        self._said_at["dropped"] = time.monotonic()
        total = f" ({dropped:,} in all)" if dropped > unsaid.total() else ""
        for reason, number in unsaid.items():
            self._warn(f"{self.name}: {counted(number, 'alert')} dropped{total}: {reason}")

    def _say(self, kind: str, line: str) -> None:
        """Say something, unless the same kind of thing was said just now."""
        now = time.monotonic()
        if now >= self._said_at.get(kind, float("-inf")) + SAY_EVERY_S:
            self._said_at[kind] = now
            self._warn(f"{self.name}: {line}")

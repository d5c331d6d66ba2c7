"""Live streams that break off: how it is tried again, and what is a recording, which ends for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from threading import Event

import numpy as np

from audioinceptionnext.errors import MediaError

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # before it is tried again; the wait doubles from one to the other
_STEADY_S = 60.0  # a connection that held for so long was a good one, and the next wait is short again
_FAST = 2.0  # sound that comes so many times as fast as real time was not just recorded


@dataclass
class Connection:
    """What is known of one connection to a server.

    Attributes:
        seconds: of sound that it has given.
        length_stated: whether the server said how much there is.
        hopeless: whether it makes no sense to try again.
    """

    seconds: float = 0.0
    length_stated: bool = False
    hopeless: bool = False


@dataclass
class Reconnecting:
    """A stream that is opened again when it breaks off.

    Args:
        blocks: opens the stream, gives its sound, and fills in what is known of the connection. It raises MediaError if
            the stream cannot be opened or breaks off.
        name: what messages call it.
        note: called with a line when the stream breaks off, and with another one when it is back.
        from_the_start: whether it is tried again even if it cannot be opened at first.

    Attributes:
        closed: set it to give up.
    """

    blocks: Callable[[Connection], Iterator[np.ndarray]]
    name: str
    note: Callable[[str], None]
    from_the_start: bool = False

    def __post_init__(self) -> None:
        self.closed = Event()
        self._live = False  # whether a connection has given sound in real time

    def __iter__(self) -> Iterator[np.ndarray | None]:
        """The sound of all connections, and None where it breaks off.

        Raises:
            MediaError: it cannot be opened at first, or it is a recording and breaks off.
        """
        lost: float | None = None  # when it broke off
        wait = FIRST_WAIT_S
        while not self.closed.is_set():
            connection, opened = Connection(), time.monotonic()
            error: MediaError | None = None
            try:
                for block in self.blocks(connection):
                    if lost is not None and len(block):
                        self.note(f"{self.name}: is back after {_length(time.monotonic() - lost)}")
                        lost = None
                    yield block
            except MediaError as failure:
                error = failure
            held = time.monotonic() - opened
            if self.closed.is_set():
                return
            if not self._is_broken(connection, held, first=lost is None):
                if error is not None:
                    raise error
                return
            if lost is None:
                lost = time.monotonic()
                what = f"{self.name}: ended" if error is None else str(error)
                self.note(f"{what}; trying again until it is back, at least once a minute")
                yield None
            if connection.seconds and held >= _STEADY_S:
                wait = FIRST_WAIT_S
            self.closed.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _is_broken(self, connection: Connection, held: float, first: bool) -> bool:
        """Whether a connection that is over can be expected to come back."""
        if connection.length_stated and not self._live:
            return False
        if not connection.seconds:
            return not first or self._live or (self.from_the_start and not connection.hopeless)
        # A server that sends a recording without its length sends it as fast as it can.
        self._live = self._live or connection.seconds < _FAST * held
        return self._live


def _length(seconds: float) -> str:
    """A time as people read it: h:mm:ss, or seconds."""
    return f"{seconds:.0f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))

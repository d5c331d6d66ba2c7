"""What stops a command that would otherwise go on for ever."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
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

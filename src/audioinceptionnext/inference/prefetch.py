"""Items made ahead of time in a thread, so that decoding goes on while the network computes."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")
_POLL_S = 0.1  # how long the thread waits before it looks whether the caller has stopped


def prefetch(items: Iterator[T], depth: int = 1) -> Iterator[T]:
    """Yield the same items, which a thread makes up to ``depth`` items ahead.

    An exception of ``items`` is raised here, in its place. When the caller stops early, ``items`` is closed.
    """
    ready: Queue[tuple[str, Any]] = Queue(depth)
    stopped = Event()

    def put(kind: str, value: Any) -> bool:
        while not stopped.is_set():
            try:
                ready.put((kind, value), timeout=_POLL_S)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put("item", item):
                    break
            else:
                put("end", None)
        except BaseException as error:
            put("error", error)
        finally:
            if close := getattr(items, "close", None):
                close()

    thread = Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        while True:  # make room for a `put` that is waiting
            try:
                ready.get_nowait()
            except Empty:
                break
        thread.join()

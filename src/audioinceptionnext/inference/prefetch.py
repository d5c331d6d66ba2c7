"""Work done a step ahead, so that decoding goes on while the network computes."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

T = TypeVar("T")
_POLL_S = 0.1  # how long a reader that nobody listens to any more goes on waiting


def prefetch(items: Iterator[T], depth: int = 1) -> Iterator[T]:
    """The same items, made in a thread of their own up to ``depth`` before they are asked for.

    What ``items`` raises is raised here, at its place. When the caller stops early, ``items`` is closed.
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
        while True:  # room for a `put` that waits
            try:
                ready.get_nowait()
            except Empty:
                break
        thread.join()

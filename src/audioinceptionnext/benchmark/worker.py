"""The other side of `process.Process`: ``python -m audioinceptionnext.benchmark.worker CORES``.

Reads a function and its arguments from stdin, as pickles, and calls it with a `Channel`. What libraries print goes to
stderr.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any, BinaryIO


class Channel:
    """To the process that started this one. ``receive`` raises EOFError when that one is gone."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    def receive(self) -> Any:
        return pickle.load(self._incoming)

    def send(self, value: Any) -> None:
        pickle.dump(value, self._outgoing)
        self._outgoing.flush()


class Failure(str):
    """Sent in place of an answer: what went wrong, in one line."""


def _main(cores: str) -> None:
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    channel = Channel(sys.stdin.buffer, outgoing)
    try:
        function, *arguments = channel.receive()  # imports what it needs, pinned already
        function(channel, *arguments)
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return  # nobody asks any more
    except Exception as error:
        lines = str(error).strip().splitlines()
        channel.send(Failure(f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__))


if __name__ == "__main__":
    from audioinceptionnext.benchmark import worker

    worker._main(*sys.argv[1:])  # under the name by which the other side knows its classes

"""The other side of `process.Process`: what runs in the new process.

It reads a function and its arguments from stdin, as pickles, and calls the function with a `Channel`. What libraries
print goes to stderr.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any, BinaryIO

from audioinceptionnext.errors import AinextError


class ChannelClosed(Exception):
    """The process that started this one is gone, or needs no more."""


class Channel:
    """The connection to the process that started this one."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    def receive(self) -> Any:
        """Wait for the next value. Raises `ChannelClosed`."""
        try:
            return pickle.load(self._incoming)
        except EOFError:
            raise ChannelClosed from None

    def send(self, value: Any) -> None:
        pickle.dump(value, self._outgoing)
        self._outgoing.flush()


class Failure(str):
    """Sent in place of a result: what went wrong, in one line."""


def main(cores: str) -> None:
    """Run what the other side sends, on these cores (numbers with commas between them, or none for all)."""
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    channel = Channel(sys.stdin.buffer, outgoing)
    try:
        function, *arguments = channel.receive()  # unpickling imports the function's module, already pinned
        function(channel, *arguments)
    except (ChannelClosed, BrokenPipeError, KeyboardInterrupt):
        return
    except AinextError as error:
        channel.send(Failure(error))
    except Exception as error:
        lines = str(error).strip().splitlines()
        channel.send(Failure(f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__))

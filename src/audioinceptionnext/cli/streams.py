"""Standard input, output and error, which may be closed, on a full disk, or read by a program that has ended."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

_PLAIN = "[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\\[(?:{}))"
# What a name may not send to a terminal: control characters, other than line ends, tabs and the beginnings of the
# sequences that set colours and, in messages, that clear the rest of a line.
_DATA, _MESSAGES = (re.compile(_PLAIN.format(allowed)) for allowed in (r"[\d;]*m", r"[\d;]*m|K"))
# A bar also clears lines, goes to the one above, and hides the cursor as long as it is shown.
_BAR = re.compile(_PLAIN.format(r"[\d;]*m|2?K|1A|\?25[hl]"))


class OutputEnded(BaseException):
    """Nothing more can be printed on stdout. It is no `Exception`, so that no single recording is blamed for it.

    Attributes:
        reason: in one line; None if the program that reads stdout has seen enough, as ``head`` does.
    """

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def standard_streams() -> Iterator[None]:
    """Replace the standard streams by ones that fail as a command should.

    Printing on stdout raises `OutputEnded` where it fails. What cannot be printed on stderr is dropped: it tells about
    the work and must not stop it. No control characters in names reach a terminal.
    """
    _reserve_numbers()
    before = sys.stdin, sys.stdout, sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper):  # documents are UTF-8; a name that cannot be shown is no failure
        sys.stdout.reconfigure(encoding=None if sys.stdout.isatty() else "utf-8", errors="replace")
    with Path(os.devnull).open("r+") as nowhere:
        sys.stdin = sys.stdin or nowhere
        sys.stdout = cast(Any, _Output(sys.stdout or nowhere, "stdout is closed" if sys.stdout is None else None))
        sys.stderr = cast(Any, _Messages(sys.stderr or nowhere))
        try:
            yield
        finally:
            sys.stdin, sys.stdout, sys.stderr = before


def _reserve_numbers() -> None:
    """Open the null device in place of closed streams, or the next file that is opened would get their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Output(_Stream):
    def __init__(self, stream: Any, refusal: str | None) -> None:
        super().__init__(stream)
        self._refusal = refusal
        self._shown = stream.isatty()

    def write(self, text: str) -> int:
        with self._failing():
            self._stream.write(_DATA.sub("?", text) if self._shown else text)
        return len(text)

    def flush(self) -> None:
        if self._refusal is None:
            with self._failing():
                self._stream.flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        if self._refusal is not None:
            raise OutputEnded(f"cannot write the results: {self._refusal}")
        try:
            yield
        except OSError as error:
            with suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())  # Python flushes once more when it ends
            closed = isinstance(error, BrokenPipeError)
            reason = None if closed else f"cannot write the results: {(error.strerror or str(error)).lower()}"
            raise OutputEnded(reason) from None


class _Messages(_Stream):
    unshown = _MESSAGES

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(self.unshown.sub("?", text))
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _Bar(_Messages):
    unshown = _BAR


def bar_stream() -> TextIO:
    """stderr for a bar, which is drawn anew in its place. What else is printed on it must be `printable`."""
    return cast(TextIO, _Bar(getattr(sys.stderr, "_stream", sys.stderr)))

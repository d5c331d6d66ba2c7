"""What goes wrong in a way that the user can mend, and the words for it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path


class AinextError(Exception):
    """One clear line for the user: which file or option, what is wrong, what to do.

    The command line prints the message alone; a traceback comes only with ``--debug``.
    """


def line_of(error: Exception, name: str) -> str:
    """What to say of an error of one file of many, in one line. ``name``: the file's, as it is shown."""
    return str(error) if isinstance(error, AinextError) else f"{name}: {unexpected(error)}"


def unexpected(error: Exception) -> str:
    """What to say of an error that nobody foresaw, in one line."""
    return " ".join(f"{type(error).__name__}: {error} (a bug; please report it, with what --debug shows)".splitlines())


def printable(path: str | PathLike[str]) -> str:
    """Return a file's name as it can stand in a line of any terminal."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def suggest(name: str, known: Iterable[str]) -> str:
    """The nearest known name, or all of them: ``did you mean small?``, ``choose from base, small, tiny``."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"


@contextmanager
def writing(path: str | PathLike[str]) -> Iterator[None]:
    """Turn the system's refusal to write ``path`` into one AinextError that says what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            reason = f"there is no folder {Path(path).parent}: make it first"
        elif isinstance(error, IsADirectoryError):
            reason = "it is a folder: give a file's name"
        elif isinstance(error, PermissionError):
            reason = "permission denied: choose another place"
        else:
            reason = error.strerror or str(error)
        raise AinextError(f"cannot write {path}: {reason}") from error

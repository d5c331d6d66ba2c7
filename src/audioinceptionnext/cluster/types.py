"""What a run over many recordings is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recording:
    """Something to hear.

    Attributes:
        file: what results call it: an absolute path, or a URI without user name, password and options.
        path: where it lies, on this machine or within ``root``.
        root: the URI of an object store; empty for a file that workers open in place.
        size: bytes, 0 where nobody knows.
    """

    file: str
    path: str
    root: str = ""
    size: int = 0


@dataclass(frozen=True)
class Absent:
    """Something the user named that gave no recording."""

    file: str
    reason: str  # one line

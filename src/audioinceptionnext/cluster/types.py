"""Types that the parts of a batch run share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FailureKind = Literal["missing", "download", "unreadable", "crashed", "bug"]
"""Why a recording has no result.

``missing``: there is no such file. ``download``: an object store did not deliver it. ``unreadable``: it cannot be
decoded. ``crashed``: every worker that opened it died. ``bug``: an error that nobody foresaw.
"""


@dataclass(frozen=True)
class Recording:
    """A recording to recognise.

    Attributes:
        file: its name in the results: an absolute path, or a URI without user name, password and options.
        path: where it lies, on a local disk or within ``root``.
        root: URI of the object store that holds it; empty for a file that workers open in place.
        size: in bytes, 0 if unknown.
    """

    file: str
    path: str
    root: str = ""
    size: int = 0


@dataclass(frozen=True)
class MissingRecording:
    """A name that the user gave and that led to no recording.

    Attributes:
        file: the name, as results give it.
        reason: one line.
    """

    file: str
    reason: str

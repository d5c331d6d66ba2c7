"""How many clips a run can do without."""

from __future__ import annotations

from collections.abc import Sequence

from audioinceptionnext.errors import counted

MAX_SHARE = 0.1  # of the training clips; with more than that, training stops
LISTED = 5


def too_many(unreadable: int, total: int) -> bool:
    """Whether so many of the training clips or recordings cannot be read that the run has to stop.

    It goes on without one of them, however few they are, unless that is all there is.
    """
    return unreadable > max(1, MAX_SHARE * total) or unreadable == total


def list_reasons(reasons: Sequence[str], total: int, what: str = "clip") -> str:
    """One line about what cannot be read, of ``total`` clips or recordings, with the first of the reasons."""
    more = f"; and {len(reasons) - LISTED} more" if len(reasons) > LISTED else ""
    return f"{len(reasons)} of {counted(total, what)} cannot be read: {'; '.join(reasons[:LISTED])}{more}"

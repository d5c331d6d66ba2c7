"""Clips that cannot be learnt from: how many a run can do without, and which they are."""

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


def list_clips(names: Sequence[str], bad: int, total: int) -> str:
    """Which clips of a batch of ``total`` have no loss: how many, and the names of the first, if names are known."""
    clips = f"{bad if bad < total else 'all'} of its {counted(total, 'clip')}"
    return f"{clips}, e.g. {', '.join(names[:3])}" if bad else "in none of its clips, but in its background"

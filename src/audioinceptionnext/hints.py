"""What to do about a name that nothing has."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def instead(name: str, known: Iterable[str]) -> str:
    """The nearest known name, or all of them: ``did you mean small?``, ``choose from base, small, tiny``."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"

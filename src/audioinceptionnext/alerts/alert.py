"""An alert, as targets take it: one object with the same keys in JSON, in CSV and in the placeholders of commands."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audioinceptionnext.errors import printable

#: The names of the values of an alert, in the order of its JSON object and of the columns of a CSV file.
PLACEHOLDERS = ("time", "rule", "source", "label", "score", "start", "end", "raised", "id")
PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Alert:
    """What a rule says about a segment.

    Attributes:
        time: of the day at which the segment begins.
        rule, source, label: the name of the rule, that of the input, and the segment's label.
        score: of the segment as it was known, 0 to 1.
        start, end: of the segment, in seconds from the input's start; ``end`` is None if it went on.
        raised: the time of day in the recording at which all of the rule's conditions held.
        id: differs between any two alerts. What is delivered twice has the same one.
    """

    time: datetime
    rule: str
    source: str
    label: str
    score: float
    start: float
    end: float | None
    raised: datetime
    id: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of the alert, in the order of `PLACEHOLDERS`."""
        values = {name: getattr(self, name) for name in PLACEHOLDERS}
        times = {name: values[name].isoformat(timespec="milliseconds") for name in ("time", "raised")}
        end = None if self.end is None else round(self.end, 3)
        return values | times | {"score": round(self.score, 4), "start": round(self.start, 3), "end": end}

    def fill(self, text: str) -> str:
        """A text with values in place of ``{label}`` and the like. An ``{end}`` that is not known is empty."""
        values = self.as_dict()
        return PLACEHOLDER.sub(lambda found: "" if (value := values[found[1]]) is None else str(value), text)

    def __str__(self) -> str:
        rule, label, source = (printable(" ".join(text.split())) for text in (self.rule, self.label, self.source))
        return f"{self.time:%Y-%m-%d %H:%M:%S}  {rule}: {label} ({self.score:.0%}) from {source}"


def slug(name: str) -> str:
    """A name as topics and identifiers take it; names that differ in more than case, accents and signs have others.

    >>> slug("Smoke alarm"), slug("Waves, surf")
    ('smoke_alarm', 'waves_surf')
    """
    plain = "".join(one for one in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(one))
    words = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")
    if plain.isascii() and words:
        return words
    return f"{words}_{hashlib.sha256(plain.encode()).hexdigest()[:8]}".strip("_")

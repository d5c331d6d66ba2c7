"""What was heard in one recording: as data, as a table for the terminal, as a picture; as text: `formats`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioinceptionnext.errors import AinextError, writing
from audioinceptionnext.formats import FORMATS, clock
from audioinceptionnext.formats import Format as Format

if TYPE_CHECKING:  # both take longer to import than a short recording takes to recognise
    from matplotlib.figure import Figure
    from rich.console import RenderableType

TABLE_SEGMENTS = 40  # as many as fit a screen


@dataclass(frozen=True, slots=True)
class Segment:
    """One sound: from ``start`` to ``end`` seconds, with the mean probability over that stretch as its score."""

    start: float
    end: float
    label: str
    score: float

    def as_dict(self) -> dict[str, Any]:
        """As the JSON of `Recognition.as_dict` has it: times to the ms, score to 0.0001."""
        times = {"start": round(self.start, 3), "end": round(self.end, 3)}
        return {**times, "label": self.label, "score": round(self.score, 4)}


@dataclass(frozen=True, slots=True)
class Score:
    """How probable a label is, 0 to 1."""

    label: str
    score: float


@dataclass(eq=False)  # arrays have no one truth value to compare by
class Recognition:
    """What a model heard in one recording."""

    file: str
    duration: float  # seconds
    model: str
    clip: list[Score]  # the recording as a whole: the likeliest labels, best first
    segments: list[Segment]  # by start
    labels: tuple[str, ...] = field(repr=False)  # all class names of the model
    probabilities: np.ndarray = field(repr=False)  # (steps, classes) float32, unsmoothed; all 0 in digital silence
    hop: float  # seconds from one step's window to the next one's
    window: float  # seconds that each step hears
    log_mel: np.ndarray | None = field(repr=False, default=None)  # (columns, bands), spans the duration; drawn
    sample_rate: int = 24_000  # Hz; the log-mel's bands reach up to half of it
    warnings: list[str] = field(default_factory=list)  # what the user should know, such as a damaged ending
    threshold: float = 0.5  # the probability that a segment had to reach; for the picture

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that ``ainext predict --json`` prints for one file: times to the ms, scores to 0.0001."""
        scores = _rounded_scores([score.score for score in self.clip])
        return {
            "file": self.file,
            "duration": round(self.duration, 3),
            "model": self.model,
            "clip": [{"label": one.label, "score": score} for one, score in zip(self.clip, scores, strict=True)],
            "segments": [segment.as_dict() for segment in self.segments],
        }

    def to(self, name: str, path: str | PathLike[str] | None = None) -> str:
        """The text in the format called ``name`` in `FORMATS`, also written to ``path`` if one is given (UTF-8).

        With a path, ELAN and Raven are told where `file` lies; without one they have its name alone.

        Raises AinextError for an unknown format and for a file that cannot be written.
        """
        if name not in FORMATS:
            raise AinextError(f"no format is called {name!r}: choose one of {', '.join(FORMATS)}")
        folder = Path(path).absolute().parent if path is not None else None
        text = FORMATS[name].text(self, folder=folder)
        if path is not None:
            # In bytes, so that Windows leaves line ends alone; a file name on Linux may hold what UTF-8 does not.
            with writing(path):
                Path(path).write_bytes(text.encode("utf-8", errors="replace"))
        return text

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """One JSON object (see `as_dict`), written to ``path`` if one is given."""
        return self.to("json", path)

    def to_csv(self, path: str | PathLike[str] | None = None) -> str:
        """A header and a row a segment: file, start, end (seconds), label, score; written to ``path`` if given."""
        return self.to("csv", path)

    def to_audacity(self, path: str | PathLike[str] | None = None) -> str:
        """A label track for Audacity (File > Import > Labels), written to ``path`` if one is given."""
        return self.to("audacity", path)

    def to_srt(self, path: str | PathLike[str] | None = None) -> str:
        """SubRip subtitles that name the sounds as a video plays, written to ``path`` if one is given."""
        return self.to("srt", path)

    def to_elan(self, path: str | PathLike[str] | None = None) -> str:
        """A document of ELAN (.eaf) with a tier for each label that was heard, written to ``path`` if one is given."""
        return self.to("elan", path)

    def to_raven(self, path: str | PathLike[str] | None = None) -> str:
        """A selection table for Raven (.selections.txt), written to ``path`` if one is given."""
        return self.to("raven", path)

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """The picture: log-mel, segments and probabilities over time.

        Saved to ``path`` if one is given, as its suffix says: .png, .svg, .pdf. Raises AinextError if it cannot be, and
        where matplotlib is missing.
        """
        check_can_draw()
        from audioinceptionnext.picture import draw, save

        figure = draw(self)
        if path is not None:
            save(figure, path)
        return figure

    def table(self, most: int = TABLE_SEGMENTS) -> RenderableType:
        """For ``rich``'s print: the likeliest labels of the recording with bars, then its first ``most`` segments."""
        from rich.bar import Bar
        from rich.console import Group
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        # Text throughout: a plain str would be read as markup, and "[sink].wav" lose its name.
        parts: list[RenderableType] = [Text.assemble((self.file, "bold"), (f"  {clock(self.duration)}", "dim"))]
        if self.clip:
            top = Table.grid(padding=(0, 2))
            for one in self.clip:
                bar = Bar(size=1, begin=0, end=min(one.score, 1), width=20, color="cyan")
                top.add_row(Text(one.label), bar, Text(f"{one.score:4.0%}", style="cyan"))
            parts.append(Padding(top, (0, 0, 0, 2)))
        if not self.segments:
            parts.append(Padding(Text("no sound was clear enough for a segment", style="dim"), (1, 0, 0, 2)))
            return Group(*parts)
        found = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for name in ("start", "end"):
            found.add_column(name, justify="right", no_wrap=True)
        found.add_column("sound")
        found.add_column("score", justify="right")
        for segment in self.segments[:most]:
            found.add_row(clock(segment.start), clock(segment.end), Text(segment.label), f"{segment.score:.0%}")
        parts.append(Padding(found, (1, 0, 0, 2)))
        if len(self.segments) > most:
            more = f"… and {len(self.segments) - most} more; --format csv lists them all"
            parts.append(Padding(Text(more, style="dim"), (0, 0, 0, 2)))
        return Group(*parts)

    def __str__(self) -> str:
        """The table as plain text."""
        from io import StringIO

        from rich.console import Console

        text = StringIO()
        Console(file=text, width=100, color_system=None, force_terminal=False, legacy_windows=False).print(self.table())
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def check_can_draw() -> None:
    """Raises AinextError unless matplotlib, which draws the picture, is installed."""
    if find_spec("matplotlib") is None:
        raise AinextError("the picture needs matplotlib: pip install 'audioinceptionnext[plot]'")


def _rounded_scores(scores: Sequence[float]) -> list[float]:
    """Scores to four decimals which sum to at most 1, in whatever order they are added."""
    # Down, not to the nearest, or many could together pass 1; 0.93 in float32 is a hair less and must stay 0.93.
    units = [math.floor(score * 10_000 + 0.001) for score in scores]
    if sum(units) >= 10_000 and max(units) < 10_000:
        # 0.6 + 0.3 + 0.1 is just below 1 and other tenths are just above. The smallest gives way: the order is kept.
        smallest = max(index for index, unit in enumerate(units) if unit > 0)
        units[smallest] -= 1
    return [unit / 10_000 for unit in units]

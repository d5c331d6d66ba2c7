"""A recognition as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audioinceptionnext.results.formats import clock
from audioinceptionnext.results.types import RecognitionData

if TYPE_CHECKING:  # takes longer to import than a short recording takes to recognise
    from rich.console import RenderableType

TABLE_SEGMENTS = 40  # as many as fit a screen


def console_table(result: RecognitionData, most: int = TABLE_SEGMENTS) -> RenderableType:
    """For ``rich``'s print: the likeliest labels of the recording with bars, then its first ``most`` segments."""
    from rich.bar import Bar
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    # Text throughout: a plain str would be read as markup, and "[sink].wav" lose its name.
    parts: list[RenderableType] = [Text.assemble((result.file, "bold"), (f"  {clock(result.duration)}", "dim"))]
    if result.clip:
        top = Table.grid(padding=(0, 2))
        for one in result.clip:
            bar = Bar(size=1, begin=0, end=min(one.score, 1), width=20, color="cyan")
            top.add_row(Text(one.label), bar, Text(f"{one.score:4.0%}", style="cyan"))
        parts.append(Padding(top, (0, 0, 0, 2)))
    if not result.segments:
        parts.append(Padding(Text("no sound was clear enough for a segment", style="dim"), (1, 0, 0, 2)))
        return Group(*parts)
    found = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("start", "end"):
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("sound")
    found.add_column("score", justify="right")
    for segment in result.segments[:most]:
        found.add_row(clock(segment.start), clock(segment.end), Text(segment.label), f"{segment.score:.0%}")
    parts.append(Padding(found, (1, 0, 0, 2)))
    if len(result.segments) > most:
        more = f"… and {len(result.segments) - most} more; --format csv lists them all"
        parts.append(Padding(Text(more, style="dim"), (0, 0, 0, 2)))
    return Group(*parts)

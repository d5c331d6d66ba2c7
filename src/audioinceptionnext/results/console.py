"""A recognition as a table for the terminal."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

from audioinceptionnext.errors import printable
from audioinceptionnext.results.formats import format_time
from audioinceptionnext.results.types import RecognitionData

if TYPE_CHECKING:  # takes longer to import than a short recording takes to recognise
    from rich.console import RenderableType

TABLE_SEGMENTS = 40  # as many as fit a screen


def console_table(result: RecognitionData, max_segments: int | None = TABLE_SEGMENTS) -> RenderableType:
    """For the ``print`` of rich: the most probable labels of the recording with bars, then its first segments.

    Labels that round to 0 % are left out, as all are in digital silence. With None, all segments are shown.
    """
    from rich.bar import Bar
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    result = result.named()
    # Text throughout: a plain str would be read as markup, and "[sink].wav" would lose its name.
    parts: list[RenderableType] = [
        Text.assemble((printable(result.file), "bold"), (f"  {format_time(result.duration)}", "dim"))
    ]
    if likely := [one for one in result.clip if round(100 * one.score) > 0]:
        top = Table.grid(padding=(0, 2))
        task = None
        for one in likely:
            if one.task != task:  # each has a ranking of its own
                top.add_row(Text(f"{one.task}:", style="dim"))
                task = one.task
            bar = Bar(size=1, begin=0, end=min(one.score, 1), width=20, color="cyan")
            top.add_row(Text(printable(one.label)), bar, Text(f"{one.score:4.0%}", style="cyan"))
        parts.append(Padding(top, (0, 0, 0, 2)))
    if not result.segments:
        parts.append(Padding(Text("no segment: no label reached its onset threshold", style="dim"), (1, 0, 0, 2)))
        return Group(*parts)
    segments = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("start", "end"):
        segments.add_column(name, justify="right", no_wrap=True)
    segments.add_column("label")
    segments.add_column("score", justify="right")
    for segment in result.segments[:max_segments]:
        times = format_time(segment.start), format_time(segment.end)
        segments.add_row(*times, Text(printable(segment.label)), f"{segment.score:.0%}")
    parts.append(Padding(segments, (1, 0, 0, 2)))
    if max_segments is not None and len(result.segments) > max_segments:
        more = f"… and {len(result.segments) - max_segments} more, which the CSV format lists"
        parts.append(Padding(Text(more, style="dim"), (0, 0, 0, 2)))
    return Group(*parts)


def as_text(result: RecognitionData, max_segments: int | None = TABLE_SEGMENTS) -> str:
    """The table as plain text, without spaces at the ends of lines. No line is broken."""
    from rich.console import Console

    text = StringIO()
    longest = max(map(len, (result.file, *result.named().labels)), default=0)  # of letters, which may be two wide
    console = Console(file=text, width=100 + 2 * longest, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(console_table(result, max_segments))
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

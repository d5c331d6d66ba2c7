"""``ainext history``: what ``ainext listen --history`` has stored."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli.program import Program
from audioinceptionnext.errors import ParameterError, counted, printable

if TYPE_CHECKING:
    from audioinceptionnext.history.database import History
    from audioinceptionnext.history.records import Filters
    from audioinceptionnext.results.labels import LabelSet

app = Program(help="List and export what ainext listen --history has stored.")

_WIDE = 400  # columns of a table that goes to a file or another program, where no line is broken
_TIME = "a day or a time such as 2026-11-29 or 2026-11-29T08:00"
Database = Annotated[Path, typer.Argument(metavar="FILE.db", help="Read this history.")]
After = Annotated[
    str | None, typer.Option("--after", metavar="TIME", help=f"Only what began then or later: {_TIME}.")
]  # fmt: skip
Before = Annotated[str | None, typer.Option("--before", metavar="TIME", help="Only what began before this time.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels", metavar="NAMES", help="Only these labels: names and patterns such as 'Smoke*', separated by commas."
    ),
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="NAME", help="Only this input. May be repeated.")
]
MinScore = Annotated[
    float | None,
    typer.Option("--min-score", metavar="P", min=0, max=1, help="Only segments with at least this score."),
]


@app.command("list")
def list_events(
    database: Database,
    after: After = None,
    before: Before = None,
    labels: Labels = None,
    sources: Sources = None,
    min_score: MinScore = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=1, help="List the newest N.", show_default="40; with --json, all"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List segments, the newest first.

    Example: [bold]ainext history list home.db --after 2026-11-29 --labels 'Dog,Knock'[/bold]
    """
    from audioinceptionnext.history.database import History

    with History(database, read_only=True) as history:
        filters = _filters(history, after, before, labels, sources, min_score)
        if as_json:
            found = history.events(limit=limit, newest_first=True, **filters)
            print(json.dumps([row.as_dict() for row in found], ensure_ascii=False, indent=1))
            return
        found = history.events(limit=limit or 40, newest_first=True, **filters)
        more = history.number(**filters) - len(found)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("start", "seconds", "input", "label", "score", "clip"):
        table.add_column(name, justify="right" if name in ("seconds", "score") else "left", no_wrap=True)
    for row in found:
        score = "by hand" if row.score is None else f"{row.score:.0%}"
        start = row.as_dict()["start"][:19].replace("T", " ")
        texts = (Text(printable(text)) for text in (row.source, row.label))
        table.add_row(start, f"{row.end - row.start:.1f}", *texts, score, "kept" if row.clip else "")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    console.print(table)
    if more:
        console.print(f"… and {more:,} more")


@app.command("export")
def export(
    database: Database,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Write this .csv or .parquet file.")],
    after: After = None,
    before: Before = None,
    labels: Labels = None,
    sources: Sources = None,
    min_score: MinScore = None,
) -> None:
    """Write segments as a CSV or Parquet table (extra: parquet), ordered by time.

    Example: [bold]ainext history export home.db november.csv --after 2026-11-01 --before 2026-12-01[/bold]
    """
    from audioinceptionnext.history.database import History
    from audioinceptionnext.history.export import export

    with History(database, read_only=True) as history:
        rows = export(history, out, **_filters(history, after, before, labels, sources, min_score))
    print(f"ainext: wrote {counted(rows, 'segment')} to {printable(out)}", file=sys.stderr)


def _filters(
    history: History,
    after: str | None,
    before: str | None,
    labels: list[str] | None,
    sources: list[str] | None,
    min_score: float | None,
) -> Filters:
    from audioinceptionnext.errors import suggest
    from audioinceptionnext.history.records import read_time
    from audioinceptionnext.results.labels import LabelSet

    known = history.sources()
    for source in sources or ():
        if source not in known:
            raise ParameterError("sources", source, suggest(source, known) if known else "nothing is stored yet")
    names = LabelSet(tuple(history.labels()))
    found = None if labels is None else _stored(names, labels)
    return {
        "after": None if after is None else read_time("after", after),
        "before": None if before is None else read_time("before", before),
        "labels": found,
        "sources": sources,
        "min_score": min_score,
    }


def _stored(known: LabelSet, labels: list[str]) -> list[str]:
    """The labels that are meant, of those that are stored. That others were not recognised yet is no error."""
    places = set()
    for name in known.split(labels):
        found = known.find(name)
        if not found:
            print(f"ainext: warning: no label of this history matches {printable(name)!r}", file=sys.stderr)
        places |= {*found}
    return [known.names[place] for place in sorted(places)]

"""``ainext report``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.errors import AinextError, line_of


class SoundOption(StrEnum):
    embed = "embed"
    link = "link"
    none = "none"


def report(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files, folders, globs.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page.")] = Path("report.html"),
    model: options.ModelName = "kitchen20",
    threshold: options.Threshold = None,
    sound: Annotated[
        SoundOption,
        typer.Option(help="In the page (30 MB an hour), where the recordings lie, or not at all."),
    ] = SoundOption.embed,
    title: Annotated[str, typer.Option(metavar="TEXT")] = "What was heard",
    backend: options.Backend = "auto",
) -> None:
    """One page to send around: player, log-mel, timeline and statistics of recordings, in one HTML file.

    Example: [bold]ainext report ~/recordings --out monday.html[/bold]
    """
    from audioinceptionnext.audio.discover import Missing, find_media
    from audioinceptionnext.errors import printable
    from audioinceptionnext.models.load import load
    from audioinceptionnext.results.html import Report

    found = find_media(paths)
    recogniser = load(model, backend=backend)
    settings = None if threshold is None else options.timeline_settings(threshold)
    failed = 0
    with Report(out, sound.value, title) as page:
        for item in found:
            path = item.path if isinstance(item, Missing) else item
            try:
                if isinstance(item, Missing):
                    raise AinextError(f"{printable(path)}: {item.reason}")
                page.add(recogniser.predict(item, settings=settings))
            except Exception as error:  # whatever it is, it must not cost the rest
                line = line_of(error, printable(path))
                page.fail(str(path), line.removeprefix(f"{printable(path)}: "))
                print(f"ainext: {line}", file=sys.stderr)
                failed += 1
    count = len(found) - failed
    heard = f"{count} recording{'' if count == 1 else 's'}"
    print(f"{out}: {heard}, {out.stat().st_size / 1e6:.1f} MB", file=sys.stderr)
    if failed:
        raise typer.Exit(1)

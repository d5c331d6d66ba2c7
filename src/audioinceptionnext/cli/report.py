"""``ainext report``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.cli.predict import in_one_line
from audioinceptionnext.cli.progress import progress_bar
from audioinceptionnext.errors import FileError, ParameterError, counted, describe, printable
from audioinceptionnext.models.names import DEFAULT_MODEL


class SoundChoice(StrEnum):
    embed = "embed"
    link = "link"
    none = "none"


def report(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Recognise these files, folders or globs.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Write the page to this file.")] = Path(
        "report.html"
    ),
    model: options.ModelName = DEFAULT_MODEL,
    sound: Annotated[
        SoundChoice,
        typer.Option(
            help="Embed the sound in the page (30 MB per hour), link to the recordings, or leave the sound out."
        ),
    ] = SoundChoice.embed,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let the page replace a file that is no page of this command.")
    ] = False,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Set the page's title.")] = "Recognised sounds",
    labels: options.Labels = None,
    ignore: options.Ignore = None,
    language: options.Language = None,
    onset_threshold: options.OnsetThreshold = None,
    offset_threshold: options.OffsetThreshold = None,
    smoothing: options.Smoothing = None,
    min_duration: options.MinDuration = None,
    merge_gap: options.MergeGap = None,
    step_seconds: options.StepSeconds = None,
    backend: options.Backend = options.BackendName.auto,
) -> None:
    """Write a single HTML page about recordings, with a player, the log-mel, a timeline and statistics.

    Example: [bold]ainext report ~/recordings --out monday.html[/bold]
    """
    from audioinceptionnext.audio.discover import MissingPath, find_media
    from audioinceptionnext.models.load import load
    from audioinceptionnext.results.html import HtmlReport, is_report

    if out.suffix.lower() not in (".html", ".htm"):
        raise ParameterError("out", out, "the report is an HTML page; give a name that ends in .html")
    files = find_media(paths)
    some = any(isinstance(item, Path) for item in files)  # otherwise no page is written
    if some and out.is_file() and not overwrite and not is_report(out):
        reason = f"{printable(out)} is no page of ainext report; give --overwrite to replace it, or another name"
        raise ParameterError("out", None, reason)
    recogniser = options.choose(load(model, backend=backend.value), labels, ignore, language)
    step_seconds = recogniser.check_step(step_seconds) / recogniser.sample_rate  # warns once for all recordings
    settings = options.segmentation_settings(
        recogniser, onset_threshold, offset_threshold, smoothing, min_duration, merge_gap
    )
    failed = 0
    older = out.is_file() and out.stat().st_size > 0
    with HtmlReport(out, sound.value, title) as page, progress_bar(len(files)) as bar:
        for item in files:
            path = item.path if isinstance(item, MissingPath) else item
            try:
                if isinstance(item, MissingPath):
                    raise FileError(path, item.reason)
                progress = bar.of(item)
                result = recogniser.predict(item, settings=settings, step_seconds=step_seconds, progress=progress)
                for warning in result.warnings:
                    bar.print(f"ainext: warning: {printable(path)}: {warning}")
                page.add(result)
            except Exception as error:  # whatever it is, it must not cost the rest
                page.fail(str(path), describe(error))
                bar.print(f"ainext: {in_one_line(error, path)}")
                failed += 1
            bar.advance(path)
        if failed == len(files):  # a page about nothing would only replace one about something
            page.discard()
            raise typer.Exit(1)
    recordings = counted(len(files) - failed, "recording")
    replaced = "; it replaces an older page" if older else ""
    print(f"{printable(out)}: {recordings}, {out.stat().st_size / 1e6:.1f} MB{replaced}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)

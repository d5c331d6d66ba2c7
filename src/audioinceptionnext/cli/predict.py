"""``ainext predict``."""

from __future__ import annotations

import sys
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.cli.progress import progress_bar
from audioinceptionnext.cli.result_writer import OutputFormat, ResultWriter
from audioinceptionnext.errors import FileError, ParameterError, counted, describe, printable

if TYPE_CHECKING:
    from audioinceptionnext.audio.discover import MissingPath
    from audioinceptionnext.results.recognition import Recognition


def predict(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Recognise these files, folders or globs.")],
    model: options.ModelName = "kitchen20",
    format: Annotated[
        OutputFormat, typer.Option("--format", "-f", help="Choose the output format.")
    ] = OutputFormat.table,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; the same as --format json.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Write one file per recording to this folder.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the segments of all recordings to one table: .csv, .tsv or .parquet."),
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw a picture of each recording (.png), in --out or the current folder.")
    ] = False,
    top_k: options.TopK = 5,
    onset_threshold: options.OnsetThreshold = None,
    offset_threshold: options.OffsetThreshold = None,
    smoothing: options.Smoothing = 0.32,
    min_duration: options.MinDuration = 0.3,
    merge_gap: options.MergeGap = 0.3,
    step_seconds: options.StepSeconds = None,
    track: options.Track = None,
    backend: options.Backend = options.BackendName.auto,
    workers: options.Workers = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say which backend is used, and why.")] = False,
) -> None:
    """Recognise the sounds in recordings, and print when each one occurs.

    Example: [bold]ainext predict dinner.mp4 ~/recordings --format audacity --out labels[/bold]

    One table for a folder, for pandas or R: [bold]ainext predict ~/recordings --table all.parquet --out labels[/bold]
    """
    from audioinceptionnext.audio.discover import MissingPath, find_media
    from audioinceptionnext.inference.backends import choose_backend
    from audioinceptionnext.inference.parallel import MAX_PARALLEL, available_cores, parallel_map
    from audioinceptionnext.models.load import load
    from audioinceptionnext.results.plot import check_can_plot
    from audioinceptionnext.results.table import SegmentTable, check_table_path

    format = OutputFormat.json if as_json else format
    if plot:
        check_can_plot()
    if table is not None:
        check_table_path(table)
    files = find_media(paths)
    if format == OutputFormat.elan and out is None and len(files) > 1:
        raise ParameterError(
            "format", format, "an ELAN document holds one recording; give --out DIR to write one for each"
        )
    at_once = min(workers or min(len(available_cores()), MAX_PARALLEL), len(files) or 1)
    recogniser = load(model, threads=1 if at_once > 1 else None, backend=backend.value)
    recogniser.check_step(step_seconds)
    settings = options.segmentation_settings(
        recogniser, onset_threshold, offset_threshold, smoothing, min_duration, merge_gap
    )
    if verbose:
        chosen, reason = choose_backend(backend)
        print(f"ainext: backend {chosen} ({reason}), {counted(at_once, 'recording')} at a time", file=sys.stderr)

    def recognise(item: Path | MissingPath) -> Recognition:
        if isinstance(item, MissingPath):
            raise FileError(item.path, item.reason)
        progress = bar.of(item) if at_once == 1 else None  # the bar is opened below
        return recogniser.predict(
            item, top_k=top_k, settings=settings, step_seconds=step_seconds, track=track, progress=progress
        )

    writer = ResultWriter(format, out, plot)
    failed = 0
    with (
        nullcontext() if table is None else SegmentTable(table) as rows,
        closing(writer),
        progress_bar(len(files)) as bar,
        closing(parallel_map(recognise, files, at_once)) as results,
    ):
        for item, result in results:
            path = item.path if isinstance(item, MissingPath) else item
            try:
                if isinstance(result, Exception):
                    raise result
                for warning in result.warnings:
                    bar.print(f"ainext: warning: {printable(path)}: {warning}")
                if rows is not None:
                    rows.add(result)
                writer.write(result)
            except BrokenPipeError:  # whoever reads the output has enough, as `head` does
                raise
            except Exception as error:  # whatever it is, it must not cost the rest of the batch
                failed += 1
                writer.fail(path, error)
                bar.print(f"ainext: {in_one_line(error, path)}")
            bar.advance()
    if failed:
        raise typer.Exit(1)


def in_one_line(error: Exception, path: Path) -> str:
    """What to print about one recording of many; the line names it."""
    return str(error) if isinstance(error, FileError) else f"{printable(path)}: {describe(error)}"

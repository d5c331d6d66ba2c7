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
from audioinceptionnext.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from audioinceptionnext.audio.discover import MissingPath
    from audioinceptionnext.results.recognition import Recognition


def predict(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Recognise these files, folders or globs.")],
    model: options.ModelName = DEFAULT_MODEL,
    format: Annotated[
        OutputFormat | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=f"Choose the output format: {', '.join(OutputFormat)}.",
            show_default=OutputFormat.table.value,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; the same as --format json.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write one file per recording to this folder. Recordings from a folder keep their subfolders.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let results replace files of other recordings, and corrected labels.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            metavar="FILE",
            help="Write a table with one row per segment of all recordings: .csv, .tsv or .parquet.",
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary",
            metavar="FILE",
            help="Write a table with one row per recording, also for those without segments or with an error.",
        ),
    ] = None,
    excel: Annotated[
        bool, typer.Option("--excel", help="Write CSV and TSV for Excel: with its mark of UTF-8, and without formulas.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw a picture of each recording (.png), in --out or the current folder.")
    ] = False,
    top_k: options.TopK = 5,
    labels: options.Labels = None,
    ignore: options.Ignore = None,
    language: options.Language = None,
    onset_threshold: options.OnsetThreshold = None,
    offset_threshold: options.OffsetThreshold = None,
    smoothing: options.Smoothing = None,
    min_duration: options.MinDuration = None,
    merge_gap: options.MergeGap = None,
    step_seconds: options.StepSeconds = None,
    track: options.Track = None,
    backend: options.Backend = options.BackendName.auto,
    workers: options.Workers = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say which backend is used, and why.")] = False,
) -> None:
    """Recognise the sounds in recordings, and print when each one occurs.

    Example: [bold]ainext predict dinner.mp4 ~/recordings --format audacity --out labels[/bold]

    Tables for a folder: [bold]ainext predict ~/recordings --table segments.csv --summary recordings.csv[/bold]
    """
    from audioinceptionnext.audio.discover import MissingPath, find_media_below
    from audioinceptionnext.inference.backends import choose_backend
    from audioinceptionnext.inference.parallel import MAX_PARALLEL, available_cores, parallel_map
    from audioinceptionnext.models.load import load
    from audioinceptionnext.results.plot import check_can_plot
    from audioinceptionnext.results.table import RecordingTable, SegmentTable, check_table_path, is_other_file

    if as_json and format not in (None, OutputFormat.json):
        raise ParameterError("as_json", None, f"this means --format json, and --format {format} is given too")
    format = OutputFormat.json if as_json else format or OutputFormat.table
    if plot:
        check_can_plot()
    tables = [one for one in (table, summary) if one is not None]
    for one in tables:
        check_table_path(one)
    for name, place, kind in (("table", table, SegmentTable), ("summary", summary, RecordingTable)):
        if place is not None and not overwrite and is_other_file(place, kind.columns):
            reason = "this file is no such table, and would be replaced; give --overwrite to allow it, or another name"
            raise ParameterError(name, place, reason)
    if excel and format is not OutputFormat.csv and not any(one.suffix.lower() in (".csv", ".tsv") for one in tables):
        raise ParameterError("excel", None, "this is for --format csv, and for .csv and .tsv in --table and --summary")
    found = find_media_below(paths)
    files = [item for item, _ in found]
    if format == OutputFormat.elan and out is None and len(files) > 1:
        raise ParameterError(
            "format", format, "an ELAN document holds one recording; give --out DIR to write one for each"
        )
    recordings = [(item, below) for item, below in found if isinstance(item, Path)]
    both = {"table": table, "summary": summary}
    writer = ResultWriter(format, out, plot, recordings, overwrite=overwrite, excel=excel, tables=both)
    at_once = min(workers or min(len(available_cores()), MAX_PARALLEL), len(files) or 1)
    recogniser = load(model, threads=1 if at_once > 1 else None, backend=backend.value)
    recogniser = options.choose(recogniser, labels, ignore, language)
    step_seconds = recogniser.check_step(step_seconds) / recogniser.sample_rate  # warns once for all recordings
    settings = options.segmentation_settings(
        recogniser, onset_threshold, offset_threshold, smoothing, min_duration, merge_gap
    )
    if verbose:
        chosen, reason = choose_backend(backend)
        print(f"ainext: backend {chosen} ({reason}), {counted(at_once, 'recording')} at a time", file=sys.stderr)

    def recognise(item: Path | MissingPath) -> Recognition:
        if isinstance(item, MissingPath):
            raise FileError(item.path, item.reason)
        progress = bar.of(item)  # the bar is opened below
        return recogniser.predict(
            item, top_k=top_k, settings=settings, step_seconds=step_seconds, track=track, progress=progress
        )

    writer.open()
    failed, names = 0, language is not None
    with (
        nullcontext() if table is None else SegmentTable(table, excel, names) as segment_rows,
        nullcontext() if summary is None else RecordingTable(summary, excel, names) as recording_rows,
        closing(writer),
        progress_bar(len(files)) as bar,
        closing(parallel_map(recognise, files, at_once)) as results,
        bar.stopping(),
    ):
        for item, result in results:
            path = item.path if isinstance(item, MissingPath) else item
            try:
                if isinstance(result, Exception):
                    raise result
                for warning in result.warnings:
                    bar.print(f"ainext: warning: {printable(path)}: {warning}")
                if segment_rows is not None:
                    segment_rows.add(result)
                if moved := writer.write(Path(path), result):
                    bar.print(f"ainext: warning: {printable(path)}: {moved}")
                if recording_rows is not None:
                    recording_rows.add(result)
            except Exception as error:  # whatever it is, it must not cost the rest of the batch
                failed += 1
                writer.fail(path, error)
                bar.print(f"ainext: {(line := in_one_line(error, path))}")
                if recording_rows is not None:  # it has no row yet: that is added last
                    try:
                        recording_rows.fail(str(path), describe(error))
                    except FileError as refused:
                        if str(refused) != line:
                            bar.print(f"ainext: {refused}")
            bar.advance(path)
    if sys.stderr.isatty() and (len(files) > 1 or out is not None):
        where = "" if out is None else f", results in {printable(out)}"
        lost = f"; {failed:,} failed" if failed else ""
        print(f"ainext: {len(files) - failed:,} of {counted(len(files), 'recording')}{where}{lost}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def in_one_line(error: Exception, path: Path | str) -> str:
    """What to print about one recording of many; the line names it."""
    return str(error) if isinstance(error, FileError) else f"{printable(path)}: {describe(error)}"

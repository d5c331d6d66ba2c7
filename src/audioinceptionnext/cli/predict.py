"""``ainext predict``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli import batch as ray_options
from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.errors import AinextError, line_of, printable

if TYPE_CHECKING:
    from rich.progress import Progress

    from audioinceptionnext.results.formats import Context
    from audioinceptionnext.results.recognition import Recognition


class OutputFormat(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"
    audacity = "audacity"
    srt = "srt"
    elan = "elan"
    raven = "raven"


def predict(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Files, folders, globs; --on ray: also @LIST, URIs.")
    ],
    model: options.ModelName = "kitchen20",
    format: Annotated[OutputFormat, typer.Option("--format", "-f", help="What to write.")] = OutputFormat.table,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write one file a recording here, not to stdout."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also one table of all segments: .csv, .tsv or .parquet."),
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Also draw each recording (PNG), in --out or the current folder.")
    ] = False,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Labels for the recording as a whole.")] = 5,
    threshold: options.Threshold = None,
    lower: Annotated[
        float | None,
        typer.Option(metavar="P", help="A segment lasts while it stays at this.", show_default="0.6 x threshold"),
    ] = None,
    smoothing: Annotated[float, typer.Option(metavar="SECONDS", help="Average probabilities over this long.")] = 0.32,
    shortest: Annotated[float, typer.Option(metavar="SECONDS", help="Drop segments shorter than this.")] = 0.3,
    gap: Annotated[float, typer.Option(metavar="SECONDS", help="Join segments closer than this.")] = 0.3,
    hop: Annotated[
        float | None,
        typer.Option("--hop", metavar="SECONDS", help="From one answer to the next.", show_default="the model's, 0.16"),
    ] = None,
    backend: options.Backend = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Recordings heard at a time.", show_default="as many as there are cores, up to 8"),
    ] = None,
    on: ray_options.On = ray_options.Where.local,
    address: ray_options.Address = None,
    batch: ray_options.Batch = None,
    retry_failed: ray_options.RetryFailed = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say what computes, and why; what Ray says.")] = False,
) -> None:
    """Say which sounds are in recordings, and when.

    Example: [bold]ainext predict dinner.mp4 ~/recordings --format audacity --out labels[/bold]

    One table over a folder, for pandas or R: [bold]ainext predict ~/recordings --table all.parquet --out labels[/bold]

    An archive, on all cores and resumable: [bold]ainext predict s3://bucket/2024 @more.txt --on ray --out night[/bold]
    """
    from audioinceptionnext.audio.discover import Missing, find_media
    from audioinceptionnext.inference.backends import choose
    from audioinceptionnext.inference.parallel import MAX_PARALLEL, parallel_map, usable_cores
    from audioinceptionnext.models.load import load
    from audioinceptionnext.results import table as tables
    from audioinceptionnext.results.plot import check_can_draw

    chosen = OutputFormat.json if as_json else format
    given = {"lower": lower} if lower is not None else {}
    shape = {"smoothing": smoothing, "shortest": shortest, "gap": gap}
    settings = options.timeline_settings(0.5 if threshold is None else threshold, **given, **shape)
    cluster = ray_options.Cluster(address, workers, batch, retry_failed, verbose)
    if on is ray_options.Where.ray:
        out = ray_options.check(out, chosen, plot, table)
    else:
        cluster.check_unused()
    if plot:
        check_can_draw()
    if table is not None:
        tables.check(table)
    files = [] if on is ray_options.Where.ray else find_media(paths)
    if chosen == OutputFormat.elan and out is None and len(files) > 1:
        raise AinextError("--format elan: a document holds one recording: give --out DIR for several")
    at_once = min(workers or min(len(usable_cores()), MAX_PARALLEL), len(files) or 1)
    recogniser = load(model, 1 if at_once > 1 else None, backend)
    recogniser.check_hop(hop)
    if threshold is None:
        settings = replace(settings, by_class=recogniser.thresholds)
    chosen_backend, reason = choose(backend)
    if verbose:
        print(f"ainext: computed by {chosen_backend}: {reason}; recordings at a time: {at_once}", file=sys.stderr)
    if on is ray_options.Where.ray and out is not None:
        how = (model, recogniser.name, settings, top_k, hop)
        where = (out, cluster, chosen == OutputFormat.json, chosen_backend)
        raise typer.Exit(ray_options.predict_on_ray(paths, *how, *where))
    writer = Writer(chosen, out, plot)
    failed = 0

    def hear(item: Path | Missing) -> Recognition:
        if isinstance(item, Missing):
            raise AinextError(f"{printable(item.path)}: {item.reason}")
        return recogniser.predict(item, top_k, settings, hop, progress.following(item) if at_once == 1 else None)

    with (
        nullcontext() if table is None else tables.Table(table) as rows,
        closing(writer),
        _progress(len(files)) as progress,
        closing(parallel_map(hear, files, at_once)) as results,
    ):
        for item, heard in results:
            path = item.path if isinstance(item, Missing) else item
            try:
                if isinstance(heard, Exception):
                    raise heard
                for warning in heard.warnings:
                    progress.say(f"ainext: warning: {warning}")
                if rows is not None:
                    rows.add(heard)
                writer.write(heard)
            except Exception as error:  # whatever it is, it must not cost the rest of the batch
                line = line_of(error, printable(path))
                failed += 1
                writer.fail(str(path), line)
                progress.say(f"ainext: {line}")
            progress.next()
    if failed:
        raise typer.Exit(1)


class Writer:
    """Writes each recording's result as soon as it is there."""

    def __init__(self, format: OutputFormat, out: Path | None, plot: bool) -> None:
        self.format, self.out, self.plot = format, out, plot
        self._taken: set[Path] = set()
        self._written = 0
        self._context: Context | None = None  # of what comes next on stdout
        if out is not None:
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise AinextError(f"--out {out}: cannot be a folder ({error.strerror})") from error

    def write(self, heard: Recognition) -> None:
        from audioinceptionnext.errors import writing
        from audioinceptionnext.results.formats import FORMATS, Context

        if self.plot:
            heard.plot(self._place(heard.file, ".png"))
        if self.out is not None and self.format == OutputFormat.table:
            with writing(place := self._place(heard.file, ".txt")):
                place.write_bytes(f"{heard}\n".encode(errors="replace"))
        elif self.out is not None:
            heard.to(self.format, self._place(heard.file, FORMATS[self.format].suffix))
        elif self.format == OutputFormat.table:
            self._print_table(heard)
        elif self.format == OutputFormat.json:
            self._print_object(heard.as_dict())
        else:
            format = FORMATS[self.format]
            # What is printed is most often sent to a file here, so a recording is looked for from here.
            context = self._context or Context(Path.cwd())
            sys.stdout.write((format.between if self._written else format.header) + format.body(heard, context))
            self._context = context.after(heard)
        self._written += 1
        sys.stdout.flush()

    def fail(self, file: str, message: str) -> None:
        if self.format == OutputFormat.json and self.out is None:
            self._print_object({"file": file, "error": message.removeprefix(f"{printable(file)}: ")})
            self._written += 1

    def close(self) -> None:
        """Ends what was begun: of JSON the list."""
        if self.format == OutputFormat.json and self.out is None:
            print("\n]" if self._written else "[]")

    def _print_object(self, values: dict[str, Any]) -> None:
        # The list is written as it grows, so that a long run that is interrupted has not been for nothing.
        print(",\n" if self._written else "[\n", end="")
        print(json.dumps(values, ensure_ascii=False), end="", flush=True)

    def _print_table(self, heard: Recognition) -> None:
        from rich.console import Console

        if self._written:
            print()
        Console(file=sys.stdout, highlight=False).print(heard.table())

    def _place(self, file: str, suffix: str) -> Path:
        """Named after the recording; where two share a name (a.wav, a.mp3), the second keeps its suffix too."""
        folder = self.out or Path()
        name = Path(file).name
        for candidate in (Path(name).stem, name, *(f"{name} {n}" for n in range(2, 10_000))):
            path = folder / f"{candidate}{suffix}"
            if path not in self._taken and not (path.exists() and path.resolve() == Path(file).resolve()):
                self._taken.add(path)
                return path
        raise AinextError(f"{file}: too many recordings of this name for {folder}")


class _Bar:
    """Progress on stderr over files, or within a long one; silent where stderr is no terminal."""

    def __init__(self, bar: Progress | None, files: int) -> None:
        self.bar = bar
        self.task = bar.add_task("", total=files) if bar else None

    def following(self, path: Path) -> Any:
        if self.bar is None or self.task is None:
            return None
        from audioinceptionnext.audio.decode import duration_of

        bar, task = self.bar, self.task
        bar.update(task, description=path.name)
        total = duration_of(path)
        start = bar.tasks[0].completed
        if not total:
            return None
        return lambda seconds: bar.update(task, completed=start + min(0.99, seconds / total))

    def next(self) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=int(self.bar.tasks[0].completed) + 1)

    def say(self, line: str) -> None:
        if self.bar is not None:
            self.bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)


@contextmanager
def _progress(files: int) -> Iterator[_Bar]:
    if not sys.stderr.isatty():
        yield _Bar(None, files)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as bar:
        yield _Bar(bar, files)

"""``ainext batch``."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.errors import counted, printable
from audioinceptionnext.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from audioinceptionnext.cluster.progress import Summary

_CLUSTER = "Cluster"


def batch(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH",
            help="Recognise these files, folders, globs or URIs, such as s3://bucket/2024. @list.txt stands for a list "
            "of them.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Write the results to this folder, or continue the run that was started there.",
        ),
    ],
    model: options.ModelName = DEFAULT_MODEL,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON document.")] = False,
    top_k: options.TopK = 5,
    labels: options.Labels = None,
    ignore: options.Ignore = None,
    onset_threshold: options.OnsetThreshold = None,
    offset_threshold: options.OffsetThreshold = None,
    smoothing: options.Smoothing = None,
    min_duration: options.MinDuration = None,
    merge_gap: options.MergeGap = None,
    step_seconds: options.StepSeconds = None,
    backend: options.Backend = options.BackendName.auto,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Recognise this many recordings at a time.",
            show_default="one per core",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Run on the Ray cluster at this address; auto finds a running one.",
            show_default="this computer",
            rich_help_panel=_CLUSTER,
        ),
    ] = None,
    task_size: Annotated[
        int,
        typer.Option(
            "--task-size",
            min=1,
            help="Give a worker at most this many recordings at a time.",
            rich_help_panel=_CLUSTER,
        ),
    ] = 16,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Retry all recordings that failed in an earlier run.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say which backend is used, and print Ray's log.")] = False,
) -> None:
    """Recognise the sounds in a large archive, on all cores or on a Ray cluster (extra: cluster).

    To continue an interrupted run, give the same command again.

    Example: [bold]ainext batch ~/recordings --out night[/bold]

    With an object store and a list of files: [bold]ainext batch s3://bucket/2024 @more.txt --out night[/bold]
    """
    from audioinceptionnext.cluster.ray_cluster import check_installed

    check_installed()
    from audioinceptionnext.cluster.run import ClusterOptions, run_batch
    from audioinceptionnext.cluster.worker import Job
    from audioinceptionnext.inference.backends import choose_backend
    from audioinceptionnext.inference.recogniser import Recogniser
    from audioinceptionnext.models.load import read_model

    file = read_model(model)
    recogniser = Recogniser(file.content, file.source, file.name, threads=1, backend=backend.value)
    recogniser = options.choose(recogniser, labels, ignore)
    recogniser.check_step(step_seconds)
    settings = options.segmentation_settings(
        recogniser, onset_threshold, offset_threshold, smoothing, min_duration, merge_gap
    )
    chosen, reason = choose_backend(backend.value)
    if verbose:
        print(f"ainext: backend {chosen} ({reason})", file=sys.stderr)
    job = Job(
        model=recogniser.name,
        source=file.source,
        sha256=hashlib.sha256(file.content).hexdigest(),
        labels=recogniser.labels if labels or ignore else None,
        settings=settings,
        top_k=top_k,
        step_seconds=step_seconds,
        backend=options.BackendName(chosen).value,
    )
    cluster = ClusterOptions(address=address, workers=workers, task_size=task_size, verbose=verbose)
    summary = run_batch(paths, job, file.content, out, cluster=cluster, retry_failed=retry_failed)
    print(json.dumps(summary.as_dict(), ensure_ascii=False) if as_json else _in_words(summary))
    if summary.failed or summary.unprocessed:
        raise typer.Exit(1)


def _in_words(summary: Summary) -> str:
    verb = "is" if summary.recordings == 1 else "are"
    out = printable(summary.out)
    lines = [f"{summary.done:,} of {counted(summary.recordings, 'recording')} {verb} in {out}"]
    if summary.earlier:
        lines[0] += f", {summary.earlier:,} of them from earlier runs"
    if summary.failed:
        lines.append(f"{summary.failed:,} failed: see {out}/failed.jsonl")
    if summary.unprocessed:
        lines.append(
            f"{summary.unprocessed:,} were not processed, since files changed in the meantime; run the command again"
        )
    if summary.warnings:
        lines.append(f"{summary.warnings:,} could only be recognised in part: see their warnings")
    if summary.audio_seconds:
        line = f"{summary.audio_seconds / 3600:.2f} h of audio in {summary.wall_seconds:.0f} s"
        if summary.recordings_per_second:  # 0 if all results came at once
            start = f"after {summary.startup_seconds:.0f} s of start-up"
            line += f"; {summary.recordings_per_second:.1f} recordings per second {start}"
        lines.append(line)
    return "\n".join(lines)

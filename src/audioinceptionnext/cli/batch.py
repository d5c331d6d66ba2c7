"""``ainext predict --on ray``: what its options mean, and what it prints."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.errors import AinextError

if TYPE_CHECKING:
    from audioinceptionnext.cluster.run import Summary
    from audioinceptionnext.results.segmentation import TimelineSettings

_PANEL: dict[str, Any] = {"rich_help_panel": "Many recordings: --on ray (extra: cluster)"}


class Where(StrEnum):
    local = "local"
    ray = "ray"


On = Annotated[
    Where, typer.Option(help="local: in this process. ray: on processes of this or many machines.", **_PANEL)
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="A Ray cluster, or auto.", show_default="this machine", **_PANEL),
]
Batch = Annotated[int | None, typer.Option(min=1, help="Recordings a task, at most.", show_default="16", **_PANEL)]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Hear again what could not be heard earlier.", **_PANEL)
]


@dataclass(frozen=True)
class Cluster:
    """The options of this kind, as typed."""

    address: str | None
    workers: int | None
    batch: int | None
    retry_failed: bool
    verbose: bool

    def check_unused(self) -> None:
        """Raises `AinextError` where one was given without ``--on ray``."""
        given = {
            "--address": self.address is not None,
            "--batch": self.batch is not None,
            "--retry-failed": self.retry_failed,
        }
        if wrong := [name for name, present in given.items() if present]:
            raise AinextError(f"{wrong[0]}: belongs to --on ray")


def check(out: Path | None, format: str, plot: bool, table: Path | None) -> Path:
    """The folder of results. Raises `AinextError` for what makes no sense with ``--on ray``, or is not installed."""
    from audioinceptionnext.cluster.ray_cluster import check_installed

    if format not in ("table", "json"):
        raise AinextError(f"--format {format}: --on ray writes JSON lines and Parquet; leave --format out")
    if plot:
        raise AinextError("--plot: not with --on ray; draw single recordings without it")
    if table is not None:
        raise AinextError("--table: not with --on ray, whose folder has Parquet of its own: leave it out")
    if out is None:
        raise AinextError("--on ray: give --out DIR, where results go and where a run that was cut off goes on")
    check_installed()
    return out


def predict_on_ray(
    paths: list[str],
    model: str,
    name: str,
    settings: TimelineSettings,
    top_k: int,
    hop: float | None,
    out: Path,
    options: Cluster,
    as_json: bool,
    backend: str | None = None,
) -> int:
    """Runs, prints the summary, and returns the exit code. ``name`` is what results call the model."""
    from audioinceptionnext.cluster.run import BATCH, Place, recognise
    from audioinceptionnext.cluster.worker import Job
    from audioinceptionnext.models.load import read_model

    content, source, _ = read_model(model)
    run = hashlib.sha256(str(out.absolute()).encode("utf-8", "replace")).hexdigest()[:12]
    job = Job(source, name, hashlib.sha256(content).hexdigest(), settings, top_k, hop, run, backend)
    place = Place(options.address, options.workers, options.batch or BATCH, options.verbose)
    found = recognise(paths, job, content, out, place, options.retry_failed)
    print(json.dumps(found.as_dict(), ensure_ascii=False) if as_json else _told(found))
    return 1 if found.failed or found.left else 0


def _told(found: Summary) -> str:
    lines = [f"{found.done:,} of {found.files:,} recordings in {found.out}/parts (JSON lines) and /parquet"]
    if found.earlier:
        lines[0] += f"; {found.earlier:,} of them from earlier"
    if found.failed:
        lines.append(f"{found.failed:,} could not be heard: {found.out}/failed.jsonl")
    if found.left:
        lines.append(f"{found.left:,} were not heard, since files changed while they were listed: run it again")
    if found.warnings:
        lines.append(f"{found.warnings:,} were heard only in part: see their warnings")
    if found.seconds:
        sound = f"{found.seconds / 3600:.2f} h of sound in {found.wall:.0f} s"
        lines.append(f"{sound}; {found.rate:.1f} recordings a second after a start of {found.start:.0f} s")
    return "\n".join(lines)

"""``ainext data``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from audioinceptionnext.data.check import Report

_SHOWN = 10  # lines of each kind; --json has them all
_CLASSES = 60

app = typer.Typer(help="Look at datasets. Try: ainext data check folder --root my_sounds")


@app.command("check")
def check(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The dataset: kitchen20, folder, csv, …")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The folder that holds it.")],
    audio: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Its recordings (a folder or HDF5 file), if not below --root.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Read headers only, no sound.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, with every line.")] = False,
) -> None:
    """Say what is there of a dataset, what is missing or cannot be read, and what leaks across folds and splits.

    Exits with 1 when something is missing, unreadable, damaged or beyond a recording's end.

    Example: [bold]ainext data check kitchen20 --root Kitchen20[/bold]
    """
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.data.check import check as look

    def tell(done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done}/{of} recordings", end="\n" if done == of else "", file=sys.stderr)

    report = look(load_dataset(name, root, audio), fast, tell)
    if as_json:
        print(json.dumps(report.as_dict(), ensure_ascii=False, indent=2))
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(1)


@app.command("render")
def render(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Where the clips go, a sub-folder a label.")],
    clips: Annotated[int, typer.Option(min=1, help="How many.")] = 24_000,
    seconds: Annotated[float, typer.Option(min=0.1, max=60, help="How long each is.")] = 3.28,
    rate: Annotated[int, typer.Option(min=4_000, max=192_000, metavar="HZ", help="Samples a second.")] = 24_000,
    seed: Annotated[int, typer.Option(min=0, help="The first clip's number; other numbers, other sounds.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="one a core")] = None,
) -> None:
    """Make sounds to pretrain on: knocks, water, motors, voices …, labelled by what made them and how.

    What is there already is kept, so a run that was stopped goes on.

    Example: [bold]ainext data render rendered --clips 24000[/bold]
    """
    from audioinceptionnext.rendering import LABELS
    from audioinceptionnext.rendering.folder import render_folder

    def tell(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done}/{clips} clips", end="\n" if done == clips else "", file=sys.stderr)

    new = render_folder(out, clips, seconds, rate, seed, workers or os.cpu_count() or 1, tell)
    print(f"{out}: {clips:,} clips of {len(LABELS)} labels, {new:,} of them rendered now")
    print(f"next: ainext train --data folder --root {out} --recipe rendered --out runs/rendered")


def _show(report: Report) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    named = sum(count.clips > 0 for count in report.classes)
    of = "" if named == len(report.classes) else f" of {len(report.classes)}"
    console.print(f"{report.data}: {report.clips:,} clips of {named}{of} classes, in {report.recordings:,} recordings")
    if report.parts:
        parts = "   ".join(f"{part}: {clips:,}" for part, clips in report.parts.items())
        console.print(f"{'folds' if report.folded else 'splits':11}{parts}")
    if report.unlabelled:
        console.print(f"unlabelled {report.unlabelled:,}")
    if report.groups:
        console.print(f"sources    {report.groups:,}")
    if long := report.durations:
        lengths = f"median {long.median:.2f} s, shortest {long.shortest:.2f} s, longest {long.longest:.2f} s"
        console.print(f"durations  {_hours(long.total)} in all, {lengths}")
    if report.sample_rates:
        console.print("rates      " + "   ".join(f"{rate:,} Hz: {n:,}" for rate, n in report.sample_rates.items()))
    for line in _verdict(report):
        console.print(line)
    console.print()
    _class_table(report, console)
    _details(report, console)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _verdict(report: Report) -> list[str]:
    """One line on what must be mended, one on what should be known."""
    wrong = {
        "problems of its list": len(report.problems),
        "unreadable recordings": len(report.unreadable),
        "damaged recordings": len(report.damaged),
        "clips beyond their recording's end": len(report.beyond),
        "empty clips": len(report.empty),
    }
    across = sum(duplicate.across for duplicate in report.duplicates)
    known = {
        "silent clips": len(report.silent),
        "classes without clips": sum(count.clips == 0 for count in report.classes),
        "sets of identical clips": len(report.duplicates),
        "such sets across folds or splits": across,
        "sources in several folds or splits": len(report.leaks),
    }
    lines = [f"wrong      {_counted(wrong) or 'nothing'}"]
    lines += [f"to know    {_counted(known)}"] if any(known.values()) else []
    if not report.decoded:
        lines.append("           (only headers were read: nothing is known of silence, damage and identical clips)")
    return lines


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{what}: {number:,}" for what, number in counts.items() if number)


def _class_table(report: Report, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    classes = report.classes
    if len(classes) > _CLASSES:
        classes = tuple(sorted(classes, key=lambda count: count.clips)[:_CLASSES])
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("class", no_wrap=True)
    for column in ("clips", *report.parts):
        table.add_column(column, justify="right")
    for count in classes:
        table.add_row(Text(count.label), *(f"{n:,}" for n in (count.clips, *count.parts.values())))
    console.print(table)
    if len(classes) < len(report.classes):
        console.print(f"and {len(report.classes) - len(classes)} more, with more clips (--json has all)")


def _details(report: Report, console: Console) -> None:
    leaks = [f"{leak.group}: {leak.clips} clips in {', '.join(leak.parts)}" for leak in report.leaks]
    alike = []
    for duplicate in report.duplicates:
        labels = f" (labelled {' and '.join(duplicate.labels)})" if len(duplicate.labels) > 1 else ""
        alike.append(("across: " if duplicate.across else "") + " = ".join(duplicate.clips) + labels)
    sections: dict[str, Sequence[str]] = {
        "Problems of its list": report.problems,
        "Unreadable": report.unreadable,
        "Damaged": report.damaged,
        "Beyond the recording's end": report.beyond,
        "Empty": report.empty,
        "Silent": report.silent,
        "Classes without clips": [count.label for count in report.classes if not count.clips],
        "Identical clips": alike,
        "Sources in several folds or splits": leaks,
    }
    for title, lines in sections.items():
        if not lines:
            continue
        console.print(f"\n{title} ({len(lines):,})")
        for line in lines[:_SHOWN]:
            console.print(f"  {line}")
        if len(lines) > _SHOWN:
            console.print(f"  and {len(lines) - _SHOWN:,} more (--json has all)")

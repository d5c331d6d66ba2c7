"""``ainext data``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.cli.data_render import print_progress, render
from audioinceptionnext.cli.program import Program
from audioinceptionnext.errors import counted, printable

if TYPE_CHECKING:
    from rich.console import Console

    from audioinceptionnext.data.check import ClassCount, DataReport

_MAX_LINES = 10  # of each kind; --json has them all
_MAX_CLASSES = 60
_MAX_ENDS = 10  # classes of each end, if there are more

app = Program(help="Check and render data sets. Try: ainext data check folder --root my_sounds")


def _data_sets() -> list[str]:
    """Names for the completion of the shell."""
    from audioinceptionnext.data import DATASETS

    return list(DATASETS)


@app.command("check")
def check(
    data: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help=f"Check this kind of data set: {shared.DATA_SETS}. A csv list with a column `labels` (names separated "
            "by ;) may have any number of labels per clip.",
            autocompletion=_data_sets,
        ),
    ],
    root: shared.Root,
    audio: shared.Audio = None,
    fast: Annotated[bool, typer.Option("--fast", help="Read only the headers, and decode nothing.")] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Report what a data set contains, what is missing or damaged, and which sources are in several folds or splits.

    The exit code is 1 if anything is missing, unreadable or damaged, or lies beyond the end of its recording.

    Example: [bold]ainext data check kitchen20 --root Kitchen20[/bold]
    """
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.data.check import check as check_dataset

    report = check_dataset(load_dataset(data, root, audio), fast=fast, progress=print_progress)
    if as_json:
        print(json.dumps(report.as_dict(), ensure_ascii=False, indent=2))
    else:
        _print_report(report)
    if not report.ok:
        raise typer.Exit(1)


app.command("render")(render)


def _print_report(report: DataReport) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    present = sum(count.clips > 0 for count in report.classes)
    total = counted(len(report.classes), "class")
    classes = total if present == len(report.classes) else f"{present} of {total}"
    console.print(
        f"{report.data}: {counted(report.clips, 'clip')} of {classes}, in {counted(report.recordings, 'recording')}"
    )
    if report.parts:
        parts = "   ".join(f"{part}: {clips:,}" for part, clips in report.parts.items())
        console.print(f"{'folds' if report.folded else 'splits':11}{parts}")
    if report.labels_per_clip != 1:
        none = f", {report.without_label:,} with none" if report.without_label else ""
        console.print(f"labels     {report.labels_per_clip:.2f} per clip{none}")
    if report.unlabelled:
        console.print(f"unlabelled {report.unlabelled:,}")
    if report.groups:
        console.print(f"sources    {report.groups:,}")
    if durations := report.durations:
        extremes = f"shortest {durations.shortest:.2f} s, longest {durations.longest:.2f} s"
        console.print(f"durations  {_hours(durations.total)} in all, median {durations.median:.2f} s, {extremes}")
    if report.sample_rates:
        console.print("rates      " + "   ".join(f"{rate:,} Hz: {n:,}" for rate, n in report.sample_rates.items()))
    for line in _verdict(report):
        console.print(line)
    console.print()
    _class_table(report, console)
    _details(report, console)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _verdict(report: DataReport) -> list[str]:
    """One line about what needs fixing, and one about what may matter."""
    wrong = {
        "problems in the list": len(report.problems),
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
        "of them across folds or splits": across,
        "sources in several folds or splits": len(report.leaks),
    }
    lines = [f"wrong      {_listed(wrong) or 'nothing'}"]
    lines += [f"note       {_listed(known)}"] if any(known.values()) else []
    if not report.decoded:
        lines.append("           (only headers were read: silence, damage and identical clips are unknown)")
    return lines


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{what}: {number:,}" for what, number in counts.items() if number)


def _class_table(report: DataReport, console: Console) -> None:
    """All classes, or of very many a summary and the smallest and the largest."""
    from rich.table import Table
    from rich.text import Text

    ranked = sorted((count for count in report.classes if count.clips), key=lambda count: count.clips)
    shown: Sequence[ClassCount] = report.classes
    if len(report.classes) > _MAX_CLASSES and ranked:
        shown = ranked if len(ranked) <= _MAX_CLASSES else [*ranked[:_MAX_ENDS], *ranked[-_MAX_ENDS:]]
        smallest, median, largest = (ranked[place].clips for place in (0, len(ranked) // 2, -1))
        console.print(f"clips per class   smallest {smallest:,}, median {median:,}, largest {largest:,}")
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("class", no_wrap=True)
    for column in ("clips", *report.parts):
        table.add_column(column, justify="right")
    for number, count in enumerate(shown):
        if len(shown) < len(ranked) and number == _MAX_ENDS:
            table.add_row("…")
        table.add_row(Text(printable(count.label)), *(f"{n:,}" for n in (count.clips, *count.parts.values())))
    console.print(table)
    if len(shown) < len(ranked):
        console.print(f"(the {_MAX_ENDS} smallest and the {_MAX_ENDS} largest of {len(ranked)}; --json prints all)")


def _details(report: DataReport, console: Console) -> None:
    leaks = [f"{leak.group}: {counted(leak.clips, 'clip')} in {', '.join(leak.parts)}" for leak in report.leaks]
    identical = []
    for duplicate in report.duplicates:
        labels = f" (labelled {' and '.join(duplicate.labels)})" if len(duplicate.labels) > 1 else ""
        identical.append(("across: " if duplicate.across else "") + " = ".join(duplicate.clips) + labels)
    sections: dict[str, Sequence[str]] = {
        "Problems in the list": report.problems,
        "Unreadable": report.unreadable,
        "Damaged": report.damaged,
        "Beyond the recording's end": report.beyond,
        "Empty": report.empty,
        "Silent": report.silent,
        "Classes without clips": [count.label for count in report.classes if not count.clips],
        "Identical clips": identical,
        "Sources in several folds or splits": leaks,
    }
    for title, lines in sections.items():
        if not lines:
            continue
        console.print(f"\n{title} ({len(lines):,})")
        for line in lines[:_MAX_LINES]:
            console.print(f"  {line}")
        if len(lines) > _MAX_LINES:
            console.print(f"  and {len(lines) - _MAX_LINES:,} more (--json prints all)")

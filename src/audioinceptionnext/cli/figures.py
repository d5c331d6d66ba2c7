"""Figures of an evaluation as tables on the terminal."""

from __future__ import annotations

import math
from typing import Any

from audioinceptionnext.errors import counted, printable

OF_TIMELINES = {  # of the figures of a label that its report has: the heading
    "segments": "true",
    "found": "found",
    "segment_f1": "seg. F1",
    "event_f1": "event F1",
    "onset_median": "onset",
    "onset_bias": "bias",
    "offset_median": "offset",
    "offset_bias": "bias",
    "psds1": "PSDS 1",
}
MAX_CLASSES = 50  # in the table; of more classes it shows the best and the worst
NAMES = {"top1": "top-1", "top5": "top-5", "mca": "mean class accuracy", "map": "mAP", "mauc": "mAUC", "f1": "mean F1"}
COLUMNS = {  # of the figures of a label, where several can be true: the heading and the form
    "clips": ("clips", "{:,}"),
    "average_precision": ("AP", "{:.1f}"),
    "auc": ("AUC", "{:.3f}"),
    "threshold": ("threshold", "{:.2f}"),
    "precision": ("precision", "{:.1f}"),
    "recall": ("recall", "{:.1f}"),
    "f1": ("F1", "{:.1f}"),
}


def print_step_figures(figures: dict[str, Any], what: str) -> None:
    """Print the figures of `evaluate_frames` in a line; ``what`` is what they call a recording."""
    where = f"{counted(figures['recordings'], what)} ({figures['hours']:.2f} hours)"
    print(f"mAP of the steps {figures['frame_map']:.1f} %, segment F1 {figures['segment_f1']:.1f} % on {where}")


def print_timeline_figures(figures: dict[str, Any]) -> None:
    """Print the figures of `evaluate_timelines` as two tables: over all labels, and of each."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from audioinceptionnext.evaluation.intervals import MIN_SOURCES
    from audioinceptionnext.evaluation.timeline_report import HEADLINES, label_cell, shown_headline

    console = Console(highlight=False)
    where = f"{counted(figures['recordings'], 'recording')} of {figures['data']} ({figures['hours']:.2f} hours)"
    console.print(Text(printable(f"{figures['model']}: timeline of {where}"), "bold"), soft_wrap=True)
    console.print(f"{counted(figures['segments'], 'true segment')}, {figures['found']:,} reported", style="dim")
    table = Table(box=None, show_header=False, padding=(0, 2))
    for name in HEADLINES:
        if figures.get(name) is not None:
            heading, value, interval = shown_headline(name, figures)
            table.add_row(heading, value, f"({interval})" if interval else "")
    console.print(table)
    collars = figures["collars"]
    off = f"offsets within {collars['offset']:g} s or {100 * collars['offset_share']:g} %"
    console.print(f"events: onsets within {collars['onset']:g} s, {off}", style="dim")
    if figures.get("intervals"):
        console.print("in brackets: 95 % bootstrap intervals, over recordings", style="dim")
    elif "intervals" in figures and (sources := figures.get("sources", figures["recordings"])) < MIN_SOURCES:
        few = counted(sources, "recording")
        console.print(f"no 95 % intervals: {few} cannot tell how far others would move the figures", style="dim")
    console.print()
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("label")
    columns = [name for name in OF_TIMELINES if figures.get(name, "") is not None]
    for name in columns:
        table.add_column(OF_TIMELINES[name], justify="right", no_wrap=True)
    rows = sorted(figures["per_label"].items(), key=lambda item: -item[1]["segments"])
    for label, own in rows[:MAX_CLASSES]:
        table.add_row(Text(printable(label)), *(label_cell(name, own.get(name))[1] for name in columns))
    console.print(table)
    console.print("F1 is in %; onset and offset are the median errors of both in seconds", style="dim")
    if len(rows) > MAX_CLASSES:
        console.print(f"(the most frequent {MAX_CLASSES} of {len(rows)} labels; --json prints all)", style="dim")


def print_figures(figures: dict[str, Any], title: str) -> None:
    """Print the figures as a table; with tasks, those of all together and then a table for each."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from audioinceptionnext.evaluation.intervals import FEW_SOURCES

    console = Console(highlight=False)
    console.print(Text(printable(title), "bold"), soft_wrap=True)
    if "per_class" not in figures:
        console.print(f"  action: top-1 {figures['top1']:.1f} %, top-5 {figures['top5']:.1f} %")
        for task, own in figures.items():
            if isinstance(own, dict) and "per_class" in own:
                known: dict[str, Any] = {key: figures[key] for key in ("clips", "sources") if key in figures}
                print_figures(known | own, task)
        return
    intervals = figures.get("intervals", {})
    table = Table(box=None, show_header=False, padding=(0, 2))
    for key, name in NAMES.items():
        if key not in figures or (key == "top5" and len(figures["per_class"]) <= 5):
            continue  # of 5 classes, top-5 is always 100 %
        percent = key != "mauc"
        low, high = intervals.get(key, (math.nan, math.nan))
        interval = f"({low:.1f} to {high:.1f})" if percent else f"({low:.3f} to {high:.3f})"
        interval = interval if key in intervals else ""
        value = f"{figures[key]:.1f} %" if percent else f"{figures[key]:.3f}"
        table.add_row(name, value, interval)
    if figures.get("temperature") is not None:  # None if there are too few mistakes to fit one
        table.add_row("temperature", f"{figures['temperature']:.3f}", "")
    console.print(table)
    main = "top1" if "top1" in figures else "map"
    if "folds" in figures:
        by_fold = "   ".join(f"{name}: {fold[main]:.1f} %" for name, fold in figures["folds"].items())
        console.print(f"{NAMES[main]} of each fold   {by_fold}")
    if unseen := figures.get("unseen_sources"):
        own = unseen.get("intervals", {}).get(main)
        console.print(
            f"{NAMES[main]} of the {counted(unseen['clips'], 'clip')} whose recording is in no other fold   "
            f"{unseen[main]:.1f} %{f' ({own[0]:.1f} to {own[1]:.1f})' if own else ''}"
        )
    sources = figures.get("sources")
    if intervals:
        over = f"over {counted(sources, 'recording')}" if sources else "over the clips"
        few = (sources or figures.get("clips", FEW_SOURCES)) < FEW_SOURCES
        narrow = "; of so few, they are too narrow" if few else ""
        console.print(f"in brackets: 95 % bootstrap intervals, {over}{narrow}\n", style="dim")
    elif "intervals" in figures:
        clips = f"{counted(sources, 'recording')}" if sources else "these clips"
        console.print(f"no 95 % intervals: {clips} cannot tell how far others would move the figures\n", style="dim")
    per_label = figures.get("per_label")
    several = per_label is not None
    table = Table(box=None, show_header=several, padding=(0, 1 if several else 2), header_style="dim")
    ranked = sorted(figures["per_class"].items(), key=lambda item: -item[1])
    half = MAX_CLASSES // 2
    shown = ranked if len(ranked) <= MAX_CLASSES else [*ranked[:half], *ranked[-half:]]
    if per_label is not None:
        table.add_column("label")
        for heading, _ in COLUMNS.values():
            table.add_column(heading, justify="right", no_wrap=True)
    for label, value in shown:
        values = [f"{value:.1f} %"] if per_label is None else [_cell(key, per_label[label][key]) for key in COLUMNS]
        table.add_row(Text(printable(label)), *values)
    console.print(table)
    if per_label is not None:
        console.print("AP (average precision), precision, recall and F1 are in %", style="dim")
    if figures.get("thresholds_fitted"):
        console.print("the thresholds were fitted to these very clips", style="dim")
    if len(ranked) > MAX_CLASSES:
        console.print(f"(the best and the worst {half} of {len(ranked)} classes; --json prints all)", style="dim")


def _cell(column: str, value: float | None) -> str:
    return "–" if value is None else COLUMNS[column][1].format(value)

"""The two HTML pages of a report. They need no library and no network, and work on a phone and without a mouse."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audioinceptionnext.errors import counted
from audioinceptionnext.evaluation.calibration import MIN_CLIPS, Calibration
from audioinceptionnext.evaluation.intervals import FEW_SOURCES
from audioinceptionnext.evaluation.per_class import ClassFigures, Confusion
from audioinceptionnext.results.templates import render

HEADLINES = {
    "top1": "Top-1 accuracy",
    "top5": "Top-5 accuracy",
    "mca": "Mean class accuracy",
    "map": "Mean average precision",
    "mauc": "Mean AUC",
    "f1": "Mean F1",
}
SEEN = "seen_in_training"  # the figure that counts the clips that the model was trained on
FITTED = "thresholds_fitted"  # whether the thresholds were fitted to the very clips that are scored
LONG_TABLE = 25  # classes; a longer table scrolls in a frame of its own


@dataclass(frozen=True)
class Mistake:
    """A clip that was recognised as something else.

    Attributes:
        name: of the clip.
        path: the same with its folder.
        label: the true class.
        guesses: the most probable classes and their probabilities, best first.
        score: the probability of the true class.
        rank: of the true class by probability, from 1.
        audio: the audio file, relative to the page; None if there is none.
        why_no_audio: the reason why there is no audio.
    """

    name: str
    path: str
    label: str
    guesses: tuple[tuple[str, float], ...]
    score: float
    rank: int
    audio: str | None = None
    why_no_audio: str = ""


def index_page(
    title: str,
    figures: Mapping[str, Any],
    *,
    intervals: Mapping[str, tuple[float, float]] | None,
    ece: float | None,
    calibration: Calibration | None,
    table: Sequence[ClassFigures],
    confusions: Sequence[Confusion],
    listed_mistakes: int,
    total_mistakes: int,
    has_learning_curve: bool,
) -> str:
    """The first page of a report.

    Args:
        title, figures, intervals, calibration: as for `report_folder.write_report`.
        ece: the expected calibration error, 0 to 1; None if it is not known.
        table: the figures of each class.
        confusions: the most frequent ones.
        listed_mistakes: number of clips on the page of mistakes.
        total_mistakes: number of all mistakes.
        has_learning_curve: whether there is a learning.png.
    """
    return render(
        "evaluation/index.html.j2",
        title=title,
        about=about(title, figures),
        headlines=[
            *shown_figures(figures, intervals or {}, len(table)),
            *([("Calibration error", f"{100 * ece:.1f}\u00a0%", "")] if ece is not None else []),
        ],
        intervals=intervals,
        ece=ece,
        seen=figures.get(SEEN, 0),
        clips=figures.get("clips", sum(row.clips for row in table)),
        sources=figures.get("sources"),
        min_clips=MIN_CLIPS,
        few_sources=FEW_SOURCES,
        calibration=calibration,
        table=table,
        long_table=LONG_TABLE,
        confusions=confusions,
        listed_mistakes=listed_mistakes,
        total_mistakes=total_mistakes,
        has_learning_curve=has_learning_curve,
    )


def tasks_page(title: str, figures: Mapping[str, Any], tasks: Sequence[str]) -> str:
    """The page that leads to the reports of several tasks; the arguments are those of `write_tasks_index`."""
    return render(
        "evaluation/tasks.html.j2",
        title=title,
        about=about(title, figures),
        headlines=shown_figures(figures, {}),
        tasks=tasks,
    )


def mistakes_page(title: str, mistakes: Sequence[Mistake], total: int) -> str:
    """The page with the most confident mistakes, which can be listened to.

    Args:
        title: of the report.
        mistakes: the most confident first.
        total: number of all mistakes.
    """
    labels = sorted({mistake.label for mistake in mistakes})
    return render(
        "evaluation/mistakes.html.j2",
        title=f"Mistakes: {title}",
        name=title,
        mistakes=mistakes,
        labels=labels,
        total=total,
    )


def about(title: str, figures: Mapping[str, Any]) -> list[str]:
    """What was evaluated: all short entries of the figures that are not results."""
    known = {*HEADLINES, "per_class", "clips", "data", "model", FITTED}
    entries = [str(figures[name]) for name in ("model", "data") if name in figures and str(figures[name]) not in title]
    entries += [counted(figures["clips"], "clip")] if "clips" in figures else []
    for name, value in figures.items():
        if name not in known and isinstance(value, str | int | bool):
            entries.append(f"{name.replace('_', ' ')} {json.dumps(value) if isinstance(value, bool) else value}")
    return entries


def shown_figures(
    figures: Mapping[str, Any], intervals: Mapping[str, tuple[float, float]], classes: int | None = None
) -> list[tuple[str, str, str]]:
    """The name, the value and the interval of each figure."""
    headlines = []
    for name, heading in HEADLINES.items():
        if name not in figures or (
            name == "top5" and classes is not None and classes <= 5
        ):  # with 5 classes it is always 100 %
            continue
        percent = name != "mauc"
        low, high = intervals.get(name, (math.nan, math.nan))
        interval = f"{_number(low, percent)} to {_number(high, percent)}" if math.isfinite(low) else ""
        value = _number(figures[name], percent) + ("\u00a0%" if percent else "")
        headlines.append((heading, value, interval))
    return headlines


def _number(value: float, percent: bool) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}" if percent else f"{value:.3f}"

"""The report of a study: one HTML file that contains its pictures, and results.csv beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audioinceptionnext.errors import replacing, writing
from audioinceptionnext.evaluation.plots import png
from audioinceptionnext.results.templates import render
from audioinceptionnext.studies import plots, sentences
from audioinceptionnext.studies.plan import Plan
from audioinceptionnext.studies.results import ALPHA, Row, as_csv, learning_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, TABLE = "report.html", "results.csv"


@dataclass(frozen=True)
class Circumstances:
    """How the runs were made, for readers who want to repeat them.

    Attributes:
        command: repeats the study.
        full_command: repeats it at base size, on all folds and with the recipe's epochs.
        machine: the computer, in one line.
        date: of the report.
        failed: runs that failed, and why.
    """

    command: str
    full_command: str
    machine: str
    date: str
    failed: dict[str, str]


def write_report(folder: Path, plan: Plan, rows: Sequence[Row], circumstances: Circumstances) -> Path:
    """Write the report and the table, and return the path of the report.

    Raises:
        FileError: a file cannot be written.
    """
    page = render(
        "studies/report.html.j2",
        title=plan.study.question,
        study=plan.study,
        conclusion=sentences.conclusion(plan, rows),
        rows=rows,
        has_costs=any(row.cost for row in rows),
        alpha=ALPHA,
        class_changes=sentences.class_changes(rows),
        settings=_settings(plan, rows, circumstances),
        failed=circumstances.failed,
        csv=TABLE,
        **_pictures(plan, rows),
    )
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((TABLE, as_csv(rows)), (PAGE, page)):
        with replacing(folder / name) as new:
            new.write_text(text, encoding="utf-8")
    return folder / PAGE


def _pictures(plan: Plan, rows: Sequence[Row]) -> dict[str, Any]:
    """The pictures as data: URLs, by their name in the template; None for those without anything to draw."""
    if not rows:
        return {}
    draw_accuracy = plots.draw_prediction_modes if plan.study.predict else plots.draw_accuracy
    first_mode = [row for row in rows if row.prediction_mode in ("", rows[0].prediction_mode)]
    timed = [row for row in first_mode if row.cost]
    comparable = len(timed) > 1 and len({row.data for row in timed}) == 1
    variants = dict.fromkeys(row.variant for row in rows)
    curves = {name: learning_curves(plan, plan.study.variant(name)) for name in variants}
    curves = {name: curve for name, curve in curves.items() if len(curve["loss"])}
    return {
        "accuracy": _url(draw_accuracy(rows)),
        "pareto": _url(plots.draw_pareto(timed)) if comparable else None,
        "learning": _url(plots.draw_learning_curves(curves)) if curves else None,
        "class_gains": dict(_class_gains(first_mode)),
    }


def _class_gains(rows: Sequence[Row]) -> Iterator[tuple[str, str]]:
    """The name of each data set that has something to compare, with its picture."""
    for data in dict.fromkeys(row.data for row in rows):
        reference = next((row for row in rows if row.data == data and row.gain is None), None)
        others = [row for row in rows if row.data == data and row.gain is not None]
        if reference is not None and others:
            yield data, _url(plots.draw_classes(others, reference))


def _settings(plan: Plan, rows: Sequence[Row], circumstances: Circumstances) -> dict[str, Any]:
    data = ", ".join(
        f"{one.name}{' (leak-free folds)' if one.leak_free else ''}"
        f"{f' (trained on at most {one.max_clips} clips)' if one.max_clips else ''}"
        for one in plan.data.values()
    )
    changes = "".join(f"; {key} {value}" for key, value in plan.changes.items())
    return {
        "Data": data,
        "Folds": plan.folds or "all",
        "Seeds": plan.seeds,
        "Recipe": plan.study.recipe + changes,
        "Width": f"{plan.width:g} of base size" if plan.width is not None else "as the recipe says",
        "Training": f"{sum({row.variant: row.minutes for row in rows}.values()):.0f} minutes in all",
        "Computer": circumstances.machine,
        "Date": circumstances.date,
        "Command": circumstances.command,
        "At base size": circumstances.full_command,
    }


def _url(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(png(figure)).decode()

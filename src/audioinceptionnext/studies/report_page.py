"""The report of a study: one HTML file that contains its pictures, and results.csv beside it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audioinceptionnext.errors import writing
from audioinceptionnext.evaluation.plots import png
from audioinceptionnext.evaluation.report_pages import document, escaped
from audioinceptionnext.studies import plots, sentences
from audioinceptionnext.studies.plan import Plan
from audioinceptionnext.studies.results import ALPHA, Row, as_csv, learning_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, TABLE = "report.html", "results.csv"
HEADS = ("Variant", "Top-1, %", "95 %", "Over the reference", "p", "Log loss", "Over the reference", "p")
COST_HEADS = ("Parameters", "folded", "GMAC", "ms per clip", "x real time", "MB", "Minutes")


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
    page = document(plan.study.question, _body(plan, rows, circumstances))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TABLE).write_text(as_csv(rows), encoding="utf-8")
        (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def _body(plan: Plan, rows: Sequence[Row], circumstances: Circumstances) -> str:
    study = plan.study
    conclusion = "".join(f"<li>{escaped(sentence)}</li>" for sentence in sentences.conclusion(plan, rows))
    parts = [f"<h1>{escaped(study.question)}</h1>", f"<p>{escaped(study.about)}</p>"]
    parts += [f"<h2>In short</h2><ul>{conclusion}", "</ul>"]
    if rows:
        parts += [_accuracy(plan, rows), _table(rows), _time(rows), _learning(plan, rows), _classes(rows)]
    return "\n".join([*parts, _how(plan, rows, circumstances)])


def _accuracy(plan: Plan, rows: Sequence[Row]) -> str:
    if plan.study.predict:
        caption = "One row per network, by what it was trained on; one column per way of predicting with it."
        alt = "Accuracy of each network and each way of predicting with it"
        return "<h2>Accuracy</h2>" + _picture(plots.draw_prediction_modes(rows), alt, caption)
    caption = (
        "Black: the reference. Open: no difference is shown. Filled: a difference beyond chance (p below 0.05, "
        "corrected)."
    )
    alt = "Accuracy of each variant with its interval"
    return "<h2>Accuracy</h2>" + _picture(plots.draw_accuracy(rows), alt, caption)


def _table(rows: Sequence[Row]) -> str:
    heads = (*HEADS, *(COST_HEADS if any(row.cost for row in rows) else ()))
    head = "".join(f'<th scope="col"{" class=text" if i == 0 else ""}>{name}</th>' for i, name in enumerate(heads))
    body = "".join(f"<tr>{_cells(row)}</tr>\n" for row in rows)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Results"><table><thead><tr>'
        f"{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
        '<p class="quiet">Differences are paired, over the same clips. Intervals come from resampling whole '
        "recordings, and p from a permutation test over recordings, with Holm's correction over all comparisons; below "
        f"{ALPHA} it is called a difference. Log loss is the mean −log probability of the true class, in nats: lower "
        "is better, and it shows changes in confidence that top-1 does not. Time and memory are those of one clip "
        "from its waveform to logits, folded, ONNX Runtime, float32, batch 1. Minutes are those of training, all runs "
        "together.</p>"
    )


def _cells(row: Row) -> str:
    gain, nll, cost = row.gain, row.nll_gain, row.cost
    values = [f"{row.top1.mean:.1f}", f"{row.top1.low:.1f} to {row.top1.high:.1f}"]
    values += [f"{gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})", _p(row.p)] if gain else ["reference", ""]
    values.append(f"{row.mean_nll.mean:.3f}")
    values += [f"{nll.mean:+.3f} ({nll.low:+.3f} to {nll.high:+.3f})", _p(row.nll_p)] if nll else ["", ""]
    if cost:
        values += [f"{cost['parameters'] / 1e6:.2f} M", f"{cost['folded_parameters'] / 1e6:.2f} M"]
        values += [
            f"{cost['gmac']:.3f}",
            f"{cost['ms']:.2f}",
            f"{1000 * cost['clip_seconds'] / cost['ms']:.0f}",
            f"{cost['peak_mb']:.0f}",
            f"{row.minutes:.0f}",
        ]
    return f'<th scope="row">{escaped(row.name)}</th>' + "".join(f"<td>{value}</td>" for value in values)


def _time(rows: Sequence[Row]) -> str:
    timed = [row for row in rows if row.cost and row.prediction_mode in ("", rows[0].prediction_mode)]
    if len(timed) < 2 or len({row.data for row in timed}) > 1:
        return ""
    caption = (
        "Whiskers are 95 % intervals. The line joins the variants that no other beats in both. The numbers of "
        "parameters are those of the folded networks."
    )
    return "<h2>Accuracy against time</h2>" + _picture(plots.draw_pareto(timed), "Accuracy against time", caption)


def _learning(plan: Plan, rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(row.variant for row in rows))
    curves = {name: learning_curves(plan, plan.study.variant(name)) for name in names}
    curves = {name: curve for name, curve in curves.items() if len(curve["loss"])}
    if not curves:
        return ""
    alt, caption = "Loss and accuracy over the epochs", "Each line is the mean over a variant's runs."
    return "<h2>Learning</h2>" + _picture(plots.draw_learning_curves(curves), alt, caption)


def _classes(rows: Sequence[Row]) -> str:
    parts = []
    first_mode = [row for row in rows if row.prediction_mode in ("", rows[0].prediction_mode)]
    for data in dict.fromkeys(row.data for row in first_mode):
        reference = next((row for row in first_mode if row.data == data and row.gain is None), None)
        others = [row for row in first_mode if row.data == data and row.gain is not None]
        if reference is None or not others:
            continue
        caption = (
            "In points of top-1, with the number of clips of each class in brackets. As classes have few clips, these "
            "are hints and not findings."
        )
        parts.append(_picture(plots.draw_classes(others, reference), f"What each class gains, {data}", caption))
    if not parts:
        return ""
    changes = "".join(f"<li>{escaped(sentence)}</li>" for sentence in sentences.class_changes(rows))
    return f"<h2>Which classes gain, which lose</h2>{''.join(parts)}<ul>{changes}</ul>"


def _how(plan: Plan, rows: Sequence[Row], circumstances: Circumstances) -> str:
    data = ", ".join(
        f"{one.name}{' (leak-free folds)' if one.leak_free else ''}"
        f"{f' (trained on at most {one.max_clips} clips)' if one.max_clips else ''}"
        for one in plan.data.values()
    )
    changes = "".join(f"; {key} {value}" for key, value in plan.changes.items())
    settings: list[tuple[str, Any]] = [
        ("Data", data),
        ("Folds", plan.folds or "all"),
        ("Seeds", plan.seeds),
        ("Recipe", plan.study.recipe + changes),
        ("Width", f"{plan.width:g} of base size" if plan.width is not None else "as the recipe says"),
        ("Training", f"{sum({row.variant: row.minutes for row in rows}.values()):.0f} minutes in all"),
        ("Computer", circumstances.machine),
        ("Date", circumstances.date),
        ("Command", circumstances.command),
        ("At base size", circumstances.full_command),
    ]
    lines = "".join(
        f'<tr><th scope="row">{name}</th><td class="text">{escaped(str(value))}</td></tr>' for name, value in settings
    )
    failed = "".join(f"<li>{escaped(name)}: {escaped(why)}</li>" for name, why in circumstances.failed.items())
    missing = f"<p>These runs failed, and are missing above:</p><ul>{failed}</ul>" if failed else ""
    link = f'<p><a href="{TABLE}">{TABLE}</a> has all figures.</p>'
    return f"<h2>How it was done</h2><table>{lines}</table>{missing}{link}"


def _picture(figure: Figure, alt: str, caption: str) -> str:
    data = base64.b64encode(png(figure)).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{escaped(alt)}">'
    return f"<figure>{image}<figcaption>{escaped(caption)}</figcaption></figure>"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "&lt;&nbsp;0.001"

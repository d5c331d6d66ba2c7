"""The report of a study: one HTML file with its pictures inside, and results.csv beside it."""

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
from audioinceptionnext.studies.results import SURE, Row, as_csv, learning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE, TABLE = "report.html", "results.csv"
HEADS = ("Variant", "Top-1, %", "95 %", "Over the reference", "p", "Log loss", "Over the reference", "p")
COST_HEADS = ("Parameters", "folded", "GMAC", "ms a clip", "x real time", "MB", "Minutes")


@dataclass(frozen=True)
class Circumstances:
    """How the runs were made, for whoever wants to make them again.

    Attributes:
        command: that repeats the study; ``full`` the one at base size, if that is another.
        machine: the processor, in a line. ``date``: of the report.
        failed: runs that could not be done, and why.
    """

    command: str
    full: str
    machine: str
    date: str
    failed: dict[str, str]


def write(folder: Path, plan: Plan, rows: Sequence[Row], about: Circumstances) -> Path:
    """Writes the report and the table; returns the page. Raises AinextError for a file that cannot be written."""
    page = document(plan.study.question, _body(plan, rows, about))
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TABLE).write_text(as_csv(rows), encoding="utf-8")
        (folder / PAGE).write_text(page, encoding="utf-8")
    return folder / PAGE


def _body(plan: Plan, rows: Sequence[Row], about: Circumstances) -> str:
    study = plan.study
    parts = [f"<h1>{escaped(study.question)}</h1>", f"<p>{escaped(study.about)}</p>"]
    parts.append(
        "<h2>In short</h2><ul>" + "".join(f"<li>{escaped(said)}</li>" for said in sentences.conclusion(plan, rows))
    )
    parts.append("</ul>")
    if rows:
        parts += [_accuracy(plan, rows), _table(rows), _time(rows), _learning(plan, rows), _classes(rows)]
    return "\n".join([*parts, _how(plan, rows, about)])


def _accuracy(plan: Plan, rows: Sequence[Row]) -> str:
    if plan.study.hear:
        how = "Each network, trained on clips of one length, heard in each way."
        return "<h2>Accuracy</h2>" + _picture(
            plots.draw_ways(rows), "Accuracy of each network in each way of hearing", how
        )
    how = (
        "Black: the reference. Open: no difference shown. Filled: a difference beyond chance (p below 0.05, corrected)."
    )
    return "<h2>Accuracy</h2>" + _picture(plots.draw_accuracy(rows), "Accuracy of each variant with its interval", how)


def _table(rows: Sequence[Row]) -> str:
    heads = (*HEADS, *(COST_HEADS if any(row.cost for row in rows) else ()))
    head = "".join(f'<th scope="col"{" class=text" if i == 0 else ""}>{name}</th>' for i, name in enumerate(heads))
    body = "".join(f"<tr>{_cells(row)}</tr>\n" for row in rows)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Results"><table><thead><tr>'
        f"{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n"
        '<p class="quiet">Differences are paired, over the same clips; intervals draw whole recordings again. p: a '
        f"permutation test over recordings, Holm's correction over all comparisons; below {SURE} is called a "
        "difference. Log loss is the mean −log probability of the true class, in nats: less is better, and it hears "
        "what top-1 is deaf to. Time and memory: waveform of one clip to logits, folded, ONNX Runtime, float32, batch "
        "1. Minutes: of training, all runs.</p>"
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
    timed = [row for row in rows if row.cost and row.heard in ("", rows[0].heard)]
    if len(timed) < 2 or len({row.data for row in timed}) > 1:
        return ""
    how = "Whiskers: 95 %. The line joins those that no other beats in both. Beside the names: folded parameters."
    return "<h2>Accuracy against time</h2>" + _picture(plots.draw_pareto(timed), "Accuracy against time", how)


def _learning(plan: Plan, rows: Sequence[Row]) -> str:
    names = list(dict.fromkeys(row.variant for row in rows))
    curves = {name: learning(plan, plan.study.variant(name)) for name in names}
    curves = {name: curve for name, curve in curves.items() if len(curve["loss"])}
    if not curves:
        return ""
    picture = _picture(
        plots.draw_learning(curves), "Loss and accuracy over the epochs", "Mean over each variant's runs."
    )
    return f"<h2>Learning</h2>{picture}"


def _classes(rows: Sequence[Row]) -> str:
    parts = []
    shown = [row for row in rows if row.heard in ("", rows[0].heard)]
    for data in dict.fromkeys(row.data for row in shown):
        reference = next((row for row in shown if row.data == data and row.gain is None), None)
        others = [row for row in shown if row.data == data and row.gain is not None]
        if reference is None or not others:
            continue
        how = "In points of top-1; clips of a class in brackets. A class has few clips: hints, no findings."
        parts.append(_picture(plots.draw_classes(others, reference), f"What each class gains, {data}", how))
    if not parts:
        return ""
    said = "".join(f"<li>{escaped(line)}</li>" for line in sentences.of_classes(rows))
    return f"<h2>Which sounds gain, which lose</h2>{''.join(parts)}<ul>{said}</ul>"


def _how(plan: Plan, rows: Sequence[Row], about: Circumstances) -> str:
    data = ", ".join(
        f"{source.name}{' (leak-free folds)' if source.leak_free else ''}"
        f"{f' (at most {source.most} clips to train on)' if source.most else ''}"
        for source in plan.sources.values()
    )
    changed = "".join(f"; {key} {value}" for key, value in plan.changes.items())
    settings: list[tuple[str, Any]] = [
        ("Data", data),
        ("Folds", plan.folds or "all"),
        ("Seeds", plan.seeds),
        ("Recipe", plan.study.recipe + changed),
        ("Width", f"{plan.width:g} of base size" if plan.width is not None else "as the recipe says"),
        ("Training", f"{sum({row.variant: row.minutes for row in rows}.values()):.0f} minutes in all"),
        ("Machine", about.machine),
        ("Date", about.date),
        ("Again", about.command),
        ("At base size", about.full),
    ]
    lines = "".join(
        f'<tr><th scope="row">{name}</th><td class="text">{escaped(str(value))}</td></tr>' for name, value in settings
    )
    failed = "".join(f"<li>{escaped(name)}: {escaped(why)}</li>" for name, why in about.failed.items())
    missing = f"<p>Runs that failed, and are missing above:</p><ul>{failed}</ul>" if failed else ""
    return f'<h2>How it was done</h2><table>{lines}</table>{missing}<p><a href="{TABLE}">{TABLE}</a>: every figure.</p>'


def _picture(figure: Figure, alt: str, caption: str) -> str:
    data = base64.b64encode(png(figure)).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{escaped(alt)}">'
    return f"<figure>{image}<figcaption>{escaped(caption)}</figcaption></figure>"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "<&nbsp;0.001".replace("<", "&lt;")

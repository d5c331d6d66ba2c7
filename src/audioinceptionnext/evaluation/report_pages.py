"""The two HTML pages of a report. They need no library and no network, and work on a phone and without a mouse.

All text that comes from data goes through `escaped`.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from audioinceptionnext.evaluation.calibration import Calibration
from audioinceptionnext.evaluation.per_class import ClassFigures, Confusion

HEADLINES = {
    "top1": "Top-1 accuracy",
    "top5": "Top-5 accuracy",
    "mca": "Mean class accuracy",
    "map": "Mean average precision",
    "mauc": "Mean AUC",
}
COLUMNS = (
    ("Class", "text"),
    ("Clips", ""),
    ("Accuracy", ""),
    ("Precision", ""),
    ("F1", ""),
    ("Average precision", ""),
    ("Most confused with", "text"),
)
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
    ece: float,
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
        ece: the expected calibration error, 0 to 1.
        table: the figures of each class.
        confusions: the most frequent ones.
        listed_mistakes: number of clips on the page of mistakes.
        total_mistakes: number of all mistakes.
        has_learning_curve: whether there is a learning.png.
    """
    parts = [
        f"<h1>{escaped(title)}</h1>",
        _about(title, figures),
        '<nav aria-label="Contents"><a href="#classes">Classes</a> <a href="#confusion">Confusions</a> '
        '<a href="#calibration">Calibration</a> '
        + ('<a href="#training">Training</a> ' if has_learning_curve else "")
        + '<a href="mistakes.html">Mistakes to listen to</a> <a href="#files">Files</a></nav>',
        _headlines(figures, intervals or {}, ece, len(table)),
        _mistakes_line(listed_mistakes, total_mistakes),
        _classes(table),
        _confusions(confusions, table),
        _calibration(ece, calibration),
        _training() if has_learning_curve else "",
        _files(),
    ]
    return document(title, "\n".join(parts))


def mistakes_page(title: str, mistakes: Sequence[Mistake], total: int) -> str:
    """The page with the most confident mistakes, which can be listened to.

    Args:
        title: of the report.
        mistakes: the most confident first.
        total: number of all mistakes.
    """
    classes = sorted({mistake.label for mistake in mistakes})
    options = "".join(f'<option value="{escaped(label)}">{escaped(label)}</option>' for label in classes)
    if not mistakes:
        body = "<p>There are no mistakes: every clip was recognised.</p>"
    else:
        which = f"The {len(mistakes)} most confident of {total:,} mistakes" if len(mistakes) < total else "All mistakes"
        body = (
            f"<p>{which}, the most confident first. Sometimes the model is right and the label is wrong.</p>\n"
            '<div class="filter" hidden><label for="true-class">True class</label> '
            f'<select id="true-class"><option value="">all</option>{options}</select> '
            '<span class="quiet" id="number-of-mistakes" role="status"></span></div>\n'
            f'<ol class="mistakes">\n{"".join(map(_mistake, mistakes))}</ol>'
        )
    back = '<nav aria-label="Contents"><a href="index.html">Back to the report</a></nav>'
    return document(
        f"Mistakes: {title}", f"<h1>Mistakes to listen to</h1>\n<p class=quiet>{escaped(title)}</p>{back}{body}"
    )


def _mistake(mistake: Mistake) -> str:
    (guess, confidence), others = mistake.guesses[0], mistake.guesses[1:]
    next_guesses = ", ".join(f"{escaped(label)} {_percent(score)}" for label, score in others)
    if mistake.audio is not None:
        about = f"{mistake.label}, recognised as {guess}: {mistake.name}"
        audio = f'<audio controls preload="none" src="{escaped(mistake.audio)}" aria-label="{escaped(about)}"></audio>'
    else:
        audio = f'<p class="quiet no-audio">{escaped(mistake.why_no_audio)}</p>'
    label = escaped(mistake.label)
    return (
        f'<li data-label="{label}">'
        f'<p class="what"><b>{label}</b>, recognised as <b>{escaped(guess)}</b> ({_percent(confidence)})</p>'
        f'<p class="quiet">{label} had {_percent(mistake.score)} (rank {mistake.rank})'
        f"{'; next best: ' + next_guesses if next_guesses else ''}</p>"
        f'<p class="quiet" title="{escaped(mistake.path)}">{escaped(mistake.name)}</p>{audio}</li>\n'
    )


def _about(title: str, figures: Mapping[str, Any]) -> str:
    """One line on what was evaluated: all short entries of the figures that are not results."""
    known = {*HEADLINES, "per_class", "clips", "data", "model"}
    entries = [str(figures[name]) for name in ("model", "data") if name in figures and str(figures[name]) not in title]
    entries += [f"{figures['clips']:,} clips"] if "clips" in figures else []
    for name, value in figures.items():
        if name not in known and isinstance(value, str | int | bool):
            entries.append(f"{name.replace('_', ' ')} {json.dumps(value) if isinstance(value, bool) else value}")
    return f'<p class="quiet">{escaped(" · ".join(entries))}</p>'


def _headlines(
    figures: Mapping[str, Any], intervals: Mapping[str, tuple[float, float]], ece: float, classes: int
) -> str:
    cards = []
    for name, heading in HEADLINES.items():
        if name not in figures or (name == "top5" and classes <= 5):  # with 5 classes it is always 100 %
            continue
        percent = name != "mauc"
        low, high = intervals.get(name, (math.nan, math.nan))
        interval = f"{_number(low, percent)} to {_number(high, percent)}" if math.isfinite(low) else ""
        value = _number(figures[name], percent) + ("\u00a0%" if percent else "")
        cards.append(f"<div><dt>{heading}</dt><dd>{value}<small>{interval}</small></dd></div>")
    cards.append(f"<div><dt>Calibration error</dt><dd>{100 * ece:.1f}\u00a0%<small></small></dd></div>")
    note = "Below each figure is its 95 % bootstrap interval: how far other clips of the same kind would move it."
    return f'<dl class="figures">{"".join(cards)}</dl>' + (f'<p class="quiet">{note}</p>' if intervals else "")


def _mistakes_line(listed: int, total: int) -> str:
    if not total:
        return "<p>Every clip was recognised.</p>"
    clips = "1 clip was" if total == 1 else f"{total:,} clips were"
    link = "listen to it" if total == 1 else f"listen to the {listed} worst" if listed < total else "listen to them"
    return f'<p>{clips} recognised as something else: <a href="mistakes.html">{link}</a>.</p>'


def _classes(table: Sequence[ClassFigures]) -> str:
    heads = "".join(
        f'<th scope="col"{f" class={kind}" if kind else ""}><button type="button">{name}</button></th>'
        for name, kind in COLUMNS
    )
    tall = " tall" if len(table) > LONG_TABLE else ""
    return (
        '<h2 id="classes">Classes</h2>\n'
        f'<div class="scroll{tall}" tabindex="0" role="region" aria-labelledby="classes"><table class="sortable">'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(map(_class_row, table))}</tbody></table></div>\n"
        '<p class="quiet">All figures are in %. Accuracy is the share of a class’s clips that were recognised, which '
        "is also its recall. Precision is the share of the clips recognised as this class that belong to it. F1 is the "
        "harmonic mean of the two.</p>"
    )


def _class_row(row: ClassFigures) -> str:
    cells = [f'<th scope="row" title="{escaped(row.label)}">{escaped(row.label)}</th><td>{row.clips}</td>']
    for place, value in enumerate((row.accuracy, row.precision, row.f1, row.average_precision)):
        exact = "" if value is None else f"{value:.4f}"
        bar = ""
        if place == 0 and value is not None:
            bar = f' class="bar" style="background-size: calc({value / 100:.4f} * (100% - 0.6rem)) 68%"'
        cells.append(f'<td data-v="{exact}"{bar}>{"–" if value is None else format(value, ".1f")}</td>')
    confused = f"{row.most_confused_with} ({row.confused})" if row.most_confused_with is not None else ""
    cells.append(f'<td class="text" title="{escaped(confused)}">{escaped(confused)}</td>')
    return f"<tr>{''.join(cells)}</tr>\n"


def _confusions(confusions: Sequence[Confusion], classes: Sequence[ClassFigures]) -> str:
    rows = "".join(
        f'<tr><th scope="row" title="{escaped(row.label)}">{escaped(row.label)}</th>'
        f'<td class="text" title="{escaped(row.predicted)}">{escaped(row.predicted)}</td>'
        f"<td>{row.clips}</td><td>{row.share:.1f}</td></tr>\n"
        for row in confusions
    )
    table = (
        '<div class="scroll" tabindex="0" role="region" aria-label="Most frequent confusions"><table><thead><tr>'
        '<th scope="col">True class</th><th scope="col" class="text">Recognised as</th><th scope="col">Clips</th>'
        f'<th scope="col">% of the class</th></tr></thead>\n<tbody>{rows}</tbody></table></div>'
    )
    caption = "Each row is a true class, each column a class that its clips were recognised as."
    if any(not row.clips for row in classes):
        caption += " Grey rows have no clips."
    picture = _picture("confusion.png", f"Confusion matrix of {len(classes)} classes", caption)
    return f'<h2 id="confusion">Confusions</h2>\n{picture}\n{table if confusions else ""}'


def _calibration(ece: float, calibration: Calibration | None) -> str:
    text = (
        "A perfectly calibrated model is right about 80 % of the clips to which it gives a probability of 80 %: its "
        f"points lie on the diagonal. This model is off by {100 * ece:.1f} percentage points on average over the clips "
        "(expected calibration error, 15 bins)."
    )
    if calibration is not None:
        temperature = calibration.temperature
        if temperature > 1.03:
            verdict = "it is overconfident"
        elif temperature < 0.97:
            verdict = "it is underconfident"
        else:
            verdict = "its confidence is about right"
        text += (
            f" On the whole, {verdict}: temperature scaling finds T = {temperature:.2f}. Fitted on one half of the "
            f"clips and applied to the other, it leaves {100 * calibration.ece_scaled:.1f} points. It changes no "
            "accuracy."
        )
    caption = (
        "The whiskers are 95 % intervals of the accuracy in each bin. Below, the number of clips with this confidence."
    )
    alt = "Reliability diagram: accuracy over confidence, and the number of clips in each bin"
    picture = _picture("reliability.png", alt, caption, kind="narrow")
    return f'<h2 id="calibration">Calibration</h2>\n<p>{text}</p>\n{picture}'


def _training() -> str:
    picture = _picture("learning.png", "Training loss and accuracy on held-out clips over the training steps", "")
    return f'<h2 id="training">Training</h2>\n{picture}'


def _files() -> str:
    return (
        '<h2 id="files">Files</h2>\n<ul>'
        '<li><a href="metrics.json">metrics.json</a>: all figures, intervals, calibration, confusion counts</li>'
        '<li><a href="per_class.csv">per_class.csv</a>: the table of classes</li>'
        '<li><a href="predictions.csv">predictions.csv</a>: the label and the most probable classes of every clip</li>'
        "</ul>"
    )


def _picture(file: str, alt: str, caption: str, kind: str = "") -> str:
    figcaption = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f"<figure{f' class={kind}' if kind else ''}>"
        f'<a href="{file}"><img src="{file}" alt="{escaped(alt)}" loading="lazy"></a>{figcaption}</figure>'
    )


def document(title: str, body: str) -> str:
    """A complete HTML page, with its style and its script inside.

    Args:
        title: as text.
        body: as HTML.
    """
    style, script = (files(__package__).joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _number(value: float, percent: bool) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}" if percent else f"{value:.3f}"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f}\u00a0%" if probability >= 0.0095 else "under 1\u00a0%"


def escaped(text: str) -> str:
    """Text as HTML, also within quotes."""
    return html.escape(text, quote=True)

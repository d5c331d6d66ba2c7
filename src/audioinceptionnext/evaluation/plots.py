"""The pictures of a report: the confusion matrix, the reliability diagram, the learning curve.

Each is drawn on a figure of its own with the Agg canvas: no display, nothing of pyplot's global state. matplotlib is
imported inside the functions; without it they raise ModuleNotFoundError, which the command line turns into a hint.
"""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.calibration import Bin
from audioinceptionnext.results.plot import COLOURS, DPI, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 25  # classes: with more, no counts are written into the cells
NAMED = 60  # classes: with more, no labels; the per-class table has them
LABEL_LETTERS = 30
SHADES = ("#FFFFFF", "#D6E6F2", "#8FBFE0", "#3C8DC4", "#0B5C94", "#062F52")  # around the project's blue
NO_CLIPS = "#ECECEC"
POINTS = 400  # of a smoothed loss


def draw_confusion(counts: np.ndarray, labels: Sequence[str]) -> Figure:
    """The confusion matrix: colour is the share of the true class's clips, a written number is clips.

    Readable from 2 to some 300 classes: up to `NUMBERED` with counts, up to `NAMED` with labels.

    Args:
        counts: (classes, classes), row the true class. Rows without a clip are grey.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    classes = len(labels)
    cell = next(
        (inches for most, inches in ((4, 0.8), (12, 0.5), (NUMBERED, 0.36), (NAMED, 0.19)) if classes <= most), 0
    )
    side = classes * cell or 8.0
    # Room for the labels, which the layout takes from the matrix.
    names = 0.0 if classes > NAMED else min(LABEL_LETTERS, max(map(len, labels))) * 0.06
    figure = figure_of(side + names + 1.2, side + names + 0.6)
    ax = figure.subplots()
    true = counts.sum(axis=1, keepdims=True)
    share = np.ma.masked_where(np.broadcast_to(true == 0, counts.shape), counts / np.maximum(true, 1))
    shades = LinearSegmentedColormap.from_list("shades", SHADES).with_extremes(bad=NO_CLIPS)
    pad = 0.06 if classes <= 4 else 0.02
    # The square root, so that one clip in a hundred taken for another still shows.
    image = ax.imshow(share, cmap=shades, norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="equal")
    bar = figure.colorbar(image, ax=ax, shrink=min(0.88, 2.5 / side), aspect=16, pad=pad, anchor=(0, 1))
    bar.set_ticks([0, 0.05, 0.25, 0.5, 1], labels=["0 %", "5 %", "25 %", "50 %", "100 %"])
    bar.ax.tick_params(labelsize=8, colors=INK, length=2, width=0.6)
    bar.ax.set_title("of the\ntrue class", fontsize=8, color=INK, loc="left", pad=8)
    bar.outline.set_visible(False)
    _name_classes(ax, labels)
    if classes <= NAMED:
        _draw_grid(ax, classes)
    if classes <= NUMBERED:
        _write_counts(ax, counts, share, 9 if classes <= 12 else 7.5)
    return figure


def _name_classes(ax: Axes, labels: Sequence[str]) -> None:
    ax.set_xlabel("recognised as", fontsize=10, color=INK, labelpad=8)
    ax.set_ylabel("true class", fontsize=10, color=INK, labelpad=8)
    ax.tick_params(length=0, colors=INK)
    if len(labels) > NAMED:
        numbers = [0, *range(49, len(labels), 50)]
        ax.set_xticks(numbers, [str(number + 1) for number in numbers], fontsize=8)
        ax.set_yticks(numbers, [str(number + 1) for number in numbers], fontsize=8)
        ax.set_title(f"{len(labels)} classes, in the order of per_class.csv", loc="left", fontsize=9, color=FAINT)
        for spine in ax.spines.values():
            spine.set(color=FAINT, linewidth=0.5)
        return
    size = 9 if len(labels) <= 12 else 8 if len(labels) <= NUMBERED else 7
    names = [_short(label) for label in labels]
    flat = len(labels) <= 4 and max(map(len, names)) <= 11
    ax.set_xticks(range(len(labels)), names, rotation=0 if flat else 90, fontsize=size, parse_math=False)
    ax.set_yticks(range(len(labels)), names, fontsize=size, parse_math=False)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _draw_grid(ax: Axes, classes: int) -> None:
    edges = np.arange(classes + 1) - 0.5
    ax.set_xticks(edges, minor=True)
    ax.set_yticks(edges, minor=True)
    ax.grid(which="minor", color="#E3E3E3", linewidth=0.5)
    ax.tick_params(which="minor", length=0)


def _write_counts(ax: Axes, counts: np.ndarray, share: np.ma.MaskedArray, size: float) -> None:
    for row, column in np.argwhere(counts):
        text = str(counts[row, column])
        smaller = size * min(1.0, 3.2 / len(text))
        colour = "white" if share[row, column] > 0.3 else INK
        ax.text(column, row, text, ha="center", va="center_baseline", fontsize=smaller, color=colour)


def draw_reliability(table: Sequence[Bin], ece: float, scaled: Sequence[Bin] = (), scaled_as: str = "") -> Figure:
    """The reliability diagram: accuracy over confidence, with the number of clips in each bin below.

    Whiskers are 95 % Wilson intervals: a bin of few clips says little.

    Args:
        table: from `reliability`.
        ece: 0 to 1, for the legend.
        scaled: the same after temperature scaling, and what the legend calls it.
    """
    from matplotlib.ticker import MultipleLocator, PercentFormatter

    figure = figure_of(5.6, 6.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4.4, 1))
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1, label="perfect")
    _plot_bins(upper, table, COLOURS[0], f"as it is (ECE {ece:.3f})")
    if scaled:
        _plot_bins(upper, scaled, COLOURS[1], scaled_as)
    upper.set_ylabel("accuracy of these clips", fontsize=9, color=INK)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    figure.legend(loc="outside upper left", ncols=3, fontsize=8, frameon=False, labelcolor=INK, handlelength=1.6)
    series = [(table, COLOURS[0]), (scaled, COLOURS[1])][: 2 if scaled else 1]
    for number, (rows, colour) in enumerate(series):
        width = 0.8 / len(series) * (rows[0].high - rows[0].low)
        places = [(row.low + row.high) / 2 + (number - len(series) / 2) * width for row in rows]
        lower.bar(places, [row.clips for row in rows], width, align="edge", color=colour, linewidth=0)
    lower.set_ylabel("clips", fontsize=9, color=INK)
    lower.set_xlabel("confidence: probability of the class recognised", fontsize=9, color=INK)
    for axis in (upper.yaxis, lower.xaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    for ax in (upper, lower):
        quiet(ax)
    return figure


def _plot_bins(ax: Axes, table: Sequence[Bin], colour: str, name: str) -> None:
    rows = [row for row in table if row.clips]
    x, y = [row.confidence for row in rows], [row.accuracy for row in rows]
    bounds = np.array([_wilson(row.accuracy, row.clips) for row in rows]).reshape(-1, 2)
    ax.vlines(x, bounds[:, 0], bounds[:, 1], color=colour, linewidth=1, alpha=0.45, zorder=2)
    ax.plot(x, y, color=colour, linewidth=1.4, marker="o", markersize=4.5, zorder=3, label=name, clip_on=False)


def _wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson, 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return middle - half, middle + half


def draw_learning(log: Path) -> Figure:
    """The learning curve of a run: its loss above, top-1 of the held-out clips below, over steps.

    Args:
        log: Lightning's metrics.csv, with the columns ``step``, ``loss`` and ``top1``, each filled in some rows.

    Raises:
        AinextError: a file that is no such log.
    """
    loss, top1 = _column(log, "loss"), _column(log, "top1")
    figure = figure_of(8.0, 4.6 if len(top1) else 2.8)
    axes = figure.subplots(2 if len(top1) else 1, 1, sharex=True, squeeze=False)[:, 0]
    axes[0].plot(loss[:, 0], loss[:, 1], color=COLOURS[0], linewidth=0.6, alpha=0.3)
    axes[0].plot(*_smooth(loss).T, color=COLOURS[0], linewidth=1.6)
    axes[0].set_ylabel("training loss", fontsize=9, color=INK)
    if len(top1):
        best = top1[top1[:, 1].argmax()]
        axes[1].plot(*top1.T, color=COLOURS[2], linewidth=1.6, marker="o", markersize=3)
        axes[1].plot(*best, color=COLOURS[2], marker="o", markersize=6)
        axes[1].axhline(best[1], color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        note = f"best {best[1]:.1f} %"
        axes[1].annotate(note, (loss[0, 0], best[1]), (0, 4), textcoords="offset points", fontsize=8, color=INK)
        axes[1].set_ylabel("top-1 of held-out clips (%)", fontsize=9, color=INK)
        axes[1].margins(y=0.15)
    axes[-1].set_xlabel("step", fontsize=9, color=INK)
    for ax in axes:
        quiet(ax)
        ax.margins(x=0.01)
    return figure


def _column(log: Path, name: str) -> np.ndarray:
    """(rows, 2): step and value, where there is one; only ``loss`` must be there."""
    try:
        with log.open(newline="", encoding="utf-8") as file:
            rows = [(row.get("step"), row.get(name)) for row in csv.DictReader(file)]
        points = np.array([(float(step), float(value)) for step, value in rows if step and value]).reshape(-1, 2)
    except OSError as error:
        raise AinextError(f"{log}: cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error):
        raise AinextError(f"{log}: not a training log: its steps and {name} are not all numbers") from None
    if name == "loss" and not len(points):
        raise AinextError(f"{log}: not a training log: no step has a loss")
    return points


def _smooth(points: np.ndarray) -> np.ndarray:
    """A running mean over a twentieth of the points, of what there is at both ends; at most `POINTS` rows."""
    half = max(1, len(points) // 40)
    sums = np.concatenate(([0.0], np.cumsum(points[:, 1])))
    places = np.unique(np.linspace(0, len(points) - 1, min(POINTS, len(points))).round().astype(int))
    first, after = np.maximum(places - half, 0), np.minimum(places + half + 1, len(points))
    means = (sums[after] - sums[first]) / (after - first)
    return np.stack((points[places, 0], means), axis=1)


def png(figure: Figure) -> bytes:
    """The figure as a PNG file. Letters that the font lacks become boxes, without a warning each."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def figure_of(width: float, height: float) -> Figure:
    """Inches, on a canvas without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def quiet(ax: Axes) -> None:
    """Axes that step back behind what is drawn."""
    ax.tick_params(colors=INK, labelsize=8, length=3, width=0.6)
    ax.grid(color="#EEEEEE", linewidth=0.6)
    ax.set_axisbelow(True)
    for name, spine in ax.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set(color=FAINT, linewidth=0.6)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LABEL_LETTERS else text[: LABEL_LETTERS - 1].rstrip() + "…"

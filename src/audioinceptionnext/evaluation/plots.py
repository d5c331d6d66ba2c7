"""Plots of a report: the confusion matrix, the reliability diagram and the learning curve.

Each is drawn on a figure of its own with the Agg canvas, which needs no display and leaves pyplot's global state alone.
matplotlib is imported inside the functions; `results.plot.check_can_plot` says whether it is installed.
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

from audioinceptionnext.errors import FileError
from audioinceptionnext.evaluation.calibration import Bin
from audioinceptionnext.results.plot import COLOURS, DPI, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_WITH_COUNTS = 25  # classes; with more, no counts are written into the cells
MAX_WITH_LABELS = 60  # classes; with more, there are no labels, which the table of classes has
MAX_LABEL_LENGTH = 30
SHADES = ("#FFFFFF", "#D6E6F2", "#8FBFE0", "#3C8DC4", "#0B5C94", "#062F52")  # around the project's blue
NO_CLIPS = "#ECECEC"
MAX_POINTS = 400  # of a smoothed loss


def draw_confusion(counts: np.ndarray, labels: Sequence[str]) -> Figure:
    """Draw the confusion matrix. Colours show shares of the true class's clips, numbers count clips.

    It is readable from 2 to about 300 classes: with counts up to `MAX_WITH_COUNTS`, with labels up to
    `MAX_WITH_LABELS`.

    Args:
        counts: (classes, classes), one row per true class. Rows without a clip are grey.
        labels: one per class.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    classes = len(labels)
    sizes = ((4, 0.8), (12, 0.5), (MAX_WITH_COUNTS, 0.36), (MAX_WITH_LABELS, 0.19))  # up to n classes, inches per cell
    cell = next((inches for limit, inches in sizes if classes <= limit), 0)
    side = classes * cell or 8.0
    # Room for the labels, which the layout would take from the matrix otherwise.
    names = 0.0 if classes > MAX_WITH_LABELS else min(MAX_LABEL_LENGTH, max(map(len, labels))) * 0.06
    figure = new_figure(side + names + 1.2, side + names + 0.6)
    ax = figure.subplots()
    true = counts.sum(axis=1, keepdims=True)
    share = np.ma.masked_where(np.broadcast_to(true == 0, counts.shape), counts / np.maximum(true, 1))
    shades = LinearSegmentedColormap.from_list("shades", SHADES).with_extremes(bad=NO_CLIPS)
    pad = 0.06 if classes <= 4 else 0.02
    # The colours follow the square root, so that one confused clip in a hundred is still visible.
    image = ax.imshow(share, cmap=shades, norm=PowerNorm(0.5, 0, 1), interpolation="nearest", aspect="equal")
    bar = figure.colorbar(image, ax=ax, shrink=min(0.88, 2.5 / side), aspect=16, pad=pad, anchor=(0, 1))
    bar.set_ticks([0, 0.05, 0.25, 0.5, 1], labels=["0 %", "5 %", "25 %", "50 %", "100 %"])
    bar.ax.tick_params(labelsize=8, colors=INK, length=2, width=0.6)
    bar.ax.set_title("of the\ntrue class", fontsize=8, color=INK, loc="left", pad=8)
    bar.outline.set_visible(False)
    _name_classes(ax, labels)
    if classes <= MAX_WITH_LABELS:
        _draw_grid(ax, classes)
    if classes <= MAX_WITH_COUNTS:
        _write_counts(ax, counts, share, 9 if classes <= 12 else 7.5)
    return figure


def _name_classes(ax: Axes, labels: Sequence[str]) -> None:
    ax.set_xlabel("recognised as", fontsize=10, color=INK, labelpad=8)
    ax.set_ylabel("true class", fontsize=10, color=INK, labelpad=8)
    ax.tick_params(length=0, colors=INK)
    if len(labels) > MAX_WITH_LABELS:
        numbers = [0, *range(49, len(labels), 50)]
        ax.set_xticks(numbers, [str(number + 1) for number in numbers], fontsize=8)
        ax.set_yticks(numbers, [str(number + 1) for number in numbers], fontsize=8)
        ax.set_title(f"{len(labels)} classes, in the order of per_class.csv", loc="left", fontsize=9, color=FAINT)
        for spine in ax.spines.values():
            spine.set(color=FAINT, linewidth=0.5)
        return
    size = 9 if len(labels) <= 12 else 8 if len(labels) <= MAX_WITH_COUNTS else 7
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


def draw_reliability(table: Sequence[Bin], ece: float, scaled: Sequence[Bin] = (), scaled_name: str = "") -> Figure:
    """Draw the reliability diagram: accuracy over confidence, and below it the number of clips in each bin.

    Whiskers are 95 % Wilson intervals, since a bin with few clips says little.

    Args:
        table: from `reliability`.
        ece: expected calibration error, 0 to 1, for the legend.
        scaled: the table after temperature scaling, if it is to be drawn too.
        scaled_name: the name of the scaled table in the legend.
    """
    from matplotlib.ticker import MultipleLocator, PercentFormatter

    figure = new_figure(5.6, 6.9)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4.4, 1))
    upper.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1, label="perfect")
    _plot_bins(upper, table, COLOURS[0], f"as it is (ECE {ece:.3f})")
    if scaled:
        _plot_bins(upper, scaled, COLOURS[1], scaled_name)
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
        style_axes(ax)
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


def draw_learning(*logs: Path) -> Figure:
    """Draw the learning curve of a run over its steps: the loss, and below it top-1 (or mAP) of the held-out clips.

    Args:
        logs: Lightning's metrics.csv, with the columns ``step``, ``loss``, ``val_loss`` (of the held-out clips) and
            ``top1`` or ``map``, each filled in some of its rows. A run that was resumed has one for each start, in
            their order; what a later one repeats counts.

    Raises:
        FileError: a file cannot be read, or is not such a log.
    """
    loss, held_out, top1, precision = (column(logs, name) for name in ("loss", "val_loss", "top1", "map"))
    name, top1 = ("top-1", top1) if len(top1) else ("mAP", precision)
    if not len(loss):
        raise FileError(logs[-1], "not a training log: no step has a loss")
    figure = new_figure(8.0, 4.6 if len(top1) else 2.8)
    axes = figure.subplots(2 if len(top1) else 1, 1, sharex=True, squeeze=False)[:, 0]
    axes[0].plot(loss[:, 0], loss[:, 1], color=COLOURS[0], linewidth=0.6, alpha=0.3)
    axes[0].plot(*_smooth(loss).T, color=COLOURS[0], linewidth=1.6, label="training (with augmentation)")
    axes[0].set_ylabel("loss", fontsize=9, color=INK)
    if len(held_out):
        axes[0].plot(*held_out.T, color=COLOURS[1], linewidth=1.6, marker="o", markersize=3, label="held-out clips")
        axes[0].legend(fontsize=8, frameon=False, labelcolor=INK)
    if len(top1):
        best = top1[top1[:, 1].argmax()]
        axes[1].plot(*top1.T, color=COLOURS[2], linewidth=1.6, marker="o", markersize=3)
        axes[1].plot(*best, color=COLOURS[2], marker="o", markersize=6)
        axes[1].axhline(best[1], color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
        note = f"best {best[1]:.1f} %"
        axes[1].annotate(note, (loss[0, 0], best[1]), (0, 4), textcoords="offset points", fontsize=8, color=INK)
        axes[1].set_ylabel(f"{name} of held-out clips (%)", fontsize=9, color=INK)
        axes[1].margins(y=0.15)
    axes[-1].set_xlabel("step", fontsize=9, color=INK)
    for ax in axes:
        style_axes(ax)
        ax.margins(x=0.01)
    return figure


def column(logs: Sequence[Path], name: str, at: str = "step") -> np.ndarray:
    """Read a column of a run's training logs, without what was repeated.

    Args:
        logs: see `draw_learning`.
        name: of the column.
        at: the column that says where the values belong, ``step`` or ``epoch``.

    Returns:
        (rows, 2): the steps or epochs of the rows that have a value, and the values. There may be none.

    Raises:
        FileError: a file cannot be read, or is not such a log.
    """
    points = np.zeros((0, 2))
    for log in logs:
        try:
            with log.open(newline="", encoding="utf-8-sig") as file:
                rows = [(row.get(at), row.get(name)) for row in csv.DictReader(file)]
            own = np.array([(float(x), float(value)) for x, value in rows if x and value]).reshape(-1, 2)
        except OSError as error:
            raise FileError(log, f"cannot be read: {error.strerror or error}") from None
        except (ValueError, csv.Error):
            raise FileError(log, f"not a training log: its columns {at} and {name} are not all numbers") from None
        if len(own):  # a run that was resumed repeats what came after its last checkpoint
            points = np.concatenate([points[points[:, 0] < own[0, 0]], own])
    return points


def _smooth(points: np.ndarray) -> np.ndarray:
    """A running mean over a twentieth of the points, fewer at both ends; at most `MAX_POINTS` rows."""
    half = max(1, len(points) // 40)
    sums = np.concatenate(([0.0], np.cumsum(points[:, 1])))
    centres = np.unique(np.linspace(0, len(points) - 1, min(MAX_POINTS, len(points))).round().astype(int))
    first, end = np.maximum(centres - half, 0), np.minimum(centres + half + 1, len(points))
    means = (sums[end] - sums[first]) / (end - first)
    return np.stack((points[centres, 0], means), axis=1)


def png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file. Characters that the font lacks become boxes, without warnings."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, on a canvas that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(ax: Axes) -> None:
    """Give axes thin lines and muted colours, so that they do not distract from what is drawn."""
    ax.tick_params(colors=INK, labelsize=8, length=3, width=0.6)
    ax.grid(color="#EEEEEE", linewidth=0.6)
    ax.set_axisbelow(True)
    for name, spine in ax.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set(color=FAINT, linewidth=0.6)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_LABEL_LENGTH else text[: MAX_LABEL_LENGTH - 1].rstrip() + "…"

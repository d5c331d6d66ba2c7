"""The plots of a study: accuracy with intervals, accuracy against time, learning curves, and differences by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audioinceptionnext.evaluation.plots import new_figure, style_axes
from audioinceptionnext.results.plot import COLOURS, FAINT, INK
from audioinceptionnext.studies.results import ALPHA, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_NUMBERED_CELLS = 450  # a larger table of classes has colours only


def draw_accuracy(rows: Sequence[Row]) -> Figure:
    """Draw one line per row: top-1 and its interval. Markers of rows that differ beyond chance are dark and filled."""
    figure = new_figure(8.5, 1.1 + 0.34 * len(rows))
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        top1 = row.top1
        differs = row.gain is not None and row.p < ALPHA
        colour = COLOURS[4] if differs else COLOURS[0] if row.gain is not None else INK
        axes.plot([top1.low, top1.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot(
            top1.mean,
            y,
            "o",
            color=colour,
            markersize=6,
            markerfacecolor=colour if row.gain is None or differs else "white",
        )
        axes.annotate(
            f"{top1.mean:.1f}",
            (top1.mean, y),
            (0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            color=INK,
        )
    for data in dict.fromkeys(row.data for row in rows):
        references = [row for row in rows if row.data == data and row.gain is None]
        if len(references) == 1 and len({row.data for row in rows}) == 1:
            axes.axvline(references[0].top1.mean, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    axes.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8.5)
    axes.set_ylim(len(rows) - 0.4, -0.7)
    axes.set_xlabel("top-1 accuracy (%), 95 % interval", fontsize=9, color=INK)
    style_axes(axes)
    return figure


def draw_prediction_modes(rows: Sequence[Row]) -> Figure:
    """Draw top-1 as a table in colours: one row per variant, one column per prediction mode."""
    variants, modes = (list(dict.fromkeys(getattr(row, key) for row in rows)) for key in ("variant", "prediction_mode"))
    values = np.full((len(variants), len(modes)), np.nan)
    for row in rows:
        values[variants.index(row.variant), modes.index(row.prediction_mode)] = row.top1.mean
    figure = new_figure(1.8 + 1.05 * len(modes), 1.3 + 0.5 * len(variants))
    axes = figure.add_subplot()
    axes.imshow(values, cmap="Blues", aspect="auto", vmin=np.nanmin(values) - 0.3 * np.ptp(values[~np.isnan(values)]))
    dark = (np.nanmin(values) + 2 * np.nanmax(values)) / 3
    for (i, j), value in np.ndenumerate(values):
        if not np.isnan(value):
            axes.text(
                j, i, f"{value:.1f}", ha="center", va="center", fontsize=9, color="white" if value > dark else INK
            )
    axes.set_xticks(range(len(modes)), [mode.replace(", ", ",\n") for mode in modes], fontsize=8.5)
    axes.set_yticks(range(len(variants)), variants, fontsize=8.5)
    axes.set_xlabel("predicted with; top-1 (%)", fontsize=9, color=INK)
    axes.set_ylabel("trained on", fontsize=9, color=INK)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def draw_pareto(rows: Sequence[Row]) -> Figure:
    """Draw top-1 against the milliseconds per second of sound. A line joins the rows that no other beats in both."""
    from audioinceptionnext.benchmark.plot import pareto_front

    points = [(row.cost["ms"] / row.cost["clip_seconds"], row.top1.mean) for row in rows]
    figure = new_figure(9, 5)
    axes = figure.add_subplot()
    for number, (row, (x, y)) in enumerate(zip(rows, points, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        error = [[y - row.top1.low], [row.top1.high - y]]
        axes.errorbar(
            x, y, yerr=error, fmt="o", color=colour, markersize=7, elinewidth=0.8, alpha=0.9,
            label=f"{row.name}, {row.cost['folded_parameters'] / 1e6:.2f} M", zorder=3,
        )  # fmt: skip
    best = pareto_front(points, higher_is_better=True)
    axes.plot([x for x, _ in best], [y for _, y in best], color="0.75", linewidth=1.5, zorder=1)
    axes.set_xlabel("ms per second of sound, folded, ONNX Runtime, batch 1; lower is better", fontsize=9, color=INK)
    axes.set_ylabel("top-1 (%), 95 % interval", fontsize=9, color=INK)
    axes.set_xlim(left=0)
    style_axes(axes)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def draw_learning_curves(curves: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw training loss and held-out top-1 over the epochs: one line per variant, the mean over its runs."""
    figure = new_figure(9.5, 3.8)
    panels = figure.subplots(1, 2)
    for axes, name, title in zip(panels, ("loss", "top1"), ("training loss", "held-out top-1 (%)"), strict=True):
        for number, (variant, curve) in enumerate(curves.items()):
            points = curve[name]
            style: Any = "-" if number < len(COLOURS) else "--"
            axes.plot(
                points[:, 0], points[:, 1], style, color=COLOURS[number % len(COLOURS)], linewidth=1.3, label=variant
            )
        axes.set_xlabel("epoch", fontsize=9, color=INK)
        axes.set_ylabel(title, fontsize=9, color=INK)
        style_axes(axes)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    return figure


def draw_classes(rows: Sequence[Row], reference: Row) -> Figure:
    """Draw the points of top-1 that each class gains over the reference: one line per class, one column per row."""
    before = reference.per_class()
    labels = [label for label in reference.labels if label in before]
    gains = np.array(
        [[row.per_class().get(label, (np.nan, 0))[0] - before[label][0] for row in rows] for label in labels]
    )
    figure = new_figure(2.4 + 0.75 * len(rows), 1.6 + 0.24 * len(labels))
    axes = figure.add_subplot()
    limit = max(10.0, float(np.nanmax(np.abs(gains))))
    image = axes.imshow(gains, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto")
    if gains.size <= MAX_NUMBERED_CELLS:
        for (i, j), value in np.ndenumerate(gains):
            if not np.isnan(value):
                colour = "white" if abs(value) > 0.65 * limit else INK
                axes.text(j, i, f"{value:+.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_yticks(range(len(labels)), [f"{label} ({before[label][1]})" for label in labels], fontsize=7.5)
    axes.set_xticks(
        range(len(rows)), [row.name for row in rows], fontsize=7.5, rotation=35, ha="left", rotation_mode="anchor"
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30)
    bar.set_label(f"points over {reference.name}", fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7)
    return figure

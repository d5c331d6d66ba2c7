"""Plots of timelines: how far off onsets and offsets are, and events found over false alarms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from audioinceptionnext.evaluation.events import Collars
from audioinceptionnext.evaluation.plots import new_figure, style_axes
from audioinceptionnext.evaluation.psds import MAX_ALARMS
from audioinceptionnext.results.plot import COLOURS, FAINT, INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WITHIN = "#EAF3F9"  # behind the errors that the collars allow


def draw_errors(figures: Mapping[str, Any], collars: Collars) -> Figure:
    """Draw the histograms of the errors of onsets and offsets, with their medians.

    Args:
        figures: with ``histograms`` and the medians, from `timeline_figures`.
        collars: errors within them have another background; of offsets, only what does not depend on the length.
    """
    figure = new_figure(8.0, 3.2)
    axes = figure.subplots(1, 2, sharey=True, squeeze=False, gridspec_kw={"wspace": 0.12})[0]
    for number, (ax, edge) in enumerate(zip(axes, ("onset", "offset"), strict=True)):
        histogram = figures["histograms"][edge]
        bounds, counts = np.array(histogram["bounds"]), np.array(histogram["counts"])
        collar = getattr(collars, edge)
        if np.isfinite(collar):
            ax.axvspan(-collar, collar, color=WITHIN, linewidth=0, zorder=0)
        ax.bar(
            bounds[:-1], counts, np.diff(bounds), align="edge", color=COLOURS[number], edgecolor="white", linewidth=0.5
        )
        ax.axvline(0, color=FAINT, linewidth=0.8, zorder=3)
        bias, median = figures[f"{edge}_bias"], figures[f"{edge}_median"]
        if np.isfinite(bias):
            ax.axvline(bias, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=3)
            title = f"{edge}s: median error {median:.2f} s, bias {bias:+.2f} s".replace("-", "−")
        else:
            title = f"{edge}s: none"
        ax.set_title(title, loc="left", fontsize=9, color=INK)
        ax.set_xlabel("seconds too early (−) or too late (+)", fontsize=9, color=INK)
        ax.set_xlim(bounds[0], bounds[-1])
        style_axes(ax)
        ax.grid(visible=False, axis="x")
        ticks = [-1, -0.5, 0, 0.5, 1]
        ax.set_xticks(ticks, ["≤ −1", "−0.5", "0", "0.5", "≥ 1"])
    axes[0].yaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("pairs that overlap", fontsize=9, color=INK)
    return figure


def draw_rocs(figures: Mapping[str, Any], rocs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Draw the curves whose areas are PSDS 1 and 2: events found over false alarms per hour.

    Args:
        figures: with ``psds1`` and ``psds2``.
        rocs: see `psds.Psds`.
    """
    figure = new_figure(5.6, 3.6)
    ax = figure.subplots()
    for number, (name, (alarms, found)) in enumerate(rocs.items()):
        colour, value = COLOURS[number], figures[name]
        x = np.concatenate([[0.0], np.minimum(alarms, MAX_ALARMS)])
        y = np.concatenate([[0.0], 100 * found])
        ax.step(x, y, where="post", color=colour, linewidth=1.6, label=f"PSDS {name[-1]}: {value:.3f}")
        ax.fill_between(x, y, step="post", color=colour, alpha=0.08, linewidth=0)
    ax.set(xlim=(0, MAX_ALARMS), ylim=(0, 100))
    ax.set_xlabel("false alarms per hour and label", fontsize=9, color=INK)
    ax.set_ylabel("events found (%), less their deviation", fontsize=9, color=INK)
    ax.legend(loc="lower right", fontsize=8, frameon=False, labelcolor=INK)
    style_axes(ax)
    return figure

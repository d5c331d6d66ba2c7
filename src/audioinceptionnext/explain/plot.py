"""Draws an explanation: the log-mel with the map over it, and below it what each branch adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioinceptionnext.explain.types import SHARE, ExplanationData
from audioinceptionnext.results.plot import DPI, FAINT, INK, KHZ_TICKS, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAP_COLOUR = "#D55E00"  # on a log-mel in greys
MAP_OPACITY = 0.62  # where the map is 1; the log-mel stays visible
LOUDEST_GREY = 0.72  # of the loudest cells, where 1 is black; the map's colour is still visible on it
MAX_TEXT_LENGTH = 60  # of a file's name


def draw(explanation: ExplanationData) -> Figure:
    """Draw an explanation on a figure of its own, which leaves pyplot's global state alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stages, kernels = explanation.branches.shape
    below = 0.42 * kernels + 0.75 if stages else 0.0  # inches
    figure = Figure(figsize=(WIDTH, 3.9 + below), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(hspace=0.04, h_pad=0.06, w_pad=0.08)  # type: ignore[union-attr, call-arg]
    if stages:
        upper, lower = figure.subplots(2, 1, height_ratios=[3.9, below])
        _draw_branches(lower, explanation)
    else:
        upper = figure.subplots()
    _draw_map(upper, explanation)
    for axes in figure.axes:
        axes.tick_params(colors=INK, labelsize=9, length=3, width=0.6)
        for side in axes.spines.values():
            side.set_visible(False)
    return figure


def _draw_map(axes: Axes, explanation: ExplanationData) -> None:
    """Draw the log-mel in greys, the map as a colour over it, and a line around the most important cells."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_rgb

    start, end = explanation.start, explanation.end
    frames, bands = explanation.log_mel.shape
    extent: dict[str, Any] = {"origin": "lower", "aspect": "auto", "extent": (start, end, 0, bands)}
    greys = ListedColormap(colormaps["Greys"](np.linspace(0, LOUDEST_GREY, 256)))
    low, high = np.percentile(explanation.log_mel, (5, 99.7))
    axes.imshow(explanation.log_mel.T, cmap=greys, vmin=low, vmax=max(high, low + 1e-3), **extent)
    colour = to_rgb(MAP_COLOUR)
    colours = LinearSegmentedColormap.from_list("map", [(*colour, 0.0), (*colour, MAP_OPACITY)])
    image = axes.imshow(explanation.map.T, cmap=colours, vmin=0, vmax=1, interpolation="bilinear", **extent)
    scale = "no evidence for it"
    if not explanation.empty:
        times = start + (np.arange(frames) + 0.5) * explanation.hop_seconds
        mask = explanation.important().T.astype(float)
        axes.contour(times, np.arange(bands) + 0.5, mask, [0.5], colors=[MAP_COLOUR], linewidths=1.4)
        scale = f"evidence for it\n(line: most important {SHARE:.0%})"
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01, aspect=24, ticks=[0, 0.5, 1])
    bar.set_label(scale, fontsize=8.5, color=INK)
    bar.outline.set_visible(False)
    ticks = [khz for khz in KHZ_TICKS if khz * 1000 < explanation.sample_rate / 2]
    axes.set_yticks([explanation.hz_to_band(khz * 1000) for khz in ticks], [f"{khz:g}" for khz in ticks])
    axes.set_ylim(0, bands)
    axes.set_xlim(start, end)
    axes.set_ylabel("frequency (kHz)", fontsize=9, color=INK)
    axes.set_xlabel("time (s)", fontsize=9, color=INK)
    title = f"{_short(explanation.label)}  {explanation.score:.0%}"
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    about = "  ·  ".join(part for part in (_short(Path(explanation.file).name), _short(explanation.model)) if part)
    axes.set_title(about, loc="right", fontsize=9, color=FAINT, parse_math=False)


def _draw_branches(axes: Axes, explanation: ExplanationData) -> None:
    """Draw one row per kernel and one column per stage: what the branch adds, and how far it reaches in time."""
    stages, kernels = explanation.branches.shape
    largest = max(float(np.abs(explanation.branches).max()), 1e-6)
    image = axes.imshow(explanation.branches.T, cmap="PuOr_r", vmin=-largest, vmax=largest, aspect="auto")
    for stage in range(stages):
        for row in range(kernels):
            value, span = explanation.branches[stage, row], explanation.spans[stage, row]
            ink = "white" if abs(value) > 0.62 * largest else INK
            axes.text(stage - 0.04, row, f"{value:+.2f}", ha="right", va="center", fontsize=10, color=ink)
            axes.text(stage + 0.04, row, f"over {span:.2g} s", ha="left", va="center", fontsize=7.5, color=ink)
    axes.set_xticks(range(stages), [f"stage {stage + 1}" for stage in range(stages)])
    axes.set_yticks(range(kernels), [f"kernel {kernel}" for kernel in explanation.kernels])
    axes.set_xticks(np.arange(1, stages) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, kernels) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    name = _short(explanation.label)
    axes.set_title(f"what each branch adds to {name}, in log-odds", loc="left", fontsize=9, color=INK, parse_math=False)
    bar = axes.figure.colorbar(image, ax=axes, pad=0.01, aspect=10)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1].rstrip() + "…"

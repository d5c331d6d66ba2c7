"""The picture of an explanation: the log-mel with the map over it, and below it what each branch adds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioinceptionnext.explain.types import SHARE, ExplanationData
from audioinceptionnext.results.plot import DPI, FAINT, INK, KHZ_TICKS, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAP = "#D55E00"  # of the map, on a log-mel in greys
OPAQUE = 0.62  # where the map is 1: the log-mel stays visible
LOUDEST = 0.72  # the grey of the loudest cells, 1 being black: the map's colour still shows on it
LETTERS = 60  # of a file's name


def draw(explanation: ExplanationData) -> Figure:
    """On a figure of its own: nothing of pyplot's global state is touched."""
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


def _draw_map(axes: Axes, one: ExplanationData) -> None:
    """The log-mel in greys, the map as a colour over it, the most important cells inside a line."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, ListedColormap, to_rgb

    frames, bands = one.log_mel.shape
    place: dict[str, Any] = {"origin": "lower", "aspect": "auto", "extent": (one.start, one.end, 0, bands)}
    greys = ListedColormap(colormaps["Greys"](np.linspace(0, LOUDEST, 256)))
    low, high = np.percentile(one.log_mel, (5, 99.7))
    axes.imshow(one.log_mel.T, cmap=greys, vmin=low, vmax=max(high, low + 1e-3), **place)
    colour = to_rgb(MAP)
    colours = LinearSegmentedColormap.from_list("map", [(*colour, 0.0), (*colour, OPAQUE)])
    drawn = axes.imshow(one.map.T, cmap=colours, vmin=0, vmax=1, interpolation="bilinear", **place)
    if not one.empty:
        times = one.start + (np.arange(frames) + 0.5) * one.hop
        mask = one.important().T.astype(float)
        axes.contour(times, np.arange(bands) + 0.5, mask, [0.5], colors=[MAP], linewidths=1.4)
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.01, aspect=24, ticks=[0, 0.5, 1])
    scale = f"speaks for it\n(line: most important {SHARE:.0%})" if not one.empty else "nothing speaks for it"
    bar.set_label(scale, fontsize=8.5, color=INK)
    bar.outline.set_visible(False)
    ticks = [khz for khz in KHZ_TICKS if khz * 1000 < one.sample_rate / 2]
    axes.set_yticks([one.place(khz * 1000) for khz in ticks], [f"{khz:g}" for khz in ticks])
    axes.set_ylim(0, bands)
    axes.set_xlim(one.start, one.end)
    axes.set_ylabel("frequency (kHz)", fontsize=9, color=INK)
    axes.set_xlabel("time (s)", fontsize=9, color=INK)
    title = f"{_short(one.label)}  {one.score:.0%}"
    axes.set_title(title, loc="left", fontsize=13, fontweight="bold", color=INK, parse_math=False)
    about = "  ·  ".join(part for part in (_short(Path(one.file).name), _short(one.model)) if part)
    axes.set_title(about, loc="right", fontsize=9, color=FAINT, parse_math=False)


def _draw_branches(axes: Axes, one: ExplanationData) -> None:
    """A row a kernel, a column a stage: in colour and number what the branch adds, and how far it reaches."""
    stages, kernels = one.branches.shape
    most = max(float(np.abs(one.branches).max()), 1e-6)
    drawn = axes.imshow(one.branches.T, cmap="PuOr_r", vmin=-most, vmax=most, aspect="auto")
    for stage in range(stages):
        for row in range(kernels):
            value, span = one.branches[stage, row], one.spans[stage, row]
            ink = "white" if abs(value) > 0.62 * most else INK
            axes.text(stage - 0.04, row, f"{value:+.2f}", ha="right", va="center", fontsize=10, color=ink)
            axes.text(stage + 0.04, row, f"over {span:.2g} s", ha="left", va="center", fontsize=7.5, color=ink)
    axes.set_xticks(range(stages), [f"stage {stage + 1}" for stage in range(stages)])
    axes.set_yticks(range(kernels), [f"kernel {kernel}" for kernel in one.kernels])
    axes.set_xticks(np.arange(1, stages) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, kernels) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    name = _short(one.label)
    axes.set_title(f"what each branch adds to {name}, in log-odds", loc="left", fontsize=9, color=INK, parse_math=False)
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.01, aspect=10)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LETTERS else text[: LETTERS - 1].rstrip() + "…"

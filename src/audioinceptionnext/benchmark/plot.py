"""The chart of a benchmark: the time per clip against the number of parameters, or against accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from audioinceptionnext.benchmark.tables import accuracy_name, threads
from audioinceptionnext.errors import replacing

COLOURS = {
    "eager": "#8c564b",
    "compiled": "#e377c2",
    "graph": "#7f7f7f",
    "onnxruntime": "#1f77b4",
    "openvino": "#2ca02c",
}


def draw_chart(document: dict[str, Any], path: Path) -> None:
    """Write the chart of a document (see `tables.document`).

    The time is drawn against accuracy if two or more rows have one, and otherwise against the number of parameters. A
    line joins the rows of `pareto_front`.

    Args:
        path: its suffix gives the format: png, svg or pdf.

    Raises:
        ModuleNotFoundError: matplotlib is not installed (extra: plot).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = document["rows"]
    figure_name = accuracy_name(rows)
    scored = [row for row in rows if figure_name in row]
    by_accuracy = len(scored) >= 2
    rows = scored if by_accuracy else rows
    points = [(row["ms_per_clip"], row[figure_name] if by_accuracy else row["parameters"] / 1e6) for row in rows]
    figure = Figure(figsize=(11, 6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    if not by_accuracy:
        axes.set_yscale("log")
    for row, point in zip(rows, points, strict=True):
        axes.errorbar(
            *point, xerr=[[point[0] - row["spread"][0]], [row["spread"][1] - point[0]]],
            fmt="o", color=COLOURS[row["backend"]], markersize=7, elinewidth=1, zorder=3,
        )  # fmt: skip
    best = pareto_front(points, higher_is_better=by_accuracy)
    axes.plot([x for x, _ in best], [y for _, y in best], color="0.75", linewidth=1.5, zorder=1)
    axes.set_xlabel(f"ms per clip, batch {document['batch_sizes'][0]}, {threads(document)}; lower is better")
    accuracy = "mean average precision" if figure_name == "map" else "top-1 accuracy"
    axes.set_ylabel(f"{accuracy}, %; higher is better" if by_accuracy else "parameters, million; lower is better")
    axes.set_title(document["machine"].split(";")[0], fontsize=10, color="0.3")
    axes.grid(True, which="both", alpha=0.2)
    axes.margins(0.08, 0.15)
    if by_accuracy:
        axes.set_ylim(top=min(axes.get_ylim()[1], 101))
    _plain_ticks(axes, both=not by_accuracy)
    _add_legend(figure, rows)
    _number_points(figure, axes, points, [row["number"] for row in rows])
    with replacing(path) as new:
        figure.savefig(new, format=path.suffix.lower().removeprefix("."))


def pareto_front(points: list[tuple[float, float]], higher_is_better: bool) -> list[tuple[float, float]]:
    """The points for which no other point is at least as good in both coordinates, ordered by x.

    Args:
        points: (x, y) each. A lower x is better.
        higher_is_better: whether a higher y is better; otherwise a lower one is.

    >>> pareto_front([(3, 70), (1, 60), (2, 75)], higher_is_better=True)
    [(1, 60), (2, 75)]
    """
    sign = -1 if higher_is_better else 1
    best: list[tuple[float, float]] = []
    for x, y in sorted(set(points), key=lambda point: (point[0], sign * point[1])):
        if not best or sign * y < sign * best[-1][1]:
            best.append((x, y))
    return best


def _plain_ticks(axes: Any, both: bool) -> None:
    """Label the axes 1, 2, 5, 10 instead of 10^0, 10^1."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis in (axes.xaxis, axes.yaxis) if both else (axes.xaxis,):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())


def _add_legend(figure: Any, rows: list[dict[str, Any]]) -> None:
    """Name the rows beside the chart, with their numbers, in the colours of their backends."""
    from matplotlib.lines import Line2D

    handles = []
    for row in rows:
        name = f"{row['number']}  {row['name']}"
        handles.append(Line2D([], [], marker="o", linestyle="", color=COLOURS[row["backend"]], label=name))
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False, handletextpad=0.2)


def _number_points(figure: Any, axes: Any, points: list[tuple[float, float]], numbers: list[int]) -> None:
    """Write each point's number next to it, at the nearest place where it covers no other number and no point."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    taken = [_box(x, y, 16, 16) for x, y in map(axes.transData.transform, points)]
    for point, number in sorted(zip(points, numbers, strict=True)):
        text = axes.annotate(
            str(number), point, (0, 0), textcoords="offset pixels", fontsize=8, ha="center", va="center", zorder=2,
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 5},
        )  # fmt: skip
        size = text.get_window_extent(renderer)
        x, y = axes.transData.transform(point)
        for dx, dy in _offsets(size.width, size.height):
            box = _box(x + dx, y + dy, size.width + 4, size.height + 2)
            if not any(box.overlaps(other) for other in taken):
                break
        text.set_position((dx, dy))
        taken.append(box)


def _box(x: float, y: float, width: float, height: float) -> Any:
    from matplotlib.transforms import Bbox

    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _offsets(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Places for a number's centre, in pixels from its point: above, below, diagonal, then further and further out."""
    for distance in range(12, 300, 8):
        for angle in (90, 270, 60, 120, 240, 300, 75, 105, 255, 285, 30, 150, 210, 330, 0, 180):
            radians = math.radians(angle)
            yield (width / 2 + distance) * math.cos(radians), (height / 2 + distance) * math.sin(radians)

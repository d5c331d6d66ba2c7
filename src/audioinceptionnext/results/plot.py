"""Pictures of results: the log-mel on top, the segments in lanes below it, and the probabilities over time."""

from __future__ import annotations

import math
import warnings
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from audioinceptionnext.errors import FileError, MissingDependencyError, counted, replacing, writing
from audioinceptionnext.results.formats import format_time
from audioinceptionnext.results.plot_fonts import families_for, quiet_fonts
from audioinceptionnext.results.segmentation import step_bounds
from audioinceptionnext.results.thumbnail import MAX_COLUMNS
from audioinceptionnext.results.types import RecognitionData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_CLASSES = 8  # as many as there are colours that everyone can tell apart
MIN_CLASSES = 3  # if fewer have segments, the most probable other classes are added
MIN_PEAK = 0.05  # the highest probability that such a class needs at least
MAX_POINTS = 2000  # of each probability line, more than the pixels across the picture
LABEL_LETTERS = 26  # of a lane's label; the rest is cut off

WIDTH = 11.0  # inches
DPI = 160

# The colours of Okabe and Ito, which colour-blind people can tell apart. Olive replaces yellow, which is lost on white.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8A8A2B", "#4D4D4D")
INK, FAINT, PALE = "#333333", "#8C8C8C", "#F4F4F4"

_NO_FONT = (
    "no font here has the letters of these names, so the picture shows the labels; install one, such as Noto Sans CJK"
)
KHZ_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16)
TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)  # seconds


def check_can_plot() -> None:
    """Check that matplotlib, which draws the pictures, is installed.

    Raises:
        MissingDependencyError: it is not.
    """
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("the picture", "audioinceptionnext[plot]")


def check_picture_path(path: str | PathLike[str]) -> None:
    """Check that a picture can be written to a path, by its suffix and its folder.

    Raises:
        FileError: it cannot.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    suffixes = [f".{name}" for name in sorted(FigureCanvasAgg.get_supported_filetypes())]
    if Path(path).suffix.lower() not in suffixes:
        raise FileError(path, f"not a picture's name; give one that ends in {', '.join(suffixes)}")
    with writing(path):
        if not Path(path).absolute().parent.is_dir():
            raise FileNotFoundError


def draw_recognition(result: RecognitionData) -> Figure:
    """Draw a result on a figure of its own, without pyplot and its global state.

    The picture shows the classes with the longest segments, `MAX_CLASSES` at most. If they are few, the most probable
    others are added. It names them in the language of the result, unless no font here has its letters: then it shows
    the labels, with a warning.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    classes, families = _choose_classes(result), None
    if result.names:
        named = result.named()
        names = _choose_classes(named)
        if families := families_for(names):
            result, classes = named, names
        else:
            warnings.warn(_NO_FONT, stacklevel=3)
    families = families or families_for(classes)
    lanes = [label for label in classes if any(segment.label == label for segment in result.segments)]
    colours = dict(zip(classes, COLOURS, strict=False))

    heights = {"log_mel": 2.5, "lanes": 0.36 * max(len(lanes), 1) + 0.1, "probabilities": 1.7}  # inches
    if result.log_mel is None:
        del heights["log_mel"]
    figure = Figure(figsize=(WIDTH, sum(heights.values()) + 1.3), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(hspace=0.0, h_pad=0.05, w_pad=0.08)  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(heights), 1, sharex=True, height_ratios=list(heights.values()), squeeze=False)
    axes = dict(zip(heights, grid[:, 0], strict=True))

    for name, ax in axes.items():
        ax.set_label(name)
        ax.tick_params(colors=INK, labelsize=9, length=3, width=0.6)
        for side in ax.spines.values():
            side.set_visible(False)
    if result.log_mel is not None:
        _draw_log_mel(axes["log_mel"], result.log_mel, result.duration, result.sample_rate)
    _draw_probabilities(axes["probabilities"], result, colours, lanes, families)
    _draw_time_axis(axes["probabilities"], result.duration)
    _draw_title(grid[0, 0], result)
    with quiet_fonts():
        _draw_lanes(axes["lanes"], result, lanes, colours, families)  # last: whether a label fits depends on the layout
    return figure


def save(figure: Figure, path: str | PathLike[str], recording: str = "") -> None:
    """Write a figure to a file, whose suffix says how: .png, .svg, .pdf and others.

    Args:
        figure: to write.
        path: of the file. An older one is replaced when the new one is complete.
        recording: what the figure shows, which a .png states (`provenance` reads it).

    Raises:
        FileError: the suffix is not that of a picture, or the file cannot be written.
    """
    check_picture_path(path)
    format = Path(path).suffix.lower().removeprefix(".")
    metadata = {"Title": quote(recording, errors="surrogateescape")} if recording and format == "png" else None
    with replacing(path) as new, quiet_fonts():
        figure.savefig(new, format=format, dpi=DPI, metadata=metadata)


def _choose_classes(result: RecognitionData) -> list[str]:
    """The labels with the most time in segments, in the order of their first one; then others, see the constants."""
    seconds: dict[str, float] = {}
    for segment in result.segments:
        seconds[segment.label] = seconds.get(segment.label, 0.0) + segment.end - segment.start
    longest = set(sorted(seconds, key=lambda label: -seconds[label])[:MAX_CLASSES])
    classes = [label for label in seconds if label in longest]
    peaks = result.probabilities.max(axis=0, initial=0)
    for column in np.argsort(-peaks, kind="stable"):
        if len(classes) >= MIN_CLASSES or peaks[column] < MIN_PEAK:
            break
        if result.labels[column] not in classes:
            classes.append(result.labels[column])
    return classes


def _draw_title(ax: Axes, result: RecognitionData) -> None:
    name, model = _short(Path(result.file).name, 80), _short(result.model, 30)
    ax.set_title(name, loc="left", fontsize=12, fontweight="bold", color=INK, parse_math=False)
    about = f"{format_time(result.duration)}  ·  {model}"
    ax.set_title(about, loc="right", fontsize=9, color=FAINT, parse_math=False)


def _draw_log_mel(ax: Axes, log_mel: np.ndarray, duration: float, sample_rate: int) -> None:
    """Draw (columns, bands), where column 0 is at time 0 and band 0 is the lowest."""
    picture = _pool(np.asarray(log_mel), MAX_COLUMNS)
    bands = picture.shape[1]
    # The extremes are cut off, since they would wash out the picture.
    low, high = np.percentile(picture, (8, 99.7))
    ax.imshow(
        picture.T,
        origin="lower",
        aspect="auto",
        extent=(0, duration, 0, bands),
        cmap="magma",
        vmin=low,
        vmax=max(high, low + 1e-3),
        interpolation="antialiased",
    )
    ticks = [khz for khz in KHZ_TICKS if khz * 1000 < sample_rate / 2]
    ax.set_yticks([_band_of(khz * 1000, bands, sample_rate) for khz in ticks], [f"{khz:g}" for khz in ticks])
    ax.set_ylim(0, bands)
    ax.set_ylabel("frequency (kHz)", fontsize=9, color=INK)
    ax.tick_params(bottom=False, labelbottom=False)


def _band_of(hertz: float, bands: int, sample_rate: int) -> float:
    """Where a frequency lies on the log-mel's axis, on which band b reaches from b to b + 1.

    The triangles of the bands are evenly spaced on HTK's mel scale, from 0 to half the sample rate (S. Young et al.,
    "The HTK Book", section on filterbank analysis).
    """

    def mel(frequency: float) -> float:
        return 2595 * math.log10(1 + frequency / 700)

    return (bands + 1) * mel(hertz) / mel(sample_rate / 2) - 0.5


def _draw_probabilities(
    ax: Axes, result: RecognitionData, colours: dict[str, str], lanes: list[str], families: list[str] | None
) -> None:
    columns = [result.labels.index(label) for label in colours]
    steps = len(result.probabilities)
    if steps and columns:
        bounds = step_bounds(steps, result.step_seconds, result.window_seconds, result.duration)
        # The maximum of each bin, so that a short sound in a long recording still shows, as its segment does.
        values = _pool(result.probabilities[:, columns], MAX_POINTS)
        centres = _pool(((bounds[1:] + bounds[:-1]) / 2)[:, None], MAX_POINTS)[:, 0]
        # Each line goes on level to both ends, so that a recording of one step has a line too.
        times = np.concatenate(([0.0], centres, [result.duration]))
        values = np.concatenate((values[:1], values, values[-1:]))
        # Over minutes, lines show best; over hours, they would look like a comb, and filled areas show better.
        width, alpha = (1.4, 0.10) if steps <= MAX_POINTS else (0.4, 0.5)
        for order, (label, line) in enumerate(zip(colours, values.T, strict=True)):
            colour, height = colours[label], 3 - order / 10
            ax.plot(times, line, linewidth=width, color=colour, zorder=height, label=label, clip_on=False)
            ax.fill_between(times, line, color=colour, alpha=alpha, linewidth=0, zorder=height - 1)
        _draw_legend(ax, lanes, families)
    ax.axhline(result.onset_threshold, color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.5, 1], ["0", "50%", "100%"])
    ax.set_ylabel("probability", fontsize=9, color=INK)
    ax.spines["bottom"].set(visible=True, color=FAINT, linewidth=0.6)


def _draw_legend(ax: Axes, lanes: list[str], families: list[str] | None) -> None:
    """Name the lines without a lane. The coloured labels of the lanes name the others."""
    from matplotlib.lines import Line2D

    lines = [line for line in ax.get_lines() if line.get_label() not in lanes]
    if not lines:
        return
    # The space lets a label begin with "_", which a legend would leave out.
    names = [" " + _short(str(line.get_label()), LABEL_LETTERS) for line in lines]
    title = "less probable:" if lanes else "most probable:"
    handles = [Line2D([], [], linewidth=0), *lines]
    legend = ax.figure.legend(
        handles,
        [title, *names],
        loc="outside lower right",
        ncols=4,
        prop={"size": 9, "family": families},
        handlelength=1.2,
        frameon=False,
    )
    for text in legend.get_texts():
        text.set(parse_math=False, color=INK)


def _draw_time_axis(ax: Axes, duration: float) -> None:
    """Label the time axis with about ten marks: in seconds below one minute, m:ss below one hour, h:mm above."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    step = next((step for step in TIME_STEPS if duration <= 10 * step), TIME_STEPS[-1])

    def moment(seconds: float, _: int | None = None) -> str:
        if duration < 60:
            return f"{seconds:g}" if step >= 1 else f"{seconds:.1f}"
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}:{rest:02}" if duration < 3600 else f"{minutes // 60}:{minutes % 60:02}"

    ax.set_xlim(0, max(duration, 1e-3))
    ax.xaxis.set_major_locator(MultipleLocator(step))
    ax.xaxis.set_major_formatter(FuncFormatter(moment))
    unit = "s" if duration < 60 else "m:ss" if duration < 3600 else "h:mm"
    ax.set_xlabel(f"time ({unit})", fontsize=9, color=INK)


def _draw_lanes(
    ax: Axes, result: RecognitionData, lanes: list[str], colours: dict[str, str], families: list[str] | None
) -> None:
    ax.tick_params(bottom=False, labelbottom=False, left=False)
    ax.set_ylim(max(len(lanes), 1) - 0.5, -0.5)  # the first lane on top
    if not lanes:
        ax.set_yticks([])
        note = "no label reached its onset threshold for long enough"
        ax.text(0.5, 0.5, note, transform=ax.transAxes, ha="center", va="center", fontsize=10, color=FAINT)
        return
    ax.set_yticks(range(len(lanes)), [_short(label, LABEL_LETTERS) for label in lanes], parse_math=False)
    for tick, label in zip(ax.get_yticklabels(), lanes, strict=True):
        tick.set(color=colours[label], fontweight="bold", fontfamily=families)
    for row, label in enumerate(lanes):
        spans = [(one.start, one.end - one.start) for one in result.segments if one.label == label]
        ax.axhspan(row - 0.38, row + 0.38, color=PALE, linewidth=0, zorder=0)
        # The edge keeps a segment of a second visible in a recording of hours.
        ax.broken_barh(spans, (row - 0.34, 0.68), facecolor=colours[label], edgecolor=colours[label], linewidth=0.6)
    left_out = len({segment.label for segment in result.segments}) - len(lanes)
    if left_out:
        note = f"and {counted(left_out, 'label')} with less time in segments"
        ax.text(1, 0, note, transform=ax.transAxes, ha="right", va="top", fontsize=8, color=FAINT)
    _draw_segment_labels(ax, result, lanes, colours, families)


def _draw_segment_labels(
    ax: Axes, result: RecognitionData, lanes: list[str], colours: dict[str, str], families: list[str] | None
) -> None:
    """Write the label and the score on each segment; the score alone, or nothing, where there is no room for both."""
    from matplotlib.colors import to_rgb
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(size=8.5, family=families)
    measure = TextToPath()

    def width(text: str) -> float:  # in points
        return measure.get_text_width_height_descent(text, font, ismath=False)[0]

    ax.figure.draw_without_rendering()  # type: ignore[union-attr]  # the axes get their true width only now
    points_per_second = ax.get_window_extent().width / ax.figure.dpi * 72 / max(result.duration, 1e-3)
    for segment in result.segments:
        room = (segment.end - segment.start) * points_per_second - 8
        if segment.label not in lanes or room < 16:
            continue
        score = f"{segment.score:.0%}"
        text = next((text for text in (f"{segment.label}  {score}", score) if width(text) <= room), None)
        if text is None:
            continue
        red, green, blue = to_rgb(colours[segment.label])
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.56
        ax.text(
            (segment.start + segment.end) / 2,
            lanes.index(segment.label),
            text,
            ha="center",
            va="center_baseline",
            fontproperties=font,
            color="white" if dark else "black",
            parse_math=False,
            clip_on=True,
        )


def _pool(values: np.ndarray, max_rows: int) -> np.ndarray:
    """(steps, columns) to at most ``max_rows`` rows: the maximum of each of that many equal bins."""
    if len(values) <= max_rows:
        return values
    first = np.linspace(0, len(values), max_rows, endpoint=False).astype(int)
    return np.maximum.reduceat(values, first, axis=0)


def _short(text: str, letters: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"

"""Writes the evaluation of timelines as a folder, like `report_folder` does for clips.

index.html       figures with intervals, the table of labels, the pictures
mistakes.html    the worst missed, invented and misplaced segments to see and to listen to; their audio is in mistakes/
errors.png       how far off onsets and offsets are        psds.png       events found over false alarms per hour
metrics.json     all figures       per_label.csv      events.csv       every true and estimated segment
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data.clip import Clip
from audioinceptionnext.errors import counted, writing
from audioinceptionnext.evaluation import plots, timeline_plots
from audioinceptionnext.evaluation.events import Collars, match_by_collars, match_by_overlap
from audioinceptionnext.evaluation.intervals import FEW_SOURCES, MIN_SOURCES
from audioinceptionnext.evaluation.report_files import (
    AUDIO_FOLDER,
    MAX_AUDIO_SECONDS,
    MAX_MISTAKES,
    ReadClip,
    StagedFiles,
    cell,
    csv_text,
    json_text,
    write_audio,
)
from audioinceptionnext.evaluation.report_folder import check_can_report
from audioinceptionnext.evaluation.report_pages import LONG_TABLE, SEEN
from audioinceptionnext.evaluation.timelines import Timeline
from audioinceptionnext.results.formats import format_time
from audioinceptionnext.results.templates import render
from audioinceptionnext.results.types import Segment

# Of the figures at the top: the heading, the unit and the decimals.
HEADLINES = {
    "segment_f1": ("Segment F1", "\u00a0%", 1),
    "event_f1": ("Event F1", "\u00a0%", 1),
    "event_f1_macro": ("Event F1, mean of labels", "\u00a0%", 1),
    "psds1": ("PSDS 1", "", 3),
    "psds2": ("PSDS 2", "", 3),
    "onset_median": ("Onset error, median", "\u00a0s", 2),
    "onset_bias": ("Onset bias", "\u00a0s", 2),
    "offset_median": ("Offset error, median", "\u00a0s", 2),
    "offset_bias": ("Offset bias", "\u00a0s", 2),
}
# Of the figures of a label: the heading and the form.
COLUMNS = {
    "segments": ("True", "{:,}"),
    "found": ("Reported", "{:,}"),
    "segment_f1": ("Segment F1", "{:.1f}"),
    "event_f1": ("Event F1", "{:.1f}"),
    "event_precision": ("Precision", "{:.1f}"),
    "event_recall": ("Recall", "{:.1f}"),
    "onset_median": ("Onset error", "{:.2f}"),
    "onset_bias": ("bias", "{:+.2f}"),
    "offset_median": ("Offset error", "{:.2f}"),
    "offset_bias": ("bias", "{:+.2f}"),
    "psds1": ("PSDS 1", "{:.2f}"),
    "psds2": ("PSDS 2", "{:.2f}"),
}
EVENT_COLUMNS = ("recording", "verdict", "label", "start", "end", "found_start", "found_end", "score")
CONTEXT_SECONDS = 1.0  # before and after a mistake, in its excerpt
RIGHT, MISPLACED, MISSED, INVENTED = "right", "misplaced", "missed", "invented"


@dataclass(frozen=True)
class Verdict:
    """What became of a true segment, or of an estimated one that is nobody's.

    Attributes:
        kind: `RIGHT` if the times agree within the collars, `MISPLACED` if they only overlap, `MISSED` without an
            estimated segment, and `INVENTED` without a true one.
        label: of both.
        true, found: the two segments, of which one may be None.
    """

    kind: str
    label: str
    true: Segment | None
    found: Segment | None

    @property
    def wrong_seconds(self) -> float:
        """For how long the timeline is wrong because of it."""
        if self.true and self.found:
            return abs(self.found.start - self.true.start) + abs(self.found.end - self.true.end)
        only = self.true or self.found
        return 0.0 if only is None else only.end - only.start

    @property
    def bounds(self) -> tuple[float, float]:
        """From the first to the last time of both segments, in seconds."""
        both = [one for one in (self.true, self.found) if one is not None]
        return min(one.start for one in both), max(one.end for one in both)


def verdicts(timeline: Timeline, collars: Collars) -> list[Verdict]:
    """The verdicts on a recording, by time.

    What is right is paired first, then what else overlaps, the longest overlap first.
    """
    true, found = timeline.true, timeline.found
    right = dict(match_by_collars(true, found, collars))
    other_true = [i for i in range(len(true)) if i not in right]
    other_found = [j for j in range(len(found)) if j not in right.values()]
    overlaps = match_by_overlap([true[i] for i in other_true], [found[j] for j in other_found])
    misplaced = {other_true[i]: other_found[j] for i, j in overlaps}
    rows = []
    for kind, pairs in ((RIGHT, right), (MISPLACED, misplaced)):
        rows += [Verdict(kind, true[i].label, true[i], found[j]) for i, j in pairs.items()]
    rows += [Verdict(MISSED, true[i].label, true[i], None) for i in other_true if i not in misplaced]
    rows += [Verdict(INVENTED, found[j].label, None, found[j]) for j in other_found if j not in misplaced.values()]
    return sorted(rows, key=lambda one: (one.bounds, one.label))


def write_timeline_report(
    folder: Path,
    figures: Mapping[str, Any],
    timelines: Sequence[Timeline],
    collars: Collars,
    *,
    rocs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    read: ReadClip | None = None,
) -> Path:
    """Write the report of timelines and return the path of its ``index.html``.

    Args:
        folder, read: as for `report_folder.write_report`.
        figures: from `evaluate_timelines`.
        timelines: that the figures are of.
        collars: by which events are right or wrong.
        rocs: of each PSDS; see `Psds`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        FileError: a file cannot be written.
    """
    check_can_report(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    title = f"{figures['model']} on {figures['data']}: timeline"
    judged = [(one.recording, verdict, one) for one in timelines for verdict in verdicts(one, collars)]
    per_label: Mapping[str, Mapping[str, Any]] = figures["per_label"]
    with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as temporary:
        staged = StagedFiles(folder, Path(temporary))
        staged.write_text("metrics.json", json_text(figures))
        rows = ([label, *(cell(own.get(name)) for name in COLUMNS)] for label, own in per_label.items())
        staged.write_text("per_label.csv", csv_text(("label", *COLUMNS), rows))
        staged.write_text("events.csv", csv_text(EVENT_COLUMNS, (_row(clip, one) for clip, one, _ in judged)))
        staged.write_bytes("errors.png", plots.png(timeline_plots.draw_errors(figures, collars)))
        if rocs:
            staged.write_bytes("psds.png", plots.png(timeline_plots.draw_rocs(figures, rocs)))
        wrong = [one for one in judged if one[1].kind != RIGHT]
        mistakes = _mistakes(staged, wrong, read)
        page = {"title": title, "mistakes": mistakes, "total": len(wrong)}
        staged.write_text("mistakes.html", render("evaluation/timeline_mistakes.html.j2", **page))
        index = render(
            "evaluation/timeline.html.j2",
            **page,
            about=[
                counted(figures["recordings"], "recording"),
                f"{figures['hours']:.2f} hours",
                counted(figures["segments"], "true segment"),
                f"{figures['found']:,} reported",
            ],
            headlines=[shown_headline(name, figures) for name in HEADLINES if figures.get(name) is not None],
            intervals=figures.get("intervals"),
            sources=figures.get("sources", figures["recordings"]),
            few_sources=FEW_SOURCES,
            min_sources=MIN_SOURCES,
            collars=_worded(collars),
            resolution=figures["resolution"],
            columns=[heading for heading, _ in COLUMNS.values()],
            per_label={
                label: [label_cell(name, own.get(name)) for name in COLUMNS] for label, own in per_label.items()
            },
            kinds={kind: sum(one.kind == kind for _, one, _ in judged) for kind in (MISPLACED, MISSED, INVENTED)},
            long_table=LONG_TABLE,
            has_psds=bool(rocs),
            seen=figures.get(SEEN, 0),
            unknown=figures.get("unknown_labels"),
        )
        staged.write_text("index.html", index)
        staged.publish()
    return folder / "index.html"


def shown_headline(name: str, figures: Mapping[str, Any]) -> tuple[str, str, str]:
    """The heading, the value and the interval of one of `HEADLINES`."""
    heading, unit, digits = HEADLINES[name]
    sign = "+" if name.endswith("_bias") else ""
    own = figures.get("intervals", {}).get(name)
    value = figures[name]
    shown = "–" if not np.isfinite(value) else f"{value:{sign}.{digits}f}{unit}".replace("-", "−")
    interval = " to ".join(f"{bound:{sign}.{digits}f}" for bound in own) if own else ""
    return heading, shown, interval.replace("-", "−")


def label_cell(name: str, value: Any) -> tuple[str, str]:
    """A figure of a label as the table sorts it, and as it shows it."""
    if value is None or not np.isfinite(value):
        return "", "–"
    return f"{value:.4f}", COLUMNS[name][1].format(value)


def _worded(collars: Collars) -> str:
    onset = f"its onset within {collars.onset:g} s of the true one"
    if not np.isfinite(collars.offset):
        return onset
    share = f", or {100 * collars.offset_share:g} % of the true segment’s length" if collars.offset_share else ""
    return f"{onset}, and its offset within {collars.offset:g} s{share}"


def _row(recording: Clip, one: Verdict) -> list[str]:
    times = [f"{time:.3f}" for part in (one.true, one.found) for time in ((part.start, part.end) if part else ())]
    times = ["", "", *times] if one.true is None else [*times, "", ""][:4]
    return [_name(recording), one.kind, one.label, *times, f"{one.found.score:.4f}" if one.found else ""]


def _name(recording: Clip) -> str:
    return replace(recording, start=0.0, end=None).name


def _mistakes(
    staged: StagedFiles, wrong: Sequence[tuple[Clip, Verdict, Timeline]], read: ReadClip | None
) -> list[dict[str, Any]]:
    """The worst of each kind in turn, as their page shows them: those for which the timeline is wrong the longest."""
    by_kind: defaultdict[str, list[tuple[Clip, Verdict, Timeline]]] = defaultdict(list)
    for mistake in sorted(wrong, key=lambda one: -one[1].wrong_seconds):
        by_kind[mistake[1].kind].append(mistake)
    in_turn = [one for row in zip_longest(*by_kind.values()) for one in row if one is not None]
    shown: list[dict[str, Any]] = []
    for recording, one, timeline in in_turn[:MAX_MISTAKES]:
        first, last = one.bounds
        start = max(0.0, first - CONTEXT_SECONDS)
        end = min(timeline.seconds, last + CONTEXT_SECONDS, start + MAX_AUDIO_SECONDS)
        excerpt = replace(recording, start=start, end=end)
        audio, why = write_audio(staged, f"{AUDIO_FOLDER}/{len(shown) + 1:02}.flac", excerpt, read)
        shown.append(
            {
                "label": one.label,
                "what": _what(one),
                "name": f"{recording.key or recording.path.name}, {format_time(start)} to {format_time(end)}",
                "path": _name(recording),
                "true": _bars(timeline.true, one.label, start, end),
                "found": _bars(timeline.found, one.label, start, end),
                "audio": audio,
                "why_no_audio": why,
            }
        )
    return shown


def _what(one: Verdict) -> str:
    """What is wrong, after the label's name."""
    if one.true and one.found:
        edges = {
            "onset": one.found.start - one.true.start,
            "offset": one.found.end - one.true.end,
        }
        parts = [f"{name} {abs(off):.2f} s {'late' if off > 0 else 'early'}" for name, off in edges.items()]
        return f"misplaced: {', '.join(parts)}"
    if one.found:
        return f"reported for {one.wrong_seconds:.2f} s, but not there (score {100 * one.found.score:.0f} %)"
    return f"not reported, but there for {one.wrong_seconds:.2f} s"


def _bars(events: Sequence[Segment], label: str, start: float, end: float) -> list[tuple[float, float]]:
    """Where the segments of a label lie in an excerpt: left edge and width in % of it."""
    scale = 100 / max(end - start, 1e-9)
    return [
        (scale * (max(one.start, start) - start), scale * (min(one.end, end) - max(one.start, start)))
        for one in events
        if one.label == label and one.start < end and one.end > start
    ]

"""``ainext evaluate --timeline``: whole recordings against segments whose times are known."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audioinceptionnext.cli.figures import print_timeline_figures
from audioinceptionnext.errors import ParameterError, counted, printable

if TYPE_CHECKING:
    from audioinceptionnext.data import Clip, Dataset
    from audioinceptionnext.inference.recogniser import Recogniser

ONSET_COLLAR = OFFSET_COLLAR = 0.2  # seconds


def check_options(timeline: bool, of_timelines: dict[str, object], of_clips: dict[str, object]) -> None:
    """Check that only options of timelines are given with ``timeline``, or only those of clips without it.

    Raises:
        ParameterError: another one is given.
    """
    for name, value in (of_clips if timeline else of_timelines).items():
        if value:
            reason = "goes with clips only; leave it out" if timeline else "goes with --timeline only"
            raise ParameterError(name, value, reason)


def print_warnings(figures: Mapping[str, Any]) -> None:
    """On stderr, print what of the data the figures do not count."""
    for line in figures["beyond_end"]:
        print(f"ainext: warning: {line}", file=sys.stderr)
    if unknown := figures.get("unknown_labels"):
        named = ", ".join(map(printable, unknown))
        what = f"{figures['model']} does not know {counted(len(unknown), 'label')} of the data: {named}"
        them = "it" if len(unknown) == 1 else "these"
        print(f"ainext: warning: {what}; segments of {them} are not counted", file=sys.stderr)


def score_timeline(
    dataset: Dataset,
    clips: Sequence[Clip],
    others: Sequence[Clip],
    recogniser: Recogniser,
    seen: Sequence[Clip],
    *,
    collars: tuple[float, float],
    report: Path | None,
    scores: Path | None,
    resamples: int,
    progress: Callable[[int, int], None],
    as_json: bool,
) -> Sequence[str]:
    """Score a model's timelines, print the figures, and write what is asked for.

    Args:
        dataset, clips, others, recogniser: as chosen; ``others`` are the clips that are not.
        seen: those of the clips that trained the model.
        collars: of onsets and offsets, in seconds.
        report, scores: the folders to write to.
        resamples, progress: as for `evaluate_timelines`.
        as_json: whether to print JSON.

    Returns:
        What is wrong with each recording that cannot be read.
    """
    from audioinceptionnext.data.annotated import check_apart
    from audioinceptionnext.evaluation.evaluate import rounded
    from audioinceptionnext.evaluation.evaluate_timelines import evaluate_timelines
    from audioinceptionnext.evaluation.events import STRICT, Collars
    from audioinceptionnext.evaluation.psds import MISSING, can_score, check_can_write_scores, write_scores
    from audioinceptionnext.evaluation.report_pages import SEEN

    check_apart(others, clips)
    if scores is not None:
        check_can_write_scores(scores)
    found = evaluate_timelines(
        dataset, clips, recogniser, collars=Collars(*collars, STRICT.offset_share), resamples=resamples,
        progress=progress,
    )  # fmt: skip
    figures: dict[str, Any] = found.figures
    print_warnings(figures)
    if not can_score():
        print(f"ainext: warning: {MISSING}", file=sys.stderr)
    trained, every = (
        sum(dataset.labels[label] in found.labels for clip in some for label in clip.labels) for some in (seen, clips)
    )
    if trained:
        what = f"{recogniser.name} was trained on {trained:,} of these {counted(every, 'segment')}"
        print(f"ainext: warning: {what}, so the figures are higher than those of new recordings", file=sys.stderr)
        figures[SEEN] = trained
    if scores is not None:
        beside = write_scores(scores, found.timelines, found.labels)
        also = ", ".join(map(printable, beside))
        print(f"{printable(scores)}: scores of {counted(len(found.timelines), 'recording')}; {also}", file=sys.stderr)
    if report is not None:
        figures["report"] = str(found.report(report))
    if as_json:
        print(json.dumps(rounded(figures), ensure_ascii=False, indent=2))
    else:
        print_timeline_figures(figures)
    return found.figures["unreadable"]

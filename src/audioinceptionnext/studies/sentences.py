"""What a study's figures allow to conclude, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audioinceptionnext.errors import counted
from audioinceptionnext.studies.plan import Plan
from audioinceptionnext.studies.results import ALPHA, MIN_CLASS_CLIPS, Row

NAMED_CLASSES = 3  # that gain most, and that lose most


def conclusion(plan: Plan, rows: Sequence[Row]) -> list[str]:
    """Sentences: which differences are shown, which are not, and how large a difference could have been missed."""
    if not rows:
        return ["No run is done, so nothing can be concluded."]
    sentences = []
    compared = [row for row in rows if row.gain is not None]
    for row in [row for row in compared if row.p < ALPHA]:
        assert row.gain is not None
        better = "better" if row.gain.mean > 0 else "worse"
        sentences.append(
            f"{row.name} is {better} than {row.against}: {_points(row.gain.mean)} "
            f"({row.gain.low:+.1f} to {row.gain.high:+.1f}), p {_p(row.p)} after correction."
        )
    for row in [row for row in compared if row.p >= ALPHA and row.nll_p < ALPHA]:
        assert row.nll_gain is not None and row.gain is not None
        more = "more" if row.nll_gain.mean < 0 else "less"
        sentences.append(
            f"{row.name} gives the true class {more} probability than {row.against} (log loss "
            f"{row.nll_gain.mean:+.3f}, {row.nll_gain.low:+.3f} to {row.nll_gain.high:+.3f}, p {_p(row.nll_p)} after "
            f"correction), while its top-1 differs by {_points(row.gain.mean)}, which may be chance."
        )
    rest = [row for row in compared if row.p >= ALPHA and row.nll_p >= ALPHA]
    if rest:
        names = "; ".join(
            f"{row.name} {row.gain.mean:+.1f} ({row.gain.low:+.1f} to {row.gain.high:+.1f})" for row in rest if row.gain
        )
        none = "No other difference" if sentences else "No difference"
        sentences.append(f"{none} from the reference is shown. In points of top-1: {names}.")
    return sentences + ([_power(plan, compared)] if compared else [])


def _power(plan: Plan, compared: Sequence[Row]) -> str:
    widths = [(row.gain.high - row.gain.low) / 2 for row in compared if row.gain is not None]
    clips = len(compared[0].clips)
    seeds = "one seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
    more = (
        " One seed does not show how much chance there is in training: another would change every figure again."
        if plan.seeds == 1
        else ""
    )
    return (
        f"This rests on {counted(clips, 'clip')} and {seeds}: before correction for "
        f"{counted(len(compared), 'comparison')}, a difference has to exceed about "
        f"{np.median(widths):.1f} points to be told from chance. Smaller differences are not ruled out.{more}"
    )


def class_changes(rows: Sequence[Row]) -> list[str]:
    """Which classes gain most and lose most with each variant. Classes have few clips, so these are only hints."""
    references = {(row.data, row.prediction_mode): row for row in rows if row.gain is None}
    sentences = []
    for row in rows:
        reference = references.get((row.data, row.prediction_mode))
        if row.gain is None or reference is None or row.prediction_mode not in ("", rows[0].prediction_mode):
            continue
        before = reference.per_class()
        gains = sorted(
            (value - before[label][0], label)
            for label, (value, clips) in row.per_class().items()
            if label in before and clips >= MIN_CLASS_CLIPS
        )
        up = ", ".join(f"{label} {gain:+.0f}" for gain, label in reversed(gains[-NAMED_CLASSES:]) if gain > 0)
        down = ", ".join(f"{label} {gain:+.0f}" for gain, label in gains[:NAMED_CLASSES] if gain < 0)
        sentences.append(f"{row.name}: gain {up or 'none'}; lose {down or 'none'}.")
    return sentences


def _points(value: float) -> str:
    return f"{value:+.1f} points"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"

"""What a study's figures allow to be said, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from audioinceptionnext.studies.plan import Plan
from audioinceptionnext.studies.results import CLASS_CLIPS, SURE, Row

NAMED = 3  # classes that gain and that lose most


def conclusion(plan: Plan, rows: Sequence[Row]) -> list[str]:
    """Sentences: what is shown, what is not, and how large a difference could have been missed."""
    if not rows:
        return ["No run is done: nothing can be said."]
    said = []
    compared = [row for row in rows if row.gain is not None]
    shown = [row for row in compared if row.p < SURE]
    for row in shown:
        assert row.gain is not None
        better = "better" if row.gain.mean > 0 else "worse"
        said.append(
            f"{row.name} is {better} than {row.against}: {_points(row.gain.mean)} "
            f"({row.gain.low:+.1f} to {row.gain.high:+.1f}), p {_p(row.p)} after correction."
        )
    by_nll = [row for row in compared if row.p >= SURE and row.nll_p < SURE]
    for row in by_nll:
        assert row.nll_gain is not None and row.gain is not None
        better = "more" if row.nll_gain.mean < 0 else "less"
        said.append(
            f"{row.name} gives the true class {better} probability than {row.against} (log loss "
            f"{row.nll_gain.mean:+.3f}, {row.nll_gain.low:+.3f} to {row.nll_gain.high:+.3f}, p {_p(row.nll_p)} after "
            f"correction), while its top-1 differs by {_points(row.gain.mean)}, which chance could do."
        )
    rest = [row for row in compared if row.p >= SURE and row.nll_p >= SURE]
    if rest:
        names = "; ".join(
            f"{row.name} {row.gain.mean:+.1f} ({row.gain.low:+.1f} to {row.gain.high:+.1f})" for row in rest if row.gain
        )
        others = "Of the others no" if said else "No"
        said.append(f"{others} difference from the reference is shown, in points of top-1: {names}.")
    said += [_power(plan, compared)] if compared else []
    return said


def _power(plan: Plan, compared: Sequence[Row]) -> str:
    widths = [(row.gain.high - row.gain.low) / 2 for row in compared if row.gain is not None]
    row = compared[0]
    seeds = "one seed" if plan.seeds == 1 else f"{plan.seeds} seeds"
    more = (
        " One seed cannot tell what chance in training does: another would move each figure again."
        if plan.seeds == 1
        else ""
    )
    return (
        f"This rests on {len(row.clips):,} clips and {seeds}: before correction for {len(compared)} "
        f"{'comparison' if len(compared) == 1 else 'comparisons'}, a difference has to exceed about "
        f"{np.median(widths):.1f} points to be told from chance; smaller ones can be there and are not ruled out.{more}"
    )


def of_classes(rows: Sequence[Row]) -> list[str]:
    """Which sounds gain most and which lose most with each variant; a few clips a class, so hints and no findings."""
    reference = {(row.data, row.heard): row for row in rows if row.gain is None}
    said = []
    for row in rows:
        other = reference.get((row.data, row.heard))
        if row.gain is None or other is None or row.heard not in ("", rows[0].heard):
            continue
        theirs = other.per_class()
        gains = sorted(
            (value - theirs[label][0], label)
            for label, (value, clips) in row.per_class().items()
            if label in theirs and clips >= CLASS_CLIPS
        )
        up = ", ".join(f"{label} {gain:+.0f}" for gain, label in reversed(gains[-NAMED:]) if gain > 0)
        down = ", ".join(f"{label} {gain:+.0f}" for gain, label in gains[:NAMED] if gain < 0)
        said.append(f"{row.name}: gain {up or 'none'}; lose {down or 'none'}.")
    return said


def _points(value: float) -> str:
    return f"{value:+.1f} points"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"

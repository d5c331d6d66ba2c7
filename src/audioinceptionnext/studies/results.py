"""What a study's runs say together: one row for each variant and each way of predicting with it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from audioinceptionnext.data import Clip
from audioinceptionnext.evaluation import paired
from audioinceptionnext.evaluation.calibration import log_probabilities
from audioinceptionnext.evaluation.paired import Difference, Estimate
from audioinceptionnext.evaluation.plots import column
from audioinceptionnext.inference.recogniser import recording_probabilities
from audioinceptionnext.studies.plan import Plan, Unit
from audioinceptionnext.studies.study import Variant
from audioinceptionnext.studies.worker import is_done, predictions_file
from audioinceptionnext.training.cross_validation import DONE, OUTPUTS
from audioinceptionnext.training.run_folder import training_logs

AS_TRAINED = ""
ALPHA = 0.05  # a corrected p below this is called a difference
MIN_CLASS_CLIPS = 5  # classes with fewer clips are not mentioned


@dataclass
class Row:
    """One variant, predicting in one way.

    Attributes:
        prediction_mode: the name of a `PredictionMode`; empty for a network that predicts as it was trained.
        runs: number of runs, that is of seeds times folds.
        right: (clips,) the share of the seeds that got the clip right.
        nll: (clips,) the mean negative log probability of the true class, in nats.
        minutes: of training, all runs together.
        top1: in %.
        mean_nll: in nats.
        mca: mean class accuracy in %.
        against: the variant that the row is compared with, predicting in the same way; empty for that variant itself.
        gain: in points of top-1.
        nll_gain: in nats; below 0 is better.
        p, nll_p: of both, corrected for all comparisons of the study.
        cost: see `cost.measure_costs`.
    """

    variant: str
    data: str
    prediction_mode: str
    seeds: int
    runs: int
    clips: list[Clip] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    right: np.ndarray = field(repr=False)
    nll: np.ndarray = field(repr=False)
    minutes: float
    top1: Estimate
    mean_nll: Estimate
    mca: float
    against: str = ""
    gain: Difference | None = None
    nll_gain: Difference | None = None
    p: float = 1.0
    nll_p: float = 1.0
    cost: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tables and sentences call the row."""
        return f"{self.variant}, predicted with {self.prediction_mode}" if self.prediction_mode else self.variant

    def per_class(self) -> dict[str, tuple[float, int]]:
        """Top-1 of each class in %, and its number of clips."""
        targets = np.array([clip.label for clip in self.clips])
        return {
            label: (100 * float(self.right[targets == index].mean()), int((targets == index).sum()))
            for index, label in enumerate(self.labels)
            if (targets == index).sum()
        }


def collect(plan: Plan, costs: Mapping[str, Any] | None = None) -> list[Row]:
    """Make the rows of all variants from the runs that are done, in the study's order.

    Two variants are compared over the clips that both have. A variant without a run has no row.

    Args:
        costs: by variant, see `cost.measure_costs`.
    """
    rows = []
    for variant in plan.study.variants:
        units = [unit for unit in plan.scored_units(variant) if is_done(unit)]
        if units:
            modes = plan.study.predict or (AS_TRAINED,)
            rows += [row for mode in modes if (row := _row(plan, variant, units, mode)) is not None]
    for row in rows:
        row.cost = dict((costs or {}).get(row.variant, {}))
    _compare(plan, rows)
    return rows


def _row(plan: Plan, variant: Variant, units: Sequence[Unit], mode: str) -> Row | None:
    """None if no probability is a number, because the network diverged."""
    data = plan.data_of(variant)
    dataset = data.open()
    right: dict[str, list[float]] = {}
    nll: dict[str, list[float]] = {}
    known: dict[str, Clip] = {}
    for unit in units:
        _, clips = data.split(dataset, unit.fold)
        for clip, probabilities in zip(clips, _probabilities(unit, clips, mode), strict=True):
            if np.isnan(probabilities).any():
                continue
            known[clip.name] = clip
            right.setdefault(clip.name, []).append(float(probabilities.argmax() == clip.label))
            nll.setdefault(clip.name, []).append(-float(log_probabilities(probabilities[None])[0, clip.label]))
    if not known:
        return None
    clips = list(known.values())
    rights, nlls = (np.array([np.mean(values[clip.name]) for clip in clips]) for values in (right, nll))
    groups = [clip.group for clip in clips]
    targets = np.array([clip.label for clip in clips])
    return Row(
        variant.name,
        data.name,
        mode,
        len({unit.seed for unit in units}),
        len(units),
        clips,
        dataset.labels,
        rights,
        nlls,
        sum(json.loads((unit.folder / DONE).read_text(encoding="utf-8"))["minutes"] for unit in units),
        _percent(paired.mean(rights, groups)),
        paired.mean(nlls, groups),
        100 * float(np.mean([rights[targets == label].mean() for label in np.unique(targets)])),
    )


def _probabilities(unit: Unit, clips: Sequence[Clip], mode: str) -> np.ndarray:
    """(clips, classes); NaN for clips that could not be read."""
    if mode != AS_TRAINED:
        return np.load(unit.folder / predictions_file(mode))["probabilities"]
    stored = np.load(unit.folder / OUTPUTS)
    outputs = [recording_probabilities(stored[f"output{i}"]) for i in range(len(stored["clips"]))]
    probabilities = np.full((len(clips), len(outputs[0]) if outputs else 1), np.nan)
    for index, output in zip(stored["clips"], outputs, strict=True):
        probabilities[index] = output
    return probabilities


def _compare(plan: Plan, rows: list[Row]) -> None:
    """Fill in what each row gains over the reference of its data set that predicts in the same way."""
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.data, row.variant)
    reference = plan.study.variant(plan.study.reference)
    first[plan.data_of(reference).name] = reference.name
    by_key = {(row.variant, row.prediction_mode): row for row in rows}
    compared = []
    for row in rows:
        other = by_key.get((first[row.data], row.prediction_mode))
        if other is None or other is row:
            continue
        both = {clip.name for clip in row.clips} & {clip.name for clip in other.clips}
        mine, theirs = ([i for i, clip in enumerate(r.clips) if clip.name in both] for r in (row, other))
        mine.sort(key=lambda i: row.clips[i].name)
        theirs.sort(key=lambda i: other.clips[i].name)
        if not mine:
            continue
        groups = [row.clips[i].group for i in mine]
        row.against = other.variant
        gain = paired.difference(row.right[mine], other.right[theirs], groups)
        row.gain = Difference(100 * gain.mean, 100 * gain.low, 100 * gain.high, gain.p)
        row.nll_gain = paired.difference(row.nll[mine], other.nll[theirs], groups)
        compared.append(row)
    for name, difference in (("p", "gain"), ("nll_p", "nll_gain")):
        for row, p in zip(compared, paired.holm([getattr(row, difference).p for row in compared]), strict=True):
            setattr(row, name, p)


def _percent(estimate: Estimate) -> Estimate:
    return Estimate(100 * estimate.mean, 100 * estimate.low, 100 * estimate.high)


def as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows as flat objects for JSON and CSV, with None where there is no value."""
    return [_flat(row) for row in rows]


def _flat(row: Row) -> dict[str, Any]:
    gain, nll = row.gain, row.nll_gain
    return {
        "variant": row.variant,
        "data": row.data,
        "prediction_mode": row.prediction_mode or "as trained",
        "seeds": row.seeds,
        "runs": row.runs,
        "clips": len(row.clips),
        "top1": _round(row.top1.mean, 2),
        "top1_low": _round(row.top1.low, 2),
        "top1_high": _round(row.top1.high, 2),
        "mca": _round(row.mca, 2),
        "nll": _round(row.mean_nll.mean, 4),
        "nll_low": _round(row.mean_nll.low, 4),
        "nll_high": _round(row.mean_nll.high, 4),
        "against": row.against or None,
        "gain": gain and _round(gain.mean, 2),
        "gain_low": gain and _round(gain.low, 2),
        "gain_high": gain and _round(gain.high, 2),
        "p": gain and _round(gain.p, 4),
        "p_corrected": gain and _round(row.p, 4),
        "nll_gain": nll and _round(nll.mean, 4),
        "nll_gain_low": nll and _round(nll.low, 4),
        "nll_gain_high": nll and _round(nll.high, 4),
        "nll_p": nll and _round(nll.p, 4),
        "nll_p_corrected": nll and _round(row.nll_p, 4),
        **{name: _round(row.cost[name], 4) if name in row.cost else None for name in COSTS},
        "training_minutes": _round(row.minutes, 1),
    }


COSTS = ("parameters", "folded_parameters", "gmac", "clip_seconds", "ms", "low", "high", "peak_mb")


def _round(value: float, digits: int) -> float:
    return round(float(value), digits) if not isinstance(value, int) else value


def as_csv(rows: Sequence[Row]) -> str:
    """The rows as a CSV file, with a header."""
    text = io.StringIO()
    flat = as_dicts(rows)
    names = {"ms": "ms_per_clip", "low": "ms_low", "high": "ms_high"}
    writer = csv.DictWriter(
        text, [names.get(key, key) for key in flat[0]] if flat else ["variant"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows({names.get(key, key): value for key, value in row.items()} for row in flat)
    return text.getvalue()


def learning_curves(plan: Plan, variant: Variant) -> dict[str, np.ndarray]:
    """``loss`` and ``top1``, (epochs, 2) each: the epoch, and the mean over the variant's runs."""
    curves: dict[str, dict[int, list[float]]] = {"loss": {}, "top1": {}}
    for unit in filter(is_done, plan.scored_units(variant)):
        for name, values in curves.items():
            for epoch, value in column(training_logs(unit.folder), name, "epoch").tolist():
                values.setdefault(int(epoch) + 1, []).append(value)
    return {
        name: np.array([(epoch, np.mean(values)) for epoch, values in sorted(by_epoch.items())]).reshape(-1, 2)
        for name, by_epoch in curves.items()
    }

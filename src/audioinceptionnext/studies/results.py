"""What a study's runs say together: a row for each variant and each way of hearing it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import Clip
from audioinceptionnext.evaluation import paired
from audioinceptionnext.evaluation.calibration import log_probabilities
from audioinceptionnext.evaluation.paired import Difference, Estimate
from audioinceptionnext.inference.recogniser import overall
from audioinceptionnext.studies.plan import Plan, Unit
from audioinceptionnext.studies.study import Variant
from audioinceptionnext.studies.worker import heard_file, is_done
from audioinceptionnext.training.cross_validation import DONE, OUTPUTS

AS_TRAINED = ""
SURE = 0.05  # corrected p below which a difference is called one
CLASS_CLIPS = 5  # of a class, below which nothing is said of it


@dataclass
class Row:
    """
    Attributes:
        heard: the way, a name of the study's ``hear``; empty for as trained.
        runs: seeds times folds.
        right: (clips,) share of the seeds that got the clip right; ``nll`` (clips,) the mean negative log probability
            of the true class, in nats.
        top1: in %. ``mean_nll``: in nats.
        against: the variant that ``gain`` (in points of top-1) and ``nll_gain`` (nats; below 0 is better) are over,
            heard in the same way; empty for that variant itself.
        p, nll_p: corrected for all comparisons of the study.
        per_class: top-1 of each class in %, and how many clips.
    """

    variant: str
    data: str
    heard: str
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
        return f"{self.variant}, heard {self.heard}" if self.heard else self.variant

    def per_class(self) -> dict[str, tuple[float, int]]:
        targets = np.array([clip.label for clip in self.clips])
        return {
            label: (100 * float(self.right[targets == index].mean()), int((targets == index).sum()))
            for index, label in enumerate(self.labels)
            if (targets == index).sum()
        }


def collect(plan: Plan, costs: Mapping[str, Any] | None = None) -> list[Row]:
    """The rows of all variants, from the runs that are done, in the study's order.

    Variants are compared over the clips that both have. Nothing is said of a variant without a run.
    """
    rows = []
    for variant in plan.study.variants:
        units = [unit for unit in plan.of(variant) if is_done(unit)]
        if units:
            found = [_row(plan, variant, units, way) for way in (plan.study.hear or (AS_TRAINED,))]
            rows += [row for row in found if row is not None]
    for row in rows:
        row.cost = dict((costs or {}).get(row.variant, {}))
    _compare(plan, rows)
    return rows


def _row(plan: Plan, variant: Variant, units: Sequence[Unit], way: str) -> Row | None:
    """None where no answer is a number: a network that diverged."""
    source = plan.source(variant)
    dataset = source.open()
    right: dict[str, list[float]] = {}
    nll: dict[str, list[float]] = {}
    known: dict[str, Clip] = {}
    for unit in units:
        _, clips = source.training(dataset, unit.fold)
        for clip, probabilities in zip(clips, _heard(unit, clips, way), strict=True):
            if np.isnan(probabilities).any():
                continue
            known[clip.name] = clip
            right.setdefault(clip.name, []).append(float(probabilities.argmax() == clip.label))
            nll.setdefault(clip.name, []).append(-float(log_probabilities(probabilities[None])[0, clip.label]))
    if not known:
        return None
    clips = list(known.values())
    rights, nlls = (np.array([np.mean(found[clip.name]) for clip in clips]) for found in (right, nll))
    groups = [clip.group for clip in clips]
    targets = np.array([clip.label for clip in clips])
    return Row(
        variant.name,
        source.name,
        way,
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


def _heard(unit: Unit, clips: Sequence[Clip], way: str) -> np.ndarray:
    """(clips, classes), NaN for those that could not be read."""
    if way != AS_TRAINED:
        return np.load(unit.folder / heard_file(way))["probabilities"]
    stored = np.load(unit.folder / OUTPUTS)
    outputs = [overall(stored[f"output{i}"]) for i in range(len(stored["clips"]))]
    found = np.full((len(clips), len(outputs[0]) if outputs else 1), np.nan)
    for place, output in zip(stored["clips"], outputs, strict=True):
        found[place] = output
    return found


def _compare(plan: Plan, rows: list[Row]) -> None:
    """Fills in what each row gains on the reference of its dataset, heard in the same way."""
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.data, row.variant)
    reference = plan.study.variant(plan.study.reference)
    first[plan.source(reference).name] = reference.name
    of = {(row.variant, row.heard): row for row in rows}
    compared = []
    for row in rows:
        other = of.get((first[row.data], row.heard))
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
    for name, of_gain in (("p", "gain"), ("nll_p", "nll_gain")):
        for row, p in zip(compared, paired.holm([getattr(row, of_gain).p for row in compared]), strict=True):
            setattr(row, name, p)


def _percent(estimate: Estimate) -> Estimate:
    return Estimate(100 * estimate.mean, 100 * estimate.low, 100 * estimate.high)


def as_dicts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For JSON and CSV: one flat object a row, None where there is nothing."""
    return [_flat(row) for row in rows]


def _flat(row: Row) -> dict[str, Any]:
    gain, nll = row.gain, row.nll_gain
    return {
        "variant": row.variant,
        "data": row.data,
        "heard": row.heard or "as trained",
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
    text = io.StringIO()
    flat = as_dicts(rows)
    names = {"ms": "ms_per_clip", "low": "ms_low", "high": "ms_high"}
    writer = csv.DictWriter(
        text, [names.get(key, key) for key in flat[0]] if flat else ["variant"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows({names.get(key, key): value for key, value in row.items()} for row in flat)
    return text.getvalue()


def learning(plan: Plan, variant: Variant) -> dict[str, np.ndarray]:
    """``loss`` and ``top1`` (epochs, 2): epoch and the mean over the variant's runs."""
    found: dict[str, dict[int, list[float]]] = {"loss": {}, "top1": {}}
    for unit in plan.of(variant):
        for log in sorted(Path(unit.folder).glob("log/version_*/metrics.csv")) if is_done(unit) else []:
            with log.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    for name, values in found.items():
                        if line.get(name):
                            values.setdefault(int(line["epoch"]) + 1, []).append(float(line[name]))
    return {
        name: np.array([(epoch, np.mean(values)) for epoch, values in sorted(of.items())]).reshape(-1, 2)
        for name, of in found.items()
    }

"""Checks what `ainext explain` draws: deletion over many clips, and what the branches add on average.

    python benchmarks/explain_check.py --model "runs/folds/fold-{fold}/model.safetensors" --data kitchen20 \
        --root Kitchen20 --folds 5,4 --clips 200

For each clip, its most probable label is explained, with the model that was not trained on its fold. The most important
tenth of its log-mel is deleted, and for comparison the same mask shifted at random (`explain.faithfulness`). Folds are
taken in the order given until there are enough clips; of the last fold, clips are chosen at even distances. Intervals
are those of the mean over clips, 95 %, by a bootstrap that draws whole sources where they are known. The same call
always gives the same figures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError
from audioinceptionnext.explain import Explanation, Faithfulness, explain, faithfulness, open_model
from audioinceptionnext.explain.faithfulness import DRAWS, Fill
from audioinceptionnext.explain.types import SHARE

RESAMPLES = 4000
Unit = Literal["score", "log-odds"]


@dataclass(frozen=True)
class CheckedClip:
    clip: Clip
    truth: str
    explanation: Explanation
    checks: dict[Fill, Faithfulness]  # empty if the map is

    def drops(self, fill: Fill, unit: Unit) -> tuple[float, float]:
        """The drop without the most important region, and the mean drop without another one."""
        check = self.checks[fill]
        if unit == "score":
            return check.region, float(check.random.mean())
        return check.region_log_odds, float(check.random_log_odds.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model", required=True, help="explain these weights, or a shipped model; {fold} stands for the clips' fold"
    )
    parser.add_argument("--data", default="kitchen20", metavar="NAME", help="name the kind of data set")
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="set the folder of the data set")
    parser.add_argument("--folds", default="5", help="take clips of these folds, such as 5,4")
    parser.add_argument("--clips", type=int, default=200, help="explain this many clips in all")
    parser.add_argument("--seconds", type=float, default=10.0, help="explain at most this much of each clip")
    parser.add_argument("--share", type=float, default=SHARE, help="delete this share of the log-mel")
    parser.add_argument("--draws", type=int, default=DRAWS, help="delete this many random regions of each clip")
    parser.add_argument("--threads", type=int, help="set the number of torch's threads")
    parser.add_argument("--json", action="store_true", help="print one JSON document, with one row per clip")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write that document to this file")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    dataset = load_dataset(options.data, options.root)
    checked: list[CheckedClip] = []
    for fold, clips in choose_clips(dataset, options.folds, options.clips):
        model = open_model(options.model.replace("{fold}", fold))
        reader = Reader(model.sample_rate, dataset.sample_rate)
        for clip in clips:
            explanation = explain(model, reader.read(clip, 0, options.seconds), file=clip.name)
            fills: tuple[Fill, ...] = () if explanation.empty else get_args(Fill)
            settings = {"share": options.share, "draws": options.draws, "seed": len(checked)}
            checks = {fill: faithfulness(model, explanation, fill=fill, **settings) for fill in fills}
            checked.append(CheckedClip(clip, dataset.labels[clip.label], explanation, checks))
            if len(checked) % 10 == 0:
                print(f"{len(checked)} clips", file=sys.stderr)
    report = {name: getattr(options, name) for name in ("model", "data", "folds", "share", "draws")} | summary(checked)
    document = json.dumps(report, indent=2, ensure_ascii=False)
    if options.out:
        options.out.write_text(document + "\n", encoding="utf-8")
    print(document if options.json else as_text(report))


def choose_clips(dataset: Dataset, folds: str, max_clips: int) -> list[tuple[str, Sequence[Clip]]]:
    """Up to ``max_clips`` clips by fold, in the order in which the folds are named."""
    chosen: list[tuple[str, Sequence[Clip]]] = []
    left = max_clips
    for fold in folds.split(","):
        clips, _ = dataset.select(fold.strip())
        if len(clips) > left:
            clips = tuple(clips[i] for i in np.linspace(0, len(clips), left, endpoint=False).astype(int))
        if clips:
            chosen.append((fold.strip(), clips))
        left -= len(clips)
    if left:
        print(f"only {max_clips - left} clips: the folds {folds} have no more", file=sys.stderr)
    return chosen


def summary(checked: Sequence[CheckedClip]) -> dict[str, Any]:
    with_region = [one for one in checked if one.checks]
    if not with_region:
        raise AinextError("the map of every clip is empty, so there is nothing to check")
    sources = [one.clip.group or one.clip.name for one in with_region]
    interval = bootstrap(sources)
    return {
        "clips": len(checked),
        "right": sum(one.explanation.label == one.truth for one in checked),
        "empty_maps": len(checked) - len(with_region),
        "sources": len(set(sources)),
        "checks": [
            summary_row(with_region, fill, unit, interval) for fill in get_args(Fill) for unit in get_args(Unit)
        ],
        "branches": branches(with_region, interval),
        "each": [
            one.explanation.as_dict() | {"truth": one.truth, "checks": {f: c.as_dict() for f, c in one.checks.items()}}
            for one in checked
        ],
    }


def summary_row(checked: Sequence[CheckedClip], fill: Fill, unit: Unit, interval: Interval) -> dict[str, Any]:
    drops = np.array([one.drops(fill, unit) for one in checked])
    difference = drops[:, 0] - drops[:, 1]
    low, high = interval(difference)
    return {
        "fill": fill,
        "unit": unit,
        "region": float(drops[:, 0].mean()),
        "random": float(drops[:, 1].mean()),
        "difference": float(difference.mean()),
        "interval": [float(low), float(high)],
        "region_drops_more": float((difference > 0).mean()),
    }


def branches(checked: Sequence[CheckedClip], interval: Interval) -> dict[str, Any]:
    values = np.stack([one.explanation.branches for one in checked])  # (clips, stages, kernels)
    low, high = (bound.reshape(values.shape[1:]).tolist() for bound in interval(values.reshape(len(values), -1)))
    largest = values.argmax(axis=2) if values.size else values
    return {
        "kernels": list(checked[0].explanation.kernels),
        "mean": values.mean(axis=0).tolist(),
        "low": low,
        "high": high,
        "largest": [[float((stage == k).mean()) for k in range(values.shape[2])] for stage in largest.T],
    }


Interval = Callable[[np.ndarray], np.ndarray]


def bootstrap(groups: Sequence[str]) -> Interval:
    """A function from values (clips, …) to the bounds (2, …) of their mean, for which whole groups are resampled."""
    _, member = np.unique(groups, return_inverse=True)
    count = int(member.max()) + 1
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    weights = draws[:, member].astype(float)  # (resamples, clips)
    weights /= weights.sum(axis=1, keepdims=True)
    return lambda values: np.quantile(weights @ values, (0.025, 0.975), axis=0)


def as_text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['model']} on {report['clips']} clips of {report['data']}, folds {report['folds']}, "
        f"{report['sources']} sources; {report['right']} recognised, {report['empty_maps']} empty maps",
        f"{report['share']:.0%} of the log-mel deleted; random: the same mask shifted, {report['draws']} times a clip",
        "",
        "filled with  unit        region   random   difference  95 %                 region drops more in",
    ]
    for one in report["checks"]:
        drops = f"{one['region']:7.3f}  {one['random']:7.3f}   {one['difference']:10.3f}"
        interval = "{:.3f} to {:.3f}".format(*one["interval"])
        lines.append(f"{one['fill']:12} {one['unit']:10} {drops}  {interval:20} {one['region_drops_more']:.1%}")
    lines += [
        "",
        "mean drop without the region, and without a random one of its shape; cells get a level of their own band",
    ]
    stages = report["branches"]
    if stages["mean"]:
        lines += [
            "",
            "what branches add to the log-odds of the label: mean (95 %), and the clips in which it is the most",
        ]
        lines.append(f"{'':10}" + "".join(f"{f'stage {n + 1}':>30}" for n in range(len(stages["mean"]))))
    for k, kernel in enumerate(stages["kernels"]):
        cells = (
            f"{mean[k]:+.2f} ({low[k]:+.2f} to {high[k]:+.2f}) {largest[k]:4.0%}"
            for mean, low, high, largest in zip(
                *(stages[key] for key in ("mean", "low", "high", "largest")), strict=True
            )
        )
        lines.append(f"{f'kernel {kernel}':10}" + "".join(f"{cell:>30}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()

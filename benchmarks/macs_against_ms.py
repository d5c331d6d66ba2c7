"""Compare multiply-accumulates with milliseconds, for the variants of studies at full size.

python benchmarks/macs_against_ms.py kernels separable expansion

Weights are random, which does not change the time. Each network is folded, exported, and computed by ONNX Runtime from
the waveform of one clip. All networks take turns in ten rounds. The last row is a network with one channel, which takes
the time of the front end.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import scipy.stats

from audioinceptionnext.benchmark import hardware
from audioinceptionnext.network.storage import save_model
from audioinceptionnext.studies.cost import measure_costs
from audioinceptionnext.studies.study import load_study
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.recipe import Recipe, load_recipe

LABELS = tuple(map(str, range(20)))
ONE_CHANNEL = {"depths": [1, 1, 1, 1], "widths": [1, 1, 1, 1]}
FRONT_END = "one channel"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("studies", nargs="+")
    parser.add_argument("--width", type=float, default=1.0, help="set the channels, as a multiple of base size")
    parser.add_argument(
        "--cores", type=int, default=1, help="use this many CPU cores; on a shared computer one is best"
    )
    options = parser.parse_args()

    recipes: dict[str, Recipe] = {}
    for name in options.studies:
        study = load_study(name)
        for variant in study.variants:
            recipe = study.recipe_of(variant, {"crops": []}, options.width)
            if recipe not in recipes.values():  # two studies may have the same reference
                recipes[f"{name}: {variant.name}"] = recipe
    recipes[FRONT_END] = load_recipe("modern", {"network_settings": ONE_CHANNEL})
    with tempfile.TemporaryDirectory() as folder:
        weights = {}
        for number, (name, recipe) in enumerate(recipes.items()):
            weights[name] = Path(folder, f"{number}.safetensors")
            save_model(build_initial_model(LABELS, recipe, None), weights[name])
        cores = hardware.pinned_cores(None)[: options.cores]
        costs = measure_costs(weights, Path(folder), cores, again=True, log=lambda text: None)

    print(
        "| variant | GMAC | ms | 25-75 % | GMAC per second without the front end |\n| --- | ---: | ---: | ---: | ---: |"
    )
    front = costs.pop(FRONT_END)
    for name, cost in costs.items():
        rate = cost["gmac"] / (cost["ms"] - front["ms"]) * 1000
        print(f"| {name} | {cost['gmac']:.3f} | {cost['ms']:.2f} | {cost['low']:.2f}-{cost['high']:.2f} | {rate:.0f} |")
    print(f"| {FRONT_END} | {front['gmac']:.3f} | {front['ms']:.2f} | {front['low']:.2f}-{front['high']:.2f} | |")
    rank = scipy.stats.spearmanr([cost["gmac"] for cost in costs.values()], [cost["ms"] for cost in costs.values()])
    print(f"\nRank correlation of GMAC and ms over {len(costs)} networks: {rank.statistic:.2f}")


if __name__ == "__main__":
    main()

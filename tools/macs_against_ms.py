"""What multiply-accumulates mean in milliseconds: the variants of studies at full size, timed as they would be used.

python tools/macs_against_ms.py kernels separable expansion

Weights are random, which changes no time. Every network is folded, exported and heard by ONNX Runtime from the waveform
of one clip; all are gone round in turns, ten times. The last row is a network of one channel: the front end, in effect.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import scipy.stats

from audioinceptionnext.benchmark import hardware
from audioinceptionnext.network.storage import save_model
from audioinceptionnext.studies.cost import costs
from audioinceptionnext.studies.study import load_study
from audioinceptionnext.training.initial_model import begin
from audioinceptionnext.training.recipe import Recipe, load_recipe

LABELS = tuple(map(str, range(20)))
ONE_CHANNEL = {"depths": [1, 1, 1, 1], "widths": [1, 1, 1, 1]}
FRONT_END = "one channel"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("studies", nargs="+")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--cores", type=int, default=1, help="on shared machines two tell less than one")
    options = parser.parse_args()

    recipes: dict[str, Recipe] = {}
    for name in options.studies:
        study = load_study(name)
        for variant in study.variants:
            recipe = study.recipe_of(variant, {"crops": []}, options.width)
            if recipe not in recipes.values():  # the reference of one is that of another
                recipes[f"{name}: {variant.name}"] = recipe
    recipes[FRONT_END] = load_recipe("modern", {"network": ONE_CHANNEL})
    with tempfile.TemporaryDirectory() as place:
        weights = {}
        for number, (name, recipe) in enumerate(recipes.items()):
            weights[name] = Path(place, f"{number}.safetensors")
            save_model(begin(LABELS, recipe, None), weights[name])
        cores = hardware.pinned_cores(None)[: options.cores]
        found = costs(weights, Path(place), cores, again=True, tell=lambda text: None)

    print("| variant | GMAC | ms | 25-75 % | GMAC a second, front end apart |\n| --- | ---: | ---: | ---: | ---: |")
    front = found.pop(FRONT_END)
    for name, cost in found.items():
        rate = cost["gmac"] / (cost["ms"] - front["ms"]) * 1000
        print(f"| {name} | {cost['gmac']:.3f} | {cost['ms']:.2f} | {cost['low']:.2f}-{cost['high']:.2f} | {rate:.0f} |")
    print(f"| {FRONT_END} | {front['gmac']:.3f} | {front['ms']:.2f} | {front['low']:.2f}-{front['high']:.2f} | |")
    rank = scipy.stats.spearmanr([cost["gmac"] for cost in found.values()], [cost["ms"] for cost in found.values()])
    print(f"\nRank correlation of GMAC and ms over {len(found)} networks: {rank.statistic:.2f}")


if __name__ == "__main__":
    main()

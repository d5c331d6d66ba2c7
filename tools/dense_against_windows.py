"""Does the dense timeline hear what clip-by-clip windows hear? Accuracies of both, and how often they agree.

python tools/dense_against_windows.py runs/mine/model.safetensors --root Kitchen20 --folds 5
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.evaluation.evaluate import hear, open_model


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("--data", default="kitchen20")
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--folds", default="all")
    options = parser.parse_args()

    dataset = load_dataset(options.data, options.root)
    clips, _ = dataset.select(options.folds)
    top = {}
    for run in ("dense", "windows"):
        model = open_model(options.weights, run)
        heard = hear(model, clips, Reader(model.sample_rate, dataset.sample_rate))
        top[run], targets = heard.probabilities.argmax(1), heard.targets
    figures = {f"{run}_top1": round(100 * float((found == targets).mean()), 2) for run, found in top.items()}
    same = round(100 * float((top["dense"] == top["windows"]).mean()), 2)
    print(json.dumps({"clips": len(clips), **figures, "same_top1": same}, indent=2))


if __name__ == "__main__":
    main()

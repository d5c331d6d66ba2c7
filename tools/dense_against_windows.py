"""Compare dense prediction with prediction window by window: the accuracy of both, and how often they agree.

python tools/dense_against_windows.py runs/mine/model.safetensors --root Kitchen20 --folds 5
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.evaluation.evaluate import open_model, predict_clips
from audioinceptionnext.inference.steps import Mode

MODES: tuple[Mode, ...] = ("dense", "windows")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("--data", default="kitchen20", metavar="NAME", help="name the kind of data set")
    parser.add_argument("--root", required=True, type=Path, metavar="DIR", help="set the folder of the data set")
    parser.add_argument("--folds", default="all", help="score these folds")
    options = parser.parse_args()

    dataset = load_dataset(options.data, options.root)
    clips, _ = dataset.select(options.folds)
    best = {}
    for mode in MODES:
        model = open_model(options.weights, mode)
        predicted = predict_clips(model, clips, Reader(model.sample_rate, dataset.sample_rate))
        best[mode], targets = predicted.probabilities.argmax(1), predicted.targets
    figures = {f"{mode}_top1": round(100 * float((labels == targets).mean()), 2) for mode, labels in best.items()}
    same = round(100 * float((best["dense"] == best["windows"]).mean()), 2)
    print(json.dumps({"clips": len(clips), **figures, "same_top1": same}, indent=2))


if __name__ == "__main__":
    main()

"""Does the dense timeline hear what clip-by-clip windows hear? Accuracies of both, and how often they agree.

python tools/dense_against_windows.py runs/mine/model.safetensors --root Kitchen20 --folds 5
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from audioinceptionnext.data import load_dataset
from audioinceptionnext.evaluation.evaluate import clip_probabilities, open_model


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("weights")
    parser.add_argument("--data", default="kitchen20")
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--folds", default="all")
    options = parser.parse_args()

    clips, _ = load_dataset(options.data, options.root).select(options.folds)
    targets = np.array([clip.label for clip in clips])
    top = {run: clip_probabilities(open_model(options.weights, run), clips).argmax(1) for run in ("dense", "windows")}
    figures = {f"{run}_top1": round(100 * float((found == targets).mean()), 2) for run, found in top.items()}
    same = round(100 * float((top["dense"] == top["windows"]).mean()), 2)
    print(json.dumps({"clips": len(clips), **figures, "same_top1": same}, indent=2))


if __name__ == "__main__":
    main()

"""Average the weights of two networks, the second of which was trained on from the first, and score the average.

    python tools/average_weights.py runs/all/model.safetensors runs/second/model.safetensors runs/mean.safetensors
    python tools/average_weights.py runs/folds runs/second-folds runs/mean-folds --data kitchen20 --root Kitchen20

A network that learns something more forgets a little of the rest; half-way between the two, it often knows both
(Wortsman et al., 2022, "Robust fine-tuning of zero-shot models"). Given the folders of two cross-validations, the
networks of each fold are averaged and score its clips, and the third folder is as `ainext cross-validate` would have
left it: its figures.json calibrates a model, and `benchmarks/calibration_error.py` reads it.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.network.storage import load_model, save_model
from audioinceptionnext.training.cross_validation import CrossValidation, score_fold
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import MODEL, RUN


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="weight of the second network")
    parser.add_argument("--data", help="with two cross-validations: the data set")
    parser.add_argument("--root", type=Path, help="with two cross-validations: the folder of the data set")
    options = parser.parse_args()
    if options.first.is_file():
        return average(options.first, options.second, options.out, options.share)
    average_folds(options)


def average(first: Path, second: Path, out: Path, share: float) -> None:
    """Save the average. The labels, the settings and everything else are those of the second model."""
    one, other = load_model(first), load_model(second)
    before, weights = one.net.state_dict(), other.net.state_dict()
    for name, value in weights.items():
        if value.dtype.is_floating_point:
            weights[name] = (1 - share) * before[name] + share * value
    other.net.load_state_dict(weights)
    save_model(other, out)


def average_folds(options: argparse.Namespace) -> None:
    """Average and score the networks of all folds, and write the figures of the cross-validation."""
    dataset = load_dataset(options.data, options.root)
    for fold in dataset.folds:
        folder = options.out / f"fold-{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(options.second / folder.name / RUN, folder / RUN)
        first, second = (given / folder.name / MODEL for given in (options.first, options.second))
        average(first, second, folder / MODEL, options.share)
        clips = [clip for clip in dataset.select(str(fold))[0] if clip.label != UNLABELLED]
        score_fold(dataset, clips, folder, minutes=0.0)
    run = json.loads((options.out / f"fold-{fold}" / RUN).read_text(encoding="utf-8"))
    weights = run["initial_weights"] and run["initial_weights"].replace(f"fold-{fold}", "fold-{fold}")
    evaluation = CrossValidation(dataset, options.out, Recipe.from_dict(run["recipe"]), initial_weights=weights).run()
    print(json.dumps({key: evaluation.figures[key] for key in ("top1", "intervals", "temperature")}, indent=2))


if __name__ == "__main__":
    main()

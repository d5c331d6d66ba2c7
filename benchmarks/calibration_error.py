"""The calibration error of a cross-validation: how far scores are from accuracy, as a shipped model would give them.

    python benchmarks/calibration_error.py --data kitchen20 --root Kitchen20 --folds runs/folds

The temperature that fits the other folds best is applied to each step of a fold's clips, as a model does it; the mean
over the steps is then what `ainext predict` gives for the clip. The expected calibration error (ECE) is printed next to
what chance alone would give: the error of a perfectly calibrated model with the same scores. The second line leaves out
the clips of recordings that are also in other folds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from audioinceptionnext.data import load_dataset
from audioinceptionnext.evaluation.calibration import expected_calibration_error
from audioinceptionnext.evaluation.evaluate import unseen_sources

BINS = 15
PERFECT_MODELS = 500  # drawn at random to see what chance gives


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="name the kind of data set")
    parser.add_argument("--root", type=Path, required=True, help="set the folder of the data set")
    parser.add_argument(
        "--folds", type=Path, required=True, help="read what ainext cross-validate wrote for the published folds"
    )
    options = parser.parse_args()

    dataset = load_dataset(options.data, options.root)
    steps: list[np.ndarray] = []
    fold, targets, unseen = [], [], []
    for number in dataset.folds:
        clips, others = dataset.select(str(number))
        new = {id(clip) for clip in unseen_sources(clips, others)}
        with np.load(options.folds / f"fold-{number}" / "outputs.npz") as stored:
            for index in stored["clips"]:
                steps.append(np.log(stored[f"output{index}"] + 1e-12))
                fold.append(number)
                targets.append(clips[index].label)
                unseen.append(id(clips[index]) in new)
    truth, folds = np.array(targets), np.array(fold)
    scores = np.zeros((len(steps), len(dataset.labels)))
    for number in dataset.folds:
        held_out = folds == number
        temperature = fit_temperature([s for s, out in zip(steps, held_out, strict=True) if not out], truth[~held_out])
        scores[held_out] = tempered([s for s, out in zip(steps, held_out, strict=True) if out], temperature)
    for name, chosen in (("all clips", np.ones(len(folds), bool)), ("without the leak", np.array(unseen))):
        error = expected_calibration_error(scores[chosen], truth[chosen], BINS)
        low, high = by_chance(scores[chosen])
        print(f"{name:17} {chosen.sum():5} clips   ECE {100 * error:.1f} %   by chance alone {low:.1f} to {high:.1f} %")


def tempered(steps: list[np.ndarray], temperature: float) -> np.ndarray:
    """The log probabilities of each clip, (steps, classes), to the probabilities of the clips, (clips, classes)."""
    powers = [np.exp((s - s.max(1, keepdims=True)) / temperature) for s in steps]
    return np.array([(p / p.sum(1, keepdims=True)).mean(0) for p in powers])


def fit_temperature(steps: list[np.ndarray], truth: np.ndarray) -> float:
    def loss(temperature: float) -> float:
        return -float(np.log(tempered(steps, temperature)[np.arange(len(truth)), truth] + 1e-12).mean())

    return float(minimize_scalar(loss, bounds=(0.1, 5), method="bounded").x)


def by_chance(scores: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the ECE, in %, of models that are right exactly as often as these scores say."""
    rng = np.random.default_rng(0)
    best = scores.argmax(1)
    errors = []
    for _ in range(PERFECT_MODELS):
        right = rng.random(len(scores)) < scores.max(1)
        errors.append(expected_calibration_error(scores, np.where(right, best, -1), BINS))
    low, high = np.quantile(errors, [0.025, 0.975])
    return 100 * float(low), 100 * float(high)


if __name__ == "__main__":
    main()

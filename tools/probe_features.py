"""What a distilled student is worth, without training it further: ridge on its features, and its labels as they are.

    python tools/probe_features.py RUN/averaged.pt --kitchen20 Kitchen20 --esc10 ESC-10 --names audioset_labels.csv

- Ridge on one-hot labels from the features of whole clips, standardised on the training folds: the published folds of
  both data sets, and of Kitchen20 the clips whose source is in no training fold besides. The features are the pooled
  ones that the linear layer gets; for Kitchen20 also their deviations over time and bands, and the same of two layers
  in the middle.
- ESC-10 without any training: the class one of whose labels (``ESC10``) has the largest logit.

No clip of either may have been in the student's corpus.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from distil_on_cpu import STUDENT_RATE, log_mel
from distil_on_gpu import audioset_labels
from specialise import features as with_deviations
from specialise import whole_clips, with_statistics

from audioinceptionnext.data import Dataset, load_dataset

PENALTY = 1.0  # times the number of features
SECONDS = 5
STATISTICS = (4, 8)  # blocks whose means and deviations the second figure has besides
ESC10 = {
    "dog_bark": ("Dog", "Bark"),
    "rain": ("Rain", "Raindrop", "Rain on surface"),
    "sea_waves": ("Waves, surf", "Ocean"),
    "baby_cry": ("Baby cry, infant cry",),
    "clock_tick": ("Tick-tock", "Clock", "Tick"),
    "person_sneeze": ("Sneeze",),
    "helicopter": ("Helicopter",),
    "chainsaw": ("Chainsaw",),
    "rooster": ("Crowing, cock-a-doodle-doo", "Chicken, rooster"),
    "fire_crackling": ("Fire", "Crackle"),
}


def features(weights: dict[str, torch.Tensor], dataset: Dataset) -> np.ndarray:
    """(clips, features) of whole clips, the pooled ones first; clips that are shorter than 5 s are repeated."""
    net = with_statistics(weights, len(dataset.labels), STATISTICS, SECONDS)
    log_mels = [log_mel(torch.from_numpy(x)[None]) for x in whole_clips(dataset, STUDENT_RATE)]
    return with_deviations(net, torch.cat(log_mels)).numpy()


def ridge(x: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Whether each clip is right, predicted from the other folds; and whether these lack its source."""
    labels, folds = np.array([c.label for c in dataset.clips]), np.array([c.fold for c in dataset.clips])
    sources = np.array([c.group for c in dataset.clips])
    right, unheard = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for number in dataset.folds:
        test = folds == number
        scaled = (x - x[~test].mean(0)) / (x[~test].std(0) + 1e-6)
        wanted = np.eye(len(dataset.labels))[labels[~test]]
        offset, a = wanted.mean(0), scaled[~test]
        weight = a.T @ np.linalg.solve(a @ a.T + PENALTY * a.shape[1] * np.eye(len(a)), wanted - offset)
        right[test] = (scaled[test] @ weight + offset).argmax(1) == labels[test]
        unheard[test] = ~np.isin(sources[test], sources[~test])
    return right, unheard


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="averaged.pt of `distil_on_cpu.py learn`")
    parser.add_argument("--kitchen20", type=Path, required=True)
    parser.add_argument("--esc10", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True, help="a table: index, identifier, name")
    args = parser.parse_args()
    torch.set_num_threads(1)
    saved = torch.load(args.run, map_location="cpu", weights_only=True)
    weights = saved["net"]
    print(f"step {saved['step']}, {saved['hours']:.0f} h")

    dataset = load_dataset("kitchen20", args.kitchen20)
    x, pooled = features(weights, dataset), weights["classifier.weight"].shape[1]
    for name, part in {"pooled features": x[:, :pooled], "and deviations, and two layers": x}.items():
        right, unheard = ridge(part, dataset)
        print(
            f"Kitchen20, ridge, {name}: {right.mean():.1%}, "
            f"of {unheard.sum()} clips of unheard sources {right[unheard].mean():.1%}"
        )
    dataset = load_dataset("esc10", args.esc10)
    x = features(weights, dataset)[:, :pooled]
    print(f"ESC-10, ridge: {ridge(x, dataset)[0].mean():.1%}")
    _, names = audioset_labels(args.names)
    logits = x @ weights["classifier.weight"].numpy().T + weights["classifier.bias"].numpy()
    scores = [logits[:, [names.index(name) for name in ESC10[label]]].max(1) for label in dataset.labels]
    labels = np.array([c.label for c in dataset.clips])
    right = np.argmax(scores, 0) == labels
    by_class = ", ".join(f"{name} {right[labels == i].mean():.0%}" for i, name in enumerate(dataset.labels))
    print(f"ESC-10, untrained: {right.mean():.1%} ({by_class})")


if __name__ == "__main__":
    main()

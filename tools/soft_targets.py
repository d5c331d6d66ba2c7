"""What classifiers on the features of trained networks say of the clips of a data set, as targets of another network.

    python tools/soft_targets.py mn04.onnx aisfx.onnx --data kitchen20 --root Kitchen20 --out runs/soft
    ainext cross-validate --data kitchen20 --root Kitchen20 --from everyday --set "teacher=runs/soft/fold-{fold}.csv" …

For each fold of the data set, there is one table: of the clips of all other folds, as a run learns from them. Each clip
is predicted by classifiers that were fitted without it and without the clips of its source, so the targets are as
unsure as the teachers are of new sounds. The classifiers are the same logistic regression as that of the setting
`linear_start`, one on the features of each network, and their probabilities are averaged. Of a data set without folds,
there is one table of all clips, ``all.csv``. For each table, a line says how many of its clips are predicted right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.models.load import load
from audioinceptionnext.training.fine_tuning import targets_of_clips
from audioinceptionnext.training.linear_start import fold_numbers, solve
from audioinceptionnext.training.soft_targets import write_soft_targets


def embed(model_file: str, dataset: Dataset, clips: list[Clip]) -> torch.Tensor:
    """The features of each clip as a whole, (clips, channels)."""
    model = load(model_file)
    reader = Reader(model.sample_rate, dataset.sample_rate)
    return torch.from_numpy(np.concatenate([model.embed([reader.read(clip)]) for clip in clips]))


def predict_left_out(features: torch.Tensor, clips: list[Clip], classes: int) -> np.ndarray:
    """(clips, classes) probabilities of each clip by a classifier that was fitted without its source."""
    targets, folds = targets_of_clips(clips, classes), fold_numbers(clips)
    found = np.zeros((len(clips), classes))
    for fold in np.unique(folds):
        inside, left_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        own = fold_numbers([clips[index] for index in inside])
        layer = solve(features[inside], torch.arange(len(inside)), targets[inside], own)
        logits = torch.nn.functional.linear(features[left_out], layer.weight, layer.bias)
        found[left_out] = logits.double().softmax(1).numpy()
    return found


def main() -> None:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help="exported networks whose features are used")
    parser.add_argument("--data", required=True, help="the data set, as for `ainext train`")
    parser.add_argument("--root", required=True, type=Path, help="its folder")
    parser.add_argument("--leak-free", action="store_true", help="folds that keep sources whole")
    parser.add_argument("--out", required=True, type=Path, help="the folder of the tables")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.data, arguments.root)
    dataset = dataset.leak_free() if arguments.leak_free else dataset
    clips = [clip for clip in dataset.clips if clip.label != UNLABELLED]
    features = [embed(name, dataset, clips) for name in arguments.models]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for fold in dataset.folds or [None]:
        chosen = [index for index, clip in enumerate(clips) if fold is None or clip.fold != fold]
        part = [clips[index] for index in chosen]
        said = np.mean([predict_left_out(own[chosen], part, len(dataset.labels)) for own in features], axis=0)
        table = arguments.out / ("all.csv" if fold is None else f"fold-{fold}.csv")
        write_soft_targets(table, dataset.labels, part, said)
        right = np.mean(said.argmax(1) == [clip.label for clip in part])
        print(f"{table}: {len(part)} clips, {right:.1%} right")


if __name__ == "__main__":
    main()

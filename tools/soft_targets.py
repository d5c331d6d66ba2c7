"""What classifiers on the features of teachers say of the clips of a data set, as targets of another network.

    python tools/soft_targets.py mn04_as.onnx aisfx.onnx --data kitchen20 --root Kitchen20 --out runs/soft
    ainext cross-validate --data kitchen20 --root Kitchen20 --from everyday --recipe specialist \\
        --set "teacher=runs/soft/fold-{fold}.csv" …

For each fold of the data set, there is one table: of the clips of all other folds, as a run learns from them. Each clip
is predicted by classifiers that were fitted without it and without the clips of its source, so the targets are as
unsure as the teachers are of new sounds. The classifiers are the same logistic regression as that of the setting
`linear_start`, one on the features of each teacher, and their probabilities are averaged. Of a data set without folds,
there is one table, ``all.csv``, of the clips that `ainext train` learns from with the same ``--hold-out`` and
``--seed``. For each table, a line says how many of its clips are predicted right, or the mean average precision where
several labels can be true.

Teachers are those of `ainext train --recipe distil`: files of `wrap_teachers.py`, our own files and shipped models.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError, ModelError
from audioinceptionnext.evaluation.frame_wise import frame_precision, mean_precision
from audioinceptionnext.training.fine_tuning import targets_of_clips
from audioinceptionnext.training.linear_start import fold_numbers, solve
from audioinceptionnext.training.onnx_teacher import OnnxTeacher
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.soft_targets import write_soft_targets
from audioinceptionnext.training.splits import split_clips


def embed(teacher: OnnxTeacher, dataset: Dataset, clips: Sequence[Clip]) -> torch.Tensor:
    """The features of each clip as a whole, (clips, channels). Clips shorter than a second end in silence."""
    if not teacher.channels:
        raise ModelError(teacher.name, "it gives no features, on which a classifier could be fitted")
    reader = Reader(teacher.sample_rate, dataset.sample_rate)
    found = np.zeros((len(clips), teacher.channels), np.float32)
    for row, clip in zip(found, clips, strict=True):
        waveform = reader.read(clip)
        waveform = np.pad(waveform, (0, max(0, teacher.sample_rate - len(waveform))))
        row[:] = teacher(waveform[None]).features[0]
    return torch.from_numpy(found)


def predict_left_out(
    features: torch.Tensor, clips: Sequence[Clip], classes: int, *, multi_label: bool = False
) -> np.ndarray:
    """(clips, classes) probabilities of each clip by a classifier that was fitted without its source."""
    targets, folds = targets_of_clips(clips, classes), fold_numbers(clips)
    found = np.zeros((len(clips), classes))
    for fold in np.unique(folds):
        inside, left_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        own = fold_numbers([clips[index] for index in inside])
        layer = solve(features[inside], torch.arange(len(inside)), targets[inside], own, multi_label=multi_label)
        logits = torch.nn.functional.linear(features[left_out], layer.weight, layer.bias).double()
        found[left_out] = (torch.sigmoid(logits) if multi_label else logits.softmax(1)).numpy()
    return found


def parts(dataset: Dataset, hold_out: float, seed: int) -> dict[str, Sequence[Clip]]:
    """The training clips of each table, by its name."""
    if not dataset.folds:
        return {"all": split_clips(dataset, hold_out=hold_out, seed=seed)[0]}
    labelled = [clip for clip in dataset.clips if clip.label != UNLABELLED]
    return {f"fold-{fold}": [clip for clip in labelled if clip.fold != fold] for fold in dataset.folds}


def main(arguments: Sequence[str] | None = None) -> None:
    summary, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("teachers", nargs="+", metavar="TEACHER", help="ONNX files or shipped models with features")
    parser.add_argument("--data", required=True, help="the data set, as for `ainext train`")
    parser.add_argument("--root", required=True, type=Path, help="its folder")
    parser.add_argument("--audio", type=Path, help="the folder of its recordings, if they are elsewhere")
    parser.add_argument("--leak-free", action="store_true", help="folds that keep sources whole")
    parser.add_argument("--hold-out", type=float, default=0.2, help="as for `ainext train`, without folds and splits")
    parser.add_argument("--seed", type=int, default=Recipe().seed, help="as for `ainext train`, without folds")
    parser.add_argument("--out", required=True, type=Path, help="the folder of the tables")
    options = parser.parse_args(arguments)
    dataset = load_dataset(options.data, options.root, options.audio)
    dataset.check_one_task("a table of targets")
    dataset = dataset.leak_free() if options.leak_free else dataset
    several, classes = dataset.multi_label, len(dataset.labels)
    tables = parts(dataset, options.hold_out, options.seed)
    clips = list({id(clip): clip for part in tables.values() for clip in part}.values())
    place = {id(clip): number for number, clip in enumerate(clips)}
    features = [embed(OnnxTeacher(name), dataset, clips) for name in options.teachers]
    options.out.mkdir(parents=True, exist_ok=True)
    for name, part in tables.items():
        rows = [place[id(clip)] for clip in part]
        said = np.mean([predict_left_out(own[rows], part, classes, multi_label=several) for own in features], axis=0)
        table = options.out / f"{name}.csv"
        write_soft_targets(table, dataset.labels, part, said)
        if several:
            precision = mean_precision(frame_precision(said, targets_of_clips(part, classes).numpy() > 0))
            print(f"{table}: {len(part)} clips, mAP {precision:.1f} %")
        else:
            print(f"{table}: {len(part)} clips, {np.mean(said.argmax(1) == [clip.label for clip in part]):.1%} right")


if __name__ == "__main__":
    try:
        main()
    except AinextError as error:
        raise SystemExit(f"soft_targets: {error}") from None

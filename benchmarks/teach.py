"""How well a model does that `ainext teach` makes of a few clips a class, and how long that takes.

    python benchmarks/teach.py --data esc10 --root ESC-50 --others Kitchen20/audio fsdd/recordings
    python benchmarks/teach.py --data esc10 --root ESC-50 --from kitchen20 --classes 3 --others Kitchen20/audio

Each draw takes as many clips of each class, evenly over the data set's folds, and teaches a model from them. The
columns are the seconds that took; the accuracy that it states, cross-validated; that of scikit-learn's
LogisticRegression() on the same clips, folds and (standardised) features, if it is installed; and of the clips that
were not drawn the share whose best label is right, that with a segment of its label, and that with a segment of
another. Then follows, for each folder of `--others`, the share of recordings with a segment, of up to 200: all of
these are false.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

import audioinceptionnext as ain
from audioinceptionnext.audio.discover import find_media
from audioinceptionnext.data import Dataset, load_dataset
from audioinceptionnext.teaching.examples import Example

MOST_OTHERS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="esc10", help="a data set with folds")
    parser.add_argument("--root", required=True, help="its folder")
    parser.add_argument("--from", dest="base", default="everyday", help="the model that is taught")
    parser.add_argument("--per-class", type=int, default=10, help="clips of each class")
    parser.add_argument("--classes", type=int, help="of so many classes, which each draw chooses; of all unless given")
    parser.add_argument("--draws", type=int, default=4, help="how often clips are drawn")
    parser.add_argument("--others", nargs="*", default=[], help="folders of recordings of other sounds")
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*expects sound up to.*")  # telephone speech

    dataset = load_dataset(options.data, options.root)
    others = {
        folder: spread([one for one in find_media([folder]) if isinstance(one, Path)], MOST_OTHERS)
        for folder in options.others
    }
    rows = []
    for draw in range(options.draws):
        chosen = np.random.default_rng((draw, 1)).permutation(len(dataset.labels))
        classes = {*chosen[: options.classes].tolist()}
        some = replace(dataset, clips=tuple(clip for clip in dataset.clips if clip.label in classes))
        rows.append(measure(some, draw_clips(some, options.per_class, draw), options, others))
        print_row(f"draw {draw}", rows[-1])
    print_row("mean", {name: float(np.mean([row[name] for row in rows])) for name in rows[0]})


def draw_clips(dataset: Dataset, per_class: int, seed: int) -> set[int]:
    """Numbers of clips: of each class as many, and of these as many from each fold."""
    rng = np.random.default_rng(seed)
    found: set[int] = set()
    own: defaultdict[tuple[int, int | None], list[int]] = defaultdict(list)
    for number, clip in enumerate(dataset.clips):
        own[clip.label, clip.fold].append(number)
    for numbers in own.values():
        found |= {*rng.permutation(numbers)[: per_class // max(1, len(dataset.folds))].tolist()}
    return found


def measure(
    dataset: Dataset, drawn: set[int], options: argparse.Namespace, others: dict[str, list[Path]]
) -> dict[str, float]:
    clips = sorted((dataset.clips[number] for number in drawn), key=lambda clip: clip.label)
    examples = [Example(dataset.labels[one.label], one.path, one.start, one.end, one.group, one.fold) for one in clips]
    with tempfile.TemporaryDirectory() as folder:
        taught = ain.teach(examples, Path(folder, "taught.onnx"), model=options.base, threads=options.threads)
        model = ain.load(taught.model)
    row = {"seconds": taught.seconds, "stated": taught.top1, "scikit-learn": of_scikit_learn(examples, options.base)}
    right, found, wrong = [], [], []
    for number, clip in enumerate(dataset.clips):
        if number not in drawn:
            result, label = model.predict(clip.path, top_k=1), dataset.labels[clip.label]
            labels = {one.label for one in result.segments}
            right.append(result.clip[0].label == label)
            found.append(label in labels)
            wrong.append(bool(labels - {label}))
    if right:
        row |= {"left": percent(right), "found": percent(found), "wrong": percent(wrong)}
    for name, files in others.items():
        row[f"false: {Path(name).parent.name}"] = percent([bool(model.predict(file).segments) for file in files])
    return row


def of_scikit_learn(examples: list[Example], base: str) -> float:
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import PredefinedSplit, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ModuleNotFoundError:
        return float("nan")
    model = ain.load(base)
    vectors = np.array([one.features(model).mean(axis=0) for one in examples])
    classes = np.array([one.label for one in examples])
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    found = cross_val_predict(classifier, vectors, classes, cv=PredefinedSplit([one.fold for one in examples]))
    return 100 * float((found == classes).mean())


def spread(files: list[Path], most: int) -> list[Path]:
    """At most so many of them, evenly spaced."""
    return files if len(files) <= most else [files[int(place)] for place in np.linspace(0, len(files) - 1, most)]


def percent(values: list[bool]) -> float:
    return 100 * float(np.mean(values))


def print_row(name: str, row: dict[str, float]) -> None:
    print(f"{name:8}", *(f"{key} {value:.1f}" for key, value in row.items()), sep="  ", flush=True)


if __name__ == "__main__":
    main()

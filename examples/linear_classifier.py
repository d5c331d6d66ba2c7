"""Train a linear classifier on your own sounds, with the features of a trained network: minutes on a CPU, no torch.

    pip install audioinceptionnext scikit-learn
    python examples/linear_classifier.py my_sounds

The folder has one subfolder per class. Each recording becomes one vector (`Recogniser.embed`). A logistic regression
learns the classes from these vectors and is scored by cross-validation, on recordings that it has not seen. Recordings
cut from one source belong in the same fold; if they are spread over several, the accuracy comes out too high.

`--data esc10`, and the other names that `ainext train --data` takes, read a published data set and use its own folds.

By default, the features are those of `everyday`. On the five published folds of ESC-10, those of `kitchen20`, which
are of the same network before it met any clip of ESC-10, give 95.8 % (2026-11-28). Those of `rendered`, which was
trained on 124 kinds of rendered sound, give 88.2 %, and mean and deviation of the log-mel 75.8 % (2026-11-23).
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import BaseCrossValidator, PredefinedSplit, StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import audioinceptionnext as ain
from audioinceptionnext.data import Dataset, load_dataset


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", help="with one subfolder per class")
    parser.add_argument("--model", default="everyday", help="the name of a model, a file, or user/name on the hub")
    parser.add_argument("--data", default="folder", help="the data set in the folder; its clips have to be whole files")
    options = parser.parse_args()

    dataset = load_dataset(options.data, options.folder)
    files = [clip.path for clip in dataset.clips]
    classes = np.array([dataset.labels[clip.label] for clip in dataset.clips])
    vectors = ain.load(options.model).embed(files)  # (recordings, channels)

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    predicted = cross_val_predict(classifier, vectors, classes, cv=choose_folds(dataset, classes))

    correct = predicted == classes
    for label in dataset.labels:
        of_label = classes == label
        print(f"{label:24} {100 * correct[of_label].mean():5.1f} %  of {of_label.sum()}")
    counts = f"{len(files)} recordings, cross-validated; {vectors.shape[1]} features"
    print(f"accuracy {100 * correct.mean():.1f} % of {counts}")

    # A new recording is classified like this:
    # classifier.fit(vectors, classes).predict(model.embed("new.wav"))


def choose_folds(dataset: Dataset, classes: np.ndarray) -> BaseCrossValidator:
    """The data set's own folds if it has any; else five with equal shares of each class, fewer for small classes."""
    if dataset.folds:
        return PredefinedSplit([clip.fold for clip in dataset.clips])
    smallest = int(np.unique(classes, return_counts=True)[1].min())
    if smallest < 2:
        raise ain.AinextError("a class has one recording only; cross-validation needs at least two of each")
    return StratifiedKFold(min(5, smallest), shuffle=True, random_state=0)


if __name__ == "__main__":
    try:
        main()
    except ain.AinextError as error:
        sys.exit(f"linear_classifier: {error}")

"""The confusion matrix, and the figures of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from audioinceptionnext.evaluation.metrics import ranking


class ClassFigures(NamedTuple):
    """The figures of one class in %; None where there is nothing to divide by.

    Attributes:
        label: of the class.
        clips: how many clips it has.
        accuracy, recall: the share of its clips that were recognised. The two are equal; people look for either.
        precision: the share of the clips recognised as this class that belong to it.
        f1: the harmonic mean of precision and recall.
        average_precision: see `ranking`.
        most_confused_with: the class that most of its other clips were recognised as.
        confused: how many clips those are.
    """

    label: str
    clips: int
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    most_confused_with: str | None
    confused: int


class Confusion(NamedTuple):
    """Clips of one class that were recognised as another.

    Attributes:
        label: their class.
        predicted: the class that they were recognised as.
        clips: how many they are.
        share: of all clips of their class, in %.
    """

    label: str
    predicted: str
    clips: int
    share: float


def confusion_counts(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """The confusion matrix, (classes, classes): one row per true class, one column per predicted class.

    >>> confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    pairs = np.asarray(targets) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_table(probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> list[ClassFigures]:
    """The figures of each class, in the order of ``labels``.

    Args:
        probabilities: (clips, classes).
        targets: (clips,) class indices.
        labels: one per class.
    """
    counts = confusion_counts(targets, probabilities.argmax(axis=1), len(labels))
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    wrong = counts - np.diag(np.diag(counts))
    table = []
    for c, label in enumerate(labels):
        right, worst = int(counts[c, c]), int(wrong[c].argmax())
        recall = _percent(right, true[c])
        average = ranking(probabilities[:, c], targets == c)[0][0] if true[c] else None
        table.append(
            ClassFigures(
                label=label,
                clips=int(true[c]),
                accuracy=recall,
                precision=_percent(right, predicted[c]),
                recall=recall,
                f1=_percent(2 * right, true[c] + predicted[c]),
                average_precision=None if average is None else 100 * float(average),
                most_confused_with=labels[worst] if wrong[c, worst] else None,
                confused=int(wrong[c, worst]),
            )
        )
    return table


def frequent_confusions(counts: np.ndarray, labels: Sequence[str], max_pairs: int) -> list[Confusion]:
    """The pairs of classes that are confused most often, at most ``max_pairs`` of them, the most frequent first.

    Args:
        counts: (classes, classes), see `confusion_counts`.
        labels: one per class.
        max_pairs: the maximum number of pairs.
    """
    wrong = counts - np.diag(np.diag(counts))
    found = []
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:max_pairs]:
        row, column = divmod(int(cell), len(labels))
        if not wrong[row, column]:
            break
        clips = int(wrong[row, column])
        found.append(Confusion(labels[row], labels[column], clips, 100 * clips / int(counts[row].sum())))
    return found


def _percent(part: int, whole: int) -> float | None:
    return 100 * float(part) / float(whole) if whole else None

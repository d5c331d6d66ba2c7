"""What is taken for what: the confusion matrix, and each class's own figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from audioinceptionnext.evaluation.intervals import ranking_figures


class ClassFigures(NamedTuple):
    """One class's figures in %; None where there is nothing to divide by.

    ``recall`` is ``accuracy``: both count how many of the class's clips were recognised. People look for either.
    """

    label: str
    clips: int
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    most_confused_with: str | None  # what most of its wrong clips were taken for
    confused: int  # how many


class Confusion(NamedTuple):
    """Clips of one class taken for another."""

    label: str
    predicted: str
    clips: int
    share: float  # of the class's clips, in %


def confusion_counts(targets: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) clips: row the true class, column the predicted one."""
    pairs = np.asarray(targets) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_table(probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> list[ClassFigures]:
    """The figures of each class, in the order of ``labels``. probabilities (clips, classes), targets (clips,)."""
    counts = confusion_counts(targets, probabilities.argmax(axis=1), len(labels))
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    wrong = counts - np.diag(np.diag(counts))
    once = np.ones((len(targets), 1))
    table = []
    for c, label in enumerate(labels):
        right, worst = int(counts[c, c]), int(wrong[c].argmax())
        recall = _percent(right, true[c])
        average = ranking_figures(probabilities[:, c], targets == c, once)[0][0] if true[c] else None
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


def frequent_confusions(counts: np.ndarray, labels: Sequence[str], most: int) -> list[Confusion]:
    """The pairs of classes with the most clips taken one for the other, at most ``most``; most clips first."""
    wrong = counts - np.diag(np.diag(counts))
    found = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:most]:
        row, column = divmod(int(place), len(labels))
        if not wrong[row, column]:
            break
        clips = int(wrong[row, column])
        found.append(Confusion(labels[row], labels[column], clips, 100 * clips / int(counts[row].sum())))
    return found


def _percent(part: int, whole: int) -> float | None:
    return 100 * float(part) / float(whole) if whole else None

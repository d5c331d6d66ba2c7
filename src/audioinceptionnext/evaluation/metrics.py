"""Accuracy, mean average precision and mean AUC.

These are also the figures of the EPIC-SOUNDS challenge's scorer: its mAP is the mean over the classes of scikit-learn's
average precision, and its mAUC the mean area under the ROC curve of each class, both with one class against the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def score(probabilities: np.ndarray, targets: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """Compute the figures that ``ainext evaluate`` prints.

    Args:
        probabilities: (clips, classes). Any finite scores will do, as long as larger means more likely. Of equal
            scores, the first class counts as the more likely one.
        targets: (clips,) class indices.
        labels: one per class.

    Returns:
        ``top1``, ``top5``, ``mca`` (the mean of the classes' accuracies) and ``map`` in %, ``mauc`` from 0 to 1, and
        ``per_class``, the accuracy of each class in %. Classes without a clip are left out of every mean. ``mauc`` is
        NaN if all clips are of one class.

    >>> score(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), ("tap", "pan"))["per_class"]
    {'tap': 100.0, 'pan': 0.0}
    """
    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    right = ranked[:, 0] == targets
    within = (ranked[:, :5] == targets[:, None]).any(axis=1)
    present = np.unique(targets)
    per_class = {labels[c]: 100 * float(right[targets == c].mean()) for c in present}
    precision, area = zip(*(ranking(probabilities[:, c], targets == c) for c in present), strict=True)
    return {
        "top1": 100 * float(right.mean()),
        "top5": 100 * float(within.mean()),
        "mca": float(np.mean(list(per_class.values()))),
        "map": 100 * float(np.mean(precision)),
        "mauc": float(np.mean(area)),
        "per_class": per_class,
    }


def ranking(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Average precision and the area under the ROC curve, both 0 to 1: how well scores rank what is true first.

    Average precision is the sum over thresholds of (R_n - R_(n-1)) P_n with recall R and precision P, without
    interpolation, as scikit-learn defines it. The area is the probability that a true item scores above a false one,
    where equal scores count half (Mann-Whitney U divided by the number of pairs).

    Args:
        scores: (clips,), finite.
        truth: (clips,) bool.

    Returns:
        Average precision and area. Both are NaN if no item is true, and the area is NaN if all are.
    """
    order = np.argsort(-scores)
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)  # of each run of equal scores
    hits = np.cumsum(truth[order])[last]  # true items at or above each threshold
    gains = np.diff(hits, prepend=0)
    falls = np.diff(last + 1 - hits, prepend=0)
    positives, negatives = int(hits[-1]), int(last[-1] + 1 - hits[-1])
    if not positives:
        return float("nan"), float("nan")
    precision = float((gains * hits / (last + 1)).sum() / positives)
    wins = float((falls * (hits - gains / 2)).sum())
    return precision, wins / (positives * negatives) if negatives else float("nan")

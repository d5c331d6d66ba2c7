"""How right a model is.

These are the figures of the EPIC-SOUNDS challenge's scorer too: its mAP is the mean over classes of scikit-learn's
average precision, its mAUC the mean of the area under each class's ROC curve, both one class against the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def score(probabilities: np.ndarray, targets: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """The figures of ``ainext evaluate``.

    Args:
        probabilities: (clips, classes); any finite scores do, larger being likelier. Of equal scores the first class
            counts as the likelier.
        targets: (clips,) class indices.

    Returns:
        ``top1``, ``top5``, ``mca`` (mean over the classes of each one's accuracy), ``map`` in %, ``mauc`` 0 to 1, and
        ``per_class`` accuracy in %. Classes without a clip are left out of every mean. ``mauc`` is NaN where all clips
        are of one class.
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
    """How well scores put what is true before what is not: average precision and area under the ROC curve, 0 to 1.

    Average precision is the sum over thresholds of (R_n - R_(n-1)) P_n with recall R and precision P, without
    interpolation, as scikit-learn defines it. The area is the chance that a true one scores above a false one, equal
    scores counting half (Mann-Whitney U over the number of pairs).

    Args:
        scores: (clips,), finite.
        truth: (clips,) bool. With none true both are NaN, with all true the area is.
    """
    order = np.argsort(-scores)
    ordered = scores[order]
    last = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)  # of each run of equal scores
    hits = np.cumsum(truth[order])[last]  # true ones at or above each threshold
    gains = np.diff(hits, prepend=0)
    falls = np.diff(last + 1 - hits, prepend=0)
    positives, negatives = int(hits[-1]), int(last[-1] + 1 - hits[-1])
    if not positives:
        return float("nan"), float("nan")
    precision = float((gains * hits / (last + 1)).sum() / positives)
    wins = float((falls * (hits - gains / 2)).sum())
    return precision, wins / (positives * negatives) if negatives else float("nan")

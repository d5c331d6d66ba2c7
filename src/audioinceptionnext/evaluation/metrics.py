"""Accuracy, mean average precision and mean AUC.

These are also the figures of the EPIC-SOUNDS challenge's scorer: its mAP is the mean over the classes of scikit-learn's
average precision, and its mAUC the mean area under the ROC curve of each class, both with one class against the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def score(
    probabilities: np.ndarray, targets: np.ndarray, labels: tuple[str, ...], last_of_equals: bool = False
) -> dict[str, Any]:
    """Compute the figures that ``ainext evaluate`` prints.

    Args:
        probabilities: (clips, classes). Any finite scores will do, as long as larger means more likely.
        targets: (clips,) class indices.
        labels: one per class.
        last_of_equals: whether ``top1`` and ``top5`` rank the last one of equally likely classes first, as the
            challenge's scorer does; otherwise it is the first one, as in ``mca`` and ``per_class`` always.

    Returns:
        ``top1``, ``top5``, ``mca`` (the mean of the classes' accuracies) and ``map`` in %, ``mauc`` from 0 to 1, and
        ``per_class``, the accuracy of each class in %. Classes without a clip are left out of every mean. ``mauc`` is
        NaN if all clips are of one class.

    >>> score(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), ("tap", "pan"))["per_class"]
    {'tap': 100.0, 'pan': 0.0}
    """
    right = probabilities.argmax(axis=1) == targets
    if last_of_equals:
        ranked = probabilities.shape[1] - 1 - np.argsort(-probabilities[:, ::-1], axis=1, kind="stable")
    else:
        ranked = np.argsort(-probabilities, axis=1, kind="stable")
    within = ranked[:, :5] == targets[:, None]
    present = np.unique(targets)
    per_class = {labels[c]: 100 * float(right[targets == c].mean()) for c in present}
    precision, area = zip(*(ranking(probabilities[:, c], targets == c) for c in present), strict=True)
    return {
        "top1": 100 * float(within[:, 0].mean()),
        "top5": 100 * float(within.any(axis=1).mean()),
        "mca": float(np.mean(list(per_class.values()))),
        "map": 100 * float(np.mean(precision)),
        "mauc": float(np.mean(area)),
        "per_class": per_class,
    }


def ranking(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and area under the ROC curve, both 0 to 1: how well scores rank what is positive first.

    They equal scikit-learn's ``average_precision_score`` and ``roc_auc_score``, with ``sample_weight`` if there are
    weights: equal scores are a single step of the curve.

    Args:
        scores: (clips,), finite; larger if a clip is more likely positive.
        positive: (clips,) bool.
        weights: (clips, weightings) float64. Without them, there is one weighting, in which every clip counts once.

    Returns:
        (weightings,) each; NaN where a weighting leaves no positive clip or, for the area, no negative one.
    """
    return Ranking(scores, positive).figures(weights)


class Ranking:
    """Clips in the order of their scores, of which `ranking` computes figures. Many weightings share one sort.

    Args:
        scores, positive: as for `ranking`.
    """

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        order = np.argsort(-scores, kind="stable")
        ordered, positives = scores[order], np.flatnonzero(positive[order])
        # Only steps of the curve that hold a positive clip matter. `first` and `last` say where each begins and ends.
        values = np.unique(ordered[positives])[::-1]
        first, last = np.searchsorted(-ordered, -values, "left"), np.searchsorted(-ordered, -values, "right")
        # The sorted clips in parts: before the first step, the first step, between it and the second, …, after all.
        self._order, self._positive = order, order[positives]
        self._cuts = np.concatenate(([0], np.stack((first, last), axis=1).ravel(), [len(order)]))
        self._starts = np.append(np.searchsorted(positives, first), len(positives))

    def figures(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What `ranking` returns, for these weights."""
        parts = _sums(self._order, self._cuts, weights)
        hits = _sums(self._positive, self._starts, weights)
        so_far, hits_so_far = np.cumsum(parts, axis=0), np.cumsum(hits, axis=0)
        at_step, total, all_hits = so_far[1::2], so_far[-1], hits.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = hits * hits_so_far / np.where(at_step > 0, at_step, 1)
            misses = total - all_hits
            beaten = misses - (at_step - hits_so_far) + (parts[1::2] - hits) / 2  # a tie counts as half a win
            return precision.sum(axis=0) / all_hits, (hits * beaten).sum(axis=0) / (all_hits * misses)


def _sums(clips: np.ndarray, cuts: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """(parts, weightings): the weights of the clips between one cut and the next; without weights, their number."""
    if weights is None:
        return np.diff(cuts)[:, None].astype(float)
    from scipy.sparse import csr_matrix  # not at the top: scores alone are computed without scipy

    return csr_matrix((np.ones(len(clips)), clips, cuts), (len(cuts) - 1, len(weights))) @ weights

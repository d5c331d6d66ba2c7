"""Accuracy over several tasks together, such as that of an action, which is a verb and a noun."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_TOP = 5


def joint_accuracy(probabilities: Sequence[np.ndarray], targets: Sequence[np.ndarray]) -> dict[str, float]:
    """Compute the accuracy of combinations of labels, one of each task. Their probability is the product.

    Only combinations of the five best labels of each task can be among the five best, so no others are made.

    Args:
        probabilities: (clips, classes) of each task.
        targets: (clips,) class indices of each task.

    Returns:
        ``top1`` and ``top5`` in %.

    >>> joint_accuracy([np.array([[0.9, 0.1]]), np.array([[0.6, 0.4]])], [np.array([0]), np.array([1])])
    {'top1': 0.0, 'top5': 100.0}
    """
    clips = len(targets[0])
    product, right = np.ones((clips, 1)), np.ones((clips, 1), bool)
    for scores, true in zip(probabilities, targets, strict=True):
        best = np.argsort(-scores, axis=1, kind="stable")[:, :_TOP]
        own = np.take_along_axis(scores, best, axis=1).astype(float)  # a product of float32 is exact in float64
        product = (product[:, :, None] * own[:, None]).reshape(clips, -1)
        right = (right[:, :, None] & (best == true[:, None])[:, None]).reshape(clips, -1)
        order = np.argsort(-product, axis=1, kind="stable")[:, :_TOP]
        product, right = np.take_along_axis(product, order, axis=1), np.take_along_axis(right, order, axis=1)
    return {"top1": 100 * float(right[:, 0].mean()), "top5": 100 * float(right.any(axis=1).mean())}

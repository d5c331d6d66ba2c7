"""How right a model is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np


def score(probabilities: np.ndarray, targets: np.ndarray, labels: tuple[str, ...]) -> dict[str, Any]:
    """The figures of ``ainext evaluate``.

    Args:
        probabilities: (clips, classes).
        targets: (clips,) class indices.

    Returns:
        ``top1``, ``top5``, ``mca`` (mean over the classes of each one's accuracy), ``map`` in %, ``mauc`` 0 to 1, and
        ``per_class`` accuracy in %. Classes without a clip are left out of every mean.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    ranked = np.argsort(-probabilities, axis=1, kind="stable")
    right = ranked[:, 0] == targets
    within = (ranked[:, :5] == targets[:, None]).any(axis=1)
    present = np.unique(targets)
    per_class = {labels[c]: 100 * float(right[targets == c].mean()) for c in present}
    truth = targets[:, None] == present
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one class alone has no AUC; NaN says so
        precision = [average_precision_score(truth[:, i], probabilities[:, c]) for i, c in enumerate(present)]
        auc = [roc_auc_score(truth[:, i], probabilities[:, c]) for i, c in enumerate(present)]
    return {
        "top1": 100 * float(right.mean()),
        "top5": 100 * float(within.mean()),
        "mca": float(np.mean(list(per_class.values()))),
        "map": 100 * float(np.mean(precision)),
        "mauc": float(np.mean(auc)),
        "per_class": per_class,
    }

"""Fits one onset threshold for each class: the probability from which on a timeline reports it.

A probability of 0.5 means different things for different classes: a sound like no other can be believed below it, one
of three kinds of running water only above it. The thresholds are fitted on clips that the network was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MIN_THRESHOLD, MAX_THRESHOLD = 0.3, 0.9  # lower, two classes are reported at once; higher, a class is hardly ever
GRID = np.round(np.arange(MIN_THRESHOLD, MAX_THRESHOLD + 1e-9, 0.01), 2)
# Where several labels can be true, one that is right in a third of the cases may be worth reporting from 0.2 on: the
# best threshold of a calibrated probability is half of the best F1 (Lipton, Elkan and Narayanaswamy, 2014).
MULTI_LABEL_GRID = np.round(np.arange(0.1, MAX_THRESHOLD + 1e-9, 0.01), 2)
MEAN_CLASS_WEIGHT = 1.0  # of the counts of the mean class, which are added to those of a class with few clips
WIDTH = 0.05  # F1 is averaged over this much on either side, so that a threshold also works a little above and below


def peaks(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """The highest probability that each class reaches in each clip: (clips, classes).

    Args:
        outputs: (steps, classes) probabilities for each clip.
    """
    return np.stack([np.max(steps, axis=0) for steps in outputs])


def fit_thresholds(peak: np.ndarray, targets: np.ndarray, grid: np.ndarray = GRID) -> np.ndarray:
    """The threshold on a grid (from 0.3 to 0.9 by default) at which each class has the best F1: (classes,).

    F1 is 2 TP / (2 TP + FP + FN) over clips, where a clip counts for every class whose peak reaches its threshold. The
    counts of the mean class are added to those of each class, so that a few clips can move a threshold only so far.

    Args:
        peak: (clips, classes), see `peaks`.
        targets: (clips,) class indices; below 0 for clips of none of the classes, such as noise or speech. Or (clips,
            classes) bool, which labels are true.
        grid: the thresholds to choose from, evenly spaced.
    """
    own = targets if targets.ndim == 2 else targets[:, None] == np.arange(peak.shape[1])
    right = np.stack([((peak >= threshold) & own).sum(axis=0) for threshold in grid]).astype(np.float64)
    wrong = np.stack([((peak >= threshold) & ~own).sum(axis=0) for threshold in grid]).astype(np.float64)
    missed = own.sum(axis=0) - right  # (thresholds, classes), as the others
    right, wrong, missed = (
        counts + MEAN_CLASS_WEIGHT * counts.mean(axis=1, keepdims=True) for counts in (right, wrong, missed)
    )
    f1 = 2 * right / np.maximum(2 * right + wrong + missed, 1e-12)
    reach = round(WIDTH / (grid[1] - grid[0]))
    smooth = _smooth(f1, reach)
    best = smooth >= smooth.max(axis=0) - 1e-9  # often a plateau, of which the middle is taken
    return np.array([float(np.median(grid[column])) for column in best.T])


def _smooth(values: np.ndarray, reach: int) -> np.ndarray:
    """The mean over up to ``reach`` rows on either side, fewer at the ends."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    first = np.maximum(np.arange(len(values)) - reach, 0)
    end = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    return (sums[end] - sums[first]) / (end - first)[:, None]

"""A threshold for each class: how sure a network must be of it before a timeline reports it.

Classes differ in what a network's 0.5 is worth: what sounds like nothing else can be believed below it, one of three
kinds of running water only above. A threshold a class is fitted to sounds that the network was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LOWEST, HIGHEST = 0.3, 0.9  # below, two classes at once; above, a class that is hardly ever reported
GRID = np.round(np.arange(LOWEST, HIGHEST + 1e-9, 0.01), 2)
SHARED = 1.0  # how much the mean class counts beside a class's own few clips
WIDTH = 0.05  # a threshold has to hold a little above and below too: F1 is averaged over so much on either side


def peaks(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """The highest probability that each class reaches in each clip, (clips, classes); of each (steps, classes)."""
    return np.stack([np.max(steps, axis=0) for steps in outputs])


def fit_thresholds(peak: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The threshold from 0.3 to 0.9 at which each class has the best F1, (classes,).

    F1 is 2 TP / (2 TP + FP + FN) over clips, where a clip counts for every class whose peak reaches its threshold. To a
    class's counts those of the mean class are added, so that few clips move it only so far.

    Args:
        peak: (clips, classes), see `peaks`.
        targets: (clips,) classes; below 0 for sound that is none of them, such as noise or speech.
    """
    own = targets[:, None] == np.arange(peak.shape[1])
    reached = peak[None] >= GRID[:, None, None]  # (thresholds, clips, classes)
    right = (reached & own).sum(axis=1).astype(np.float64)  # (thresholds, classes)
    wrong = (reached & ~own).sum(axis=1).astype(np.float64)
    missed = own.sum(axis=0) - right
    right, wrong, missed = (counts + SHARED * counts.mean(axis=1, keepdims=True) for counts in (right, wrong, missed))
    f1 = 2 * right / np.maximum(2 * right + wrong + missed, 1e-12)
    reach = round(WIDTH / (GRID[1] - GRID[0]))
    steady = _smooth(f1, reach)
    best = steady >= steady.max(axis=0) - 1e-9  # often a plateau: its middle
    return np.array([float(np.median(GRID[column])) for column in best.T])


def _smooth(values: np.ndarray, reach: int) -> np.ndarray:
    """The mean over up to ``reach`` rows on either side, fewer at the ends."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    first = np.maximum(np.arange(len(values)) - reach, 0)
    end = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    return (sums[end] - sums[first]) / (end - first)[:, None]

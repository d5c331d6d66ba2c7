"""Compares two models on the same clips: by how much one is better, and whether chance could explain the difference.

A clip that both models get right, or both wrong, does not tell them apart. A paired difference is therefore much more
certain than two intervals side by side suggest. Clips of one recording belong together: whole recordings are resampled
or flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audioinceptionnext.evaluation.intervals import draw_weights, group_numbers

RESAMPLES, FLIPS = 2000, 10_000
_CHUNK = 500


@dataclass(frozen=True)
class Estimate:
    """A mean over clips with its 95 % interval from ``low`` to ``high``, in the unit of the values."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """A mean difference over clips with its 95 % interval.

    Attributes:
        p: the probability that chance gives a mean as far from 0 if neither model is better.
    """

    p: float


def mean(values: np.ndarray, groups: Sequence[str | None], seed: int = 0) -> Estimate:
    """The mean of ``values`` (clips,) and its percentile interval by a bootstrap over groups."""
    weights = _weights(groups, seed)
    low, high = np.quantile(weights @ values / weights.sum(axis=1), (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high))


def difference(values: np.ndarray, others: np.ndarray, groups: Sequence[str | None], seed: int = 0) -> Difference:
    """The mean of ``values - others``, with its interval and its p-value.

    ``p`` comes from the permutation test for pairs (Fisher's; Good, 2005, ch. 3): if the two models are
    interchangeable, the difference of a group is as likely to have either sign. The signs are drawn 10,000 times, and
    the observed difference counts as one more draw (Phipson and Smyth, 2010), so ``p`` is never 0.

    Args:
        values, others: (clips,) each, a figure of the two models on the same clips.
        groups: the source of each clip.
        seed: of the random draws.
    """
    gained = values - others
    members = group_numbers(groups)
    sums = np.bincount(members, weights=gained)
    observed = abs(sums.sum())
    rng = np.random.default_rng(seed)
    reached = 0
    for _ in range(FLIPS // _CHUNK):
        flipped = rng.choice((-1.0, 1.0), size=(_CHUNK, len(sums))) @ sums
        reached += int((np.abs(flipped) >= observed - 1e-9).sum())
    estimate = mean(gained, groups, seed)
    return Difference(estimate.mean, estimate.low, estimate.high, (reached + 1) / (FLIPS + 1))


def holm(p: Sequence[float]) -> list[float]:
    """Correct the p-values of several comparisons so that all of them together err as rarely as one (Holm, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, lowest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        lowest = max(lowest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = lowest
    return corrected


def _weights(groups: Sequence[str | None], seed: int) -> np.ndarray:
    """(resamples, clips): how often each clip is drawn."""
    return np.concatenate([part.T for part in draw_weights(group_numbers(groups), RESAMPLES, seed, _CHUNK)])

"""Two models on the same clips: by how much one is better, and whether chance alone would do as much.

A clip that both get right, or both wrong, says nothing about which is better, so that differences are far surer than
two intervals side by side make them look. Clips of one recording go together: whole recordings are drawn, or flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audioinceptionnext.evaluation.intervals import draws, group_numbers

RESAMPLES, FLIPS = 2000, 10_000
_AT_ONCE = 500


@dataclass(frozen=True)
class Estimate:
    """A mean over clips with its 95 % interval, in the values' own unit."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Estimate):
    """
    Attributes:
        p: how often chance gives a mean as far from 0, if neither is better.
    """

    p: float


def mean(values: np.ndarray, groups: Sequence[str | None], seed: int = 0) -> Estimate:
    """The mean of ``values`` (clips,) and its interval by the bootstrap over groups (percentiles)."""
    weights = _weights(groups, seed)
    low, high = np.quantile(weights @ values / weights.sum(axis=1), (0.025, 0.975))
    return Estimate(float(values.mean()), float(low), float(high))


def difference(values: np.ndarray, others: np.ndarray, groups: Sequence[str | None], seed: int = 0) -> Difference:
    """The mean of ``values - others``, both (clips,) of the same clips.

    ``p`` is of the permutation test of pairs (Fisher's; Good, 2005, ch. 3): under the hypothesis that the two models
    are exchangeable, a group's difference is as likely with either sign. With signs drawn 10,000 times, the observed
    one counted in (Phipson and Smyth, 2010), it is never 0.
    """
    gained = values - others
    members = group_numbers(groups)
    sums = np.bincount(members, weights=gained)
    observed = abs(sums.sum())
    rng = np.random.default_rng(seed)
    reached = 0
    for _ in range(FLIPS // _AT_ONCE):
        flipped = rng.choice((-1.0, 1.0), size=(_AT_ONCE, len(sums))) @ sums
        reached += int((np.abs(flipped) >= observed - 1e-9).sum())
    estimate = mean(gained, groups, seed)
    return Difference(estimate.mean, estimate.low, estimate.high, (reached + 1) / (FLIPS + 1))


def holm(p: Sequence[float]) -> list[float]:
    """p of several comparisons, corrected so that all together err as seldom as one (Holm, 1979)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    corrected, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = least
    return corrected


def _weights(groups: Sequence[str | None], seed: int) -> np.ndarray:
    """(resamples, clips): how often each clip is drawn."""
    return np.concatenate([part.T for part in draws(group_numbers(groups), RESAMPLES, seed, _AT_ONCE)])

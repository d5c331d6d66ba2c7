"""Compares two models on the same clips: by how much one is better, and whether chance could explain the difference.

A clip that both models get right, or both wrong, does not tell them apart. A paired difference is therefore much more
certain than two intervals side by side suggest. Clips of one recording belong together: whole recordings are resampled
or flipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap, permutation_test

from audioinceptionnext.evaluation.intervals import group_numbers

RESAMPLES, FLIPS = 2000, 10_000
_BATCH = 500  # resamples or flips in memory at a time


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
    average = float(values.mean())
    sums, counts = _by_group(values, groups)
    if len(sums) == 1:  # every resample is this one group
        return Estimate(average, average, average)
    interval = bootstrap(
        (sums, counts), lambda s, c, axis: s.sum(axis) / c.sum(axis), paired=True, vectorized=True,
        n_resamples=RESAMPLES, batch=_BATCH, method="percentile", rng=seed,
    ).confidence_interval  # fmt: skip
    return Estimate(average, float(interval.low), float(interval.high))


def difference(values: np.ndarray, others: np.ndarray, groups: Sequence[str | None], seed: int = 0) -> Difference:
    """The mean of ``values - others``, with its interval and its p-value.

    ``p`` comes from the permutation test for pairs (Fisher's; Good, 2005, ch. 3): if the two models are
    interchangeable, the difference of a group is as likely to have either sign. With at most 13 groups, all signs are
    tried and ``p`` is exact. With more, they are drawn 10,000 times, and the observed difference counts as one more
    draw (Phipson and Smyth, 2010). So ``p`` is never 0.

    Args:
        values, others: (clips,) each, a figure of the two models on the same clips.
        groups: the source of each clip.
        seed: of the random draws.
    """
    gained = values - others
    sums, _ = _by_group(gained, groups)
    p = 1.0  # of a single group, whose sign says nothing
    if len(sums) > 1:
        p = permutation_test(
            (sums,), _distance, permutation_type="samples", vectorized=True, alternative="greater",
            n_resamples=FLIPS, batch=_BATCH, rng=seed,
        ).pvalue  # fmt: skip
    estimate = mean(gained, groups, seed)
    return Difference(estimate.mean, estimate.low, estimate.high, float(p))


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


def _by_group(values: np.ndarray, groups: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """(groups,) each: the sum of the group's values, and the number of its clips."""
    members = group_numbers(groups)
    return np.bincount(members, weights=values), np.bincount(members)


def _distance(sums: np.ndarray, axis: int) -> np.ndarray:
    """How far the sum is from 0. Rounding must not decide whether two sums are equal, as those of thirds often are."""
    return np.abs(sums.sum(axis)).round(9)

"""Bootstrap intervals (Efron and Tibshirani, 1993, ch. 13 and 14): how far the figures would move with other clips.

No resample is ever built. A resample is a weight for each clip: how many times it was drawn. Accuracies are then
weighted counts, and average precision and AUC weighted ranks, so that each class is sorted only once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist

import numpy as np
from scipy.sparse import csr_matrix

from audioinceptionnext.evaluation.metrics import ranking

FIGURES = ("top1", "top5", "mca", "map", "mauc")
SCALE = {"top1": 100, "top5": 100, "mca": 100, "map": 100, "mauc": 1}  # as in `metrics.score`
MIN_SOURCES = 5  # of fewer, there are not even 40 different resamples, so no 2.5 % of them
FEW_SOURCES = 20  # with fewer, any bootstrap interval is too narrow
MAX_WEIGHTS = 4_000_000  # held in memory at a time: 32 MB


def bootstrap(
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    groups: Sequence[str | None] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Bias-corrected percentile intervals of the figures of `metrics.score`, in the same units.

    Clips cut from one recording resemble each other, so ten of them say less than clips of ten recordings. With
    ``groups``, whole groups are drawn (the cluster bootstrap), and the intervals are those of other *recordings*:
    wider, and honest. With fewer than about twenty groups any bootstrap interval is too narrow, and if every clip is
    right the interval is (100, 100), since no resample differs.

    Only the test set varies; the model stays the same. Another training run would move the figures again.

    The bias correction (Efron, 1981) is needed for ``map``: a positive clip that is drawn twice ranks its double beside
    itself, so that resamples score higher than test sets do, and a plain percentile interval can lie above the figure
    itself. It leaves the other figures as they are. It does not correct that ``map`` is too high on any test set with
    only a handful of clips per class.

    Args:
        probabilities: (clips, classes).
        targets: (clips,) class indices, 0 to classes - 1.
        labels: one per class.
        groups: the source of each clip; a clip with None is a source of its own.
        resamples: their number.
        seed: of the random draws.
        level: the share of the resamples that lies within an interval.

    Returns:
        (low, high) of ``top1``, ``top5``, ``mca`` and ``map`` in %, and of ``mauc`` from 0 to 1. As in `score`, a class
        without a clip in a resample is left out of that resample's means. NaN where a figure is undefined in every
        resample, as is the AUC if all clips are of one class.

    Raises:
        ValueError: the arrays do not fit together.

    >>> bootstrap(probabilities, targets, labels, groups)["top1"]
    (74.7, 81.9)
    """
    probabilities, targets = np.asarray(probabilities), np.asarray(targets)
    clips = len(targets)
    if probabilities.shape != (clips, len(labels)) or not clips:
        raise ValueError(f"probabilities of shape {probabilities.shape} for {clips} clips of {len(labels)} classes")
    if targets.min() < 0 or targets.max() >= len(labels):
        raise ValueError(f"targets are not all class indices from 0 to {len(labels) - 1}")
    if groups is not None and len(groups) != clips:
        raise ValueError(f"{len(groups)} groups for {clips} clips")
    members = np.arange(clips) if groups is None else group_numbers(groups)
    chunks = [
        weighted_figures(probabilities, targets, weights)
        for weights in draw_weights(members, resamples, seed, max(1, MAX_WEIGHTS // clips))
    ]
    measured = weighted_figures(probabilities, targets, np.ones((clips, 1)))
    return {
        name: interval(np.concatenate([chunk[name] for chunk in chunks]), float(measured[name][0]), level)
        for name in FIGURES
    }


def sources(groups: Sequence[str | None]) -> int:
    """The number of different groups, of which each clip without one is a group of its own."""
    return len(set(group_numbers(groups).tolist()))


def known(
    figures: Mapping[str, float], intervals: Mapping[str, tuple[float, float]], groups: Sequence[str | None]
) -> dict[str, list[float]]:
    """Those of the intervals that say something.

    None does if there are fewer than `MIN_SOURCES`, one without a width is that of resamples that do not differ, and
    one that does not contain its figure is that of a figure which resampling distorts more than it varies.

    Args:
        figures: from `metrics.score`.
        intervals: from `bootstrap`, of the same clips.
        groups: the source of each clip.
    """
    if sources(groups) < MIN_SOURCES:
        return {}
    return {name: [low, high] for name, (low, high) in intervals.items() if low < high and low <= figures[name] <= high}


def interval(values: np.ndarray, measured: float, level: float) -> tuple[float, float]:
    """Quantiles of the resamples' values, shifted by twice the distance of their median from the measured figure."""
    values = values[np.isfinite(values)]
    if not len(values) or not np.isfinite(measured):
        return float("nan"), float("nan")
    normal = NormalDist()
    # Rounding must not decide whether a resample equals the measured figure. One that does counts half.
    same = np.isclose(values, measured, rtol=1e-9, atol=0)
    below = float(((values < measured) & ~same).mean() + same.mean() / 2)
    shift = 2 * normal.inv_cdf(min(max(below, 1 / (len(values) + 1)), len(values) / (len(values) + 1)))
    tail = normal.inv_cdf((1 - level) / 2)
    low, high = np.quantile(values, (normal.cdf(shift + tail), normal.cdf(shift - tail)))
    return float(low), float(high)


def weighted_figures(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The figures of `metrics.score` if each clip is counted as many times as its weight says.

    Args:
        probabilities: (clips, classes).
        targets: (clips,) class indices.
        weights: (clips, resamples), not negative.

    Returns:
        An array (resamples,) for each of `FIGURES`.
    """
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    classes = probabilities.shape[1]
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
    right = (ranked[:, 0] == targets).astype(float)
    within = (ranked == targets[:, None]).any(axis=1).astype(float)
    total = weights.sum(axis=0)
    by_class = csr_matrix((np.ones(len(targets)), (targets, np.arange(len(targets)))), (classes, len(targets)))
    found = {"top1": right @ weights / total, "top5": within @ weights / total}
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: a class without a clip
        found["mca"] = mean_of_known((by_class @ (weights * right[:, None])) / (by_class @ weights))
    precision = np.full((classes, weights.shape[1]), np.nan)
    auc = precision.copy()
    for c in np.unique(targets):
        precision[c], auc[c] = ranking(probabilities[:, c], targets == c, weights)
    found |= {"map": mean_of_known(precision), "mauc": mean_of_known(auc)}
    return {name: SCALE[name] * found[name] for name in FIGURES}


def group_numbers(groups: Sequence[str | None]) -> np.ndarray:
    """(clips,): the number of each clip's group, from 0 on. A clip without a group is a group of its own."""
    names = [(group, None if group is not None else index) for index, group in enumerate(groups)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names])


def draw_weights(members: np.ndarray, resamples: int, seed: int, chunk: int) -> Iterator[np.ndarray]:
    """Yield how often each clip's group is drawn in each resample, which draws as many groups as there are.

    Args:
        members: (clips,) group numbers, see `group_numbers`.
        resamples: their number in all.
        seed: of the random draws.
        chunk: maximum number of resamples in one array.

    Yields:
        (clips, up to ``chunk``) float64.
    """
    groups = int(members.max()) + 1
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        counts = [np.bincount(generator.integers(groups, size=groups), minlength=groups) for _ in range(size)]
        yield np.stack(counts, axis=1).astype(float)[members]


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """(classes, resamples) to (resamples,): the mean of the values that are not NaN, or NaN if all are."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)

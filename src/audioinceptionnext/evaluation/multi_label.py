"""Figures, temperature and thresholds where any number of labels can be true for a clip.

A label has two things to say of a clip: its probability, which is the mean over the clip's steps and ranks the clips;
and whether it is reported, which it is if one of the steps reaches its onset threshold, as in a timeline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import expit, logit

from audioinceptionnext.data import Clip
from audioinceptionnext.evaluation.calibration import (
    MAX_TEMPERATURE,
    MIN_CLIPS,
    MIN_MISTAKES,
    MIN_PROBABILITY,
    MIN_TEMPERATURE,
)
from audioinceptionnext.evaluation.clip_predictions import ClipPredictions
from audioinceptionnext.evaluation.intervals import (
    MAX_WEIGHTS,
    draw_weights,
    group_numbers,
    interval,
    known,
    mean_of_known,
)
from audioinceptionnext.evaluation.metrics import Ranking, ranking
from audioinceptionnext.evaluation.thresholds import MULTI_LABEL_GRID, fit_thresholds, peaks

MAX_VALUES = 20_000_000  # of the probabilities of a label at a step to which a temperature is fitted: 80 MB


def true_labels(clips: Sequence[Clip], classes: int) -> np.ndarray:
    """(clips, classes) bool: which labels are true."""
    true = np.zeros((len(clips), classes), bool)
    for row, clip in zip(true, clips, strict=True):
        row[list(clip.labels)] = True
    return true


def score_labels(
    predictions: ClipPredictions, labels: Sequence[str], thresholds: Sequence[float], resamples: int = 0
) -> dict[str, Any]:
    """Compute the figures that ``ainext evaluate`` prints of a multi-label data set.

    Args:
        predictions: of labelled clips.
        labels: one per class.
        thresholds: the onset threshold of each.
        resamples: of the bootstrap for the ``intervals`` of ``map`` and ``mauc``; 0 computes none.

    Returns:
        ``map`` and ``f1`` in % and ``mauc`` from 0 to 1, the means over the labels that are true for a clip;
        ``per_class``, the average precision of each of these in %; and ``per_label``, for every label: the number of
        ``clips`` for which it is true, ``average_precision`` and ``auc``, which are None without such a clip, its
        ``threshold``, and ``precision``, ``recall`` and ``f1`` in % of reporting it from there on.
    """
    true, probabilities = true_labels(predictions.clips, len(labels)), predictions.probabilities
    reported = peaks(predictions.outputs) >= np.asarray(thresholds)
    right, all_true, all_reported = ((x).sum(0).tolist() for x in (true & reported, true, reported))
    per_label: dict[str, dict[str, Any]] = {}
    for c, label in enumerate(labels):
        ranked = [float(value[0]) for value in ranking(probabilities[:, c], true[:, c])] if all_true[c] else None
        per_label[label] = {
            "clips": all_true[c],
            "average_precision": 100 * ranked[0] if ranked else None,
            "auc": ranked[1] if ranked and np.isfinite(ranked[1]) else None,
            "threshold": float(thresholds[c]),
            "precision": _percent(right[c], all_reported[c]),
            "recall": _percent(right[c], all_true[c]),
            "f1": _percent(2 * right[c], all_true[c] + all_reported[c]),
        }
    present = [row for row in per_label.values() if row["clips"]]
    figures: dict[str, Any] = {
        "map": _mean(row["average_precision"] for row in present),
        "mauc": _mean(row["auc"] for row in present),
        "f1": _mean(row["f1"] for row in present),
        "per_class": {label: row["average_precision"] for label, row in per_label.items() if row["clips"]},
        "per_label": per_label,
    }
    if resamples:
        intervals = label_intervals(probabilities, true, predictions.groups, resamples=resamples)
        figures["intervals"] = known(figures, intervals, predictions.groups)
    return figures


def label_intervals(
    probabilities: np.ndarray,
    true: np.ndarray,
    groups: Sequence[str | None],
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """The intervals of ``map`` (in %) and ``mauc``, as `intervals.bootstrap` has them for clips of one label.

    Args:
        probabilities: (clips, classes).
        true: (clips, classes) bool.
        groups, resamples, seed, level: as for `bootstrap`.
    """
    labels = np.flatnonzero(true.any(0))
    if not len(labels):
        return {"map": (np.nan, np.nan), "mauc": (np.nan, np.nan)}
    rankings = [Ranking(probabilities[:, c], true[:, c]) for c in labels]
    found: list[list[np.ndarray]] = []
    chunk = max(1, MAX_WEIGHTS // len(true))
    for weights in [np.ones((len(true), 1)), *draw_weights(group_numbers(groups), resamples, seed, chunk)]:
        columns = [ranking.figures(weights) for ranking in rankings]
        found.append([mean_of_known(np.stack(values)) for values in zip(*columns, strict=True)])
    measured, *drawn = found
    return {
        name: interval(scale * np.concatenate([part[n] for part in drawn]), scale * float(measured[n][0]), level)
        for n, (name, scale) in enumerate((("map", 100), ("mauc", 1)))
    }


def fit_to(predictions: ClipPredictions, before: Sequence[float]) -> tuple[float | None, list[float] | None]:
    """The temperature and the onset thresholds that fit these clips, which the model was not trained on.

    The temperature divides the logits of each step before the sigmoid, and is the one with the lowest binary
    cross-entropy. The thresholds are those of the probabilities at this temperature with the best F1 of each label, see
    `fit_thresholds`. Labels that are true for none of the clips say nothing of either: a list may not name them at all.

    Args:
        predictions: of labelled clips.
        before: the threshold of each label, which those that are true for none of the clips keep.

    Returns:
        Both; None for the temperature if these clips are too few or too few decisions at 0.5 are wrong, and None for
        the thresholds if the clips are too few or none of the labels is true.
    """
    true = true_labels(predictions.clips, len(before))
    named = np.flatnonzero(true.any(0))
    if len(predictions.clips) < MIN_CLIPS or not len(named):
        return None, None
    true = true[:, named]
    mistakes = int(((predictions.probabilities[:, named] >= 0.5) != true).sum())
    temperature = None if mistakes < MIN_MISTAKES else _fit_temperature(predictions.outputs, true, named)
    peak = _tempered(peaks(predictions.outputs)[:, named], temperature or 1.0)
    thresholds = np.array(before, float)
    thresholds[named] = fit_thresholds(peak, true, MULTI_LABEL_GRID)
    return temperature, thresholds.tolist()


def at_temperature(predictions: ClipPredictions, temperature: float) -> ClipPredictions:
    """What the model predicts if its logits are divided by a temperature. Silent steps stay at 0."""
    outputs = [_tempered(steps, temperature) for steps in predictions.outputs]
    return ClipPredictions(predictions.clips, outputs, predictions.unreadable)


def _tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """(rows, classes) float32; rows of zeros stay as they are."""
    found = expit(_logits(probabilities) / np.float32(temperature))
    return np.where(probabilities.any(1, keepdims=True), found, np.float32(0))


def _fit_temperature(outputs: Sequence[np.ndarray], true: np.ndarray, named: np.ndarray) -> float | None:
    """The temperature that fits the labels of these numbers, to which the columns of ``true`` belong.

    Args:
        outputs: (steps, classes) probabilities of each clip. Of very many, a random part is used.
        true: (clips, labels) bool.
        named: (labels,).
    """
    from scipy.optimize import minimize_scalar

    loud = [(steps, row) for steps, row in zip(outputs, true, strict=True) if steps.any()]
    if not loud:
        return None
    values = len(named) * sum(len(steps) for steps, _ in loud)
    chosen = np.random.default_rng(0).permutation(len(loud))[: math.ceil(len(loud) * min(1.0, MAX_VALUES / values))]
    parts = [(loud[n][0][loud[n][0].any(1)][:, named], loud[n][1]) for n in chosen]
    count = np.array([len(steps) for steps, _ in parts])
    first = np.concatenate(([0], np.cumsum(count)[:-1]))
    # Logits of what is so: that a label is true where it is, and that it is not where it is not.
    right = np.concatenate([_logits(steps) * np.where(row, 1, -1).astype(np.float32) for steps, row in parts])

    def loss(log_temperature: float) -> float:
        p = np.add.reduceat(expit(right / np.float32(np.exp(log_temperature))), first) / count[:, None]
        return -float(np.log(np.maximum(p, MIN_PROBABILITY)).mean())

    bounds = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x))


def _logits(probabilities: np.ndarray) -> np.ndarray:
    """Float32, which rounds probabilities that are closer to 1 than the bound here."""
    p = np.asarray(probabilities, np.float32)
    found: np.ndarray = logit(np.clip(p, np.float32(MIN_PROBABILITY), np.float32(1 - 1e-7)))
    return found


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _mean(values: Any) -> float:
    found = [value for value in values if value is not None]
    return float(np.mean(found)) if found else float("nan")

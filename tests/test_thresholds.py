"""Onset thresholds by class, fitted on clips that the network was not trained on."""

from __future__ import annotations

import numpy as np
import pytest

from audioinceptionnext.evaluation.thresholds import MAX_THRESHOLD, MIN_THRESHOLD, fit_thresholds, peaks


def f1(peak: np.ndarray, targets: np.ndarray, thresholds: np.ndarray | float) -> float:
    """The mean over the classes of F1 at these thresholds, 0 to 1."""
    own = targets[:, None] == np.arange(peak.shape[1])
    reached = peak >= thresholds
    right, wrong = (reached & own).sum(axis=0), (reached & ~own).sum(axis=0)
    return float(np.mean(2 * right / np.maximum(right + wrong + own.sum(axis=0), 1)))


def test_a_peak_is_the_highest_probability_of_any_step() -> None:
    assert peaks([np.array([[0.1, 0.9], [0.7, 0.3]]), np.array([[0.4, 0.6]])]).tolist() == [[0.7, 0.9], [0.4, 0.6]]


def test_each_class_gets_the_threshold_that_separates_it_from_the_others() -> None:
    """Class 0 is right from 0.7 on and often wrong at 0.6; class 1 is right from 0.4 on and never wrong."""
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, -1], 200)
    peak = np.zeros((600, 2))
    peak[:200, 0], peak[200:, 0] = rng.uniform(0.72, 1, 200), rng.uniform(0.5, 0.68, 400)
    peak[200:400, 1], peak[:200, 1], peak[400:, 1] = rng.uniform(0.42, 1, 200), rng.uniform(0, 0.3, 200), 0.2
    found = fit_thresholds(peak, targets)
    assert 0.65 < found[0] < 0.75 and 0.3 <= found[1] <= 0.45
    assert f1(peak, targets, found) > f1(peak, targets, 0.5)
    assert f1(peak, targets, found) == pytest.approx(1, abs=0.05)


def test_a_class_with_few_clips_follows_the_others() -> None:
    """A single lucky clip at 0.95 does not put its class out of reach."""
    rng = np.random.default_rng(1)
    targets = np.repeat([0, 1, 2], [200, 200, 1])
    peak = rng.uniform(0, 0.35, (401, 3))
    peak[np.arange(401), targets] = rng.uniform(0.45, 1, 401)
    peak[-1, 2], peak[0, 2] = 0.95, 0.9
    found = fit_thresholds(peak, targets)
    assert np.abs(found[2] - found[:2]).max() < 0.15
    assert ((found >= MIN_THRESHOLD) & (found <= MAX_THRESHOLD)).all()

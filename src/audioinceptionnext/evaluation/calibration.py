"""Calibration: whether a probability of 0.8 is right in 80 of 100 cases, and the temperature that corrects it.

Modern networks are overconfident. Temperature scaling (Guo et al., 2017, arXiv 1706.04599) divides the logits by a
temperature T that is fitted on clips that the network was not trained on. The order of the classes, and so every
accuracy, stays the same; a T above 1 lowers the confidence.

Where a clip's probabilities are the mean over its steps, as in `Recogniser.predict`, T can be applied in two places:

- to the clip: the logarithms of its probabilities are divided by T, and the result is renormalised (`tempered`). For a
  single step this equals dividing its logits; for a mean it does not, but it calibrates the clip just as well.
- to the logits of each step, before the softmax and the mean, as a model does that stores T. This needs the logits of
  all steps, and gives another T, since taking the mean lowers the confidence by itself.

`fit_temperature` does either, depending on the shape of the logits.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0  # beyond these lie only networks that are always or never right
BINS = 15  # as in the paper
MIN_CLIPS, MIN_MISTAKES = 50, 5  # with fewer, a temperature says more about the clips than about the model
MIN_PROBABILITY = 1e-12  # one that float32 rounds to 0 must not have an infinite negative logarithm


class Bin(NamedTuple):
    """The clips whose highest probability lies in (low, high]. The means are NaN if there are none.

    Attributes:
        low, high: bounds, 0 to 1.
        clips: their number.
        confidence: mean of their highest probabilities, 0 to 1.
        accuracy: share of them whose most probable class is the true one, 0 to 1.
    """

    low: float
    high: float
    clips: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """What temperature scaling does to a set of clips.

    Attributes:
        temperature: fitted on all clips.
        ece: expected calibration error before scaling, 0 to 1.
        nll: negative log-likelihood before scaling, in nats per clip.
        ece_scaled, nll_scaled: the same after scaling. Each half of the clips is scaled by the temperature fitted on
            the other half, so that no clip is judged by a number that was fitted on it.
        scaled: (clips, classes), the probabilities from which `ece_scaled` was computed.
    """

    temperature: float
    ece: float
    nll: float
    ece_scaled: float
    nll_scaled: float
    scaled: np.ndarray


def enough(probabilities: np.ndarray, targets: np.ndarray) -> bool:
    """Whether there are clips and mistakes enough to fit a temperature: for a model that is always right, it is 0."""
    mistakes = int((probabilities.argmax(1) != targets).sum())
    return len(targets) >= MIN_CLIPS and mistakes >= MIN_MISTAKES


def calibrate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str | None] | None = None,
    *,
    bins: int = BINS,
    seed: int = 0,
) -> Calibration:
    """Fit a temperature to the probabilities of clips, and measure what it changes.

    Args:
        probabilities: (clips, classes), of clips that the model was not trained on.
        targets: (clips,) class indices.
        groups: the source of each clip; all clips of a source fall into the same half.
        bins: number of bins of the expected calibration error.
        seed: of the random division into halves.
    """
    temperature = fit_temperature(log_probabilities(probabilities), targets)
    second = _second_half(groups if groups is not None else [None] * len(targets), seed)
    scaled = tempered(probabilities, temperature)  # kept if one half is empty
    if second.any() and not second.all():
        for half in (second, ~second):
            scaled[half] = tempered(
                probabilities[half], fit_temperature(log_probabilities(probabilities[~half]), targets[~half])
            )
    return Calibration(
        temperature=temperature,
        ece=expected_calibration_error(probabilities, targets, bins),
        nll=negative_log_likelihood(log_probabilities(probabilities), targets),
        ece_scaled=expected_calibration_error(scaled, targets, bins),
        nll_scaled=negative_log_likelihood(log_probabilities(scaled), targets),
        scaled=scaled,
    )


def reliability(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> list[Bin]:
    """The reliability table: the accuracy of the clips of each confidence, in bins of equal width from 0 to 1.

    Args:
        probabilities: (clips, classes).
        targets: (clips,) class indices.
        bins: their number.
    """
    top = probabilities.max(axis=1).astype(float)
    right = probabilities.argmax(axis=1) == targets
    bin_of = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: an empty bin
        confidence = np.bincount(bin_of, top, bins) / counts
        accuracy = np.bincount(bin_of, right, bins) / counts
    return [
        Bin(i / bins, (i + 1) / bins, int(counts[i]), float(confidence[i]), float(accuracy[i])) for i in range(bins)
    ]


def expected_calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> float:
    """The mean distance between confidence and accuracy over the bins of `reliability`, weighted by clips; 0 to 1.

    This is eq. 3 of Guo et al. (2017), which looks at the most probable class alone. Chance keeps it above 0: a
    perfectly calibrated model has about 0.1 on 160 clips, 0.04 on 800 and 0.006 on 20,000.
    """
    table = [row for row in reliability(probabilities, targets, bins) if row.clips]
    return float(sum(row.clips * abs(row.accuracy - row.confidence) for row in table) / len(targets))


def negative_log_likelihood(log_probabilities: np.ndarray, targets: np.ndarray) -> float:
    """The mean negative logarithm of the probability of the true class, in nats per clip.

    Args:
        log_probabilities: (clips, classes).
        targets: (clips,) class indices.
    """
    return float(-log_probabilities[np.arange(len(targets)), targets].mean())


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """The logarithms in float64, of the same shape; probabilities below 1e-12 count as 1e-12."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), MIN_PROBABILITY))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities to the power of 1 / temperature, renormalised: (clips, classes) to (clips, classes) float64."""
    return _softmax(log_probabilities(probabilities) / temperature)


def fit_temperature(logits: np.ndarray | Sequence[np.ndarray], targets: np.ndarray) -> float:
    """The temperature between 0.05 and 20 with the lowest negative log-likelihood of the true classes.

    Args:
        logits: (clips, classes), logits or log probabilities; a constant added to a clip's logits changes nothing. Or
            one array (steps, classes) for each clip, with any number of steps: the temperature is then applied to the
            softmax of each step, before the mean over the steps.
        targets: (clips,) class indices.

    Raises:
        ValueError: there are no clips, or not as many logits as targets.
    """
    from scipy.optimize import minimize_scalar

    clips = [np.atleast_2d(np.asarray(one, dtype=np.float64)) for one in logits]
    if not clips or len(clips) != len(targets):
        raise ValueError(f"there are logits of {len(clips)} clips for {len(targets)} targets")
    rows = np.concatenate(clips)
    steps = np.array([len(one) for one in clips])
    first = np.concatenate(([0], np.cumsum(steps)[:-1]))
    targets_by_row = np.repeat(np.asarray(targets), steps)

    def loss(log_temperature: float) -> float:
        true = _softmax(rows / np.exp(log_temperature))[np.arange(len(rows)), targets_by_row]
        return -float(np.log(np.maximum(np.add.reduceat(true, first) / steps, MIN_PROBABILITY)).mean())

    bounds = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _second_half(groups: Sequence[str | None], seed: int) -> np.ndarray:
    """(clips,) bool: a random half of the groups; a clip without a group is a group of its own."""
    names: list[Hashable] = [(index,) if group is None else group for index, group in enumerate(groups)]
    distinct = list(dict.fromkeys(names))
    half = np.random.default_rng(seed).permutation(len(distinct))[: len(distinct) // 2]
    chosen = {distinct[i] for i in half}
    return np.array([name in chosen for name in names])

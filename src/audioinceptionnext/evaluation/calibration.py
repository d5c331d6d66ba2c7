"""Whether a probability of 0.8 means right in 80 of 100 cases, and the one number that mends most of it.

Modern networks are too sure of themselves. Temperature scaling (Guo et al., 2017, arXiv 1706.04599) divides the logits
by a temperature T fitted on clips that the network was not trained on: the order of the classes, and so every
accuracy, stays the same; above 1 the probabilities become more modest.

Where a clip's probabilities are the mean of those of its views or steps, as in `predict`, there are two places for T:

- on the clip: the logarithm of its probabilities divided by T, and renormalised (`tempered`). For one view this is
  the same as dividing its logits; for a mean it is not, but it mends the clip's probabilities just as well.
- on each view's or step's logits, before softmax and mean. That is what a model does that carries T inside. It needs
  the logits of all steps, and another T, since the mean by itself makes probabilities more modest.

`fit_temperature` does either; what it is given decides.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LOWEST, HIGHEST = 0.05, 20.0  # temperatures; beyond them lies only a network that is always right, or never
BINS = 15  # as in the paper
SMALLEST = 1e-12  # probability; what float32 rounds to 0 must not cost infinitely much


class Bin(NamedTuple):
    """Clips whose top probability lies in (low, high]; the means are NaN where there are none."""

    low: float
    high: float
    clips: int
    confidence: float  # mean top probability, 0 to 1
    accuracy: float  # 0 to 1


@dataclass(frozen=True)
class Calibration:
    """What temperature scaling does to a set of clips.

    Attributes:
        temperature: fitted on all of them.
        ece, nll: as measured, 0 to 1 and nats a clip.
        ece_scaled, nll_scaled: after scaling, each half of the clips with the temperature of the other half, so that
            no clip is judged by a number fitted on itself.
        scaled: (clips, classes), the probabilities that `ece_scaled` was measured on.
    """

    temperature: float
    ece: float
    nll: float
    ece_scaled: float
    nll_scaled: float
    scaled: np.ndarray


def calibrate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str | None] | None = None,
    bins: int = BINS,
    seed: int = 0,
) -> Calibration:
    """Fit a temperature on clips' probabilities and measure what it brings.

    Args:
        probabilities: (clips, classes), of clips that the model was not trained on.
        targets: (clips,) class indices.
        groups: of each clip, its source; both halves keep sources whole.
    """
    temperature = fit_temperature(log_probabilities(probabilities), targets)
    second = _second_half(groups if groups is not None else [None] * len(targets), seed)
    scaled = tempered(probabilities, temperature)  # stays where one half is empty
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
    """The reliability table: how often clips of each confidence are right. Bins of equal width over 0 to 1.

    Args:
        probabilities: (clips, classes).
        targets: (clips,) class indices.
    """
    top = probabilities.max(axis=1).astype(float)
    right = probabilities.argmax(axis=1) == targets
    place = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0: an empty bin, NaN
        confidence = np.bincount(place, top, bins) / counts
        accuracy = np.bincount(place, right, bins) / counts
    return [
        Bin(i / bins, (i + 1) / bins, int(counts[i]), float(confidence[i]), float(accuracy[i])) for i in range(bins)
    ]


def expected_calibration_error(probabilities: np.ndarray, targets: np.ndarray, bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over the bins of `reliability`, weighted by clips; 0 to 1.

    Guo et al., 2017, eq. 3: the top class alone. Chance keeps it above 0: a perfect model has about 0.1 over 160
    clips, 0.04 over 800 and 0.006 over 20,000.
    """
    table = [row for row in reliability(probabilities, targets, bins) if row.clips]
    return float(sum(row.clips * abs(row.accuracy - row.confidence) for row in table) / len(targets))


def negative_log_likelihood(log_probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Mean of the negative logarithm of the true class's probability, nats a clip. (clips, classes), (clips,)."""
    return float(-log_probabilities[np.arange(len(targets)), targets].mean())


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """The logarithm in float64; probabilities below 1e-12 count as that."""
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), SMALLEST))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Clip probabilities (clips, classes) to the power of 1 / temperature, renormalised; float64."""
    return _softmax(log_probabilities(probabilities) / temperature)


def fit_temperature(logits: np.ndarray | Sequence[np.ndarray], targets: np.ndarray) -> float:
    """The temperature between 0.05 and 20 with the least negative log-likelihood of the true classes.

    Args:
        logits: (clips, classes), logits or log probabilities, which differ by nothing that counts. Or for each clip
            (steps, classes), as many steps as it has: each step's softmax gets the temperature, then they are averaged.
        targets: (clips,) class indices.

    Raises:
        ValueError: no clips, or logits and targets of different number.
    """
    from scipy.optimize import minimize_scalar

    clips = [np.atleast_2d(np.asarray(one, dtype=np.float64)) for one in logits]
    if not clips or len(clips) != len(targets):
        raise ValueError(f"logits of {len(clips)} clips for {len(targets)} targets")
    rows = np.concatenate(clips)
    steps = np.array([len(one) for one in clips])
    first = np.concatenate(([0], np.cumsum(steps)[:-1]))
    own = np.repeat(np.asarray(targets), steps)

    def loss(log_temperature: float) -> float:
        true = _softmax(rows / np.exp(log_temperature))[np.arange(len(rows)), own]
        return -float(np.log(np.maximum(np.add.reduceat(true, first) / steps, SMALLEST)).mean())

    found = minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _second_half(groups: Sequence[str | None], seed: int) -> np.ndarray:
    """(clips,) bool: about half of the clips, drawn by whole groups."""
    names: list[Hashable] = [(place,) if group is None else group for place, group in enumerate(groups)]
    distinct = list(dict.fromkeys(names))
    drawn = np.random.default_rng(seed).permutation(len(distinct))[: len(distinct) // 2]
    chosen = {distinct[i] for i in drawn}
    return np.array([name in chosen for name in names])

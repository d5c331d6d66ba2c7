"""Checks an explanation by deletion: the region that it calls important should matter more than other regions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.explain.probe import Probe, log_odds, probabilities
from audioinceptionnext.explain.types import SHARE, ExplanationData
from audioinceptionnext.network.storage import StoredModel

Fill = Literal["quiet", "mean"]
DRAWS = 16
QUIET_PERCENTILE = 10  # of a band's levels over the frames


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """By how much the score of the label drops if its most important region is deleted, or another of that shape.

    Attributes:
        share: of all cells, how many are deleted.
        fill: what they are replaced by.
        score: of the label before anything is deleted.
        region: the drop without the most important region.
        random: (draws,) the drop without each of the other regions.
        region_log_odds, random_log_odds: the same in log-odds, which differ even if scores are close to 0 or 1.
    """

    share: float
    fill: Fill
    score: float
    region: float
    random: np.ndarray = field(repr=False)
    region_log_odds: float
    random_log_odds: np.ndarray = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of the check, with the means over the other regions."""
        return {
            "share": self.share,
            "fill": self.fill,
            "draws": len(self.random),
            "score": round(self.score, 4),
            "region": round(self.region, 4),
            "random": round(float(self.random.mean()), 4),
            "region_log_odds": round(self.region_log_odds, 4),
            "random_log_odds": round(float(self.random_log_odds.mean()), 4),
        }


@torch.no_grad()
def faithfulness(
    model: StoredModel,
    explanation: ExplanationData,
    *,
    share: float = SHARE,
    draws: int = DRAWS,
    fill: Fill = "quiet",
    seed: int = 0,
) -> Faithfulness:
    """Delete the most important region, measure the drop of the score, and compare it with that of other regions.

    The other regions are the same mask, shifted in time and frequency at random and wrapped around the edges, so that
    they have its size and its shape. Deletion follows Samek et al. (2017), with one fixed share.

    Args:
        model: the model that was explained.
        explanation: of its prediction.
        share: of all cells, those where the map is highest.
        draws: number of other regions.
        fill: what deleted cells are replaced by. ``quiet`` takes the level that the cell's band is below for a tenth of
            the time, as if only the background had been there; ``mean`` takes the band's mean level. Neither leaves a
            hole, for which a network that never saw holes could predict anything. Neither deletes a sound that never
            pauses.
        seed: of the random shifts.

    Raises:
        ParameterError: ``share`` is not between 0 and 1, or ``draws`` is below 1.
        ValueError: the map is empty, so that there is no region to delete.

    >>> check = faithfulness(model, explanation)
    >>> check.region > check.random.mean()
    True
    """
    if explanation.empty:
        raise ValueError(f"the map of {explanation.label} is empty and has no region to delete")
    if not 0 < share < 1:
        raise ParameterError("share", share, "give a number between 0 and 1")
    if draws < 1:
        raise ParameterError("draws", draws, "give at least 1")
    probe = Probe(model)
    log_mel, index = explanation.log_mel, model.labels.index(explanation.label)
    level = np.percentile(log_mel, QUIET_PERCENTILE, axis=0) if fill == "quiet" else log_mel.mean(axis=0)
    loud = probe.loud_steps(log_mel)  # of the original: a deletion must not make a step count less

    def score_of(log_mel: np.ndarray) -> tuple[float, float]:
        logits = probe.logits(probe.features(probe.windows(log_mel)))
        score = probabilities(logits, loud, model.multi_label)[index]
        return float(score), log_odds(logits, loud, index, model.multi_label)

    mask, rng = explanation.important(share), np.random.default_rng(seed)
    masks = [mask]
    while len(masks) <= draws:
        shift = rng.integers(mask.shape[0]), rng.integers(mask.shape[1])
        if any(shift):
            masks.append(np.roll(mask, shift, axis=(0, 1)))
    score, odds = score_of(log_mel)
    after = np.array([score_of(np.where(deleted, level, log_mel).astype(np.float32)) for deleted in masks])
    drops = np.array([score, odds]) - after
    return Faithfulness(share, fill, score, float(drops[0, 0]), drops[1:, 0], float(drops[0, 1]), drops[1:, 1])

"""Is the picture true? What is deleted where it is bright should cost the label more than what is deleted elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch

from audioinceptionnext.explain.explanation import Explanation
from audioinceptionnext.explain.probe import Probe, log_odds, probabilities
from audioinceptionnext.explain.types import SHARE
from audioinceptionnext.network.storage import StoredModel

Fill = Literal["quiet", "mean"]
DRAWS = 16
QUIET = 10  # per cent of a band's frames that are quieter still


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """What deleting a region costs the label, the most important one and others of its shape.

    Attributes:
        share: of all cells that are deleted.
        fill: by what they are replaced.
        score: the label's before.
        region: by how much the score drops without the most important region.
        random: (draws,) the same without each of the others.
        region_log_odds, random_log_odds: the same in log-odds, which also tell where scores are close to 0 or 1.
    """

    share: float
    fill: Fill
    score: float
    region: float
    random: np.ndarray = field(repr=False)
    region_log_odds: float
    random_log_odds: np.ndarray = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
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
    explanation: Explanation,
    share: float = SHARE,
    draws: int = DRAWS,
    fill: Fill = "quiet",
    seed: int = 0,
) -> Faithfulness:
    """Delete the most important region and see what it costs the label; compare with other regions.

    The others are the same mask shifted in time and frequency by chance, round the edges: they have its size and its
    shape. Deletion as in Samek et al. (2017), of one fixed share.

    Args:
        explanation: of this model.
        share: of all cells, those where the map is greatest.
        fill: ``quiet`` puts the level of each band that it is below for a tenth of the time, as if the sound had not
            been there and its background had; ``mean`` the band's mean level. Neither leaves a hole, to which a network
            that knows no holes could give any answer. A sound that never pauses is not deleted by either.

    Raises:
        ValueError: a map that is empty, so that it has no region; a share or draws that leave nothing.
    """
    if explanation.empty:
        raise ValueError(f"nothing speaks for {explanation.label}: its map is empty and has no region to delete")
    if not 0 < share < 1 or draws < 1:
        raise ValueError(f"a share of {share} and {draws} draws; give a share between 0 and 1 and a draw at least")
    probe = Probe(model)
    log_mel, index = explanation.log_mel, model.labels.index(explanation.label)
    level = np.percentile(log_mel, QUIET, axis=0) if fill == "quiet" else log_mel.mean(axis=0)
    loud = probe.loud(log_mel)  # of the sound as it was: what is deleted must not make a step count less

    def hear(sound: np.ndarray) -> tuple[float, float]:
        logits = probe.logits(probe.features(probe.views(sound)))
        return float(probabilities(logits, loud)[index]), log_odds(logits, loud, index)

    mask, rng = explanation.important(share), np.random.default_rng(seed)
    masks = [mask]
    while len(masks) <= draws:
        shift = rng.integers(mask.shape[0]), rng.integers(mask.shape[1])
        if any(shift):
            masks.append(np.roll(mask, shift, axis=(0, 1)))
    score, odds = hear(log_mel)
    after = np.array([hear(np.where(one, level, log_mel).astype(np.float32)) for one in masks])
    drops = np.array([score, odds]) - after
    return Faithfulness(share, fill, score, float(drops[0, 0]), drops[1:, 0], float(drops[0, 1]), drops[1:, 1])

"""Training on clips of which several labels can be true at once, or none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.data import Clip
from audioinceptionnext.data.waveforms import Batch
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.ranked import RankedClassifier
from audioinceptionnext.training.recipe import Recipe


def label_shares(clips: Sequence[Clip], classes: int) -> np.ndarray:
    """(classes,): the share of the clips for which each label is true."""
    true = np.array([label for clip in clips for label in clip.labels], dtype=int)
    return np.bincount(true, minlength=classes) / max(1, len(clips))


class MultiLabelClassifier(RankedClassifier):
    """Trains ``model.net`` to say of each label whether it is true for a clip.

    The loss is the binary cross-entropy of the mean probability over the steps of a crop, summed over the labels (each
    with its weight, if there are weights). Label smoothing moves a target towards the label's share of the training
    clips (Pereyra et al., 2017), and not towards one half, since most of many labels are false.

    Args:
        shares: (classes,), see `label_shares`.
        model, recipe, steps_per_epoch, options: see `SoundClassifier`.
    """

    figure: ClassVar[str] = "map"
    shares: Tensor

    def __init__(
        self, shares: np.ndarray, model: StoredModel, recipe: Recipe, steps_per_epoch: int, **options: Any
    ) -> None:
        super().__init__(model, recipe, steps_per_epoch, **options)
        self.batch_transform.keeps_labels = True
        self.register_buffer("shares", torch.from_numpy(shares).float(), persistent=False)

    def clip_targets(self, batch: Batch) -> Tensor:
        """What the labels of the clips of a batch say, (batch, classes), 0 to 1."""
        smoothing = self.recipe.label_smoothing
        return (1 - smoothing) * self.true_labels(batch) + smoothing * self.shares

    def true_labels(self, batch: Batch) -> Tensor:
        """(batch, classes): 1 for each label that is true, and 0 for the others."""
        labels = torch.cat([batch.labels[:, None], batch.also], 1)
        targets = torch.zeros(len(labels), self.net.config.num_classes, device=self.device)
        return targets.scatter_reduce(1, labels.clamp(min=0), (labels >= 0).float(), "amax")

    def _losses(self, x: Tensor, targets: Tensor, clips: int) -> tuple[Tensor, Tensor]:
        logits = self.logits(x)
        # The logarithms of the probabilities that a label is true, and that it is not: (2, batch, steps, classes).
        steps = nn.functional.logsigmoid(torch.stack([logits, -logits]))
        pooled = torch.logsumexp(steps, dim=2) - math.log(steps.shape[2])
        pooled = torch.cat([pooled[:, :clips], steps[:, clips:].mean(2)], 1)  # see `SoundClassifier.log_probabilities`
        per_class = -(targets * pooled[0] + (1 - targets) * pooled[1])
        if self.class_weights is not None:
            per_class = per_class * self.class_weights
        return per_class.sum(1), torch.ones_like(per_class[:, 0])

    def _score(self, batch: Batch) -> None:
        found, true = self.probabilities(batch), self.true_labels(batch)
        loss = nn.functional.binary_cross_entropy(found.clamp(0, 1), true, reduction="none").sum(1).mean()
        self.log("val_loss", loss, prog_bar=True, batch_size=len(true), sync_dist=True)
        self._scores.append(found.cpu().numpy())
        self._truth.append(true.cpu().numpy())

    def _steps(self, log_mel: Tensor) -> Tensor:
        return torch.sigmoid(self.kept.pooled_logits(self.folded_feature_maps(log_mel).float()))

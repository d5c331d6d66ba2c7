"""Training that is scored by how well the probabilities of each label rank what it is true of."""

from __future__ import annotations

from typing import Any

import numpy as np

from audioinceptionnext.evaluation.frame_wise import frame_precision, mean_precision
from audioinceptionnext.training.module import SoundClassifier


class RankedClassifier(SoundClassifier):
    """A `SoundClassifier` whose figure is the mean of the labels' average precisions.

    Subclasses name the figure. Their ``_score`` appends the probabilities of a batch to ``_scores`` and what is true to
    ``_truth``, both (rows, classes).
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._scores: list[np.ndarray] = []
        self._truth: list[np.ndarray] = []

    def on_validation_start(self) -> None:
        super().on_validation_start()
        self._scores.clear()
        self._truth.clear()

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        precision = frame_precision(np.concatenate(self._scores), np.concatenate(self._truth))
        self.log(self.figure, mean_precision(precision), prog_bar=True, sync_dist=True)

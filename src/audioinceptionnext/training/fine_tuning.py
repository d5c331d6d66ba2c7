"""How a run that fine-tunes begins and ends: the linear start, and the weights that are accepted."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from audioinceptionnext.data import Clip
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.errors import counted
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.acceptance import accept
from audioinceptionnext.training.linear_start import clip_loss, frozen_features, start_from_linear_solution
from audioinceptionnext.training.recipe import Recipe


class FineTuning:
    """What a run fine-tunes from.

    Args:
        model: with the initial weights. Its linear layer is set to the linear start if the recipe says so.
        recipe: its ``linear_start``, ``trial_share`` and ``teacher_share``.
        waveforms: the training clips.
        trial: clips that are set aside from training, which decide what is accepted; None accepts what was trained.
        soft_targets: (clips, classes), of the training clips; None if there are none.

    >>> tuning = FineTuning(model, recipe, waveforms, trial)
    >>> train(model.net)
    >>> tuning.accept(model)
    """

    def __init__(
        self,
        model: StoredModel,
        recipe: Recipe,
        waveforms: Waveforms,
        trial: Waveforms | None = None,
        soft_targets: Tensor | None = None,
    ) -> None:
        self.recipe, self.waveforms, self.trial = recipe, waveforms, trial
        if recipe.linear_start:
            targets = targets_of_clips(waveforms.clips, len(model.labels))
            wanted = None if soft_targets is None else targets.lerp(soft_targets, recipe.teacher_share)
            start_from_linear_solution(model, waveforms, targets, wanted)
        self.start = copy.deepcopy(model.net) if trial is not None else None

    def accept(self, model: StoredModel) -> None:
        """Replace a trained network by the one that the trial accepts, if there is a trial; and say so on stderr."""
        if self.start is None or (trial := self.trial) is None:
            return
        targets = targets_of_clips(trial.clips, len(model.labels))

        def loss(net: Network) -> float:
            candidate = replace(model, net=net)
            features, clip = frozen_features(candidate, trial)
            with torch.no_grad():
                logits = net.classifier(features)
            return clip_loss(logits, clip, targets, model.tasks, multi_label=model.multi_label)

        accepted = accept(self.start, model.net, loss)
        model.net = accepted.net
        model.info["accepted_share"] = accepted.share
        before, after, best = accepted.losses[0], accepted.losses[-1], min(accepted.losses)
        what = f"on {counted(len(trial), 'training clip')} set aside, the loss was {before:.3f} at the start"
        print(f"{what}, {after:.3f} at the end; kept {accepted.share:.0%} of the change ({best:.3f})", file=sys.stderr)


def targets_of_clips(clips: Sequence[Clip], classes: int) -> Tensor:
    """(clips, classes): 1 for the labels of each clip and 0 for the others."""
    targets = torch.zeros(len(clips), classes)
    for row, clip in zip(targets, clips, strict=True):
        row[list(clip.labels)] = 1
    return targets

"""How a run that fine-tunes begins and ends: the linear start, and the weights that are accepted."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from audioinceptionnext.data import Clip
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.errors import counted
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.acceptance import accept
from audioinceptionnext.training.background import background, background_count
from audioinceptionnext.training.batch_transform import crop
from audioinceptionnext.training.linear_start import (
    BATCH,
    Stretches,
    clip_loss,
    features_of,
    log_mels,
    start_from_linear_solution,
)
from audioinceptionnext.training.recipe import Recipe


class FineTuning:
    """What a run fine-tunes from.

    Args:
        model: with the initial weights. Its linear layer is set to the linear start if the recipe says so.
        recipe: its ``linear_start``, ``trial_share`` and ``teacher_share``.
        waveforms: the training clips.
        trial: clips that are set aside from training, which decide what is accepted; None accepts what was trained.
        soft_targets: (clips, classes), of the training clips and of those of the trial after them; None if there are
            none.
        background: (pieces, samples), recordings for a half of the recipe's ``background_share``; None generates all.

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
        background: Tensor | None = None,
    ) -> None:
        self.recipe, self.waveforms, self.trial, self.soft_targets = recipe, waveforms, trial, soft_targets
        self.background = background
        if recipe.linear_start:
            self._solve(model, waveforms)
        self.start = copy.deepcopy(model.net) if trial is not None else None

    def accept(self, model: StoredModel) -> None:
        """Replace a trained network by the one that the trial accepts, if there is a trial; and say so on stderr.

        If that is the start, a linear start is solved once more, with the clips of the trial too.
        """
        if self.start is None or (trial := self.trial) is None:
            return
        stretches = list(log_mels(model, trial))  # the same for all candidates
        if not stretches:
            few = f"none of the {counted(len(trial), 'training clip')} set aside can be read"
            print(f"ainext: warning: {few}, so all of the change is kept", file=sys.stderr)
            return
        read = torch.cat([part.clip for part in stretches]).unique()
        targets = targets_of_clips([trial.clips[index] for index in read.tolist()], len(model.labels))

        def loss(net: Network) -> float:
            features, clip = features_of(replace(model, net=net), stretches)
            clip = torch.searchsorted(read, clip)
            with torch.no_grad():
                logits = net.classifier(features)
            return clip_loss(logits, clip, targets, model.tasks, multi_label=model.multi_label)

        accepted = accept(self.start, model.net, loss)
        model.net = accepted.net
        model.info["accepted_share"] = accepted.share
        before, after, best = accepted.losses[0], accepted.losses[-1], min(accepted.losses)
        what = f"on {counted(len(read), 'training clip')} set aside, the loss was {before:.3f} at the start"
        print(f"{what}, {after:.3f} at the end; kept {accepted.share:.0%} of the change ({best:.3f})", file=sys.stderr)
        if self.recipe.linear_start and accepted.share == 0:
            self._solve(model, self.waveforms, trial)

    def _solve(self, model: StoredModel, *waveforms: Waveforms) -> None:
        """Set the linear layer to the linear start of these clips, which are the training clips or begin with them."""
        targets = targets_of_clips([clip for part in waveforms for clip in part.clips], len(model.labels))
        soft = self.soft_targets
        wanted = None if soft is None else targets.lerp(soft[: len(targets)], self.recipe.teacher_share)
        start_from_linear_solution(model, waveforms, targets, wanted, self._background(model, len(targets)))

    def _background(self, model: StoredModel, clips: int) -> Iterator[Stretches]:
        """The recipe's share of sounds of no class, as long as a crop."""
        if not self.recipe.background_share:
            return
        front, seconds = model.front_end(), max(self.recipe.crops or (model.clip_seconds,))
        front.exact = False
        samples = round(model.sample_rate * seconds) - 1
        count = background_count(self.recipe.background_share, clips)
        for part in background(count, samples, model.sample_rate, self.background).split(BATCH):
            lengths = torch.full((len(part),), samples)
            yield Stretches(crop(front, part, lengths, seconds, random=False), lengths // front.hop, 0 * lengths)


def targets_of_clips(clips: Sequence[Clip], classes: int) -> Tensor:
    """(clips, classes): 1 for the labels of each clip and 0 for the others."""
    targets = torch.zeros(len(clips), classes)
    for row, clip in zip(targets, clips, strict=True):
        row[list(clip.labels)] = 1
    return targets

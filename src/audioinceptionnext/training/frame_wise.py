"""Training on annotated segments: each step of the timeline is compared with what sounds in it (``targets: steps``).

The network is the same; its clip is a single step of 32 frames, so that pooling gives one prediction for each position
of the last feature map. What a prediction sees is the receptive field of the network, which is longer. Step i of a
stretch stands for its ``step_seconds`` from ``i * step_seconds`` on, as `results.segmentation.step_bounds` has it for a
window of one step; so the exported file gives segments as any other model does.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.annotated import (
    Stretch,
    annotated_recordings,
    check_apart,
    places,
    step_targets,
    tiles,
)
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Batch
from audioinceptionnext.errors import AinextError, ParameterError, counted
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.batch_transform import crop
from audioinceptionnext.training.hardware import is_first_process
from audioinceptionnext.training.ranked import RankedClassifier
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.unreadable import too_many

RAREST, MOST_FREQUENT = 1e-4, 0.5  # shares of the time of a class, from which the linear layer's bias may start
# Settings that move sound in time, or that say something of a clip as a whole, with what they have to be.
WITHOUT: dict[str, Any] = {
    "speed": (1, 1),
    "shift_seconds": 0,
    "time_warp": 0,
    "background_share": 0,
    "label_smoothing": 0,
    "sampling": "uniform",
    "teacher": None,
    "linear_start": False,
    "trial_share": 0,
    "eval_clips": 0,
}


@dataclass(frozen=True)
class Stretches:
    """What a run trains on and holds out.

    Attributes:
        training: parts of the training recordings; each draw takes a random stretch from one, see `places`.
        held_out: the held-out recordings, cut into stretches.
        shares: (classes,) the share of the training recordings in which each class sounds.
    """

    training: list[Stretch]
    held_out: list[Stretch]
    shares: np.ndarray


def check_settings(recipe: Recipe, model: StoredModel) -> None:
    """Check that the settings and the model make sense for steps.

    Raises:
        ParameterError: one of them does not.
    """
    for name, needed in WITHOUT.items():
        if (value := getattr(recipe, name)) != needed:
            ending = "leave it out" if needed is None else f"it has to be {needed}"
            raise ParameterError(name, value, f"targets of steps do not go with it; {ending}")
    if model.tasks:
        raise ParameterError("targets", recipe.targets, "labels in several tasks go with targets of clips only")
    if not recipe.crops:
        raise ParameterError("crops", None, "targets of steps need the length of the stretches, such as 10.24")
    if recipe.clip_seconds is not None and not math.isclose(recipe.clip_seconds, model.clip_seconds):
        reason = f"with targets of steps, a clip is one step of {model.clip_seconds:g} s; leave it out"
        raise ParameterError("clip_seconds", recipe.clip_seconds, reason)
    if not model.net.convolutional:
        raise ParameterError("network", recipe.network, "it predicts clip by clip; targets of steps need convolutions")


def cut(
    dataset: Dataset, training: Sequence[Clip], held_out: Sequence[Clip], reader: Reader, recipe: Recipe
) -> Stretches:
    """Cut the recordings of these segments into stretches of the longest of the recipe's crops.

    Recordings that cannot be read are left out, with a line on stderr for each, and so are segments beyond their end.

    Raises:
        AinextError: a recording has segments of both kinds, or too many cannot be read, see `too_many`.
    """
    check_apart(training, held_out)
    warn_of_problems(dataset)
    own = read_annotated(training, reader)
    others = read_annotated(held_out, reader, held_out=True)
    seconds, classes = max(recipe.crops), len(dataset.labels)
    sounding, whole = np.zeros(classes), 0.0
    for recording in own:
        end = recording.clip.end or 0.0
        sounding += step_targets(recording.segments, np.array([0.0, end]), classes)[0] * end
        whole += end
    return Stretches(
        [part for recording in own for part in places(recording, seconds)],
        [part for recording in others for part in tiles(recording, seconds)],
        sounding / max(whole, 1e-9),
    )


def warn_of_problems(dataset: Dataset) -> None:
    """On stderr, print how many segments the data set lacks, and what a run makes of that."""
    if dataset.problems and is_first_process():
        what = f"{counted(len(dataset.problems), 'problem')} in the data set, e.g. {dataset.problems[0]}"
        why = "where a segment is missing, training takes its recording as silent"
        print(f"ainext: warning: {what}; {why}", file=sys.stderr)


def read_annotated(clips: Sequence[Clip], reader: Reader, *, held_out: bool = False) -> list[Stretch]:
    """The recordings of segments, as `annotated_recordings` gives them.

    Those that cannot be read are left out, with a line on stderr for each, and so are segments beyond their end.

    Args:
        clips: the segments.
        reader: finds the lengths of the recordings.
        held_out: whether they are those that a run holds out, and not those that it learns from.

    Raises:
        AinextError: none can be read, or too many of those to learn from, see `too_many`.
    """
    kind, consequence = ("held-out ", "not scored") if held_out else ("", "left out")
    unreadable: list[str] = []
    beyond: list[str] = []
    recordings = annotated_recordings(clips, reader, unreadable.append, beyond.append)
    total = len(recordings) + len(unreadable)
    if clips and (not recordings or (not held_out and too_many(len(unreadable), total))):
        what = f"{len(unreadable)} of {counted(total, f'{kind}recording')} cannot be read"
        raise AinextError(f"{what}, e.g. {unreadable[0]}")
    if is_first_process():
        for reason in unreadable:
            print(f"{consequence}: {reason}", file=sys.stderr)
        for line in beyond:
            print(f"ainext: warning: {line}", file=sys.stderr)
    return recordings


def start_from_shares(net: Network, shares: np.ndarray) -> None:
    """Let a fresh linear layer begin with how often each class sounds, as RetinaNet does (Lin et al., 2017).

    Most classes are silent most of the time. From a bias of 0, which is a probability of one half, the first steps
    would do nothing but learn that. A linear layer that has learnt, whose biases are not 0, stays as it is.

    Args:
        net: its classifier's bias is set.
        shares: (classes,), see `Stretches`.
    """
    bias = net.classifier.bias
    if not bias.any():
        p = torch.from_numpy(shares).clamp(RAREST, MOST_FREQUENT)
        with torch.no_grad():
            bias.copy_(torch.log(p / (1 - p)))


class FrameWiseDetector(RankedClassifier):
    """Trains ``model.net`` to say what sounds in each step.

    The loss is the binary cross-entropy, summed over the classes (each with its weight, if there are weights) and
    averaged over all steps of a batch that lie within their recordings.

    Args:
        stretches: those of the run; batches hold indices into them.
        model, recipe, steps_per_epoch, options: see `SoundClassifier`.
    """

    figure: ClassVar[str] = "frame_map"

    def __init__(
        self, stretches: Stretches, model: StoredModel, recipe: Recipe, steps_per_epoch: int, **options: Any
    ) -> None:
        super().__init__(model, recipe, steps_per_epoch, **options)
        self.stretches = stretches

    def _losses(self, x: Tensor, targets: Tensor, clips: int) -> tuple[Tensor, Tensor]:
        logits = self.logits(x)
        targets = targets[:, : logits.shape[1]]  # those of the longest crop
        targets, complete = targets[..., :-1], targets[..., -1] > 1 - 1e-4
        per_class = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.class_weights is not None:
            per_class = per_class * self.class_weights
        weights = complete.sum(1).float()
        return (per_class.sum(2) * complete).sum(1) / weights.clamp(min=1), weights

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if not len(batch.labels):
            config = self.net.config
            x = torch.zeros(0, 1, config.clip_frames, config.bands, device=self.device)
            return x, torch.zeros(0, 1, config.num_classes + 1, device=self.device)
        targets = self.targets(batch, self.stretches.training, self.batch_transform.longest)
        return self.batch_transform(batch.waveforms, batch.lengths, targets)

    def targets(self, batch: Batch, stretches: Sequence[Stretch], seconds: float) -> Tensor:
        """What sounds in each step of a batch, and whether there is a recording.

        Args:
            batch: its indices are those of ``stretches``, unless it has segments of its own.
            seconds: length of the longest crop. A crop begins where its waveform does.

        Returns:
            (batch, steps, classes + 1): see `step_targets`. The last column is 1 in steps that begin before the
            waveform's end, and 0 in those after it. Mixup mixes it with the rest, so that it stays 1 only where both
            recordings last.
        """
        rate, step = self.model.sample_rate, self.net.step_frames * self.batch_transform.log_mel.hop
        frames = self.batch_transform.log_mel.frames(round(rate * seconds) - 1)
        ends = step * np.arange(math.ceil(frames / self.net.step_frames) + 1)
        classes = self.net.config.num_classes
        rows = []
        numbers = torch.stack((batch.indices, batch.starts, batch.lengths), 1).tolist()
        for place, (index, first, length) in enumerate(numbers):
            bounds = np.minimum(ends, length)
            if batch.segments:
                found = step_targets(batch.segments[place], bounds / rate, classes)
            else:
                stretch = stretches[index]
                found = step_targets(stretch.segments, stretch.clip.start + (first + bounds) / rate, classes)
            rows.append(np.concatenate([found, np.diff(bounds)[:, None] > 0], axis=1))
        return torch.from_numpy(np.stack(rows)).float().to(self.device)

    @torch.no_grad()
    def _score(self, batch: Batch) -> None:
        seconds = max(self.recipe.crops)
        x = crop(self.batch_transform.log_mel, batch.waveforms, batch.lengths, seconds, random=False)
        found = torch.sigmoid(self.kept.pooled_logits(self.folded_feature_maps(x).float()))
        targets = self.targets(batch, self.stretches.held_out, seconds)
        inside = targets[..., -1] > 0
        self._scores.append(found[inside].cpu().numpy())
        self._truth.append(targets[..., :-1][inside].cpu().numpy())

    def missing(self) -> tuple[list[str], int, str]:
        """Of one recording, any number of stretches may be unreadable. The run counts recordings, as `cut` does."""
        names = [(clip.path, clip.key) for clip in self.clips]
        reasons = {names[index]: reason for index, reason in self.unreadable.items()}
        return list(reasons.values()), len(set(names)), "recording"

"""The Lightning module: the network, its loss, and the weights that are evaluated."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import lightning as L
import torch
from torch import Tensor

from audioinceptionnext.data import Clip
from audioinceptionnext.data.waveforms import Batch
from audioinceptionnext.errors import AinextError, counted
from audioinceptionnext.evaluation.calibration import MIN_PROBABILITY
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.staged import StagedNetwork
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.network.tasks import log_softmax, softmax, targets_of
from audioinceptionnext.training.averaging import MovingAverage, recompute_statistics
from audioinceptionnext.training.batch_transform import BatchTransform, crop
from audioinceptionnext.training.callbacks import print_line
from audioinceptionnext.training.distributed import gathered, processes, summed
from audioinceptionnext.training.eval_clips import mean_over_clips
from audioinceptionnext.training.frozen import all_norms_frozen, has_frozen_norms
from audioinceptionnext.training.hardware import is_first_process
from audioinceptionnext.training.implementations import IMPLEMENTATIONS, Implementation, stem_alone
from audioinceptionnext.training.optimiser import all_finite, make_optimiser, make_schedule
from audioinceptionnext.training.recipe import Precision, Recipe
from audioinceptionnext.training.teacher import Teacher
from audioinceptionnext.training.unreadable import list_clips, list_reasons, too_many

DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}
RECORD = "audioinceptionnext"  # the key of the run's record in a checkpoint
ADVICE = "last.ckpt holds the previous epoch; try a lower learning rate, a longer warmup or float32 as the precision"


class SoundClassifier(L.LightningModule):
    """Trains ``model.net`` as a recipe says.

    Args:
        model: the initial model; its network is trained in place.
        recipe: the settings of the run.
        steps_per_epoch: number of optimiser steps per epoch.
        clips: the training clips, in the order of the loader's indices; only messages use them.
        implementation: how the feature maps of a training step are computed.
        class_weights: (classes,), weights of the loss, with mean 1 over the clips. Background has the weight 1.
        noise, background: see `BatchTransform`.
        teacher: its predictions are a share of the targets.
        soft_targets: (clips, classes), in place of a teacher's predictions; see `soft_targets`.
        record: written into every checkpoint; JSON values.

    Attributes:
        figure: the figure of the held-out clips by which evaluations are compared; more is better.
    """

    figure: ClassVar[str] = "top1"
    class_weights: Tensor | None
    soft_targets: Tensor | None

    def __init__(
        self,
        model: StoredModel,
        recipe: Recipe,
        steps_per_epoch: int,
        *,
        clips: Sequence[Clip] = (),
        implementation: Implementation = "convolutions",
        class_weights: Tensor | None = None,
        noise: Tensor | None = None,
        background: Tensor | None = None,
        teacher: Teacher | None = None,
        soft_targets: Tensor | None = None,
        record: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.recipe, self.steps_per_epoch = model, recipe, steps_per_epoch
        self.clips, self.feature_maps, self.record = clips, IMPLEMENTATIONS[implementation], record
        self.net: Network = model.net
        self.teacher = teacher  # not a module, so that checkpoints do not contain its weights
        self.batch_transform = BatchTransform(
            model.front_end(), recipe, model.clip_seconds, noise, background, tasks=model.tasks
        )
        self.average = MovingAverage(self.net, recipe.ema) if recipe.ema else None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.register_buffer("soft_targets", soft_targets, persistent=False)
        self.activation_dtype = DTYPES[recipe.precision]
        self.unreadable: dict[int, str] = {}
        self._not_scored: dict[int, str] = {}
        self._scored = 0
        self._folded: list[Network] = []  # one or none; in a list, so that checkpoints do not contain it too
        self._averaged_at = 0
        self._statistics_at = -1  # the step after which normalisation statistics were recomputed

    # Training

    def training_step(self, batch: Batch, number: int) -> Tensor | None:
        self._note_unreadable(batch)
        if not self._any_process_has_clips(batch):
            return None
        self._seed(number)
        x, targets = self._inputs(batch)
        clips = len(batch.labels)  # the rows after them are background
        if self.teacher is not None and clips:
            share = self.recipe.teacher_share
            predicted = self.teacher(x[:clips], self.activation_dtype) / max(1, len(self.model.tasks))
            targets = torch.cat([(1 - share) * targets[:clips] + share * predicted, targets[clips:]])
        per_clip, weights = self._losses(x, targets, clips)
        # The mean over the clips of all processes, also if these have different numbers: gradients are averaged.
        loss = (weights * per_clip).sum() / (summed(weights.sum()) / processes())
        mean = summed(loss) / processes()
        if not torch.isfinite(mean):
            raise AinextError(self._diverged(batch, number, per_clip))
        self.log("loss", mean, prog_bar=True, batch_size=max(1, clips))
        return loss

    def _losses(self, x: Tensor, targets: Tensor, clips: int) -> tuple[Tensor, Tensor]:
        """The loss of each row and its weight in the mean, (batch,) each. The rows after ``clips`` are background."""
        weights = torch.ones_like(targets[:, 0])
        if self.class_weights is not None:
            weights[:clips] = targets[:clips] @ self.class_weights
        return -(targets * self.log_probabilities(x, clips)).sum(1), weights

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-mel and targets of the clips of a batch, and of background after them."""
        targets = self.clip_targets(batch)
        if self.soft_targets is not None:
            targets = targets.lerp(self.soft_targets[batch.indices], self.recipe.teacher_share)
        if len(batch.labels):
            return self.batch_transform(batch.waveforms, batch.lengths, targets)
        config = self.net.config
        return torch.zeros(0, 1, config.clip_frames, config.bands, device=self.device), targets

    def clip_targets(self, batch: Batch) -> Tensor:
        """What the labels of the clips of a batch say, (batch, classes); rows sum to 1."""
        classes, smoothing = self.net.config.num_classes, self.recipe.label_smoothing
        return targets_of(self._labels(batch), classes, self.model.tasks, smoothing)

    def _any_process_has_clips(self, batch: Batch) -> bool:
        """Whether to do this step. A process without clips takes part with an empty batch, or the others would wait."""
        if processes() == 1:
            return len(batch.labels) > 0
        return bool(summed(torch.tensor(float(len(batch.labels)), device=self.device)) > 0)

    def log_probabilities(self, log_mel: Tensor, clips: int | None = None) -> Tensor:
        """Logarithms of the probabilities of each clip as a whole, (batch, classes).

        For the first ``clips`` rows (all by default), the logarithm of the mean probability over the steps. For
        background, in the rows after them, the mean of the logarithms, so that every single step has to be unsure. The
        mean probability would let one step be sure of one class and the next one of another.
        """
        steps = log_softmax(self.logits(log_mel), self.model.tasks)
        pooled = torch.logsumexp(steps, dim=1) - math.log(steps.shape[1])
        return pooled if clips is None else torch.cat([pooled[:clips], steps[clips:].mean(1)])

    def logits(self, log_mel: Tensor) -> Tensor:
        """Logits of a training step, (batch, steps, classes) float32."""
        if self._body_is_frozen:
            with torch.no_grad():
                maps = self.folded_feature_maps(log_mel).float()
        else:
            maps = self.feature_maps(self.net, log_mel, self.activation_dtype).float()
        with torch.autocast(log_mel.device.type, enabled=False):
            return self.net.pooled_logits(maps)

    @property
    def _body_is_frozen(self) -> bool:
        return self.current_epoch < self.recipe.head_epochs

    def _labels(self, batch: Batch) -> Tensor:
        """(batch, tasks): the label of each task; (batch, 1) without tasks."""
        return torch.cat([batch.labels[:, None], batch.also], 1) if self.model.tasks else batch.labels[:, None]

    def _seed(self, number: int) -> None:
        """Let augmentation and dropout depend only on seed, batch and process, so that a resumed run is the same."""
        batches = self.steps_per_epoch * self.recipe.accumulate
        step = self.current_epoch * batches + number
        torch.manual_seed(1_000_003 * self.recipe.seed + 7_919 * self.global_rank * batches + step)

    def on_train_start(self) -> None:
        self._averaged_at = self.global_step

    def on_train_epoch_start(self) -> None:
        self._folded.clear()  # it has the weights of the epoch before, or a body that is no longer frozen

    def on_train_batch_end(self, *_: Any) -> None:
        # Before the weights are evaluated and saved: the loss of the next step would come too late.
        if self.trainer.is_last_batch and not all_finite(self.net):
            raise AinextError(f"the weights are not finite after epoch {self.current_epoch + 1}; {ADVICE}")
        if self.average is not None and self.global_step != self._averaged_at:  # not while gradients accumulate
            self.average.update_parameters(self.net)
            self._averaged_at = self.global_step

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.record is not None:
            checkpoint[RECORD] = self.record

    def _note_unreadable(self, batch: Batch) -> None:
        failures = batch.failures
        if processes() > 1:
            new = [failure for failure in failures if failure[0] not in self.unreadable]
            if not summed(torch.tensor(float(len(new)), device=self.device)):
                return
            failures = gathered(new)
        self.leave_out(failures)

    def leave_out(self, failures: Iterable[tuple[int, str]]) -> None:
        """Report training clips that cannot be read, each once: its index, and one line that says why.

        Raises:
            AinextError: they are too many, see `too_many`.
        """
        for index, reason in failures:
            if index not in self.unreadable:
                self.unreadable[index] = reason
                self.print_line(f"left out: {reason}")
        reasons, total, what = self.missing()
        if reasons and too_many(len(reasons), total):
            raise AinextError(list_reasons(reasons, total, what))

    def missing(self) -> tuple[list[str], int, str]:
        """Why each of the training clips cannot be read that are left out, the number of all, and what they are."""
        return list(self.unreadable.values()), len(self.clips), "clip"

    def leave_unscored(self, failures: Iterable[tuple[int, str]]) -> None:
        """Report held-out clips that cannot be read, each once. The argument is that of `leave_out`."""
        for index, reason in failures:
            if index not in self._not_scored:
                self._not_scored[index] = reason
                self.print_line(f"not scored: {reason}")

    def check_scored(self, scored: int) -> None:
        """Raise `AinextError` if none of the held-out clips can be read; ``scored`` is the number of those that can."""
        if not scored:
            total, first = len(self._not_scored), next(iter(self._not_scored.values()))
            raise AinextError(f"none of the {counted(total, 'held-out clip')} can be read, e.g. {first}")

    def print_line(self, text: str) -> None:
        """Print a line to stderr, in the first process only."""
        if is_first_process():
            print_line(text)

    def _diverged(self, batch: Batch, number: int, per_clip: Tensor) -> str:
        bad = gathered(batch.indices[~torch.isfinite(per_clip[: len(batch.indices)])].tolist())
        total = int(summed(torch.tensor(float(len(batch.indices)), device=self.device)))
        what = list_clips([self.clips[i].name for i in bad] if self.clips else [], len(bad), total)
        return f"the loss is not a number in epoch {self.current_epoch + 1}, batch {number + 1} ({what}); {ADVICE}"

    # Evaluation

    @property
    def kept(self) -> Network:
        """The network that is evaluated and saved: the moving average if there is one."""
        return self.net if self.average is None else self.average.module

    def folded_feature_maps(self, log_mel: Tensor) -> Tensor:
        """Feature maps of the folded network, for a quarter of the work."""
        if not self._folded:
            stored = copy.copy(self.model)
            stored.net = self.kept
            self._folded.append(stored.folded().to(log_mel.device).eval())
        with torch.autocast(log_mel.device.type, torch.bfloat16, enabled=self.recipe.precision != "float32"):
            return self._folded[0].features(log_mel)

    def on_validation_start(self) -> None:
        self._folded.clear()
        self._scored = 0
        if not self._body_is_frozen and not self.trainer.sanity_checking:
            self.recompute_statistics()

    def on_train_epoch_end(self) -> None:
        """Recompute the statistics of the last weights too, unless an evaluation has just done so.

        This has to happen here: the last checkpoint comes next, and after training the network leaves its device.
        """
        if self.current_epoch + 1 == self.recipe.epochs and self._statistics_at != self.global_step:
            self.recompute_statistics()

    def recompute_statistics(self) -> None:
        """Recompute the statistics of the kept network from as many training batches as the recipe says."""
        if self.recipe.precise_bn and not all_norms_frozen(self.kept):
            batches = self.training_inputs(self.trainer.train_dataloader)
            net, dtype, forward = self.kept, self.activation_dtype, self.feature_maps
            if isinstance(net, StagedNetwork) and has_frozen_norms(net):
                forward = stem_alone
            recompute_statistics(net, lambda x: forward(net, x, dtype), batches)
            self._statistics_at = self.global_step

    def training_inputs(self, loader: Any) -> Iterator[Tensor]:
        """The log-mel of the first ``precise_bn`` batches of the epoch, augmented in the same way as in training."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            for number, batch in enumerate(itertools.islice(loader, self.recipe.precise_bn)):
                self._seed(number)
                batch = self.transfer_batch_to_device(batch, self.device, 0)
                if self._any_process_has_clips(batch):
                    yield self._inputs(batch)[0]

    def validation_step(self, batch: Batch, _: int) -> None:
        self.leave_unscored(batch.failures)
        if not len(batch.labels):
            return
        self._scored += len(batch.labels)
        self._score(batch)

    def _score(self, batch: Batch) -> None:
        sizes = list(self.model.tasks.values()) or [self.net.config.num_classes]
        found = self.probabilities(batch)
        true = found.gather(1, self._labels(batch)).clamp(min=MIN_PROBABILITY)  # (batch, tasks)
        self.log("val_loss", -true.log().mean(), prog_bar=True, batch_size=len(true), sync_dist=True)
        best = torch.stack([part.argmax(1) for part in found.split(sizes, 1)], 1)
        first = best.new_tensor([0, *itertools.accumulate(sizes[:-1])])
        right = best + first == self._labels(batch)  # (batch, tasks)
        self._log_accuracy(self.figure, right.all(1))
        for name, own in zip(self.model.tasks, right.T, strict=False):
            self._log_accuracy(f"top1_{name}", own)

    def _log_accuracy(self, name: str, right: Tensor) -> None:
        self.log(name, 100 * right.float().mean(), prog_bar=name == self.figure, batch_size=len(right), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        self.check_scored(self._scored)

    @torch.no_grad()
    def probabilities(self, batch: Batch) -> Tensor:
        """Probabilities of each clip as a whole, (batch, classes).

        They are the mean over the recipe's ``eval_clips`` evenly spaced clips, or over all steps of the recording.
        """
        log_mel = self.batch_transform.log_mel
        if self.recipe.eval_clips:
            return mean_over_clips(batch, log_mel, self.model.clip_seconds, self.recipe.eval_clips, self._steps)
        seconds = max(self.model.clip_seconds, int(batch.lengths.max() + 1) / log_mel.sample_rate)
        x = crop(log_mel, batch.waveforms, batch.lengths, seconds, random=False)
        steps = self._steps(x)
        frames = batch.lengths // log_mel.hop
        count = self.kept.steps(frames).clamp(max=steps.shape[1])
        own = torch.arange(steps.shape[1], device=steps.device)[None] < count[:, None]
        return (steps * own[..., None]).sum(1) / count[:, None]

    def _steps(self, log_mel: Tensor) -> Tensor:
        """The probabilities of each step, (batch, steps, classes)."""
        return softmax(self.kept.pooled_logits(self.folded_feature_maps(log_mel).float()), self.model.tasks)

    def configure_optimizers(self) -> Any:
        optimizer = make_optimiser(self.net, self.recipe)
        return {"optimizer": optimizer, "lr_scheduler": make_schedule(optimizer, self.recipe, self.steps_per_epoch)}

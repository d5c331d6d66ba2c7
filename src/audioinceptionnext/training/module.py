"""The Lightning module: what is heard, the network, the loss, and the weights that are evaluated."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from audioinceptionnext.data import Clip
from audioinceptionnext.data.waveforms import Batch
from audioinceptionnext.errors import AinextError
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.averaging import MovingAverage, recompute_statistics
from audioinceptionnext.training.batch_transform import Hearing, crop
from audioinceptionnext.training.clip_starts import view_starts
from audioinceptionnext.training.distributed import gathered, processes, summed
from audioinceptionnext.training.hardware import tell
from audioinceptionnext.training.implementations import FORMS
from audioinceptionnext.training.optimiser import make_optimiser, make_schedule
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.teacher import Teacher

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}
UNREADABLE = 0.01  # the share of an epoch's clips above which training stops
RECORD = "audioinceptionnext"  # the key in a checkpoint
ADVICE = "last.ckpt is that of the epoch before; try a lower --learning-rate, a longer warmup or --precision float32"


class SoundClassifier(L.LightningModule):
    """Trains ``model.net`` by ``recipe``.

    Args:
        clips: what the loader's indices stand for; for messages.
        form: a name in `forms.FORMS`.
        class_weights: (classes,), of the loss; background weighs 1, the mean over the clips.
        noise, background: see `Hearing`.
        teacher: what it says of each clip is a share of the targets.
        record: written into every checkpoint; JSON values.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        model: StoredModel,
        recipe: Recipe,
        steps_an_epoch: int,
        clips: Sequence[Clip] = (),
        form: str = "convolutions",
        class_weights: Tensor | None = None,
        noise: Tensor | None = None,
        background: Tensor | None = None,
        teacher: Teacher | None = None,
        record: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.model, self.recipe, self.steps_an_epoch = model, recipe, steps_an_epoch
        self.clips, self.form, self.record = clips, FORMS[form], record
        self.net: Network = model.net
        self.teacher = teacher  # no module: its weights belong in no checkpoint
        self.hearing = Hearing(model.front_end(), recipe, model.clip_seconds, noise, background)
        self.average = MovingAverage(self.net, recipe.ema) if recipe.ema else None
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.dtype_inside = DTYPES[recipe.precision]
        self.unreadable: dict[int, str] = {}
        self._not_scored: dict[int, str] = {}
        self._scored = 0
        self._folded: list[Network] = []  # one or none; in a list, so that checkpoints do not hold it too
        self._averaged_at = 0
        self._statistics_at = -1  # the step after which normalisation statistics were computed anew

    # Training

    def training_step(self, batch: Batch, number: int) -> Tensor | None:
        self._note_unreadable(batch)
        if not self._heard_anywhere(batch):
            return None
        self._seed(number)
        x, targets = self._hear(batch)
        clips = len(batch.labels)  # what follows them is background
        if self.teacher is not None and clips:
            share = self.recipe.teacher_share
            taught = self.teacher(x[:clips], self.dtype_inside)
            targets = torch.cat([(1 - share) * targets[:clips] + share * taught, targets[clips:]])
        weights = torch.ones_like(targets[:, 0])
        if self.class_weights is not None:
            weights[:clips] = targets[:clips] @ self.class_weights
        per_clip = -(targets * self.log_probabilities(x, clips)).sum(1)
        # The mean over the clips of all processes, also where they have not as many each: their gradients are averaged.
        loss = (weights * per_clip).sum() / (summed(weights.sum()) / processes())
        mean = summed(loss) / processes()
        if not torch.isfinite(mean):
            raise AinextError(self._diverged(batch, number, per_clip))
        self.log("loss", mean, prog_bar=True, batch_size=max(1, clips))
        return loss

    def _hear(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-mel and targets, of the batch's clips and of background after them."""
        targets = self._targets(batch.labels)
        if len(batch.labels):
            return self.hearing(batch.waveforms, batch.lengths, targets)
        config = self.net.config
        return torch.zeros(0, 1, config.clip_frames, config.bands, device=self.device), targets

    def _heard_anywhere(self, batch: Batch) -> bool:
        """Whether any process has a clip; one without takes part with an empty batch, or the others would wait."""
        if processes() == 1:
            return len(batch.labels) > 0
        return bool(summed(torch.tensor(float(len(batch.labels)), device=self.device)) > 0)

    def log_probabilities(self, log_mel: Tensor, clips: int | None = None) -> Tensor:
        """(batch, classes): logarithm of the mean over the steps of each step's distribution.

        Of the rows after the first ``clips`` the mean of the logarithms: each step of background has to be unsure. The
        mean alone would let one step be sure of one class and the next one of another.
        """
        net = self.net
        if self._body_is_frozen:
            with torch.no_grad():
                maps = self.form_of_evaluation(log_mel).float()
        else:
            maps = self.form(net, log_mel, self.dtype_inside).float()
        with torch.autocast(log_mel.device.type, enabled=False):
            steps = torch.log_softmax(net.pooled_logits(maps), dim=2)  # (batch, steps, classes)
        pooled = torch.logsumexp(steps, dim=1) - math.log(steps.shape[1])
        return pooled if clips is None else torch.cat([pooled[:clips], steps[clips:].mean(1)])

    @property
    def _body_is_frozen(self) -> bool:
        return self.current_epoch < self.recipe.head_epochs

    def _targets(self, labels: Tensor) -> Tensor:
        classes, smoothing = self.net.config.num_classes, self.recipe.label_smoothing
        return nn.functional.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes

    def _seed(self, number: int) -> None:
        """Augmentation and dropout depend on seed, batch and process alone: a run that is resumed goes on the same."""
        batches = self.steps_an_epoch * self.recipe.accumulate
        step = self.current_epoch * batches + number
        torch.manual_seed(1_000_003 * self.recipe.seed + 7_919 * self.global_rank * batches + step)

    def on_train_start(self) -> None:
        self._averaged_at = self.global_step

    def on_train_epoch_start(self) -> None:
        self._folded.clear()  # of the epoch before, or of a body that is about to move

    def on_train_batch_end(self, *_: Any) -> None:
        if self.trainer.is_last_batch:
            self._check_weights()
        if self.average is not None and self.global_step != self._averaged_at:  # not within accumulated gradients
            self.average.update(self.net)
            self._averaged_at = self.global_step

    def _check_weights(self) -> None:
        """Before they are evaluated and saved: the loss after a step that ruins them would come too late."""
        norms = torch.stack(torch._foreach_norm([p.detach() for p in self.net.parameters()]))
        if not torch.isfinite(norms).all():  # squares overflow from 1e19 on, far above any weight of use
            raise AinextError(f"the weights are not finite after epoch {self.current_epoch + 1}; {ADVICE}")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.record is not None:
            checkpoint[RECORD] = self.record

    def _note_unreadable(self, batch: Batch) -> None:
        if processes() > 1:
            new = [failure for failure in batch.failures if failure[0] not in self.unreadable]
            if not summed(torch.tensor(float(len(new)), device=self.device)):
                return
            batch = batch._replace(failures=gathered(new))
        for index, reason in batch.failures:
            if index not in self.unreadable:
                self.unreadable[index] = reason
                self.print_line(f"left out: {reason}")
        if len(self.unreadable) > UNREADABLE * len(self.clips):
            listed = "; ".join(itertools.islice(self.unreadable.values(), 5))
            more = f"; and {len(self.unreadable) - 5} more" if len(self.unreadable) > 5 else ""
            raise AinextError(f"{len(self.unreadable)} of {len(self.clips)} clips cannot be read: {listed}{more}")

    def print_line(self, text: str) -> None:
        """Of the first process alone."""
        if self.trainer.is_global_zero:
            tell(text)

    def _diverged(self, batch: Batch, number: int, per_clip: Tensor) -> str:
        bad = gathered(batch.indices[~torch.isfinite(per_clip[: len(batch.indices)])].tolist())
        total = int(summed(torch.tensor(float(len(batch.indices)), device=self.device)))
        names = ", ".join(self.clips[i].name for i in bad[:3]) if self.clips else ""
        clips = f"{len(bad)} of its {total} clips" if len(bad) < total else f"all its {total} clips"
        what = f"{clips}, e.g. {names}" if bad else "in none of its clips, but in its background"
        where = f"epoch {self.current_epoch + 1}, batch {number + 1} ({what})"
        return f"the loss is not a number in {where}; {ADVICE}"

    # Evaluation

    @property
    def kept(self) -> Network:
        """The weights that are evaluated and saved: the moving average, where there is one."""
        return self.net if self.average is None else self.average.net

    def form_of_evaluation(self, log_mel: Tensor) -> Tensor:
        """Feature maps by the folded network, which is a quarter of the work."""
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
        """The last weights get their statistics too, where no evaluation has just seen to it.

        Here, for the last checkpoint follows, and once training is over the network is no longer on its device.
        """
        if self.current_epoch + 1 == self.recipe.epochs and self._statistics_at != self.global_step:
            self.recompute_statistics()

    def recompute_statistics(self) -> None:
        """Those of the kept weights, over the recipe's number of training batches, or as many as there are."""
        if self.recipe.precise_bn:
            batches = self.heard(self.trainer.train_dataloader)
            recompute_statistics(self.kept, lambda x: self.form(self.kept, x, self.dtype_inside), batches)
            self._statistics_at = self.global_step

    def heard(self, loader: Any) -> Iterator[Tensor]:
        """Batches as training hears them, for `recompute_statistics`: the epoch's first ones, again."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            for number, batch in enumerate(itertools.islice(loader, self.recipe.precise_bn)):
                self._seed(number)
                batch = self.transfer_batch_to_device(batch, self.device, 0)
                if self._heard_anywhere(batch):
                    yield self._hear(batch)[0]

    def validation_step(self, batch: Batch, _: int) -> None:
        for index, reason in batch.failures:
            if index not in self._not_scored:
                self._not_scored[index] = reason
                self.print_line(f"not scored: {reason}")
        if not len(batch.labels):
            return
        self._scored += len(batch.labels)
        right = (self.probabilities(batch).argmax(1) == batch.labels).float().mean()
        self.log("top1", 100 * right, prog_bar=True, batch_size=len(batch.labels), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        if not self._scored:
            total, first = len(self._not_scored), next(iter(self._not_scored.values()))
            raise AinextError(f"none of the {total} held-out clips can be read, e.g. {first}")

    @torch.no_grad()
    def probabilities(self, batch: Batch) -> Tensor:
        """(batch, classes), of each clip as a whole: by views, or by every step of its own length."""
        log_mel, net = self.hearing.log_mel, self.kept
        if self.recipe.views:
            return self._by_views(batch)
        seconds = max(self.model.clip_seconds, int(batch.lengths.max() + 1) / log_mel.sample_rate)
        x = crop(log_mel, batch.waveforms, batch.lengths, seconds, random=False)
        steps = torch.softmax(net.pooled_logits(self.form_of_evaluation(x).float()), dim=2)
        frames = batch.lengths // log_mel.hop
        count = net.steps(frames).clamp(max=steps.shape[1])
        own = torch.arange(steps.shape[1], device=steps.device)[None] < count[:, None]
        return (steps * own[..., None]).sum(1) / count[:, None]

    def _by_views(self, batch: Batch) -> Tensor:
        """As published: clips at even spacing from the start to the end less a clip, their distributions averaged."""
        log_mel, net = self.hearing.log_mel, self.kept
        seconds = self.model.clip_seconds
        samples = round(log_mel.sample_rate * seconds) - 1
        total: Tensor | None = None
        for view in range(self.recipe.views):
            first = view_starts(batch.lengths, samples, self.recipe.views)[:, view]
            index = first[:, None] + torch.arange(samples, device=first.device)
            cut = batch.waveforms.gather(1, index.clamp(max=batch.waveforms.shape[1] - 1))
            x = crop(log_mel, cut, (batch.lengths - first).clamp(max=samples), seconds, random=False)
            found = torch.softmax(net.pooled_logits(self.form_of_evaluation(x).float()), dim=2).mean(1)
            total = found if total is None else total + found
        assert total is not None
        return total / self.recipe.views

    def configure_optimizers(self) -> Any:
        optimizer = make_optimiser(self.net, self.recipe)
        return {"optimizer": optimizer, "lr_scheduler": make_schedule(optimizer, self.recipe, self.steps_an_epoch)}

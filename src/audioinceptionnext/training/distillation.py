"""Distillation without labels: a student learns what teachers say of mixtures of recordings (``targets: teacher``).

Teacher and student get the very same mixture, of which there are many, over many epochs: Beyer et al., 2022, "Knowledge
distillation: A good teacher is patient and consistent". The student matches the teacher's probabilities, and predicts
the features of every teacher from its own with a linear layer that is not kept.
"""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.data.audioset import audioset_groups
from audioinceptionnext.errors import ParameterError, counted, writing
from audioinceptionnext.evaluation.frame_wise import frame_precision, mean_precision
from audioinceptionnext.evaluation.thresholds import MULTI_LABEL_GRID, fit_thresholds
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.augment import random_gain
from audioinceptionnext.training.lessons import LessonBatch, Lessons
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.onnx_teacher import OnnxTeacher
from audioinceptionnext.training.optimiser import make_optimiser, make_schedule
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import TABLE
from audioinceptionnext.training.spec_augment import VERSIONS

LOWEST = -9.0  # logits below this are alike: how sure a teacher is that a label is absent does not matter
FIRST = 256  # lessons from which the statistics of input and features are taken
ENOUGH = 10  # decisions for a label that count for the mean average precision, where any label has as many
# Settings that a mixture or its target has no place for, with what they have to be.
WITHOUT: dict[str, Any] = {
    "mixup": 0,
    "label_smoothing": 0,
    "background_share": 0,
    "shift_seconds": 0,
    "pitch_semitones": 0,
    "time_warp": 0,
    "noise": None,
    "sampling": "uniform",
    "loss_weights": "uniform",
    "eval_clips": 0,
    "head_epochs": 0,
    "linear_start": False,
    "trial_share": 0,
}


def check_settings(recipe: Recipe, model: StoredModel, labels: tuple[str, ...], processes: int) -> None:
    """Check that the settings and the network make sense for mixtures.

    Args:
        recipe: the settings.
        model: the student.
        labels: of the teacher.
        processes: that train together.

    Raises:
        ParameterError: one of them does not, the student has other labels than the teacher, or there are fewer mixtures
            than a batch of each length takes.
    """
    for name, needed in WITHOUT.items():
        if (value := getattr(recipe, name)) != needed:
            ending = "leave it out" if needed is None or needed is False else f"it has to be {needed}"
            raise ParameterError(name, value, f"mixtures that a teacher labels do not go with it; {ending}")
    if model.labels != labels:
        reason = f"the {counted(len(model.labels), 'label')} of the run are not those of the teacher"
        raise ParameterError("teacher", recipe.teacher, f"{reason}; give the data set those (with_labels)")
    if not recipe.crops:
        raise ParameterError("crops", None, "mixtures need lengths, such as 2.4,4.8")
    if not model.net.convolutional:
        raise ParameterError("network", recipe.network, "it predicts clip by clip; mixtures need convolutions")
    if recipe.mixtures < (least := recipe.batch_size * processes * len(recipe.crops)):
        reason = f"give at least a batch of each of the {counted(len(recipe.crops), 'length')}, {least}"
        raise ParameterError("mixtures", recipe.mixtures, reason)


def name_labels(model: StoredModel, teacher: OnnxTeacher) -> None:
    """Give a student the identifiers of its teacher's labels, and their groups if the identifiers are AudioSet's."""
    model.identifiers, model.groups = teacher.identifiers, {}
    if model.identifiers:
        with contextlib.suppress(ParameterError):
            model.groups = audioset_groups(model.labels, model.identifiers)


class Student(SoundClassifier):
    """Trains ``model.net`` to say what teachers say.

    Args:
        lessons: to learn from.
        recordings: the number of those that the lessons are made of, for messages.
        model, recipe, steps_per_epoch, options: see `SoundClassifier`.
        fresh: whether the input statistics are to be taken from the first lessons. A linear layer whose biases are 0
            begins with the teacher's mean logits in any case.
    """

    figure: ClassVar[str] = "teacher_map"
    feature_mean: Tensor
    feature_std: Tensor
    feature_share: Tensor

    def __init__(
        self,
        lessons: Lessons,
        recordings: int,
        model: StoredModel,
        recipe: Recipe,
        steps_per_epoch: int,
        *,
        fresh: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(model, recipe, steps_per_epoch, **options)
        self.lessons, self.recordings, self.fresh = lessons, recordings, fresh
        channels = lessons.teachers.channels
        self.heads = nn.Linear(model.net.classifier.in_features, sum(channels)) if sum(channels) else None
        self.register_buffer("feature_mean", torch.zeros(sum(channels)))
        self.register_buffer("feature_std", torch.ones(sum(channels)))
        shares = [torch.full((count,), 1 / count) for count in channels]
        self.register_buffer("feature_share", torch.cat(shares), persistent=False)
        self._answers: list[tuple[Tensor, Tensor]] = []

    def setup(self, stage: str) -> None:
        """Take the statistics of the input and of the features, and the mean logits, from the first lessons.

        Not before, because they are kept in the folder of the run. A checkpoint that is resumed replaces them.
        """
        if stage != "fit":
            return
        self.print_line("making the first mixtures")
        parts = [self.lessons.part(number) for number in range(min(self.lessons.parts, -(-FIRST // self.lessons.size)))]
        logits, features = (
            torch.from_numpy(np.concatenate([part[name] for part in parts]).astype(np.float32))
            for name in ("logits", "features")
        )
        net = self.net
        with torch.no_grad():
            self.feature_mean.copy_(features.mean(0))
            self.feature_std.copy_(features.std(0).clamp(min=1e-2))
            if self.fresh and self.recipe.standardise == "data":
                inputs = [torch.from_numpy(part["log_mel"].astype(np.float32))[:, None] for part in parts]
                values = torch.cat([net.scale(log_mel).flatten() for log_mel in inputs])
                net.mean.copy_(values.mean())
                net.std.copy_(values.std().clamp(min=1e-3))
            if not net.classifier.bias.any():
                net.classifier.bias.copy_(self._comparable(logits).mean(0))
        if self.average is not None:
            self.average.module.load_state_dict(net.state_dict())

    def _comparable(self, logits: Tensor) -> Tensor:
        """Logits of which only those that matter differ: at least `LOWEST`, and for one label of many normalised."""
        return (logits if self.model.multi_label else logits.log_softmax(-1)).clamp(min=LOWEST)

    def _inputs(self, batch: LessonBatch) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The log-mel, with another level and masks for the student alone, and the logits and features side by side."""
        mask = VERSIONS[self.recipe.spec_augment].mask
        x = random_gain(batch.log_mel, self.recipe.gain_db, 0.0) if len(batch.labels) else batch.log_mel
        x = mask(mask(x, *self.recipe.frequency_masks, 3), *self.recipe.time_masks, 2)
        return x, torch.cat([batch.logits, batch.features], 1)

    def _losses(self, x: Tensor, targets: Tensor, clips: int) -> tuple[Tensor, Tensor]:
        recipe, classes = self.recipe, self.net.config.num_classes
        maps = self.feature_maps(self.net, x, self.activation_dtype).float()
        with torch.autocast(x.device.type, enabled=False):
            pooled = self.net.summary(maps.mean((2, 3)))  # over all of a mixture, as the teacher's answers are
            logits = self.net.classifier(self.net.dropout(pooled))
            taught = targets[:, :classes]
            cross, divergence = self._cross_entropy(logits, taught)
            clipped = nn.functional.mse_loss(self._comparable(logits), self._comparable(taught), reduction="none")
            loss = recipe.probability_weight * cross + recipe.logit_weight * clipped.mean(1)
            if self.heads is not None:
                features = (targets[:, classes:] - self.feature_mean) / self.feature_std
                away = nn.functional.smooth_l1_loss(self.heads(pooled), features, reduction="none")
                loss = loss + recipe.feature_weight * (away * self.feature_share).sum(1)
        self.log("kl", divergence.detach().mean(), prog_bar=True, batch_size=max(1, clips))
        return loss, torch.ones_like(loss)

    def _cross_entropy(self, logits: Tensor, taught: Tensor) -> tuple[Tensor, Tensor]:
        """The cross-entropy of each row to the teacher's probabilities, and what of it is above the teacher's entropy.

        Of a multi-label model, both are summed over the labels.
        """
        if self.model.multi_label:
            target = torch.sigmoid(taught)
            cross, own = (
                nn.functional.binary_cross_entropy_with_logits(values, target, reduction="none").sum(1)
                for values in (logits, taught)
            )
        else:
            target = taught.softmax(1)
            cross, own = (-(target * values.log_softmax(1)).sum(1) for values in (logits, taught))
        return cross, cross - own

    def missing(self) -> tuple[list[str], int, str]:
        return list(self.unreadable.values()), self.recordings, "recording"

    def configure_optimizers(self) -> Any:
        optimizer = make_optimiser(self.net, self.recipe)
        if self.heads is not None:
            rate = self.recipe.learning_rate
            for weights, decay in ((self.heads.weight, self.recipe.weight_decay), (self.heads.bias, 0.0)):
                optimizer.add_param_group({"params": [weights], "lr": rate, "weight_decay": decay})
        return {"optimizer": optimizer, "lr_scheduler": make_schedule(optimizer, self.recipe, self.steps_per_epoch)}

    def on_validation_start(self) -> None:
        super().on_validation_start()
        self._answers.clear()

    @torch.no_grad()
    def _score(self, batch: LessonBatch) -> None:  # type: ignore[override]
        maps = self.folded_feature_maps(batch.log_mel).float()
        self._answers.append((self.kept.classifier(self.kept.summary(maps.mean((2, 3)))).cpu(), batch.logits.cpu()))

    def on_validation_epoch_end(self) -> None:
        super().on_validation_epoch_end()
        said, taught = map(torch.cat, zip(*self._answers, strict=True))
        self.log("val_loss", self._cross_entropy(said, taught)[1].mean(), prog_bar=True, sync_dist=True)
        precision = average_precision(said.numpy(), self.decisions(taught).numpy())
        self.log(self.figure, mean_average_precision(*precision), prog_bar=True, sync_dist=True)

    def decisions(self, logits: Tensor) -> Tensor:
        """What the teacher decides: (batch, classes) bool, the labels above one half, or the likeliest one."""
        if self.model.multi_label:
            return logits > 0
        return nn.functional.one_hot(logits.argmax(1), logits.shape[1]).bool()

    @torch.no_grad()
    def conclude(self, model: StoredModel, held_out: Iterable[LessonBatch], out: Path) -> dict[str, Any]:
        """Score the finished network on the held-out lessons, and give it its thresholds.

        Args:
            model: gets an onset threshold for each label, if several can be true at a time.
            held_out: batches of lessons.
            out: the folder of the run, for a table with a row for each label.

        Returns:
            ``mixtures``, their number; ``kl``, the mean divergence from the teacher; and ``teacher_map`` in %, the mean
            average precision against its decisions, over ``labels_with_decisions`` labels.
        """
        net = model.folded().eval()
        answers = [(net(x.log_mel), x.logits) for x in held_out]
        said, taught = map(torch.cat, zip(*answers, strict=True))
        decided = self.decisions(taught).numpy()
        precision, counts = average_precision(said.numpy(), decided)
        thresholds = [math.nan] * len(model.labels)
        if model.multi_label:
            thresholds = fit_thresholds(torch.sigmoid(said).numpy(), decided, MULTI_LABEL_GRID).tolist()
            model.thresholds = tuple(thresholds)
        with writing(out / TABLE), (out / TABLE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("label", "decisions", "average_precision", "threshold"))
            rows = zip(model.labels, counts.tolist(), precision.tolist(), thresholds, strict=True)
            writer.writerows(
                (label, n, *("" if math.isnan(v) else f"{v:.4f}" for v in rest)) for label, n, *rest in rows
            )
        return {
            "mixtures": len(said),
            "kl": float(self._cross_entropy(said, taught)[1].mean()),
            "teacher_map": mean_average_precision(precision, counts),
            "labels_with_decisions": int((counts >= _enough(counts)).sum()),
        }


def average_precision(scores: np.ndarray, decisions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How well scores rank what a teacher decides for first.

    Args:
        scores: (mixtures, classes).
        decisions: (mixtures, classes) bool.

    Returns:
        (classes,) average precision from 0 to 1, NaN without a decision for a label; and (classes,) their numbers.
    """
    return frame_precision(scores, decisions), decisions.sum(0)


def mean_average_precision(precision: np.ndarray, counts: np.ndarray) -> float:
    """The mean in % over the labels with at least `ENOUGH` decisions, or with the most if none has as many.

    It is 0 if the teacher decides for no label at all.
    """
    return float(np.nan_to_num(mean_precision(precision[counts >= _enough(counts)])))


def _enough(counts: np.ndarray) -> int:
    return max(1, min(ENOUGH, int(counts.max())))

"""Distillation: a network learns from the predictions of trained ones, and not from labels alone.

Hinton, Vinyals and Dean, 2015, "Distilling the Knowledge in a Neural Network". Teacher and student get the same
augmented and mixed crop, after Beyer et al., 2022, "Knowledge distillation: A good teacher is patient and consistent".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.network.tasks import softmax
from audioinceptionnext.training.initial_model import open_weights

FOLD = "{fold}"  # in the name of a teacher, the number of the fold that a cross-validation holds out
FRONT_END = ("sample_rate", "window_ms", "hop_ms")


class Teacher:
    """The mean prediction of trained networks.

    Args:
        networks: in their folded form.
        tasks, multi_label: see `StoredModel`.
    """

    def __init__(
        self, networks: Sequence[Network], tasks: Mapping[str, int] | None = None, multi_label: bool = False
    ) -> None:
        self.networks, self.tasks, self.multi_label = networks, tasks or {}, multi_label

    @torch.no_grad()
    def __call__(self, log_mel: Tensor, dtype: torch.dtype) -> Tensor:
        """Predict the classes of clips.

        Args:
            log_mel: (batch, 1, frames, bands), one clip long or longer.
            dtype: of the activations.

        Returns:
            (batch, classes): the mean of the probabilities over networks and steps. They sum to 1 in each task, unless
            several labels can be true.
        """
        total = torch.zeros((), device=log_mel.device)
        for net in self.networks:
            net.to(log_mel.device)
            with torch.autocast(log_mel.device.type, dtype, enabled=dtype != torch.float32):
                maps = net.features(log_mel)
            with torch.autocast(log_mel.device.type, enabled=False):
                logits = net.pooled_logits(maps.float())
                steps = torch.sigmoid(logits) if self.multi_label else softmax(logits, self.tasks)
                total = total + steps.mean(1)
        return total / len(self.networks)


def open_teacher(names: str, student: StoredModel, fold: object = None) -> Teacher:
    """Load the models of the recipe's setting ``teacher``.

    Args:
        names: names or files, separated by commas.
        student: the model to be trained.
        fold: replaces `FOLD` in the names, since a teacher must not have learnt from what the student is scored on.

    Raises:
        ParameterError: a teacher has other classes or another front end, or is multi-label where the student is not (or
            the reverse), or its name needs a fold.
        AinextError: its weights cannot be read.
    """
    networks = []
    for name in names.split(","):
        name = name.strip()
        if FOLD in name:
            if fold is None:
                raise ParameterError("teacher", name, f"only a cross-validation gives {FOLD} a number")
            name = name.replace(FOLD, str(fold))
        model = open_weights(name)
        if (model.labels, model.tasks) != (student.labels, student.tasks):
            reason = f"its {len(model.labels)} classes are not the {len(student.labels)} classes of this run"
            raise ParameterError("teacher", name, reason)
        if model.multi_label != student.multi_label:
            one = "several of {} labels can be true at a time, but only one of {}"
            reason = one.format("its", "this run's") if model.multi_label else one.format("this run's", "its")
            raise ParameterError("teacher", name, reason)
        ours, theirs = (
            [getattr(m, key) for key in FRONT_END] + [m.net.config.bands, m.n_fft] for m in (student, model)
        )
        if ours != theirs:
            front_end = "{} Hz, {:g} ms windows every {:g} ms, {} bands, n_fft {}"
            reason = f"its front end is {front_end.format(*theirs)}; this run has {front_end.format(*ours)}"
            raise ParameterError("teacher", name, reason)
        networks.append(model.folded().eval())
    return Teacher(networks, student.tasks, student.multi_label)

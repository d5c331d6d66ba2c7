"""Distillation: a network learns what trained ones say of the very sound that it hears, and not labels alone.

Hinton, Vinyals and Dean, 2015, "Distilling the Knowledge in a Neural Network"; teacher and student hear the same
augmented and mixed crop, after Beyer et al., 2022, "Knowledge distillation: A good teacher is patient and consistent".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from audioinceptionnext.errors import AinextError
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.initial_model import open_weights

FOLD = "{fold}"  # in the setting's text, the number of the fold that a cross-validation holds out
ALIKE = ("sample_rate", "window_ms", "hop_ms")


class Teacher:
    """The mean of what ``networks``, folded, make of a clip."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self.networks = networks

    @torch.no_grad()
    def __call__(self, log_mel: Tensor, dtype: torch.dtype) -> Tensor:
        """(batch, classes), the mean over networks and steps of each step's distribution.

        Args:
            log_mel: (batch, 1, frames, bands), a clip or longer.
            dtype: of the activations.
        """
        total = torch.zeros((), device=log_mel.device)
        for net in self.networks:
            net.to(log_mel.device)
            with torch.autocast(log_mel.device.type, dtype, enabled=dtype != torch.float32):
                maps = net.features(log_mel)
            with torch.autocast(log_mel.device.type, enabled=False):
                total = total + torch.softmax(net.pooled_logits(maps.float()), dim=2).mean(1)
        return total / len(self.networks)


def open_teacher(names: str, student: StoredModel, fold: object = None) -> Teacher:
    """The trained networks of the recipe's setting ``teacher``: names or files, with commas between.

    Args:
        fold: what takes the place of `FOLD` in them; a teacher must not have heard what the student is scored on.

    Raises:
        AinextError: weights that cannot be read, that name other classes, or that hear by another front end.
    """
    networks = []
    for name in names.split(","):
        name = name.strip()
        if FOLD in name:
            if fold is None:
                raise AinextError(f"teacher: {name}: only ainext cross-validate knows what {FOLD} stands for")
            name = name.replace(FOLD, str(fold))
        model = open_weights(name)
        if model.labels != student.labels:
            counts = f"its {len(model.labels)} classes are not the {len(student.labels)} that are learnt here"
            raise AinextError(f"teacher: {name}: {counts}")
        ours, theirs = ([getattr(m, key) for key in ALIKE] + [m.net.config.bands] for m in (student, model))
        if ours != theirs:
            heard = "{} Hz, {:g} ms windows every {:g} ms, {} bands"
            raise AinextError(f"teacher: {name}: hears {heard.format(*theirs)}; here it is {heard.format(*ours)}")
        networks.append(model.folded().eval())
    return Teacher(networks)

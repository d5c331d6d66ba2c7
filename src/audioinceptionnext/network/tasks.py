"""Labels in parts of each of which one is true, such as verbs and nouns: probabilities, logits and targets by part.

``tasks`` are the names and sizes of the parts, in the order of the labels, as in `StoredModel`. Without tasks, all
labels are one part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


def softmax(logits: Tensor, tasks: Mapping[str, int]) -> Tensor:
    """Probabilities of the same shape as the logits (…, classes), which sum to 1 in each task."""
    return _by_task(torch.softmax, logits, tasks)


def log_softmax(logits: Tensor, tasks: Mapping[str, int]) -> Tensor:
    """The logarithms of `softmax`."""
    return _by_task(torch.log_softmax, logits, tasks)


def _by_task(function: Callable[[Tensor, int], Tensor], logits: Tensor, tasks: Mapping[str, int]) -> Tensor:
    if not tasks:
        return function(logits, -1)
    return torch.cat([function(part, -1) for part in logits.split(list(tasks.values()), -1)], -1)


def undecided(classes: int, tasks: Mapping[str, int], mass: float = 1.0) -> Tensor:
    """(classes,): a target that favours no label. It sums to ``mass``, of which every task has the same share."""
    sizes = list(tasks.values()) or [classes]
    return torch.cat([torch.full((size,), mass / (size * len(sizes))) for size in sizes])


def targets_of(labels: Tensor, classes: int, tasks: Mapping[str, int], smoothing: float = 0.0) -> Tensor:
    """Targets (batch, classes) whose cross-entropy is the mean of the tasks' cross-entropies. Rows sum to 1.

    Args:
        labels: (batch, tasks) class indices, one of each task; (batch, 1) without tasks.
        classes: their number.
        tasks: names and sizes.
        smoothing: the share of each task's target that is the same for all its labels (Szegedy et al., 2016).

    >>> targets_of(torch.tensor([[0, 3]]), 5, {"verb": 2, "noun": 3})
    tensor([[0.5000, 0.0000, 0.0000, 0.5000, 0.0000]])
    """
    true = torch.nn.functional.one_hot(labels, classes).sum(1).float()
    return true * ((1 - smoothing) / labels.shape[1]) + undecided(classes, tasks, smoothing).to(true.device)

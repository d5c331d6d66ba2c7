"""Weights and statistics that are evaluated in the place of those that training left last."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from audioinceptionnext.network.base import Network


class MovingAverage(nn.Module):
    """An exponential moving average of a network's weights and running statistics.

    Young averages forget faster: the n-th update uses min(decay, (1 + n) / (10 + n)), so that the random start is gone
    soon. Kept as a module, its state travels with a checkpoint.
    """

    updates: Tensor

    def __init__(self, net: Network, decay: float) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).requires_grad_(False).eval()
        self.decay = decay
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        n = int(self.updates)
        keep = min(self.decay, (1 + n) / (10 + n))
        self.updates += 1
        ours, theirs = [], []
        for mine, other in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if mine.is_floating_point():
                ours.append(mine)
                theirs.append(other)
            else:
                mine.copy_(other)
        torch._foreach_lerp_(ours, theirs, 1 - keep)


@torch.no_grad()
def recompute_statistics(net: nn.Module, hear: Callable[[Tensor], object], batches: Iterable[Tensor]) -> int:
    """Replaces the running statistics of all normalisations by those of ``batches`` ("precise BN", Wu et al., 2018).

    The mean is that of the batches' means; the variance that of all their elements: the mean of the batches' variances
    plus the variance of their means.

    Args:
        hear: one forward pass in training mode.

    Returns:
        How many batches there were; with none the statistics stay.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    mean: list[Tensor] = []
    square: list[Tensor] = []
    count = 0
    with _training_mode(net), _momentum(norms, 1.0):  # with momentum 1 the running statistics are the batch's
        for batch in batches:
            hear(batch)
            means, squares = [], []
            for norm in norms:
                assert norm.running_mean is not None and norm.running_var is not None
                means.append(norm.running_mean.double())
                squares.append(norm.running_var.double() + norm.running_mean.double() ** 2)
            mean = means if not count else [a + b for a, b in zip(mean, means, strict=True)]
            square = squares if not count else [a + b for a, b in zip(square, squares, strict=True)]
            count += 1
    for norm, m, s in zip(norms, mean, square, strict=bool(count)):
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(m / count)
        norm.running_var.copy_(s / count - (m / count) ** 2)
    return count


@contextmanager
def _training_mode(net: nn.Module) -> Iterator[None]:
    before = net.training
    net.train()
    try:
        yield
    finally:
        net.train(before)


@contextmanager
def _momentum(norms: list[nn.modules.batchnorm._BatchNorm], momentum: float) -> Iterator[None]:
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    try:
        yield
    finally:
        for norm, value in zip(norms, before, strict=True):
            norm.momentum = value

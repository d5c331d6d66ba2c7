"""Weights and statistics that are evaluated in place of those of the last training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from audioinceptionnext.network.base import Network
from audioinceptionnext.training.frozen import FrozenBatchNorm

Tensors = list[Tensor] | tuple[Tensor, ...]


class MovingAverage(AveragedModel):
    """An exponential moving average of a network's weights and running statistics.

    The n-th update, counted from 1, uses the decay min(decay, n / (9 + n)), so that the random initial weights are soon
    forgotten. What is no float is copied. It is a module, so that checkpoints contain its state.

    Args:
        net: copied; the average starts as its weights.
        decay: of the average per update, from 0 to below 1.

    Attributes:
        module: the network with the averaged weights, in evaluation mode.
        n_averaged: the number of updates so far, and one more for the initial weights.
    """

    module: Network

    def __init__(self, net: Network, decay: float) -> None:
        super().__init__(net, multi_avg_fn=partial(_move, decay), use_buffers=True)
        self.requires_grad_(False).eval()
        self.n_averaged += 1  # otherwise the first update would be a copy


@torch.no_grad()
def _move(decay: float, average: Tensors, weights: Tensors, n: Tensor | int) -> None:
    if average[0].is_floating_point():
        torch._foreach_lerp_(average, weights, 1 - min(decay, int(n) / (9 + int(n))))
    else:
        torch._foreach_copy_(average, weights)


@torch.no_grad()
def recompute_statistics(net: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of the normalisations by those of ``batches`` ("precise BN", Wu et al., 2018).

    The new mean is the mean of the batches' means. The new variance is that of all elements: the mean of the batches'
    variances plus the variance of their means.

    Normalisations that are frozen (`frozen.FrozenBatchNorm`) keep theirs.

    Args:
        net: in training mode during the call.
        forward: computes a forward pass of ``net``.
        batches: the inputs of the passes.

    Returns:
        The number of batches. If there are none, the statistics stay as they are.
    """
    norms = [
        module
        for module in net.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not isinstance(module, FrozenBatchNorm)
    ]
    mean: list[Tensor] = []
    square: list[Tensor] = []
    count = 0
    with _training_mode(net), _momentum(norms, 1.0):  # with momentum 1 the running statistics are the batch's
        for batch in batches:
            forward(batch)
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

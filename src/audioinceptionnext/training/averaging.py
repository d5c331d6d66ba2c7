"""Weights and statistics that are evaluated in place of those of the last training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel

from audioinceptionnext.network.base import Network
from audioinceptionnext.training.distributed import summed
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
def recompute_statistics(net: Network, forward: Callable[[Tensor], object], batches: Iterable[Tensor]) -> int:
    """Replace the running statistics of the normalisations by those of ``batches`` ("precise BN", Wu et al., 2018).

    The new mean and variance are those of all elements together: the mean of the batches' means, and the mean of their
    variances plus the variance of their means. As published, variances divide by n and not by n - 1.

    Normalisations that are frozen (`frozen.FrozenBatchNorm`) keep theirs.

    Args:
        net: in training mode during the call.
        forward: computes a forward pass of ``net``.
        batches: the inputs of the passes, (batch, 1, frames, bands).

    Returns:
        The number of batches. If there are none, the statistics stay as they are.
    """
    norms = [
        module for module in net.modules() if isinstance(module, _BatchNorm) and not isinstance(module, FrozenBatchNorm)
    ]
    total = [0.0] * len(norms)
    mean, square = ([torch.zeros((), dtype=torch.float64)] * len(norms) for _ in range(2))
    elements: dict[torch.Size, list[int]] = {}  # of one clip of this shape, by normalisation
    count = 0
    with _training_mode(net), _momentum(norms, 1.0):  # with momentum 1 the running statistics are the batch's
        for batch in batches:
            if batch.shape[1:] not in elements:
                elements[batch.shape[1:]] = _elements(net, norms, batch.new_zeros(1, *batch.shape[1:]))
            # Of all processes: the batch of this one may be empty, and then has another shape than those of the others.
            own = torch.tensor(elements[batch.shape[1:]], device=batch.device) * len(batch)
            counts = summed(own).tolist()
            forward(batch)
            for number, norm in enumerate(norms):
                assert norm.running_mean is not None and norm.running_var is not None
                n, m = counts[number], norm.running_mean.double()
                variance = norm.running_var.double() * (n - 1) / n
                total[number] = total[number] + n
                mean[number] = mean[number].to(m.device) + n * m
                square[number] = square[number].to(m.device) + n * (variance + m**2)
            count += 1
    for number, norm in enumerate(norms if count else []):
        assert norm.running_mean is not None and norm.running_var is not None
        m = mean[number] / total[number]
        norm.running_mean.copy_(m)
        norm.running_var.copy_(square[number] / total[number] - m**2)
    return count


def _elements(net: Network, norms: list[_BatchNorm], clip: Tensor) -> list[int]:
    """How many elements per channel each normalisation sees of a clip (1, 1, frames, bands)."""
    found: dict[nn.Module, int] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[norm] = inputs[0].numel() // inputs[0].shape[1]

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    training = net.training
    try:
        net.eval().features(clip)  # changes no statistics
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    return [found[norm] for norm in norms]


@contextmanager
def _training_mode(net: nn.Module) -> Iterator[None]:
    before = net.training
    net.train()
    try:
        yield
    finally:
        net.train(before)


@contextmanager
def _momentum(norms: list[_BatchNorm], momentum: float) -> Iterator[None]:
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = momentum
    try:
        yield
    finally:
        for norm, value in zip(norms, before, strict=True):
            norm.momentum = value

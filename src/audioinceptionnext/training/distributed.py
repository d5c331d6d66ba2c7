"""What makes several processes train as one would with their global batch: sums and statistics over all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


def processes() -> int:
    """The number of processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def summed(values: Tensor) -> Tensor:
    """The sum of ``values`` over all processes, without a gradient. Every process has to call it."""
    return _Sum.apply(values.detach()) if processes() > 1 else values.detach()


def gathered(items: list[Any]) -> list[Any]:
    """The items of all processes, in the order of their ranks. Every process has to call it."""
    if processes() == 1:
        return items
    lists: list[Any] = [None] * processes()
    distributed.all_gather_object(lists, items)
    return [item for part in lists for item in part]


class _Sum(torch.autograd.Function):
    """The sum over all processes. It depends on the values of each, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradients[0].contiguous())


class SynchronisedBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of all processes, on any device (`nn.SyncBatchNorm` needs a GPU).

    The batch of a process may be empty; it then adds nothing to the sums.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and processes() > 1):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            wide = x.float()
            count = torch.full((1,), x.numel() / x.shape[1], device=x.device, dtype=torch.float64)
            sums = torch.cat([self._sum(wide), self._sum(wide.square()), count])
            sums = _Sum.apply(sums)
            n = sums[-1].detach()
            mean, square = (sums[:-1] / n).chunk(2)
            variance = (square - mean.square()).clamp(min=0).float()
            mean = mean.float()
            self._track(mean.detach(), variance.detach() * (n / (n - 1).clamp(min=1)).float())
            gain = self.weight * torch.rsqrt(variance + self.eps)
            shift = self.bias - mean * gain
            return (wide * gain[:, None, None] + shift[:, None, None]).to(x.dtype)

    @staticmethod
    def _sum(x: Tensor) -> Tensor:
        """(channels,) float64, because the variance is the difference of two such sums."""
        return x.sum((0, 2, 3), dtype=torch.float64)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.num_batches_tracked is not None and self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, factor)
        self.running_var.lerp_(variance, factor)


def synchronise(net: nn.Module) -> None:
    """Turn every batch normalisation of ``net`` into a `SynchronisedBatchNorm`. Weights and names stay the same."""
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SynchronisedBatchNorm


def desynchronise(net: nn.Module) -> None:
    """Undo `synchronise`."""
    for module in net.modules():
        if type(module) is SynchronisedBatchNorm:
            module.__class__ = nn.BatchNorm2d  # type: ignore[assignment]

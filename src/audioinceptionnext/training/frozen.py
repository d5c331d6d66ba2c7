"""Batch normalisations that stay as they are in training, as in the successor's fine-tuning."""

from __future__ import annotations

from typing import Self

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class FrozenBatchNorm(nn.BatchNorm2d):
    """`nn.BatchNorm2d` that always normalises with its running statistics, whoever asks for training mode."""

    def train(self, mode: bool = True) -> Self:
        return super().train(False)


def freeze_norms(net: nn.Module) -> None:
    """Freeze every batch normalisation of ``net`` but the first, the stem's: its weight, bias and statistics stay."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms[1:]:
        norm.__class__ = FrozenBatchNorm
        norm.eval().requires_grad_(False)


def freeze_statistics(net: nn.Module) -> None:
    """Let every batch normalisation of ``net`` keep its running statistics; its weight and bias still learn."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = FrozenBatchNorm
            module.eval()


def all_norms_frozen(net: nn.Module) -> bool:
    """Whether no normalisation of ``net`` has statistics that can change."""
    return all(isinstance(module, FrozenBatchNorm) for module in net.modules() if isinstance(module, _BatchNorm))


def has_frozen_norms(net: nn.Module) -> bool:
    """Whether normalisations of ``net`` are frozen."""
    return any(isinstance(module, FrozenBatchNorm) for module in net.modules())

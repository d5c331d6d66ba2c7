"""The optimiser of a recipe and the course of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.network.staged import StagedNetwork
from audioinceptionnext.training.recipe import Recipe


def make_optimiser(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The optimiser with up to four groups: the linear layer and the body, each with and without weight decay.

    With ``layer_decay``, the body is as many parts as it has blocks, each with its own rate, and the stem has that of
    the first block. The weights and biases of normalisations are never decayed: pulling them to 0 does not make a
    network simpler. Other biases are those of linear layers and of merged kernels (`RepConfig.merged`).

    Raises:
        ParameterError: ``layer_decay`` is not 1, and the network has no blocks.
    """
    norms = {id(p) for m in net.modules() if isinstance(m, (_BatchNorm, nn.LayerNorm)) for p in m.parameters()}
    groups = []
    for parameters, rate in _parts(net, recipe):
        own = [p for p in parameters if p.requires_grad]
        decayed = {id(p) for p in own if p.ndim > 1 or (recipe.decay_biases and id(p) not in norms)}
        for decay, inside in ((recipe.weight_decay, True), (0.0, False)):
            groups.append(
                {"params": [p for p in own if (id(p) in decayed) == inside], "lr": rate, "weight_decay": decay}
            )
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    momentum, nesterov = recipe.momentum, recipe.nesterov and recipe.momentum > 0
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=momentum, nesterov=nesterov)


def _parts(net: nn.Module, recipe: Recipe) -> Iterator[tuple[list[nn.Parameter], float]]:
    """The parameters of the body, from its input on, and of the linear layer, with their learning rates."""
    head = list(net.classifier.parameters())  # type: ignore[union-attr]
    of_head = {id(p) for p in head}
    body = [p for p in net.parameters() if id(p) not in of_head]
    rate = recipe.learning_rate * recipe.body_rate
    if recipe.layer_decay == 1:
        yield body, rate
    else:
        if not isinstance(net, StagedNetwork):
            raise ParameterError("layer_decay", recipe.layer_decay, "this network has no blocks; give 1")
        blocks = [list(block.parameters()) for block in net.blocks]
        inside = {id(p) for block in blocks for p in block}
        blocks[0] = [p for p in body if id(p) not in inside] + blocks[0]
        for number, block in enumerate(blocks, 1):
            yield block, rate * recipe.layer_decay ** (len(blocks) - number)
    yield head, recipe.learning_rate


def rate_factor(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """The factor of the learning rate in an optimiser step, counted from 0.

    >>> rate_factor(Recipe(epochs=10, warmup=0.2), step=9, steps_per_epoch=10)
    0.5
    """
    total = recipe.epochs * steps_per_epoch
    warm = round(total * recipe.warmup)
    if step < warm:
        return (step + 1) / warm
    if recipe.schedule == "cosine":
        return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm)))
    if recipe.schedule == "constant":
        return min(1.0, (total - step) / max(1, round(total * recipe.decay)))
    epoch = step // steps_per_epoch
    reached = [int(first) for first in recipe.rate_at if int(first) <= epoch]
    return float(recipe.rate_at[max(reached)]) if reached else 1.0


def make_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int) -> dict[str, Any]:
    """The schedule of the learning rate, in the form that Lightning takes."""
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(recipe, step, steps_per_epoch))
    return {"scheduler": schedule, "interval": "step"}


def all_finite(net: nn.Module) -> bool:
    """Whether all weights are finite numbers, and small enough for their squares to be (1e19 is far above any use)."""
    norms = torch.stack(torch._foreach_norm([p.detach() for p in net.parameters()]))
    return bool(torch.isfinite(norms).all())

"""`AudioInceptionNeXt` in training as matrix products: the same weights and outputs, computed faster.

If activations are laid out as (channels, time, batch, frequency), every layer is a matrix product. Processors with bf16
matrix units compute these far faster than depthwise convolutions, and above all than their backward pass. Two things
make it fast:

- The depthwise branches process a few channels at a time (`banded.py`).
- A normalised 1x1 convolution is folded before it is applied, in training too. The mean and the variance of ``W x``
  over the batch follow from the mean and the covariance of ``x``, so that the normalisation becomes part of W and its
  output is written once. Expansion and squeeze have nothing but normalisations between them and become one C x C
  product. The activations of 4C channels, which are most of what a step reads and writes, are never computed. Gradients
  flow through the covariance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, max_pool2d

from audioinceptionnext.network.banded import Branches, accumulator_dtype
from audioinceptionnext.network.blocks import Block, Branch, ConvNorm, Stem
from audioinceptionnext.network.model import AudioInceptionNeXt

Fold = Callable[..., tuple[Tensor, Tensor]]


def supports(net: nn.Module) -> bool:
    """Whether `features` can compute this network."""
    if not isinstance(net, AudioInceptionNeXt):
        return False
    config = net.config
    plain = not config.activation and not config.statistics
    return config.separable and config.depthwise and config.order == "time-frequency" and plain


def features(net: AudioInceptionNeXt, log_mel: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """`AudioInceptionNeXt.features` in training mode: uses batch statistics, and updates the running ones as usual.

    Normalisations in evaluation mode use their running statistics and leave them as they are. Those of the two
    convolutions of a mixer, and those of all branches of a block, have to be in the same mode.

    Args:
        net: an unfolded network that `supports` accepts, in training mode.
        log_mel: (batch, 1, frames, bands) float32.
        dtype: of the activations. Weights and statistics stay float32.

    Returns:
        (batch, channels, time, frequency) of ``dtype``.
    """
    x = _stem(net.stem, net.standardised(log_mel).to(dtype))
    for block in net.blocks:
        assert isinstance(block, Block)
        x = _block(block, x)
    return x.permute(2, 0, 1, 3)


def _stem(stem: Stem, x: Tensor) -> Tensor:
    """To (channels, time, batch, frequency).

    Pooling comes before the ReLU, which gives the same result on a quarter of the values.
    """
    conv, norm = stem.conv.conv, stem.conv.norm
    weight = conv.weight.to(x.dtype).contiguous(memory_format=torch.channels_last)  # so that pooling is vectorised
    y = conv2d(x, weight, None, 2, (2, 3)).contiguous(memory_format=torch.channels_last)
    factor = _count_batch(norm) if norm.training else 0.0
    y = batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, factor, norm.eps)
    return torch.relu_(max_pool2d(y, 3, 2, 1)).permute(1, 2, 0, 3).contiguous()


def _block(block: Block, x: Tensor) -> Tensor:
    stride = block.head.conv.stride[0]
    x = x[:, ::stride, :, ::stride].contiguous() if stride > 1 else x
    _, time, batch, frequency = x.shape
    flat = x.flatten(1)
    n = flat.shape[1]

    # The head and the 1x1 convolution of the shortcut read the same x, so one product computes both.
    units = [unit for unit in (block.head, block.shortcut) if isinstance(unit, ConvNorm)]

    def fold_heads(covariance: Tensor, mean: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        folded = [_fold(unit, covariance, mean, n, *parameters[3 * i : 3 * i + 3]) for i, unit in enumerate(units)]
        return torch.cat([weight for weight, _ in folded]), torch.cat([bias for _, bias in folded])

    both = _product(flat, units, fold_heads)
    channels = block.head.conv.weight.shape[0]
    shortcut = both[channels:] if len(units) == 2 else flat

    summed = _branches(block, both[:channels].view(channels, time, batch, frequency))

    expand, squeeze = block.mixer.expand, block.mixer.squeeze

    def fold_mixer(covariance: Tensor, mean: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        expanded, bias = _fold(expand, covariance, mean, n, *parameters[:3])
        weight, scale, shift = parameters[3:]
        return _fold(squeeze, covariance, mean, n, weight @ expanded, scale, shift, offset=weight @ bias)

    mixed = _product(summed.flatten(1), [expand, squeeze], fold_mixer)
    return torch.relu_(mixed.add_(shortcut)).view(channels, time, batch, frequency)


def _product(x: Tensor, units: list[ConvNorm], fold: Fold) -> Tensor:
    """The folded ``units`` applied to x (channels, n)."""
    parameters = [p for unit in units for p in _parameters(unit)]
    if any(unit.norm.training for unit in units):
        return FoldedProduct.apply(x, fold, *parameters)
    nothing = parameters[0].new_zeros(())  # fixed normalisations do not depend on the statistics of x
    weight, bias = fold(nothing, nothing, *parameters)
    return torch.addmm(bias.to(x.dtype)[:, None], weight.to(x.dtype), x)


def _branches(block: Block, h: Tensor) -> Tensor:
    convs = [conv for branch in block.branches if isinstance(branch, Branch) for conv in branch.convs]
    norms = [conv.norm for conv in convs if isinstance(conv, ConvNorm)]
    fixed = None
    if not norms[0].training:
        both = [torch.stack([norm.running_mean, norm.running_var]) for norm in norms]  # type: ignore[list-item]
        fixed = torch.stack(both).unflatten(0, (-1, 2))  # (branches, 2 axes, mean and variance, channels)
    parameters = (p for conv in convs for p in _parameters(conv))
    summed, statistics = Branches.apply(h, block.head.norm.eps, fixed, *parameters)
    for norm, (mean, inverse) in zip(norms, statistics.flatten(0, 1), strict=True):
        if fixed is None:
            _update_statistics(norm, mean, inverse**-2 - norm.eps, h[0].numel())
    return summed


class FoldedProduct(torch.autograd.Function):
    """``weight @ x + bias``, where weight and bias depend on the statistics of x.

    ``apply(x, fold, *parameters)`` takes x (channels, n); ``fold(covariance, mean, *parameters)`` returns weight
    (outputs, channels) and bias (outputs,) in float32. PyTorch differentiates ``fold``, whose matrices do not grow with
    n. The derivative of the statistics is added here: for a gradient S of the covariance, (S + S') (x - mean) / n.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, fold: Fold, *parameters: Tensor) -> Tensor:
        n = x.shape[1]
        mean = _row_sums(x) / n
        covariance = (x @ x.mT).to(accumulator_dtype(x)) / n - torch.outer(mean, mean)
        with torch.enable_grad():
            leaves = [p.detach().requires_grad_() for p in (covariance, mean, *parameters)]
            weight, bias = fold(*leaves)
        ctx.leaves, ctx.folded = leaves, (weight, bias)
        folded = weight.detach().to(x.dtype)
        ctx.save_for_backward(x, folded)
        return torch.addmm(bias.detach().to(x.dtype)[:, None], folded, x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, folded = ctx.saved_tensors
        g, n = gradients[0], x.shape[1]
        outputs = [(g @ x.mT).to(accumulator_dtype(x)), _row_sums(g)]
        found = torch.autograd.grad(ctx.folded, ctx.leaves, outputs, allow_unused=True)
        # A shift before a normalisation changes nothing. Its gradient is 0 and not absent, as with convolutions.
        full = [torch.zeros_like(leaf) if d is None else d for d, leaf in zip(found, ctx.leaves, strict=True)]
        g_covariance, g_mean, *g_parameters = full
        spread = (g_covariance + g_covariance.mT) / n
        constant = g_mean / n - spread @ ctx.leaves[1].detach()
        g_x = torch.addmm(constant.to(x.dtype)[:, None], spread.to(x.dtype), x).addmm_(folded.mT, g)
        return g_x, None, *g_parameters


def _fold(
    unit: ConvNorm,
    covariance: Tensor,
    mean: Tensor,
    n: int,
    weight: Tensor,
    scale: Tensor,
    shift: Tensor,
    offset: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Weight and bias of the normalisation of ``unit`` applied to ``weight @ x``, plus ``offset`` if there is one."""
    if not unit.norm.training:
        assert unit.norm.running_mean is not None and unit.norm.running_var is not None
        gain = scale * torch.rsqrt(unit.norm.running_var + unit.norm.eps)
        return gain[:, None] * weight, shift - gain * (unit.norm.running_mean - (0 if offset is None else offset))
    centre = weight @ mean
    variance = ((weight @ covariance) * weight).sum(1).clamp(min=0)
    _update_statistics(unit.norm, centre if offset is None else centre + offset, variance, n)
    gain = scale * torch.rsqrt(variance + unit.norm.eps)
    return gain[:, None] * weight, shift - gain * centre


def _row_sums(x: Tensor) -> Tensor:
    """Sums in float32. For bf16 as a product, which accumulates in float32, since PyTorch's own sum is slow there."""
    if x.dtype.itemsize >= 4:
        return x.sum(1)
    return (x @ x.new_ones(x.shape[1], 1))[:, 0].float()


def _parameters(unit: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    assert isinstance(unit, ConvNorm)
    return unit.conv.weight.flatten(1), unit.norm.weight, unit.norm.bias


def _count_batch(norm: nn.BatchNorm2d) -> float:
    """Count a batch, and return the share of the running statistics that it replaces.

    As in PyTorch, a momentum of None makes them a plain mean over all batches.
    """
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum


@torch.no_grad()
def _update_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, n: int) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    factor = _count_batch(norm)
    norm.running_mean.lerp_(mean.detach(), factor)
    norm.running_var.lerp_(variance.detach() * (n / max(1, n - 1)), factor)

"""The network in training as matrix products: the same weights and outputs as `AudioInceptionNeXt`, sooner.

With activations laid out (channels, time, batch, frequency) every layer is a matrix product, which processors with bf16
matrix units do far faster than depthwise convolutions and, above all, their backward pass. Two things make it fast:

- the depthwise branches go through a few channels at a time (`banded.py`);
- a normalised 1x1 convolution is folded before it is applied, in training too. The mean and the variance of ``W x``
  over the batch follow from the mean and the covariance of ``x``, so that the normalisation becomes part of W and its
  output is written once. Expansion and squeeze, with nothing but normalisations between them, become one C x C product:
  the activations of 4C channels, most of what a step reads and writes, never exist. Gradients flow through the
  covariance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, max_pool2d

from audioinceptionnext.network.banded import Branches, wide
from audioinceptionnext.network.blocks import Block, Branch, ConvNorm, Stem
from audioinceptionnext.network.model import AudioInceptionNeXt

Fold = Callable[..., tuple[Tensor, Tensor]]


def supports(net: nn.Module) -> bool:
    if not isinstance(net, AudioInceptionNeXt):
        return False
    config = net.config
    return config.separable and config.depthwise and config.order == "time-frequency" and not config.activation


def features(net: AudioInceptionNeXt, log_mel: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """`AudioInceptionNeXt.features` in training mode: batch statistics, which move the running ones as usual.

    Args:
        net: unfolded, and one that `supports` accepts.
        log_mel: (batch, 1, frames, bands), float32.
        dtype: of the activations; weights and statistics stay float32.

    Returns:
        (batch, channels, time, frequency), ``dtype``.
    """
    x = _stem(net.stem, net.standardised(log_mel).to(dtype))
    for block in net.blocks:
        assert isinstance(block, Block)
        x = _block(block, x)
    return x.permute(2, 0, 1, 3)


def _stem(stem: Stem, x: Tensor) -> Tensor:
    """To (channels, time, batch, frequency). Pooled before the ReLU, which comes to the same, on a quarter of it."""
    conv, norm = stem.conv.conv, stem.conv.norm
    weight = conv.weight.to(x.dtype).contiguous(memory_format=torch.channels_last)  # so that pooling is vectorised
    y = conv2d(x, weight, None, 2, (2, 3)).contiguous(memory_format=torch.channels_last)
    factor = _count(norm)
    y = batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, True, factor, norm.eps)
    return torch.relu_(max_pool2d(y, 3, 2, 1)).permute(1, 2, 0, 3).contiguous()


def _block(block: Block, x: Tensor) -> Tensor:
    stride = block.head.conv.stride[0]
    x = x[:, ::stride, :, ::stride].contiguous() if stride > 1 else x
    _, time, batch, frequency = x.shape
    flat = x.flatten(1)
    n = flat.shape[1]

    # The head and the shortcut's 1x1 read the same x: one product.
    units = [unit for unit in (block.head, block.shortcut) if isinstance(unit, ConvNorm)]

    def fold_heads(covariance: Tensor, mean: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        folded = [_fold(unit, covariance, mean, n, *parameters[3 * i : 3 * i + 3]) for i, unit in enumerate(units)]
        return torch.cat([weight for weight, _ in folded]), torch.cat([bias for _, bias in folded])

    both = FoldedProduct.apply(flat, fold_heads, *(p for unit in units for p in _parameters(unit)))
    channels = block.head.conv.weight.shape[0]
    shortcut = both[channels:] if len(units) == 2 else flat

    summed = _branches(block, both[:channels].view(channels, time, batch, frequency))

    expand, squeeze = block.mixer.expand, block.mixer.squeeze

    def fold_mixer(covariance: Tensor, mean: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        wide, bias = _fold(expand, covariance, mean, n, *parameters[:3])
        weight, scale, shift = parameters[3:]
        return _fold(squeeze, covariance, mean, n, weight @ wide, scale, shift, offset=weight @ bias)

    mixed = FoldedProduct.apply(summed.flatten(1), fold_mixer, *_parameters(expand), *_parameters(squeeze))
    return torch.relu_(mixed.add_(shortcut)).view(channels, time, batch, frequency)


def _branches(block: Block, h: Tensor) -> Tensor:
    convs = [conv for branch in block.branches if isinstance(branch, Branch) for conv in branch.convs]
    summed, statistics = Branches.apply(h, block.head.norm.eps, *(p for conv in convs for p in _parameters(conv)))
    for conv, (mean, inverse) in zip(convs, statistics.flatten(0, 1), strict=True):
        assert isinstance(conv, ConvNorm)
        _track(conv.norm, mean, inverse**-2 - conv.norm.eps, h[0].numel())
    return summed


class FoldedProduct(torch.autograd.Function):
    """``weight @ x + bias``, where both depend on x's own statistics.

    ``apply(x, fold, *parameters)``: x is (channels, n); ``fold(covariance, mean, *parameters)`` gives weight
    (outputs, channels) and bias (outputs,) in float32. The derivative of ``fold`` is PyTorch's, on matrices that do not
    grow with n; that of the statistics is added here: for a gradient S of the covariance, (S + S') (x - mean) / n.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, fold: Fold, *parameters: Tensor) -> Tensor:
        n = x.shape[1]
        mean = _row_sums(x) / n
        covariance = (x @ x.mT).to(wide(x)) / n - torch.outer(mean, mean)
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
        outputs = [(g @ x.mT).to(wide(x)), _row_sums(g)]
        found = torch.autograd.grad(ctx.folded, ctx.leaves, outputs, allow_unused=True)
        # A shift before a normalisation changes nothing: its gradient is 0, not absent, as in the plain form.
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
    """Weight and bias of ``unit``'s normalisation applied to ``weight @ x``, or to that plus ``offset``."""
    centre = weight @ mean
    variance = ((weight @ covariance) * weight).sum(1).clamp(min=0)
    _track(unit.norm, centre if offset is None else centre + offset, variance, n)
    gain = scale * torch.rsqrt(variance + unit.norm.eps)
    return gain[:, None] * weight, shift - gain * centre


def _row_sums(x: Tensor) -> Tensor:
    """Sums in float32; of bf16 as a product, whose sums are kept in float32, since PyTorch's own sum is slow there."""
    if x.dtype.itemsize >= 4:
        return x.sum(1)
    return (x @ x.new_ones(x.shape[1], 1))[:, 0].float()


def _parameters(unit: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    assert isinstance(unit, ConvNorm)
    return unit.conv.weight.flatten(1), unit.norm.weight, unit.norm.bias


def _count(norm: nn.BatchNorm2d) -> float:
    """Counts a batch; how far the running statistics move towards it: all the way to a plain mean where momentum is
    None, as in PyTorch."""
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    return 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum


@torch.no_grad()
def _track(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, n: int) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    factor = _count(norm)
    norm.running_mean.lerp_(mean.detach(), factor)
    norm.running_var.lerp_(variance.detach() * (n / max(1, n - 1)), factor)

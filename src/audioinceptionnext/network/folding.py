"""The inference form, by exact algebra: fewer weights, the same outputs.

At inference, a normalisation scales and shifts each channel, which the convolution before it can do as well. Two 1x1
convolutions with nothing between them are one, and so are depthwise convolutions whose outputs are summed. Nothing is
approximated: all is computed in float64 and rounded once.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from audioinceptionnext.network.base import Network
from audioinceptionnext.network.blocks import ConvNorm, KernelSum, Mixer

N = TypeVar("N", bound=Network)


def fold(net: N) -> N:
    """A copy of ``net`` for inference, in evaluation mode. That of the paper's network has a quarter of the parameters.

    Each normalisation is folded into its convolution. Expansion and squeeze become one C x C convolution, unless the
    variant has an activation between them. The kernels of a `KernelSum` become one. A network without batch
    normalisation, such as one that is folded already, is copied as it is.

    >>> count_parameters(fold(create_model("base", num_classes=44)))
    2835244
    """
    folded = copy.deepcopy(net).eval().requires_grad_(False)
    if any(isinstance(module, ConvNorm) for module in folded.modules()):
        dtype = net.classifier.weight.dtype
        _fold_children(folded.double())
        folded.to(dtype).requires_grad_(False)
    return folded


def _fold_children(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            setattr(module, name, fold_norm(child))
            continue
        _fold_children(child)
        if isinstance(child, Mixer) and isinstance(child.activation, nn.Identity):
            setattr(module, name, compose(child.expand, child.squeeze))
        elif isinstance(child, KernelSum):
            setattr(module, name, merge(child))


@torch.no_grad()
def fold_norm(pair: ConvNorm) -> nn.Conv2d:
    """A convolution and its normalisation as one convolution with a bias.

    With ``g = weight / sqrt(running_var + eps)``, its kernel is ``g W`` and its bias ``bias - g running_mean``.
    """
    conv, norm = pair.conv, pair.norm
    assert norm.running_mean is not None and norm.running_var is not None
    gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    folded = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        groups=conv.groups,
        device=conv.weight.device,
        dtype=conv.weight.dtype,
    )
    assert folded.bias is not None
    folded.weight.copy_(conv.weight * gain[:, None, None, None])
    folded.bias.copy_(norm.bias - norm.running_mean * gain)
    return folded


@torch.no_grad()
def compose(first: nn.Module, second: nn.Module) -> nn.Conv2d:
    """Two consecutive 1x1 convolutions as one: ``W = W2 W1``, ``b = W2 b1 + b2``."""
    assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
    assert first.bias is not None and second.bias is not None
    matrix = second.weight[:, :, 0, 0]
    weight = first.weight
    product = nn.Conv2d(first.in_channels, second.out_channels, 1, device=weight.device, dtype=weight.dtype)
    assert product.bias is not None
    product.weight.copy_((matrix @ weight[:, :, 0, 0])[:, :, None, None])
    product.bias.copy_(matrix @ first.bias + second.bias)
    return product


@torch.no_grad()
def merge(kernels: KernelSum, identity: bool = True) -> nn.Conv2d:
    """The convolutions of a `KernelSum` as one of the largest size: the smaller kernels are padded evenly and added.

    Args:
        kernels: stays as it is; its normalisations are folded here if they have not been before.
        identity: whether the input, which is part of the sum, becomes a 1 at the middle of each channel's kernel.
    """
    convs = [fold_norm(conv) if isinstance(conv, ConvNorm) else copy.deepcopy(conv) for conv in kernels.convs]
    merged = max((conv for conv in convs if isinstance(conv, nn.Conv2d)), key=lambda conv: conv.weight[0].numel())
    weight, bias = torch.zeros_like(merged.weight), torch.zeros(merged.out_channels).to(merged.weight)
    height, width = weight.shape[2:]
    for conv in convs:
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        top, left = (height - conv.weight.shape[2]) // 2, (width - conv.weight.shape[3]) // 2
        weight += nn.functional.pad(conv.weight, (left, left, top, top))
        bias += conv.bias
    if identity:
        weight[:, :, height // 2, width // 2] += 1
    assert merged.bias is not None
    merged.weight.copy_(weight)
    merged.bias.copy_(bias)
    return merged

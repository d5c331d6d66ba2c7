"""The folded network as exported files hold it: the same answers but for rounding, laid out for speed.

Engines compute rows along the last axis, and what lies at a row's ends costs extra. As trained that axis is frequency,
with a few bins in the late stages; time is longer. And where a kernel is longer than its axis, some of its taps only
ever meet padding: all lengths of time are heard, but frequency has as many bins as the front end has bands.
ONNX Runtime 1.32, one core with AVX-512, 2026-11-23, before and after: base size, 416 frames of 128 bands, 11.3 and
10.4 ms; `small`, 208 of 64, 1.44 and 1.12 ms; `small`, 3072 of 64, 17.8 and 13.7 ms.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from audioinceptionnext.network.base import Network
from audioinceptionnext.network.model import AudioInceptionNeXt


class Turned(nn.Module):
    """(batch, channels, time, frequency) to (batch, channels, frequency, time), and back."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(2, 3)


def lay_out(net: Network) -> Network:
    """A copy of a folded network that computes with time last; it takes and gives what ``net`` does.

    Networks of another architecture come back as they are.
    """
    if not isinstance(net, AudioInceptionNeXt):
        return net
    laid: AudioInceptionNeXt = copy.deepcopy(net)
    bins = _halved(_halved(net.config.bands))
    _turn(laid.stem, bins)
    for block in laid.blocks:
        head = block.get_submodule("head")
        if isinstance(head, nn.Conv2d) and head.stride[1] == 2:
            bins = _halved(bins)
        _turn(block, bins)
    laid.stem = nn.Sequential(Turned(), laid.stem)  # type: ignore[assignment]
    laid.blocks = nn.Sequential(*laid.blocks, Turned())
    return laid


def _halved(bins: int) -> int:
    return -(-bins // 2)


def _turn(module: nn.Module, bins: int) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(module, name, _turned(child, bins))
        else:
            _turn(child, bins)


@torch.no_grad()
def _turned(conv: nn.Conv2d, bins: int) -> nn.Conv2d:
    """Of a convolution over ``bins`` of frequency, the taps that reach any of them, with the axes exchanged."""
    weight = conv.weight
    if conv.stride[1] == 1:  # with a stride, the output has fewer bins than the input
        spare = max(0, (weight.shape[3] - (2 * bins - 1)) // 2)
        weight = weight[..., spare : weight.shape[3] - spare]
    weight = weight.transpose(2, 3)
    kernel = (weight.shape[2], weight.shape[3])
    turned = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        kernel,
        (conv.stride[1], conv.stride[0]),
        (kernel[0] // 2, kernel[1] // 2),
        groups=conv.groups,
        bias=conv.bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    turned.weight.copy_(weight)
    if conv.bias is not None and turned.bias is not None:
        turned.bias.copy_(conv.bias)
    return turned

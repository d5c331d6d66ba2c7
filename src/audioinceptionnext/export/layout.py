"""Rearranges a folded network for speed in exported files. The outputs stay the same up to rounding.

Engines compute rows along the last axis, and the ends of a row cost extra. In training the last axis is frequency, with
only a few bins in the late stages, while time is longer. So time becomes the last axis. And where a kernel is longer
than the frequency axis, some of its taps only ever meet padding and are cut off. Time can have any length; along
it, outer taps are cut off that are zero in all channels, as `tools/within_clip.py` leaves them.

Measured before and after (ONNX Runtime 1.32, one core with AVX-512, 2026-11-23): base size, 416 frames of 128 bands,
11.3 and 10.4 ms; `small`, 208 of 64, 1.44 and 1.12 ms; `small`, 3072 of 64, 17.8 and 13.7 ms.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from audioinceptionnext.network.base import STEP_FRAMES, Network
from audioinceptionnext.network.staged import StagedNetwork


class SwapAxes(nn.Module):
    """(batch, channels, time, frequency) to (batch, channels, frequency, time), or back."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(2, 3)


def time_last(net: Network) -> Network:
    """A copy of a folded network that computes with time as the last axis. Its inputs and outputs stay the same.

    Networks of other architectures are reswapped as they are.
    """
    if not isinstance(net, StagedNetwork):
        return net
    swapped: StagedNetwork = copy.deepcopy(net)
    bins = _halved(_halved(net.config.bands))
    _swap_children(swapped.stem, bins)
    for block in swapped.blocks:
        head = block.get_submodule("head")
        if isinstance(head, nn.Conv2d) and head.stride[1] == 2:
            bins = _halved(bins)
        _swap_children(block, bins)
    if swapped.timeline is not None:
        _swap_children(swapped.timeline, 1)
        swapped.timeline.time = 3
    swapped.stem = nn.Sequential(SwapAxes(), swapped.stem)  # type: ignore[assignment]
    swapped.last = SwapAxes()
    return swapped


def last_reach(net: Network) -> float:
    """Frames before and after a position that the last stage of a network with time last sees.

    Infinite where something else reaches further: in other architectures, and through the memory of PCEN.
    """
    if not isinstance(net, StagedNetwork) or getattr(net.config, "scaling", "log") == "pcen":
        return math.inf
    last = len(net.config.depths) - 1
    blocks = [block for number, block in enumerate(net.blocks) if net.config.stage(number) == last]
    sizes = [[conv.kernel_size[1] for conv in block.modules() if isinstance(conv, nn.Conv2d)] for block in blocks]
    return sum(max(own) // 2 for own in sizes) * STEP_FRAMES


def _halved(bins: int) -> int:
    return -(-bins // 2)


def _swap_children(module: nn.Module, bins: int) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(module, name, _swapped(child, bins))
        else:
            _swap_children(child, bins)


@torch.no_grad()
def _swapped(conv: nn.Conv2d, bins: int) -> nn.Conv2d:
    """A convolution with its axes swapped, without taps that reach none of the ``bins``, or are zero at both ends."""
    weight = conv.weight
    if conv.stride[1] == 1:  # with a stride, the output has fewer bins than the input
        unused = max(0, (weight.shape[3] - (2 * bins - 1)) // 2)
        weight = weight[..., unused : weight.shape[3] - unused]
    while conv.stride[0] == 1 and weight.shape[2] > 2 and not weight[:, :, [0, -1]].any():
        weight = weight[:, :, 1:-1]
    weight = weight.transpose(2, 3)
    kernel = (weight.shape[2], weight.shape[3])
    swapped = nn.Conv2d(
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
    swapped.weight.copy_(weight)
    if conv.bias is not None and swapped.bias is not None:
        swapped.bias.copy_(conv.bias)
    return swapped

"""Training on a CPU, as matrix products: the same weights and outputs as `AudioInceptionNeXt`, sooner.

A depthwise convolution along one axis is, channel by channel, a product with a banded matrix. With activations laid out
(channels, time, frequency, batch) every layer is then a matrix product, which CPUs with bf16 matrix units do far faster
than depthwise convolutions and, above all, their backward pass.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from audioinceptionnext.network.blocks import Block, Branch, ConvNorm
from audioinceptionnext.network.model import AudioInceptionNeXt


def features(net: AudioInceptionNeXt, log_mel: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """`AudioInceptionNeXt.features` of an unfolded, separable network of order time-frequency.

    Args:
        log_mel: (batch, 1, frames, bands), float32.
        dtype: of the activations; weights and normalisation statistics stay float32.

    Returns:
        (batch, channels, time, frequency), ``dtype``.
    """
    with torch.autocast(log_mel.device.type, dtype=dtype, enabled=dtype.itemsize < 4):
        x = net.stem((log_mel - net.mean) / net.std)
    x = x.to(dtype).permute(1, 2, 3, 0).contiguous()  # (channels, time, frequency, batch)
    for block in net.blocks:
        assert isinstance(block, Block)
        x = _block(block, x)
    return x.permute(3, 0, 1, 2)


def supports(net: AudioInceptionNeXt) -> bool:
    return net.config.separable and net.config.order == "time-frequency" and not net.config.activation


def banded(kernels: Tensor, size: int) -> Tensor:
    """(channels, k) to the (channels, size, size) matrices that convolve ``size`` points, zero-padded."""
    reach = kernels.shape[1] // 2
    # Laid out over every offset from -(size - 1) to size - 1, row t of the matrix is a window on the kernel.
    if size > reach:
        offsets = nn.functional.pad(kernels, (size - 1 - reach, size - 1 - reach))
    else:
        offsets = kernels[:, reach - size + 1 : reach + size]
    return offsets.unfold(1, size, 1).flip(1)


def _block(block: Block, x: Tensor) -> Tensor:
    stride = block.head.conv.stride[0]
    x = x[:, ::stride, ::stride] if stride > 1 else x
    h = _pointwise(block.head, x)
    channels, time, frequency, batch = h.shape
    branches = [b for b in block.branches if isinstance(b, Branch)]
    along_time = torch.cat([banded(_kernels(b.convs[0]), time) for b in branches], dim=1).to(h.dtype)
    # All branches read the same h: one product gives (channels, branches x time, frequency x batch).
    heard = torch.bmm(along_time, h.reshape(channels, time, -1)).split(time, dim=1)
    summed: Tensor | None = None
    for branch, y in zip(branches, heard, strict=True):
        first, second = branch.convs
        y = torch.relu_(_norm(first, y)).view(channels, time, frequency, batch)
        y = y.transpose(1, 2).reshape(channels, frequency, time * batch)
        y = torch.bmm(banded(_kernels(second), frequency).to(y.dtype), y)
        y = torch.relu_(_norm(second, y))
        summed = y if summed is None else summed + y
    assert summed is not None
    mixed = _pointwise(block.mixer.squeeze, _pointwise(block.mixer.expand, summed))
    mixed = mixed.view(channels, frequency, time, batch).transpose(1, 2)
    shortcut = x if isinstance(block.shortcut, nn.Identity) else _pointwise(block.shortcut, x)
    return torch.relu(shortcut + mixed)


def _kernels(unit: nn.Module) -> Tensor:
    assert isinstance(unit, ConvNorm)
    return unit.conv.weight.flatten(1)  # (channels, k)


def _pointwise(unit: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(unit, ConvNorm)
    product = unit.conv.weight.flatten(1).to(x.dtype) @ x.flatten(1)
    return _norm(unit, product).view(-1, *x.shape[1:])


def _norm(unit: nn.Module, x: Tensor) -> Tensor:
    """Batch normalisation of (channels, …): to PyTorch one sample with channels second."""
    assert isinstance(unit, ConvNorm)
    norm = unit.norm
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    flat = x.reshape(1, x.shape[0], -1)
    momentum = 0.0 if norm.momentum is None else norm.momentum
    flat = nn.functional.batch_norm(
        flat, norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training, momentum, norm.eps
    )
    return flat.view(x.shape)

"""Depthwise branches as products with banded matrices, a few channels at a time.

A depthwise convolution along one axis is, for each channel, a product with a banded matrix. The branches never mix
channels, so a few channels at a time go through the whole forward or backward pass while their activations stay in the
processor's cache. The backward pass recomputes these activations, which is faster than fetching them from memory, so
only the branches' input is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

aten = torch.ops.aten
# Elements processed together: 2 MB in bf16. Measured at base size on 2 cores (2 MB of L2 each, 2026-11-22): the first
# stage takes 184 + 67 ms at 0.2 M, 86 + 37 ms at 0.9 M, and no less above that.
CHUNK_ELEMENTS = 1_000_000
PER_BRANCH = 6  # tensors: kernel, scale and shift along time, and the same along frequency


def banded(kernels: Tensor, size: int) -> Tensor:
    """Kernels (channels, k) to matrices (channels, size, size) that convolve ``size`` zero-padded points with them."""
    reach = kernels.shape[1] // 2
    # With the kernel padded to all offsets from -(size - 1) to size - 1, row t of the matrix is a window on it.
    if size > reach:
        offsets = pad(kernels, (size - 1 - reach, size - 1 - reach))
    else:
        offsets = kernels[:, reach - size + 1 : reach + size]
    return offsets.unfold(1, size, 1).flip(1)


def diagonal_sums(matrices: Tensor, k: int) -> Tensor:
    """The transpose of `banded`: gradients of matrices (channels, size, size) to those of kernels (channels, k)."""
    channels, size, _ = matrices.shape
    width = size + 2 * (k // 2)
    rows = pad(matrices, (k // 2, k // 2)).contiguous()
    return rows.as_strided((channels, k, size), (size * width, 1, width + 1)).sum(2)


class Branches(torch.autograd.Function):
    """The sum of all branches, each a convolution along time and one along frequency with normalisation and ReLU.

    ``apply(h, eps, fixed, *parameters)`` takes ``h`` (channels, time, batch, frequency) and `PER_BRANCH` tensors per
    branch: the kernel (channels, k), and scale and shift (channels,) of its normalisation, along time and then along
    frequency. ``fixed`` are the statistics to normalise with, (branches, 2 axes, mean and variance, channels); None
    takes those of the batch. It returns the sum, in the shape of ``h``, and the batch statistics (branches, 2 axes,
    mean and 1/deviation, channels), which are not set if ``fixed`` is given.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, eps: float, fixed: Tensor | None, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        channels, time, batch, frequency = h.shape
        branches = [parameters[i : i + PER_BRANCH] for i in range(0, len(parameters), PER_BRANCH)]
        matrices = [
            # The second one is transposed, since it multiplies row vectors along frequency, the innermost axis.
            (banded(p[0], time).to(h.dtype), banded(p[3], frequency).mT.to(h.dtype, copy=True).contiguous())
            for p in branches
        ]
        total = torch.empty_like(h)
        statistics = torch.empty((len(branches), 2, 2, channels), device=h.device, dtype=accumulator_dtype(h))
        for part in _channel_chunks(h):
            x, out = h[part].flatten(2), total[part].flatten(1, 2)
            for i, ((along_time, along_frequency), p) in enumerate(zip(matrices, branches, strict=True)):
                own = (None, None) if fixed is None else fixed[i, :, :, part]
                y, mean, scale = _normalise(torch.bmm(along_time[part], x), p[1][part], p[2][part], eps, own[0])
                if fixed is None:
                    statistics[i, 0, 0, part], statistics[i, 0, 1, part] = mean, scale
                y = torch.bmm(y.relu_().view(-1, time * batch, frequency), along_frequency[part])
                y, mean, scale = _normalise(y, p[4][part], p[5][part], eps, own[1])
                if fixed is None:
                    statistics[i, 1, 0, part], statistics[i, 1, 1, part] = mean, scale
                y.relu_()
                out.copy_(y) if i == 0 else out.add_(y)
        ctx.save_for_backward(h, statistics, *parameters)
        ctx.matrices, ctx.eps, ctx.fixed = matrices, eps, fixed
        ctx.mark_non_differentiable(statistics)
        return total, statistics

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        h, statistics, *parameters = ctx.saved_tensors
        _, time, batch, frequency = h.shape
        g_total = gradients[0].contiguous()
        g_h = torch.empty_like(h)
        g_parameters = [torch.empty_like(p, dtype=accumulator_dtype(h)) for p in parameters]
        g_matrices = [(torch.empty_like(a), torch.empty_like(b)) for a, b in ctx.matrices]
        for part in _channel_chunks(h):
            x, g_x = h[part].flatten(2), g_h[part].flatten(2)
            g_sum = g_total[part].flatten(1, 2)
            for i, matrices in enumerate(ctx.matrices):
                along_time, along_frequency = (m[part] for m in matrices)
                _, scale, shift, _, scale2, shift2 = (p[part] for p in parameters[i * PER_BRANCH :][:PER_BRANCH])
                own = g_parameters[i * PER_BRANCH :][:PER_BRANCH]
                # The activations of the forward pass. Its statistics are stored, but normalising again is one call.
                u = torch.bmm(along_time, x)
                fixed = (None, None) if ctx.fixed is None else ctx.fixed[i, :, :, part]
                y = _normalise(u, scale, shift, ctx.eps, fixed[0])[0].relu_().view(-1, time * batch, frequency)
                v = torch.bmm(y, along_frequency)
                z = _normalise(v, scale2, shift2, ctx.eps, fixed[1])[0]

                g = aten.threshold_backward(g_sum, z, 0)
                batch_of = statistics[i, :, :, part]
                g, own[4][part], own[5][part] = _normalise_back(g, v, scale2, batch_of[1], ctx.eps, fixed[1])
                g_matrices[i][1][part] = torch.bmm(y.mT, g)
                g = aten.threshold_backward(torch.bmm(g, along_frequency.mT), y, 0).view(u.shape)
                g, own[1][part], own[2][part] = _normalise_back(g, u, scale, batch_of[0], ctx.eps, fixed[0])
                g_matrices[i][0][part] = torch.bmm(g, x.mT)
                if i == 0:
                    torch.bmm(along_time.mT, g, out=g_x)
                else:
                    g_x.baddbmm_(along_time.mT, g)
        for i, (g_time, g_frequency) in enumerate(g_matrices):
            at = i * PER_BRANCH
            g_parameters[at] = diagonal_sums(g_time.to(accumulator_dtype(h)), parameters[at].shape[1])
            g_parameters[at + 3] = diagonal_sums(g_frequency.to(accumulator_dtype(h)).mT, parameters[at + 3].shape[1])
        return g_h, None, None, *g_parameters


def accumulator_dtype(x: Tensor) -> torch.dtype:
    """The type in which sums over x are accumulated."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _channel_chunks(h: Tensor) -> list[slice]:
    """Channels to process together. On a GPU, where the number of calls matters most, these are all of them."""
    channels = h.shape[0]
    step = channels if h.is_cuda else max(1, CHUNK_ELEMENTS * channels // max(1, h.numel()))
    return [slice(first, min(channels, first + step)) for first in range(0, channels, step)]


def _normalise(
    x: Tensor, scale: Tensor, shift: Tensor, eps: float, fixed: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch normalisation of (channels, …) with ``fixed`` mean and variance (2, channels), or with those of the batch.

    Also returns the mean and 1/deviation of the batch, if these were computed.
    """
    # PyTorch wants the channels second: here is one sample of them.
    flat = x.view(1, x.shape[0], -1)
    mean, variance = (None, None) if fixed is None else fixed.contiguous()
    y, *of_batch = aten.native_batch_norm(flat, scale, shift, mean, variance, fixed is None, 0.0, eps)
    return y.view(x.shape), *of_batch


def _normalise_back(
    g: Tensor, x: Tensor, scale: Tensor, of_batch: Tensor, eps: float, fixed: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, scale and shift of `_normalise`; ``of_batch`` are the mean and 1/deviation that it returned."""
    mean, variance = (None, None) if fixed is None else fixed.contiguous()
    g_x, g_scale, g_shift = aten.native_batch_norm_backward(
        g.view(1, x.shape[0], -1),
        x.view(1, x.shape[0], -1),
        scale,
        mean,
        variance,
        of_batch[0].contiguous(),
        of_batch[1].contiguous(),
        fixed is None,
        eps,
        [True, True, True],
    )
    return g_x.view(x.shape), g_scale, g_shift

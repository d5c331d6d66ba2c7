"""How a training step can be computed: as convolutions or as matrix products, which give the same network."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from audioinceptionnext.network import matrix_products
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.staged import StagedNetwork

Implementation = Literal["convolutions", "matrix-products"]
FeatureMaps = Callable[[Network, Tensor, torch.dtype], Tensor]


def as_convolutions(net: Network, log_mel: Tensor, dtype: torch.dtype) -> Tensor:
    """The feature maps as `network.blocks` computes them, with channels last."""
    with torch.autocast(log_mel.device.type, dtype, enabled=dtype.itemsize < 4):
        return net.features(log_mel.contiguous(memory_format=torch.channels_last))


def as_matrix_products(net: Network, log_mel: Tensor, dtype: torch.dtype) -> Tensor:
    """The feature maps as `network.matrix_products` computes them."""
    with torch.autocast(log_mel.device.type, enabled=False):
        return matrix_products.features(net, log_mel, dtype)  # type: ignore[arg-type]


def stem_alone(net: Network, log_mel: Tensor, dtype: torch.dtype) -> Tensor:
    """The feature map of a staged network's stem, for its statistics where all other normalisations are frozen."""
    assert isinstance(net, StagedNetwork)
    with torch.autocast(log_mel.device.type, dtype, enabled=dtype.itemsize < 4):
        return net.stem(net.standardised(log_mel.contiguous(memory_format=torch.channels_last)))


IMPLEMENTATIONS: dict[Implementation, FeatureMaps] = {
    "convolutions": as_convolutions,
    "matrix-products": as_matrix_products,
}


def supported(net: Network, dtype: torch.dtype) -> list[Implementation]:
    """The implementations that ``net`` has with activations of ``dtype``."""
    # fp16 needs a scaled loss, and the statistics of matrix products can leave its range.
    both = matrix_products.supports(net) and dtype != torch.float16
    return ["matrix-products", "convolutions"] if both else ["convolutions"]


def usual(net: Network, dtype: torch.dtype, device: torch.device) -> Implementation:
    """The one that is usually the fastest on such a device.

    It is not measured and so is always the same, as runs that are compared with each other need it.
    """
    known = supported(net, dtype)
    return known[0] if device.type == "cpu" else known[-1]


def seconds_per_step(
    implementation: Implementation, net: Network, log_mel: Tensor, dtype: torch.dtype, repeats: int = 2
) -> float:
    """Median time of a forward and a backward pass, after one to warm up. The weights of ``net`` stay as they are."""
    trial = copy.deepcopy(net).train()
    taken = []
    for _ in range(repeats + 1):
        _wait(log_mel)
        started = time.perf_counter()
        IMPLEMENTATIONS[implementation](trial, log_mel, dtype).float().square().mean().backward()
        _wait(log_mel)
        taken.append(time.perf_counter() - started)
    return sorted(taken[1:])[(repeats - 1) // 2]


def fastest(
    net: Network, dtype: torch.dtype, device: torch.device, clip_frames: int, batch_size: int
) -> Implementation:
    """The fastest implementation as measured on this device, with at most 8 clips."""
    known = supported(net, dtype)
    if len(known) == 1:
        return known[0]
    log_mel = torch.randn(min(batch_size, 8), 1, clip_frames, net.config.bands, device=device)
    return min(known, key=lambda implementation: seconds_per_step(implementation, net, log_mel, dtype))


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)

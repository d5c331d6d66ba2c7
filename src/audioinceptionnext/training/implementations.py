"""The ways in which a training step can compute the same network, and which is the fastest here."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor

from audioinceptionnext.network import products
from audioinceptionnext.network.base import Network

Form = Callable[[Network, Tensor, torch.dtype], Tensor]


def as_convolutions(net: Network, log_mel: Tensor, dtype: torch.dtype) -> Tensor:
    """As `network.blocks` writes it, channels last."""
    with torch.autocast(log_mel.device.type, dtype, enabled=dtype.itemsize < 4):
        return net.features(log_mel.contiguous(memory_format=torch.channels_last))


def as_products(net: Network, log_mel: Tensor, dtype: torch.dtype) -> Tensor:
    with torch.autocast(log_mel.device.type, enabled=False):
        return products.features(net, log_mel, dtype)  # type: ignore[arg-type]


FORMS: dict[str, Form] = {"convolutions": as_convolutions, "products": as_products}


def supported(net: Network, dtype: torch.dtype) -> list[str]:
    # fp16 needs its loss scaled, and statistics as products are not safe from its range.
    return ["products", "convolutions"] if products.supports(net) and dtype != torch.float16 else ["convolutions"]


def usual(net: Network, dtype: torch.dtype, device: torch.device) -> str:
    """The one that is fastest as a rule on such a device, unmeasured: always the same, for runs that are compared."""
    known = supported(net, dtype)
    return known[0] if device.type == "cpu" else known[-1]


def seconds_a_step(form: str, net: Network, log_mel: Tensor, dtype: torch.dtype, repeats: int = 2) -> float:
    """Median of forward and backward passes after one to warm up; the network's own weights stay as they are."""
    trial = copy.deepcopy(net).train()
    taken = []
    for _ in range(repeats + 1):
        _wait(log_mel)
        begun = time.perf_counter()
        FORMS[form](trial, log_mel, dtype).float().square().mean().backward()
        _wait(log_mel)
        taken.append(time.perf_counter() - begun)
    return sorted(taken[1:])[(repeats - 1) // 2]


def fastest(net: Network, dtype: torch.dtype, device: torch.device, frames: int, batch: int) -> str:
    """Measured on this device, on at most 8 clips."""
    forms = supported(net, dtype)
    if len(forms) == 1:
        return forms[0]
    log_mel = torch.randn(min(batch, 8), 1, frames, net.config.bands, device=device)
    return min(forms, key=lambda form: seconds_a_step(form, net, log_mel, dtype))


def _wait(x: Tensor) -> None:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)

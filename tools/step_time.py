"""Seconds a training step, in each form, and how far each is from the published one.

    python tools/step_time.py --model base            # float32 as published, bf16 channels last, matrix products
    python tools/step_time.py --model base --frames 960 --batch 16

A step is log-mel in, loss, gradients and an update by SGD. Agreement is that of the feature maps and of all gradients
with float32, relative to their norm, on noise with the blocks' last normalisations at 0.2 (they begin at 0, where most
gradients are 0 too).
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from audioinceptionnext.network import create_model
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.blocks import Mixer
from audioinceptionnext.training.hardware import keep_memory
from audioinceptionnext.training.implementations import FORMS

FORMS_MEASURED = (
    ("float32, as published", None, torch.float32),
    ("bf16, channels last", "convolutions", torch.bfloat16),
    ("bf16, matrix products", "products", torch.bfloat16),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="base")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--frames", type=int, default=416)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    keep_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    net = create_model(options.model, 44, dropout=0.0).to(device).train()
    for module in net.modules():
        if isinstance(module, Mixer):
            torch.nn.init.constant_(module.squeeze.norm.weight, 0.2)
    x = torch.randn(options.batch, 1, options.frames, net.config.bands, device=device)
    labels = torch.randint(44, (options.batch,), device=device)

    where = f"{device}, {torch.get_num_threads()} threads"
    print(f"{options.model}, {options.batch} clips of {options.frames} frames, {where}")
    print(f"{'form':24}{'s a step':>10}{'clips/s':>10}{'times':>8}{'outputs':>10}{'gradients':>11}")
    exact: list[Tensor] = []
    first = 0.0
    for name, form, dtype in FORMS_MEASURED:
        own = copy.deepcopy(net)
        maps = _step(own, x, labels, form, dtype)
        found = [maps, torch.cat([_gradient(p) for p in own.parameters()])]
        exact = exact or found
        seconds = _seconds(own, x, labels, form, dtype, options.steps)
        first = first or seconds
        away = [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
        rate = options.batch / seconds
        print(f"{name:24}{seconds:10.2f}{rate:10.1f}{first / seconds:8.2f}{away[0]:10.4f}{away[1]:11.4f}", flush=True)


def _step(net: Network, x: Tensor, labels: Tensor, form: str | None, dtype: torch.dtype) -> Tensor:
    """Forward and backward; the feature maps."""
    maps = net.features(x) if form is None else FORMS[form](net, x, dtype).float()
    cross_entropy(net.pooled_logits(maps).mean(1), labels).backward()
    return maps.detach()


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros(parameter.numel()) if parameter.grad is None else parameter.grad.detach().flatten().cpu()


def _seconds(net: Network, x: Tensor, labels: Tensor, form: str | None, dtype: torch.dtype, steps: int) -> float:
    optimizer = torch.optim.SGD(net.parameters(), 0.001, momentum=0.9)
    taken = []
    for _ in range(steps + 2):  # two to warm up
        begun = time.perf_counter()
        optimizer.zero_grad()
        _step(net, x, labels, form, dtype)
        optimizer.step()
        if x.is_cuda:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken[2:])


if __name__ == "__main__":
    main()

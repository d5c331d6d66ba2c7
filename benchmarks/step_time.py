"""Measure the seconds per training step of each implementation, and how far its results are from the published one's.

    python benchmarks/step_time.py --network base          # float32 as published, bf16 channels last, matrix products
    python benchmarks/step_time.py --network base --frames 960 --batch-size 16

A step takes log-mel and computes the loss, the gradients and an update by SGD. The differences of the feature maps and
of all gradients from those in float32 are relative to their norms. The input is noise, and the last normalisation of
each block has the weight 0.2 (it starts at 0, where most gradients are 0 too).
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
from audioinceptionnext.training.implementations import IMPLEMENTATIONS, Implementation

MEASURED: tuple[tuple[str, Implementation | None, torch.dtype], ...] = (
    ("float32, as published", None, torch.float32),
    ("bf16, channels last", "convolutions", torch.bfloat16),
    ("bf16, matrix products", "matrix-products", torch.bfloat16),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="base")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--frames", type=int, default=416)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    keep_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    net = create_model(options.network, 44, dropout=0.0).to(device).train()
    for module in net.modules():
        if isinstance(module, Mixer):
            torch.nn.init.constant_(module.squeeze.norm.weight, 0.2)
    if options.frames < net.config.clip_frames:
        parser.error(f"--frames {options.frames}: a clip has {net.config.clip_frames}, give as many or more")
    x = torch.randn(options.batch_size, 1, options.frames, net.config.bands, device=device)
    labels = torch.randint(44, (options.batch_size,), device=device)

    where = f"{device}, {torch.get_num_threads()} threads"
    print(f"{options.network}, {options.batch_size} clips of {options.frames} frames, {where}")
    print(f"{'implementation':24}{'s/step':>10}{'clips/s':>10}{'times':>8}{'outputs':>10}{'gradients':>11}")
    exact: list[Tensor] = []
    first = 0.0
    for name, implementation, dtype in MEASURED:
        own = copy.deepcopy(net)
        maps = _step(own, x, labels, implementation, dtype)
        found = [maps, torch.cat([_gradient(p) for p in own.parameters()])]
        exact = exact or found
        seconds = _seconds(own, x, labels, implementation, dtype, options.steps)
        first = first or seconds
        differences = [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
        rate = options.batch_size / seconds
        print(
            f"{name:24}{seconds:10.2f}{rate:10.1f}{first / seconds:8.2f}{differences[0]:10.4f}{differences[1]:11.4f}",
            flush=True,
        )


def _step(net: Network, x: Tensor, labels: Tensor, implementation: Implementation | None, dtype: torch.dtype) -> Tensor:
    """Do a forward and a backward pass, and return the feature maps."""
    maps = net.features(x) if implementation is None else IMPLEMENTATIONS[implementation](net, x, dtype).float()
    cross_entropy(net.pooled_logits(maps).mean(1), labels).backward()
    return maps.detach()


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros(parameter.numel()) if parameter.grad is None else parameter.grad.detach().flatten().cpu()


def _seconds(
    net: Network, x: Tensor, labels: Tensor, implementation: Implementation | None, dtype: torch.dtype, steps: int
) -> float:
    optimizer = torch.optim.SGD(net.parameters(), 0.001, momentum=0.9)
    taken = []
    for _ in range(steps + 2):  # the first two warm up
        started = time.perf_counter()
        optimizer.zero_grad()
        _step(net, x, labels, implementation, dtype)
        optimizer.step()
        if x.is_cuda:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[2:])


if __name__ == "__main__":
    main()

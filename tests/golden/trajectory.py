"""Twenty steps of SGD on a small seeded case, written from the facts about the published training alone.

    python -m tests.golden.trajectory    # writes trajectory.json beside this file

It shares no code with the package: the network is a function of named arrays, with the published names, and the
optimiser is spelled out. The facts: no activation between the head and the branches nor between expansion and squeeze;
cross-entropy; SGD with Nesterov's momentum of 0.9; a weight decay of 1e-4 on everything but normalisations, the bias of
the linear layer included; the rate falls to a tenth and a hundredth.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

GOLDEN = Path(__file__).with_name("trajectory.json")
WIDTHS, CLASSES, FRAMES, BANDS, BATCH = (4, 4, 8, 8), 5, 64, 128, 6
EPOCHS, STEPS_PER_EPOCH = 4, 5
RATE, RATE_AT = 0.02, {2: 0.1, 3: 0.01}
MOMENTUM, DECAY = 0.9, 1e-4
KERNELS = {"_small": 3, "_medium": 11, "": 21}
STATISTICS = ("running_mean", "running_var")


def shapes() -> dict[str, tuple[int, ...]]:
    """The published names of a network with one block per stage, without the counters of batches."""
    found: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        found.update({f"{name}.{leaf}": (channels,) for leaf in ("weight", "bias", *STATISTICS)})

    found["s1.pathway0_stem.conv.weight"] = (WIDTHS[0], 1, 5, 7)
    norm("s1.pathway0_stem.bn", WIDTHS[0])
    inputs = WIDTHS[0]
    for stage, width in enumerate(WIDTHS, start=2):
        block = f"s{stage}.pathway0_res0"
        if stage > 2 or inputs != width:
            found[f"{block}.branch1.weight"] = (width, inputs, 1, 1)
            norm(f"{block}.branch1_bn", width)
        found[f"{block}.branch2.a_head.weight"] = (width, inputs, 1, 1)
        norm(f"{block}.branch2.a_head_bn", width)
        for size, k in KERNELS.items():
            found[f"{block}.branch2.a{size}.weight"] = (width, 1, k, 1)
            norm(f"{block}.branch2.a_bn{size}", width)
            found[f"{block}.branch2.b{size}.weight"] = (width, 1, 1, k)
            norm(f"{block}.branch2.b_bn{size}", width)
        found[f"{block}.branch2.c.weight"] = (4 * width, width, 1, 1)
        norm(f"{block}.branch2.c_bn", 4 * width)
        found[f"{block}.branch2.d.weight"] = (width, 4 * width, 1, 1)
        norm(f"{block}.branch2.d_bn", width)
        inputs = width
    return found | {"head.projection.weight": (CLASSES, inputs), "head.projection.bias": (CLASSES,)}


def seeded(name: str, shape: tuple[int, ...]) -> Tensor:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_mean"):
        return torch.zeros(shape, dtype=torch.float64)
    if name.endswith("running_var"):
        return torch.ones(shape, dtype=torch.float64)
    if name.endswith("bias"):
        return torch.from_numpy(rng.normal(0, 0.1, shape))
    if len(shape) == 1:
        return torch.from_numpy(rng.uniform(0.4, 0.9, shape))
    return torch.from_numpy(rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape))


def batch(step: int) -> tuple[Tensor, Tensor]:
    """The log-mel (clips, 1, frames, bands) and the classes of a step."""
    rng = np.random.default_rng((1, step))
    targets = rng.integers(0, CLASSES, BATCH)
    x = rng.normal(-4, 2, (BATCH, 1, FRAMES, BANDS))
    x[np.arange(BATCH), 0, :, 20 * targets] += 4
    return torch.from_numpy(x), torch.from_numpy(targets)


def forward(w: dict[str, Tensor], x: Tensor) -> Tensor:
    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel = w[f"{name}.weight"]
        depthwise = kernel.shape[1] == 1 and x.shape[1] > 1
        padding = (kernel.shape[2] // 2, kernel.shape[3] // 2)
        return F.conv2d(x, kernel, None, stride, padding, groups=x.shape[1] if depthwise else 1)

    def norm(name: str, x: Tensor) -> Tensor:
        mean, var = (w[f"{name}.{leaf}"] for leaf in STATISTICS)
        return F.batch_norm(x, mean, var, w[f"{name}.weight"], w[f"{name}.bias"], True, 0.1, 1e-5)

    x = F.relu(norm("s1.pathway0_stem.bn", conv("s1.pathway0_stem.conv", x, 2)))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage in range(2, 2 + len(WIDTHS)):
        block, stride = f"s{stage}.pathway0_res0", 2 if stage > 2 else 1
        inner = f"{block}.branch2"
        h = norm(f"{inner}.a_head_bn", conv(f"{inner}.a_head", x, stride))
        total = torch.zeros_like(h)
        for size in KERNELS:
            along_time = F.relu(norm(f"{inner}.a_bn{size}", conv(f"{inner}.a{size}", h)))
            total = total + F.relu(norm(f"{inner}.b_bn{size}", conv(f"{inner}.b{size}", along_time)))
        wide = norm(f"{inner}.c_bn", conv(f"{inner}.c", total))
        out = norm(f"{inner}.d_bn", conv(f"{inner}.d", wide))
        if f"{block}.branch1.weight" in w:
            x = norm(f"{block}.branch1_bn", conv(f"{block}.branch1", x, stride))
        x = F.relu(x + out)
    return F.linear(x.mean((2, 3)), w["head.projection.weight"], w["head.projection.bias"])


def trajectory() -> tuple[list[float], dict[str, Tensor]]:
    """The loss of each step, and the weights and statistics after the last one."""
    weights = {name: seeded(name, shape) for name, shape in shapes().items()}
    learnt = {name: w.requires_grad_() for name, w in weights.items() if not name.endswith(STATISTICS)}
    velocity = {name: torch.zeros_like(w) for name, w in learnt.items()}
    losses = []
    for step in range(EPOCHS * STEPS_PER_EPOCH):
        reached = [factor for epoch, factor in RATE_AT.items() if epoch <= step // STEPS_PER_EPOCH]
        rate = RATE * (reached[-1] if reached else 1)
        x, targets = batch(step)
        loss = F.cross_entropy(forward(weights, x), targets)
        gradients = torch.autograd.grad(loss, list(learnt.values()))
        losses.append(loss.item())
        with torch.no_grad():
            for (name, w), gradient in zip(learnt.items(), gradients, strict=True):
                if "_bn" not in name and ".bn." not in name:
                    gradient = gradient + DECAY * w
                velocity[name] = MOMENTUM * velocity[name] + gradient
                w -= rate * (gradient + MOMENTUM * velocity[name])
    return losses, {name: w.detach() for name, w in weights.items()}


def digest(w: Tensor) -> list[float]:
    """Two numbers that change if any element does: the sum, and one with different weights."""
    flat = w.double().flatten()
    return [float(flat.sum()), float(flat @ torch.cos(torch.arange(len(flat), dtype=torch.float64)))]


def main() -> None:
    losses, weights = trajectory()
    document = {"losses": losses, "weights": {name: digest(w) for name, w in weights.items()}}
    GOLDEN.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()

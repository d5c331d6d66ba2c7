"""Augmentation of a batch, on the device: gain, equaliser, mixup and masks, all on log-mel.

A gain and an equaliser are additions there, since the log-mel is a logarithm of magnitudes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NEPER_PER_DB = math.log(10) / 20  # the front end takes the natural logarithm of a magnitude


def random_gain(log_mel: Tensor, db: float, equaliser_db: float) -> Tensor:
    """Another loudness and another colour for each clip, as another microphone and room would give.

    Args:
        log_mel: (batch, 1, frames, bands).
        db: largest gain either way; drawn evenly.
        equaliser_db: largest gain either way at six points even over the bands, linear between them.
    """
    batch, _, _, bands = log_mel.shape
    gain = torch.empty(batch, 1, 1, device=log_mel.device).uniform_(-db, db)
    points = torch.empty(batch, 1, 6, device=log_mel.device).uniform_(-equaliser_db, equaliser_db)
    curve = torch.nn.functional.interpolate(points, size=bands, mode="linear", align_corners=True)
    return log_mel + ((gain + curve) * NEPER_PER_DB).unsqueeze(2)


def mixup(log_mel: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Zhang et al., 2018: each clip with a share of another, its target likewise. The share is Beta(alpha, alpha).

    Args:
        targets: (batch, classes), rows sum to 1.
    """
    if alpha <= 0:
        return log_mel, targets
    share = torch.distributions.Beta(alpha, alpha).sample((len(log_mel),)).to(log_mel)
    share = torch.maximum(share, 1 - share)  # the clip itself stays the larger part
    other = torch.randperm(len(log_mel), device=log_mel.device)
    s, t = share[:, None, None, None], share[:, None]
    return s * log_mel + (1 - s) * log_mel[other], t * targets + (1 - t) * targets[other]


def mask(log_mel: Tensor, count: int, longest: int, dim: int) -> Tensor:
    """SpecAugment's masks (Park et al., 2019), filled with each clip's mean.

    Args:
        count: masks a clip.
        longest: frames or bands; lengths are drawn evenly from 0 to this.
        dim: 2 masks time, 3 masks frequency.
    """
    size = log_mel.shape[dim]
    place = torch.arange(size, device=log_mel.device)
    hidden = torch.zeros(len(log_mel), size, dtype=torch.bool, device=log_mel.device)
    for _ in range(count):
        length = torch.rand(len(log_mel), 1, device=log_mel.device) * (longest + 1)
        start = torch.rand(len(log_mel), 1, device=log_mel.device) * (size - length.floor()).clamp(min=0)
        hidden |= (place >= start.floor()) & (place < start.floor() + length.floor())
    shape = [len(log_mel), 1, 1, 1]
    shape[dim] = size
    return torch.where(hidden.view(shape), log_mel.mean(dim=(2, 3), keepdim=True), log_mel)

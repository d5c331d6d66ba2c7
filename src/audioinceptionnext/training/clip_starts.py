"""Where the test clips of a recording lie."""

from __future__ import annotations

import torch
from torch import Tensor


def view_starts(lengths: Tensor, samples: int, views: int) -> Tensor:
    """(batch, views): first samples of ``views`` clips, evenly from each recording's start to its end less a clip.

    Args:
        lengths: (batch,) samples of each recording. A single view lies in the middle; in a recording shorter than a
            clip all begin at 0.
    """
    spare = (lengths - samples).clamp(min=0)
    if views == 1:
        return (spare // 2)[:, None]
    return spare[:, None] * torch.arange(views, device=lengths.device) // (views - 1)  # whole numbers: no rounding

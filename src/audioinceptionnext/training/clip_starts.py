"""Where the clips lie over which an evaluation averages."""

from __future__ import annotations

import torch
from torch import Tensor


def clip_starts(lengths: Tensor, samples: int, count: int) -> Tensor:
    """The first samples of ``count`` clips, evenly spaced from a recording's start to its end less a clip.

    As published, a clip counts as one sample longer here than it is, and places are cut off to whole samples. A single
    clip lies in the middle. In a recording that is shorter than a clip, all clips begin at 0.

    Args:
        lengths: (batch,) number of samples of each recording.
        samples: number of samples of a clip.
        count: number of clips per recording.

    Returns:
        (batch, count) int64.

    >>> clip_starts(torch.tensor([100, 5]), 19, 3)
    tensor([[ 0, 40, 80],
            [ 0,  0,  0]])
    """
    spare = (lengths - samples - 1).clamp(min=0)
    if count == 1:
        return (spare // 2)[:, None]
    spacing = spare.double() / (count - 1)  # in the order of operations of numpy's linspace, whose rounding decides
    starts = (spacing[:, None] * torch.arange(count, device=lengths.device, dtype=torch.float64)).long()
    starts[:, -1] = spare
    return starts

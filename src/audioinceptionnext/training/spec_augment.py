"""SpecAugment (Park et al., 2019) in batches, on the device: a time warp, and masks over bands and frames.

It comes in two versions. The textbook's is what the paper's text describes. The published one is what the code of the
paper's authors computes, and so what their networks were trained with. (Its warp stretches and shears the whole clip,
because a value of the log-mel is used where the number of a frame was meant; its masks are less than half as wide.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from audioinceptionnext.training.recipe import SpecAugmentVersion


def time_warp(log_mel: Tensor, max_frames: float) -> Tensor:
    """Move a random moment of each clip and stretch what is before and after it (SpecAugment, Park et al., 2019).

    The moment is uniform from ``max_frames`` after the start to as many before the end; it moves by a uniform number of
    frames in either direction. The first and the last frame stay where they are. Values are linear between frames. A
    clip that is too short for such a moment stays as it is.

    Args:
        log_mel: (batch, 1, frames, bands).
        max_frames: the paper's W; 5 in the paper's recipe.

    Returns:
        (batch, 1, frames, bands).
    """
    batch, _, frames, bands = log_mel.shape
    last = frames - 1
    if max_frames <= 0 or last <= 2 * max_frames:
        return log_mel
    moment = torch.empty(batch, 1, device=log_mel.device).uniform_(max_frames, last - max_frames)
    shift = torch.empty(batch, 1, device=log_mel.device).uniform_(-max_frames, max_frames)
    target = (moment + shift).clamp(1e-3, last - 1e-3)
    frame = torch.arange(frames, device=log_mel.device)
    early = frame * (moment / target)
    late = last - (last - frame) * ((last - moment) / (last - target))
    place = torch.where(frame < target, early, late).clamp(0, last)
    lower = place.long()
    first = torch.arange(batch, device=log_mel.device)[:, None] * frames  # the frames of the batch in one column
    rows = log_mel.reshape(-1, bands)
    below, above = (rows[(first + f).flatten()].view_as(log_mel) for f in (lower, (lower + 1).clamp(max=last)))
    return below.lerp_(above, (place - lower)[:, None, :, None].to(log_mel.dtype))


def mask(log_mel: Tensor, count: int, longest: int, dim: int) -> Tensor:
    """Mask frames or bands with each clip's mean (SpecAugment, Park et al., 2019).

    Args:
        log_mel: (batch, 1, frames, bands).
        count: number of masks per clip.
        longest: largest number of frames or bands of a mask; lengths are uniform from 0 to this.
        dim: 2 masks time, 3 masks frequency.

    Returns:
        (batch, 1, frames, bands).
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


def published_time_warp(log_mel: Tensor, max_frames: int) -> Tensor:
    """Stretch each clip about its start, and shear it between low and high bands, as the authors' code does.

    With a band y, a frame x, the middle band m, the value v of the log-mel there in a random frame, a random whole
    number d, and a random direction u: the output at (y, x) is the input at (y, x - (a y + b x + g)), where
    (a, b, g) = d u / (u . (m, v + d, 1)). Values are linear between frames, and the first and the last frame are
    repeated beyond the ends. Most clips hardly change; one in four is stretched or squeezed by more than a tenth.

    Args:
        log_mel: (batch, 1, frames, bands).
        max_frames: W, which was meant as the largest displacement. d is from -W to W - 1, and the random frame at least
            W from both ends.

    Returns:
        (batch, 1, frames, bands). A clip that is too short for such a frame stays as it is.
    """
    batch, _, frames, bands = log_mel.shape
    if max_frames <= 0 or frames <= 2 * max_frames:
        return log_mel
    device, dtype = log_mel.device, log_mel.dtype
    moment = torch.randint(max_frames, frames - max_frames, (batch,), device=device)
    shift = torch.randint(-max_frames, max_frames, (batch,), device=device).to(dtype)
    value = log_mel[torch.arange(batch, device=device), 0, moment, bands // 2]
    direction = torch.randn(batch, 3, device=device, dtype=dtype)  # its length does not matter
    centre = torch.stack([torch.full_like(value, bands // 2), value + shift, torch.ones_like(value)], dim=1)
    by_band, by_frame, constant = (direction * (shift / (direction * centre).sum(1))[:, None]).T[..., None, None]
    frame = torch.arange(frames, device=device, dtype=dtype)[:, None]
    band = torch.arange(bands, device=device, dtype=dtype)
    place = (frame - by_band * band - by_frame * frame - constant).clamp(0, frames - 1)  # (batch, frames, bands)
    lower = place.long()
    below, above = (log_mel[:, 0].gather(1, at) for at in (lower, (lower + 1).clamp(max=frames - 1)))
    return below.lerp_(above, place - lower)[:, None]


def published_mask(log_mel: Tensor, count: int, longest: int, dim: int) -> Tensor:
    """Mask frames or bands as the authors' code does: one mask after the other, each filled with the clip's mean then.

    The length f of a mask is a whole number below ``longest``, but its last frame is drawn anew, from its first one to
    the f-th, and left as it is. If f is 0, the clip gets no further mask of this call.

    Args:
        log_mel, count, longest, dim: as for `mask`.

    Returns:
        (batch, 1, frames, bands).
    """
    batch, size = len(log_mel), log_mel.shape[dim]
    place = torch.arange(size, device=log_mel.device)
    shape = [batch, 1, 1, 1]
    shape[dim] = size
    goes_on = torch.ones(batch, 1, dtype=torch.bool, device=log_mel.device)
    for _ in range(count if longest else 0):
        length, start, width = torch.rand(3, batch, 1, device=log_mel.device)
        length = (length * min(longest, size)).floor()
        start = (start * (size - length)).floor()
        width = (width * length).floor()
        goes_on &= length > 0
        hidden = goes_on & (place >= start) & (place < start + width)
        log_mel = torch.where(hidden.view(shape), log_mel.mean(dim=(2, 3), keepdim=True), log_mel)
    return log_mel


class SpecAugment(NamedTuple):
    """The functions of a version: the time warp, and the masks."""

    time_warp: Callable[[Tensor, int], Tensor]
    mask: Callable[[Tensor, int, int, int], Tensor]


VERSIONS: dict[SpecAugmentVersion, SpecAugment] = {
    "textbook": SpecAugment(time_warp, mask),
    "published": SpecAugment(published_time_warp, published_mask),
}

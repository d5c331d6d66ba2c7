"""Where in time and frequency a network looks: Grad-CAM of its last stage."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext.explain.probe import Probe
from audioinceptionnext.network.baselines import PlainCNN


def grad_cam(probe: Probe, features: Tensor, loud: Tensor, index: int, frames: int) -> np.ndarray:
    """Grad-CAM of the last stage (Selvaraju et al., 2017), in the input's frames and bands.

    It is ``ReLU(sum over k of alpha_k A_k)``, where A_k is a channel of the feature map and alpha_k the mean over the
    map of the gradient of the class's logit. The logit is the mean over the loud steps. Where windows overlap, their
    maps are averaged.

    Args:
        probe: the network.
        features: (windows, channels, time, frequency), see `Probe.features`.
        loud: (steps,) bool, see `Probe.loud_steps`.
        index: of the class.
        frames: of the excerpt's log-mel.

    Returns:
        (frames, bands) float32, scaled to a maximum of 1; all 0 if nothing is evidence for the class.
    """
    features = features.detach().requires_grad_()
    logit = probe.logits(features)[loud, index].mean()
    (gradient,) = torch.autograd.grad(logit, features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    maps = torch.relu((weights * features).sum(1)).detach().numpy()  # (windows, time, frequency)
    bands = probe.net.config.bands
    total, count = np.zeros((frames, bands)), np.zeros((frames, 1))
    for start, window_map in zip(probe.window_starts(frames), maps, strict=True):
        length = frames if probe.model.mode == "dense" else min(probe.clip_frames, frames - start)
        over_time, over_bands = (
            _interpolation(size, positions, *grid)
            for size, positions, grid in zip((length, bands), window_map.shape, _position_grids(probe), strict=True)
        )
        total[start : start + length] += over_time @ window_map @ over_bands.T
        count[start : start + length] += 1
    mean = total / count
    return (mean / max(mean.max(), 1e-30)).astype(np.float32)


def _position_grids(probe: Probe) -> tuple[tuple[float, float], tuple[float, float]]:
    """The first position of the feature map and the distance to the next: in frames, and in bands.

    A position lies in the middle of what it sees. Strided convolutions with padding on both sides have the first one at
    the very first frame; scaling the map to the input's size like a picture would shift it by half a stride.
    """
    if isinstance(probe.net, PlainCNN):  # it averages over 32 frames x 16 bands
        return (15.5, 32), (7.5, 16)
    return (0, 32), (0, 32)


def _interpolation(size: int, positions: int, first: float, stride: float) -> np.ndarray:
    """(size, positions): the weight of each position in each cell, linear between two and constant beyond the ends."""
    places = first + stride * np.arange(positions)
    return np.stack([np.interp(np.arange(size), places, unit) for unit in np.eye(positions)], axis=1)

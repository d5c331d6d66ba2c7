"""Recordings that are mixed in as background."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext import media
from audioinceptionnext.errors import AinextError

SECONDS = 10.0  # a piece
MOST = 500  # pieces, 0.5 GB at 24 kHz


def read_noise(folder: str, sample_rate: int) -> Tensor:
    """(pieces, samples) float32: every recording below ``folder`` cut into pieces of `SECONDS`, short ones repeated.

    Raises:
        AinextError: no recording there, or one that cannot be read.
    """
    size = round(SECONDS * sample_rate)
    pieces: list[np.ndarray] = []
    for path in media.find_media([folder]):
        if isinstance(path, media.Missing):
            raise AinextError(f"noise: {path.path}: {path.reason}")
        for block in media.read_blocks(path, sample_rate, SECONDS):
            if len(block) and len(pieces) < MOST:
                pieces.append(np.resize(block, size))
        if len(pieces) >= MOST:
            break
    if not pieces:
        raise AinextError(f"noise: {folder}: no recordings there")
    return torch.from_numpy(np.stack(pieces))

"""Recordings that belong to no class: to mix into clips (``noise``) or to add to a batch (``background``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.discover import MissingPath, find_media
from audioinceptionnext.errors import MediaError, ParameterError, printable

PIECE_SECONDS = 10.0
MAX_PIECES = 500  # 0.5 GB at 24 kHz


def read_noise(folder: str, sample_rate: int, setting: str = "noise") -> Tensor:
    """Decode every recording below a folder and cut it into pieces of `PIECE_SECONDS`. Short pieces are repeated.

    Of more than `MAX_PIECES` recordings or pieces, evenly spaced ones are taken.

    Args:
        folder: searched with its subfolders.
        sample_rate: in Hz.
        setting: the setting of the recipe that named the folder, for errors.

    Returns:
        (pieces, samples) float32.

    Raises:
        ParameterError: there is no recording in the folder, or one cannot be decoded.
    """
    size = round(PIECE_SECONDS * sample_rate)
    paths = find_media([folder])
    pieces: list[np.ndarray] = []
    every = 1
    for number, block in enumerate(_blocks(paths[:: math.ceil(len(paths) / MAX_PIECES)], sample_rate, setting)):
        if number % every == 0:
            pieces.append(np.resize(block, size))
        if len(pieces) > MAX_PIECES:
            pieces, every = pieces[::2], 2 * every
    return torch.from_numpy(np.stack(pieces))


def _blocks(paths: Sequence[Path | MissingPath], sample_rate: int, setting: str) -> Iterator[np.ndarray]:
    for path in paths:
        if isinstance(path, MissingPath):
            raise ParameterError(setting, printable(path.path), path.reason)
        try:
            yield from decode.read_blocks(path, sample_rate, PIECE_SECONDS)
        except MediaError as error:
            raise ParameterError(setting, printable(path), error.reason) from error

"""Recordings of what is none of the classes: mixed into clips (``noise``), or heard alone (``background``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.discover import Missing, find_media
from audioinceptionnext.audio.source import MediaError
from audioinceptionnext.errors import AinextError

SECONDS = 10.0  # a piece
MOST = 500  # pieces, 0.5 GB at 24 kHz


def read_noise(folder: str, sample_rate: int, setting: str = "noise") -> Tensor:
    """(pieces, samples) float32: every recording below ``folder`` cut into pieces of `SECONDS`, short ones repeated.

    Of more than `MOST` recordings, and of more than `MOST` pieces, those at even spacing are taken.

    Args:
        setting: of the recipe, for messages.

    Raises:
        AinextError: no recording there, or one that cannot be read.
    """
    size = round(SECONDS * sample_rate)
    paths = find_media([folder])
    pieces: list[np.ndarray] = []
    every = 1
    for number, block in enumerate(_blocks(paths[:: math.ceil(len(paths) / MOST)], sample_rate, setting)):
        if number % every == 0:
            pieces.append(np.resize(block, size))
        if len(pieces) > MOST:
            pieces, every = pieces[::2], 2 * every
    return torch.from_numpy(np.stack(pieces))


def _blocks(paths: Sequence[Path | Missing], sample_rate: int, setting: str) -> Iterator[np.ndarray]:
    for path in paths:
        if isinstance(path, Missing):
            raise AinextError(f"{setting}: {path.path}: {path.reason}")
        try:
            yield from decode.read_blocks(path, sample_rate, SECONDS)
        except MediaError as error:
            raise AinextError(f"{setting}: {error}") from error

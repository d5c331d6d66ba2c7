"""Sounds that belong to none of the taught classes: rendered noise, voices, impacts and more, from a file of ours.

Without them, a linear layer that has only met five kinds of sound takes every other sound for one of the five. The file
is Opus, so that the page can use the same. `tools/other_sounds.py` made it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audioinceptionnext.audio import decode

FILE = Path(__file__).parent / "other_sounds.opus"
SOUND_SECONDS = 2.4  # of each sound; one follows the other
NOISES = 12  # of them, which come first; the others are sounds of many kinds


def other_sounds(sample_rate: int) -> list[np.ndarray]:
    """These sounds, (samples,) float32 each. The first `NOISES` are noise."""
    samples = round(SOUND_SECONDS * sample_rate)
    whole = decode.read(FILE, sample_rate)
    return [whole[start : start + samples] for start in range(0, len(whole) - samples // 2, samples)]

"""Sounds that belong to none of the taught classes: rendered noise, voices, impacts and more, from a file of ours.

Without them, a linear layer that has only met five kinds of sound takes every other sound for one of the five. The file
is Opus, so that the page can use the same. `tools/other_sounds.py` made it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.teaching.features import features_of

FILE = Path(__file__).parent / "other_sounds.opus"
SOUND_SECONDS = 2.4  # of each sound; one follows the other
NOISES = 12  # of them, which come first; the others are sounds of many kinds


def other_features(model: Recogniser) -> np.ndarray:
    """What a model's last layer gets of these sounds, (sounds, channels) float64. The first `NOISES` are noise."""
    samples = round(SOUND_SECONDS * model.sample_rate)
    whole = decode.read(FILE, model.sample_rate)
    sounds = [whole[start : start + samples] for start in range(0, len(whole) - samples // 2, samples)]
    return np.concatenate([features_of(model, sound) for sound in sounds])

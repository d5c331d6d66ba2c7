"""Rendered sound: an endless supply of labelled clips that needs no download, to learn hearing from.

Struck bodies, friction, flow, motors, voices, made by chance from physical and musical commonplaces (modes of a body,
Minnaert's bubbles, formants); what made a sound, and how, is its label.
"""

from __future__ import annotations

import numpy as np

from audioinceptionnext.rendering.families import FAMILIES, draw
from audioinceptionnext.rendering.signals import Rng, coloured, room, smooth, unit

LABELS = tuple(sorted(label for family in FAMILIES for label in family.labels()))
IN_A_ROOM = 0.5  # shares of the clips
WITH_NOISE = 0.6
WITH_ANOTHER = 0.3
FOR_A_WHILE = 0.25
AUDIBLE = 1e-3  # of a sound whose root mean square is 1


def render(seed: int, seconds: float = 3.28, rate: int = 24_000) -> tuple[np.ndarray, str]:
    """One clip, the same for the same arguments: float32 (round(seconds * rate),), full scale 1, and its label.

    Half of them stand in a room, some in noise, some over another sound 8 to 30 dB softer, some for a part of the clip
    that covers its middle. Peaks lie at -30 to 0 dB. Raises ValueError for a clip of no samples.
    """
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    if n < 1:
        raise ValueError(f"{seconds} s at {rate} Hz: no samples")
    family, choices, label = draw(rng)
    sound = np.zeros(n)
    while np.abs(sound).max() < AUDIBLE:  # a short clip can fall between two strokes
        sound = unit(family.make(rng, n, rate, *choices))
        if rng.random() < FOR_A_WHILE:
            sound = sound * _while(rng, n, rate)
    if rng.random() < IN_A_ROOM:
        sound = unit(room(rng, sound, rate))
    if rng.random() < WITH_ANOTHER:
        other, chosen, _ = draw(rng)
        sound = sound + 10 ** (rng.uniform(-30, -8) / 20) * unit(other.make(rng, n, rate, *chosen))
    if rng.random() < WITH_NOISE:
        sound = sound + 10 ** (rng.uniform(-45, -12) / 20) * unit(coloured(rng, n, rng.uniform(0, 2)))
    sound = sound / (np.abs(sound).max() + 1e-9) * 10 ** (rng.uniform(-30, 0) / 20)
    return sound.astype(np.float32), label


def _while(rng: Rng, n: int, rate: int) -> np.ndarray:
    """Envelope (n,): 1 for a part of 20 to 70 % around the middle, 0 outside, faded over milliseconds."""
    length = rng.uniform(0.2, 0.7) * n
    first = n / 2 - rng.uniform(0.1, 0.9) * length
    inside = (np.arange(n) >= first) & (np.arange(n) < first + length)
    return smooth(inside.astype(float), rng.uniform(10, 60), rate)

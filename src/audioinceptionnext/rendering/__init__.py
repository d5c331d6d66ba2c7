"""Rendered sound: any number of labelled clips to pretrain on, without a download.

Struck bodies, friction, flowing water, motors, voices and more are synthesised from simple physical models (modes of a
body, Minnaert's bubbles, formants) with random parameters. The label says what made the sound, and how.
"""

from __future__ import annotations

import numpy as np

from audioinceptionnext.rendering.families import FAMILIES, draw
from audioinceptionnext.rendering.signals import Rng, coloured, room, smooth, unit

LABELS = tuple(sorted(label for family in FAMILIES for label in family.labels()))
SHARE_IN_A_ROOM = 0.5  # shares of the clips
SHARE_WITH_NOISE = 0.6
SHARE_WITH_ANOTHER_SOUND = 0.3
SHARE_SHORTENED = 0.25
MIN_PEAK = 1e-3  # of a sound whose root mean square is 1; below this it counts as silent


def render(seed: int, clip_seconds: float = 3.28, sample_rate: int = 24_000) -> tuple[np.ndarray, str]:
    """Render a clip. The same arguments give the same clip.

    Half of the clips have the reverberation of a room, some have noise, some have another sound that is 8 to 30 dB
    softer, and some sounds last only for a part of the clip around its middle. Peaks are between -30 and 0 dB.

    Args:
        seed: number of the clip.
        clip_seconds: its duration.
        sample_rate: in Hz.

    Returns:
        The waveform, (round(clip_seconds * sample_rate),) float32 of -1…1, and one of `LABELS`.

    Raises:
        ValueError: the clip would have no samples.

    >>> waveform, label = render(7)
    >>> waveform.shape
    (78720,)
    """
    rng = np.random.default_rng(seed)
    n = round(clip_seconds * sample_rate)
    if n < 1:
        raise ValueError(f"{clip_seconds} s at {sample_rate} Hz is less than one sample")
    family, choices, label = draw(rng)
    sound = np.zeros(n)
    while np.abs(sound).max() < MIN_PEAK:  # a short clip can fall between two strokes
        sound = unit(family.make(rng, n, sample_rate, *choices))
        if rng.random() < SHARE_SHORTENED:
            sound = sound * _shortened(rng, n, sample_rate)
    if rng.random() < SHARE_IN_A_ROOM:
        sound = unit(room(rng, sound, sample_rate))
    if rng.random() < SHARE_WITH_ANOTHER_SOUND:
        other, chosen, _ = draw(rng)
        sound = sound + 10 ** (rng.uniform(-30, -8) / 20) * unit(other.make(rng, n, sample_rate, *chosen))
    if rng.random() < SHARE_WITH_NOISE:
        sound = sound + 10 ** (rng.uniform(-45, -12) / 20) * unit(coloured(rng, n, rng.uniform(0, 2)))
    sound = sound / (np.abs(sound).max() + 1e-9) * 10 ** (rng.uniform(-30, 0) / 20)
    return sound.astype(np.float32), label


def _shortened(rng: Rng, n: int, rate: int) -> np.ndarray:
    """An envelope (n,): 1 in a part of 20 to 70 % that covers the middle, 0 outside, with short fades."""
    length = rng.uniform(0.2, 0.7) * n
    first = n / 2 - rng.uniform(0.1, 0.9) * length
    inside = (np.arange(n) >= first) & (np.arange(n) < first + length)
    return smooth(inside.astype(float), rng.uniform(10, 60), rate)

"""The building blocks of rendered sounds: noise, filters, ringing bodies, envelopes and rooms.

``rate`` is the sample rate in Hz, and ``n`` the number of samples of the result.
"""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

Rng = np.random.Generator
LOWEST_HZ = 30.0
HIGHEST = 0.49  # of the sample rate: filters and tones stay below half of it


def in_octaves(rng: Rng, low: float, high: float) -> float:
    """A random number from ``low`` to ``high``, in each octave with the same probability."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def seconds(n: int, rate: int) -> np.ndarray:
    """The time of each sample in seconds, (n,)."""
    return np.arange(n) / rate


def unit(x: np.ndarray) -> np.ndarray:
    """Scale to a root mean square of 1. Silence stays silent."""
    return x / (np.sqrt(np.mean(x * x)) + 1e-9)


def white(rng: Rng, n: int) -> np.ndarray:
    """White noise (n,)."""
    return rng.standard_normal(n)


def coloured(rng: Rng, n: int, slope: float) -> np.ndarray:
    """Noise (n,) whose power density is proportional to f^-slope: 0 is white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.maximum(np.arange(len(spectrum)), 3.0)
    return np.fft.irfft(spectrum * frequency ** (-slope / 2), n)


def band(x: np.ndarray, low: float, high: float, rate: int, order: int = 2) -> np.ndarray:
    """A Butterworth band-pass from ``low`` to ``high`` Hz, both limited to what the sample rate allows."""
    top = HIGHEST * rate
    low, high = min(max(low, LOWEST_HZ), top * 0.8), min(max(high, 1.1 * LOWEST_HZ), top)
    return sosfilt(butter(order, [low, max(high, 1.1 * low)], "band", fs=rate, output="sos"), x)


def smooth(x: np.ndarray, cutoff_hz: float, rate: int) -> np.ndarray:
    """A first-order low-pass, for envelopes and slow changes."""
    keep = float(np.exp(-2 * np.pi * cutoff_hz / rate))
    return lfilter([1 - keep], [1, -keep], x)


def drift(rng: Rng, n: int, cutoff_hz: float, rate: int) -> np.ndarray:
    """A slow random curve (n,) with a root mean square of 1 that changes up to ``cutoff_hz`` times per second."""
    return unit(smooth(rng.standard_normal(n), cutoff_hz, rate))


def tone(frequency: np.ndarray | float, n: int, rate: int, phase: float = 0.0) -> np.ndarray:
    """A sine (n,) of a fixed frequency in Hz, or of one frequency per sample."""
    turns = np.cumsum(frequency) / rate if isinstance(frequency, np.ndarray) else frequency * seconds(n, rate)
    return np.sin(2 * np.pi * turns + phase)


def harmonics(rng: Rng, pitch: np.ndarray, rate: int, tilt: float, resonance: float | None = None) -> np.ndarray:
    """A harmonic sound of the same shape as ``pitch``.

    Args:
        pitch: the fundamental frequency at each sample, in Hz.
        tilt: partial h has an amplitude of about h^-tilt.
        resonance: frequency in Hz around which partials are louder.
    """
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    first, out = float(pitch.max()), np.zeros(len(pitch))
    for h in range(1, 40):
        if h > 1 and first * h > HIGHEST * rate:
            break
        level = h**-tilt * rng.uniform(0.3, 1)
        if resonance is not None:
            level *= 1 + 3 * np.exp(-(((first * h - resonance) / (0.5 * resonance)) ** 2))
        out += level * np.sin(h * phase + rng.uniform(0, 2 * np.pi))
    return out


def struck(rng: Rng, n: int, rate: int, pitch: float, decay: float, modes: int) -> np.ndarray:
    """A struck body (n,): inharmonic modes that die away, the higher ones sooner.

    Args:
        pitch: frequency of the lowest mode, in Hz.
        decay: seconds in which the lowest mode falls by 8.7 dB.
        modes: number of modes.
    """
    ratio = np.sort(np.concatenate([[1.0], rng.uniform(1.2, 14, modes - 1)])) * rng.uniform(0.98, 1.02, modes)
    frequency = pitch * ratio
    frequency = frequency[frequency < HIGHEST * rate]
    if not len(frequency):
        frequency = np.array([0.4 * rate])
    decays = decay / (1 + rng.uniform(0.08, 0.4) * (frequency / pitch - 1).clip(0))
    level = rng.uniform(0.2, 1, len(frequency)) * (frequency / pitch) ** -rng.uniform(0, 1.2)
    phase = rng.uniform(0, 2 * np.pi, len(frequency))
    t = seconds(n, rate)[:, None]
    return (level * np.exp(-t / decays) * np.sin(2 * np.pi * frequency * t + phase)).sum(1)


def onsets(rng: Rng, n: int, rate: int, per_second: float, regular: bool) -> list[int]:
    """The first sample of each event, with ``per_second`` of them on average: at a regular pace, or at random."""
    starts, at = [], rng.uniform(0, 1 / per_second) * rate
    while at < n:
        starts.append(int(at))
        at += rate * ((rng.uniform(0.85, 1.15) if regular else rng.exponential(1)) / per_second + 0.001)
    return starts


def place(out: np.ndarray, x: np.ndarray, at: int) -> None:
    """Add ``x`` to ``out`` from sample ``at`` on; what is beyond the end of ``out`` is cut off."""
    end = min(len(out), at + len(x))
    if end > at:
        out[at:end] += x[: end - at]


def strokes(rng: Rng, n: int, rate: int, per_second: float) -> np.ndarray:
    """The envelope (n,) of a hand that moves back and forth, 0 to 1."""
    shape = rng.uniform(0.7, 4)
    return np.abs(np.sin(np.pi * per_second * seconds(n, rate) + rng.uniform(0, np.pi))) ** shape


def room(rng: Rng, x: np.ndarray, rate: int) -> np.ndarray:
    """``x`` in a small room: the direct sound, and an exponentially decaying tail of dark noise after it."""
    length = int(rate * in_octaves(rng, 0.05, 0.8))
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)  # 60 dB over its length
    tail = lfilter([1], [1, -rng.uniform(0, 0.7)], tail)
    tail *= rng.uniform(0.1, 1.0) / np.sqrt((tail**2).sum())
    tail[0] = 1
    return fftconvolve(x, tail)[: len(x)]

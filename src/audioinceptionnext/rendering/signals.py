"""What rendered sounds are made of: noise, bands of it, ringing bodies, envelopes, rooms. All at a rate in Hz."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

Rng = np.random.Generator
LOWEST_HZ = 30.0
HIGHEST = 0.49  # of the rate: filters and tones stay below its half


def in_octaves(rng: Rng, low: float, high: float) -> float:
    """A number from ``low`` to ``high``, every octave as likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def seconds(n: int, rate: int) -> np.ndarray:
    """(n,) the time of each sample."""
    return np.arange(n) / rate


def unit(x: np.ndarray) -> np.ndarray:
    """Scaled to a root mean square of 1; silence stays silent."""
    return x / (np.sqrt(np.mean(x * x)) + 1e-9)


def white(rng: Rng, n: int) -> np.ndarray:
    return rng.standard_normal(n)


def coloured(rng: Rng, n: int, slope: float) -> np.ndarray:
    """Noise (n,) whose power falls with frequency as f^-slope: 0 is white, 1 pink, 2 brown."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.maximum(np.arange(len(spectrum)), 3.0)
    return np.fft.irfft(spectrum * frequency ** (-slope / 2), n)


def band(x: np.ndarray, low: float, high: float, rate: int, order: int = 2) -> np.ndarray:
    """Butterworth band-pass from ``low`` to ``high`` Hz, both moved into what the rate can hold."""
    top = HIGHEST * rate
    low, high = min(max(low, LOWEST_HZ), top * 0.8), min(max(high, 1.1 * LOWEST_HZ), top)
    return sosfilt(butter(order, [low, max(high, 1.1 * low)], "band", fs=rate, output="sos"), x)


def smooth(x: np.ndarray, cutoff_hz: float, rate: int) -> np.ndarray:
    """First-order low-pass, for envelopes and for what drifts."""
    keep = float(np.exp(-2 * np.pi * cutoff_hz / rate))
    return lfilter([1 - keep], [1, -keep], x)


def drift(rng: Rng, n: int, cutoff_hz: float, rate: int) -> np.ndarray:
    """Slow random course (n,) of about -1 to 1, changing up to ``cutoff_hz`` times a second."""
    return unit(smooth(rng.standard_normal(n), cutoff_hz, rate))


def tone(frequency: np.ndarray | float, n: int, rate: int, phase: float = 0.0) -> np.ndarray:
    """(n,) a sine of a fixed or moving frequency in Hz."""
    turns = np.cumsum(frequency) / rate if isinstance(frequency, np.ndarray) else frequency * seconds(n, rate)
    return np.sin(2 * np.pi * turns + phase)


def harmonics(rng: Rng, pitch: np.ndarray, rate: int, tilt: float, resonance: float | None = None) -> np.ndarray:
    """A harmonic sound of a moving pitch: partial h at h^-tilt, more of those near ``resonance`` Hz. Shape as pitch."""
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
    """A struck body (n,): inharmonic modes from ``pitch`` Hz up, the higher the sooner gone.

    Args:
        decay: seconds in which the lowest mode falls by 8.7 dB.
    """
    ratio = np.sort(np.concatenate([[1.0], rng.uniform(1.2, 14, modes - 1)])) * rng.uniform(0.98, 1.02, modes)
    frequency = pitch * ratio
    frequency = frequency[frequency < HIGHEST * rate]
    if not len(frequency):
        frequency = np.array([0.4 * rate])
    gone = decay / (1 + rng.uniform(0.08, 0.4) * (frequency / pitch - 1).clip(0))
    level = rng.uniform(0.2, 1, len(frequency)) * (frequency / pitch) ** -rng.uniform(0, 1.2)
    phase = rng.uniform(0, 2 * np.pi, len(frequency))
    t = seconds(n, rate)[:, None]
    return (level * np.exp(-t / gone) * np.sin(2 * np.pi * frequency * t + phase)).sum(1)


def onsets(rng: Rng, n: int, rate: int, a_second: float, regular: bool) -> list[int]:
    """Samples at which something begins, ``a_second`` times a second: like a clock, or by chance as rain does."""
    found, at = [], rng.uniform(0, 1 / a_second) * rate
    while at < n:
        found.append(int(at))
        at += rate * ((rng.uniform(0.85, 1.15) if regular else rng.exponential(1)) / a_second + 0.001)
    return found


def place(out: np.ndarray, x: np.ndarray, at: int) -> None:
    """Add ``x`` to ``out`` from sample ``at`` on, as far as it reaches."""
    end = min(len(out), at + len(x))
    if end > at:
        out[at:end] += x[: end - at]


def strokes(rng: Rng, n: int, rate: int, a_second: float) -> np.ndarray:
    """Envelope (n,) of a hand that goes to and fro, 0 to 1."""
    shape = rng.uniform(0.7, 4)
    return np.abs(np.sin(np.pi * a_second * seconds(n, rate) + rng.uniform(0, np.pi))) ** shape


def room(rng: Rng, x: np.ndarray, rate: int) -> np.ndarray:
    """``x`` in a small room: an exponentially falling, darkening tail of noise after the direct sound."""
    length = int(rate * in_octaves(rng, 0.05, 0.8))
    tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)  # 60 dB over its length
    tail = lfilter([1], [1, -rng.uniform(0, 0.7)], tail)
    tail *= rng.uniform(0.1, 1.0) / np.sqrt((tail**2).sum())
    tail[0] = 1
    return fftconvolve(x, tail)[: len(x)]

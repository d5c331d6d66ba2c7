"""Outlier exposure: sound that holds none of the classes, from which the network learns when to be unsure.

Hendrycks, Mazeika and Dietterich, 2019, "Deep Anomaly Detection with Outlier Exposure": such clips are added to each
batch, and their target is the uniform distribution. Randomness is torch's own: seed it to repeat a result.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from audioinceptionnext.training.waveform_augment import NOISE_PERIOD, coloured

LEVEL_DB = (-70.0, -10.0)  # root mean square, over full scale
HUSH_DB = (-100.0, -70.0)  # near silence: from a 16-bit recording's own rounding up to a quiet room
GAIN_DB = 12.0  # of recordings, either way
BLUE = 0.5  # of the amplitude: noise is lifted by up to so much, or white would lie at the very end of its colours
HUM_HZ = (40.0, 1000.0)  # whistles and beeps, which are classes of many data sets, lie higher
HARMONICS = 16
UNDER_HUM_DB = 60.0  # the noise that comes with a hum is up to so much softer
BAND_OCTAVES = (1 / 3, 3.0)
NOISE, BAND, HUM, HUSH = range(4)


def how_many(share: float, clips: int) -> int:
    """Background clips to a batch of ``clips``, rounded up; a billionth more, as of 0.7 * 10, is floating point's."""
    return math.ceil(share * clips - 1e-9)


def background(
    count: int, samples: int, rate: int, recordings: Tensor | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """(count, samples) of background: the first half from ``recordings``, if there are any, the others rendered.

    Where ``count`` is odd, the half that gets one more is drawn.

    Args:
        rate: Hz.
        recordings: (pieces, length), see `noise.read_noise`.
    """
    if recordings is None:
        return rendered(count, samples, rate, device)
    half = (count + int(torch.randint(2, ()))) // 2
    return torch.cat([recorded(recordings, half, samples), rendered(count - half, samples, rate, device)])


def recorded(recordings: Tensor, count: int, samples: int) -> Tensor:
    """(count, samples): a random stretch of a random piece each, `GAIN_DB` louder or softer; short pieces repeat."""
    pieces, length = recordings.shape
    device = recordings.device
    piece = torch.randint(pieces, (count,), device=device)
    start = torch.randint(max(0, length - samples) + 1, (count, 1), device=device)
    place = (start + torch.arange(samples, device=device)) % length
    gain = torch.empty(count, 1, device=device).uniform_(-GAIN_DB, GAIN_DB)
    return recordings[piece].gather(1, place) * 10 ** (gain / 20)


def rendered(count: int, samples: int, rate: int, device: torch.device | str = "cpu") -> Tensor:
    """(count, samples), each of a kind that is drawn: coloured noise, a band of it, a hum with some, near silence.

    Levels are drawn evenly in dB. Longer sound than `NOISE_PERIOD` is that period repeated, without a seam.
    """
    if not count:  # which an FFT would refuse
        return torch.zeros(0, samples, device=device)
    period = min(samples, NOISE_PERIOD)
    kind = torch.randint(4, (count, 1), device=device)
    lift = torch.empty(count, 1, device=device).uniform_(0, BLUE)
    noise = torch.fft.rfft(coloured(count, period, device))
    noise = noise * torch.arange(noise.shape[1], device=device) ** lift
    spectrum = torch.where((kind == BAND) & ~_band(count, period, rate, device), 0, noise)
    softer = torch.empty(count, 1, device=device).uniform_(-UNDER_HUM_DB, 0)
    hum = _unit(_lines(count, period, rate, device)) + _unit(noise) * 10 ** (softer / 20)
    spectrum = torch.where(kind == HUM, hum, spectrum)
    wave = torch.fft.irfft(spectrum, n=period).repeat(1, math.ceil(samples / period))[:, :samples]
    level = torch.empty(2, count, 1, device=device)
    level[0].uniform_(*LEVEL_DB)
    level[1].uniform_(*HUSH_DB)
    return _unit(wave) * math.sqrt(samples) * 10 ** (torch.where(kind == HUSH, level[1], level[0]) / 20)


def _band(count: int, period: int, rate: int, device: torch.device | str) -> Tensor:
    """(count, bins), true within a band of each row's own: its centre and its width in octaves are drawn."""
    frequency = torch.arange(period // 2 + 1, device=device) * (rate / period)
    centre = _evenly_in_octaves(count, 100, rate / 4, device)
    half_width = torch.exp2(torch.empty(count, 1, device=device).uniform_(*BAND_OCTAVES) / 2)
    return (frequency >= centre / half_width) & (frequency <= centre * half_width)


def _lines(count: int, period: int, rate: int, device: torch.device | str) -> Tensor:
    """(count, bins), complex: a tone and its harmonics, which fall off steeply (a pure tone) or slowly (mains hum).

    On whole bins, so that they go on evenly from one period to the next.
    """
    bins = period // 2 + 1
    first = (_evenly_in_octaves(count, *HUM_HZ, device) * (period / rate)).round().clamp(min=1)
    order = torch.arange(1, HARMONICS + 1, device=device)
    fall = torch.empty(count, 1, device=device).uniform_(0.5, 4)
    amplitude = order**-fall * (0.5 + torch.rand(count, HARMONICS, device=device))
    phase = 2 * math.pi * torch.rand(count, HARMONICS, device=device)
    place = (first * order).long()
    lines = torch.polar(amplitude * (place < bins), phase)
    empty = torch.zeros(count, bins, dtype=lines.dtype, device=device)
    return empty.scatter_add_(1, place.clamp(max=bins - 1), lines)


def _evenly_in_octaves(count: int, low: float, high: float, device: torch.device | str) -> Tensor:
    return torch.exp2(torch.empty(count, 1, device=device).uniform_(math.log2(low), math.log2(high)))


def _unit(rows: Tensor) -> Tensor:
    """Rows of length 1; of a waveform, a mean square of 1 / samples."""
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(min=1e-12)

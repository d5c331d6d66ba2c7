"""Outlier exposure: the network learns from sound of none of the classes when to be unsure.

Hendrycks, Mazeika and Dietterich, 2019, "Deep Anomaly Detection with Outlier Exposure": such clips are added to each
batch, and their target is the uniform distribution. All randomness is from torch's global generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from audioinceptionnext.training.waveform_augment import NOISE_PERIOD, coloured

LEVEL_DB = (-70.0, -10.0)  # root mean square, relative to full scale
NEAR_SILENCE_DB = (-100.0, -70.0)  # from the rounding of a 16-bit recording to a quiet room
GAIN_DB = 12.0  # of recordings, in either direction
BLUE = 0.5  # largest exponent by which noise rises with frequency; without it, white would be an extreme colour
HUM_HZ = (40.0, 1000.0)  # whistles and beeps, which are classes in many data sets, are higher
HARMONICS = 16
UNDER_HUM_DB = 60.0  # the noise under a hum is softer by at most this
BAND_OCTAVES = (1 / 3, 3.0)
NOISE, BAND, HUM, NEAR_SILENCE = range(4)


def background_count(share: float, clips: int) -> int:
    """The number of background clips to add to a batch of ``clips``, rounded up.

    >>> background_count(0.25, 10)
    3
    """
    return math.ceil(share * clips - 1e-9)  # 0.7 * 10 is a little more than 7 in floating point


def background(
    count: int, samples: int, rate: int, recordings: Tensor | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """Clips of none of the classes: the first half from ``recordings``, if there are any, the others generated.

    If ``count`` is odd, it is random which half has one clip more.

    Args:
        count: number of clips.
        samples: of each clip.
        rate: sample rate in Hz.
        recordings: (pieces, length), see `noise.read_noise`.
        device: of the result.

    Returns:
        (count, samples) float32.
    """
    if recordings is None:
        return generated(count, samples, rate, device)
    half = (count + int(torch.randint(2, ()))) // 2
    return torch.cat([recorded(recordings, half, samples), generated(count - half, samples, rate, device)])


def recorded(recordings: Tensor, count: int, samples: int) -> Tensor:
    """Random stretches of random pieces, at most `GAIN_DB` louder or softer, (count, samples). Short pieces repeat."""
    pieces, length = recordings.shape
    device = recordings.device
    piece = torch.randint(pieces, (count,), device=device)
    start = torch.randint(max(0, length - samples) + 1, (count, 1), device=device)
    place = (start + torch.arange(samples, device=device)) % length
    gain = torch.empty(count, 1, device=device).uniform_(-GAIN_DB, GAIN_DB)
    return recordings[piece].gather(1, place) * 10 ** (gain / 20)


def generated(count: int, samples: int, rate: int, device: torch.device | str = "cpu") -> Tensor:
    """Clips of random kinds, (count, samples): coloured noise, a band of noise, a hum in noise, or near silence.

    Levels are even in dB. A clip that is longer than `NOISE_PERIOD` repeats that period without a seam.
    """
    if not count:  # an FFT refuses an empty batch
        return torch.zeros(0, samples, device=device)
    period = min(samples, NOISE_PERIOD)
    kind = torch.randint(4, (count, 1), device=device)
    lift = torch.empty(count, 1, device=device).uniform_(0, BLUE)
    noise = torch.fft.rfft(coloured(count, period, device))
    noise = noise * torch.arange(noise.shape[1], device=device) ** lift
    spectrum = torch.where((kind == BAND) & ~_band(count, period, rate, device), 0, noise)
    softer = torch.empty(count, 1, device=device).uniform_(-UNDER_HUM_DB, 0)
    hum = _unit(_harmonics(count, period, rate, device)) + _unit(noise) * 10 ** (softer / 20)
    spectrum = torch.where(kind == HUM, hum, spectrum)
    wave = torch.fft.irfft(spectrum, n=period).repeat(1, math.ceil(samples / period))[:, :samples]
    level = torch.empty(2, count, 1, device=device)
    level[0].uniform_(*LEVEL_DB)
    level[1].uniform_(*NEAR_SILENCE_DB)
    return _unit(wave) * math.sqrt(samples) * 10 ** (torch.where(kind == NEAR_SILENCE, level[1], level[0]) / 20)


def _band(count: int, period: int, rate: int, device: torch.device | str) -> Tensor:
    """(count, bins) bool: true within a band of random centre and width, one per row, both even in octaves."""
    frequency = torch.arange(period // 2 + 1, device=device) * (rate / period)
    centre = _evenly_in_octaves(count, 100, rate / 4, device)
    half_width = torch.exp2(torch.empty(count, 1, device=device).uniform_(*BAND_OCTAVES) / 2)
    return (frequency >= centre / half_width) & (frequency <= centre * half_width)


def _harmonics(count: int, period: int, rate: int, device: torch.device | str) -> Tensor:
    """(count, bins) complex: a tone and its harmonics, which fall off steeply (a pure tone) or slowly (mains hum).

    They lie on whole bins, so that one period continues in the next without a seam.
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
    """Rows of Euclidean length 1. A waveform then has a mean square of 1 / samples."""
    return rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp(min=1e-12)

"""Augmentation of waveforms in batches, on the device: shift, noise, speed.

Every function takes ``waveforms``, (batch, samples) floats, and ``lengths``, (batch,), the number of samples of each
that are not padding. The padding is 0, as `data.waveforms.collate` makes it, and stays 0. All randomness is from
torch's global generator. The input is not changed.

Samples are fetched by 32-bit indices into the flattened batch if it has fewer than 2^31 samples: the index tensors are
the largest ones here, and their size is most of the cost on a CPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NOISE_PERIOD = 1 << 16  # samples of coloured noise, 2.7 s at 24 kHz: longer than a clip, and the FFT is fast
WHITE_BELOW = 1 / 512  # of the rate, 47 Hz at 24 kHz: brown noise that falls from 0 Hz on is mostly inaudible
BITS = 16  # positions are multiples of 2^-16 samples, so that they are exact in a waveform of any length
GROUP = 8  # clips resampled at once; 32 of 4.8 s exceed a CPU's cache and take 1.4 to 2 times as long
RUN = 256  # positions computed from one start; RUN * factor * 2^BITS has to fit into 32 bits


def shift(waveforms: Tensor, lengths: Tensor, max_seconds: float, rate: int) -> Tensor:
    """Move each clip in time; what leaves it at one end enters at the other.

    The shift is circular because a label may be due to one short sound: a shift with zeros could remove that sound and
    leave a wrong label behind. The price is a seam inside the clip, as in an edited recording.

    Args:
        waveforms, lengths: see the module.
        max_seconds: largest shift in either direction; shifts are uniform.
        rate: sample rate in Hz.

    Returns:
        (batch, samples).
    """
    batch, samples = waveforms.shape
    longest = round(max_seconds * rate)
    moved = (torch.rand(batch, device=waveforms.device) * (2 * longest + 1)).long() - longest
    moved = moved.remainder(lengths.clamp(min=1))  # to the right, by less than the clip
    integer = _integer(waveforms)
    place = torch.arange(samples, device=waveforms.device, dtype=integer)
    row = torch.arange(batch, device=waveforms.device) * samples
    source = place + (row - moved).to(integer)[:, None]
    from_end = source + lengths.to(integer)[:, None]
    source = torch.where(place < moved[:, None], from_end, source)
    return _take(waveforms, source).masked_fill_(place >= lengths[:, None], 0)


def add_noise(
    waveforms: Tensor, lengths: Tensor, snr_db: tuple[float, float], probability: float, noise: Tensor | None = None
) -> Tensor:
    """Add noise to some of the clips, at a random signal-to-noise ratio.

    The ratio is that of the mean squares over the samples that are not padding. A silent clip stays silent, since no
    noise has a ratio to it; silent noise adds nothing.

    Args:
        waveforms, lengths: see the module.
        snr_db: lowest and highest ratio; ratios are uniform in dB.
        probability: of a clip to get noise.
        noise: (pieces, samples), recorded noise; each clip gets a random piece from a random place on, wrapped around.
            If None, noise of a random colour is generated for each clip, see `coloured`.

    Returns:
        (batch, samples).
    """
    batch, samples = waveforms.shape
    ratio = torch.empty(batch, 1, device=waveforms.device).uniform_(*snr_db)
    chosen = torch.rand(batch, 1, device=waveforms.device) < probability
    added = (
        coloured(batch, samples, waveforms.device) if noise is None else _pieces(noise.to(waveforms), batch, samples)
    )
    added.masked_fill_(torch.arange(samples, device=waveforms.device) >= lengths[:, None], 0)
    loud, noise_loud = (torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (waveforms, added))
    gain = loud / noise_loud.clamp(min=1e-12) * 10 ** (-ratio / 20)
    return torch.addcmul(waveforms, added, gain * (chosen & (noise_loud > 0)))


def coloured(batch: int, samples: int, device: torch.device | str = "cpu") -> Tensor:
    """Gaussian noise of random colours from white to brown: the power falls as f^-s, with s uniform from 0 to 2.

    It is made in the frequency domain, so that its end continues in its beginning. More than `NOISE_PERIOD` samples
    repeat that period.

    Returns:
        (batch, samples) float32, one colour per row.
    """
    period = min(samples, NOISE_PERIOD)
    bins = period // 2 + 1
    frequency = torch.arange(bins, device=device) / period  # of the rate
    slope = torch.rand(batch, 1, device=device)  # of the amplitude, which is half that of the power
    fall = torch.exp(-slope * frequency.clamp(min=WHITE_BELOW).log())
    spectrum = torch.randn(batch, bins, 2, device=device).mul_(fall[:, :, None])
    wave = torch.fft.irfft(torch.view_as_complex(spectrum), n=period)
    return wave.repeat(1, math.ceil(samples / period))[:, :samples]


def _pieces(noise: Tensor, batch: int, samples: int) -> Tensor:
    """Recorded noise (pieces, length) from a random place of a random piece for each row, (batch, samples)."""
    pieces, length = noise.shape
    integer = _integer(noise)
    piece = torch.randint(pieces, (batch, 1), device=noise.device, dtype=integer)
    start = torch.randint(length, (batch, 1), device=noise.device, dtype=integer)
    place = start + torch.arange(samples, device=noise.device, dtype=integer) % length
    place = torch.where(place >= length, place - length, place)
    return _take(noise, place.add_(piece * length))


def change_speed(waveforms: Tensor, lengths: Tensor, factor_range: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Play each clip faster or slower, which changes pitch and tempo together, as with a tape.

    Cubic interpolation through four samples (Catmull and Rom, 1974), which is not exact at high frequencies: at 24 kHz
    a tone of 3 kHz gets images 44 dB below it; one of 6 kHz becomes half a decibel softer, with images 24 dB below. As
    there is no filter against aliasing, with a factor f above 1 everything above rate / (2 f), 9.6 kHz for 1.25, folds
    back.

    Args:
        waveforms, lengths: see the module.
        factor_range: lowest and highest factor, above 0 and at most 100; 2 is twice as fast. Factors are uniform on a
            logarithmic scale, so that faster is as likely as slower.

    Returns:
        waveforms (batch, longest of the new lengths) and the new lengths, ``1 + floor((length - 1) / factor)``.
    """
    low, high = (math.log2(factor) for factor in factor_range)
    factor = torch.exp2(torch.empty(len(lengths), device=waveforms.device).uniform_(low, high))
    step = (factor * (1 << BITS)).round().long()
    count = (((lengths - 1) << BITS).div(step, rounding_mode="floor") + 1).clamp(min=0)
    longest = max(1, int(count.max()))
    padded = torch.nn.functional.pad(waveforms, (1, 2))
    groups = zip(padded.split(GROUP), step.split(GROUP), strict=True)
    played = torch.cat([_spline(clips, steps, longest) for clips, steps in groups])
    return played.masked_fill_(torch.arange(longest, device=played.device) >= count[:, None], 0), count


def _spline(padded: Tensor, step: Tensor, longest: int) -> Tensor:
    """Read each row every ``step`` / 2^BITS samples, from its second sample on: (batch, longest).

    The Catmull-Rom spline between neighbours b and c is the line between them minus t (1 - t) / 2 times the line
    between the second differences (a - 2b + c) there.
    """
    bend = torch.nn.functional.pad(padded[:, :-2] + padded[:, 2:] - 2 * padded[:, 1:-1], (1, 1))
    place, t = _positions(step, longest, padded)
    line, bent = (torch.lerp(_take(x, place), _take(x.view(-1)[1:], place), t) for x in (padded, bend))
    return line.addcmul_(bent.mul_(t), t.sub_(1), value=0.5)[:, :longest]


def _positions(step: Tensor, longest: int, padded: Tensor) -> tuple[Tensor, Tensor]:
    """Where each new sample lies: the index into flattened ``padded`` before it, and the distance from that.

    Positions are multiples of ``step`` / 2^BITS samples. Those of a long clip need 64 bits; relative to the start of a
    run of `RUN` positions, 32 bits are enough. The number of positions is rounded up to whole runs.
    """
    batch, width = padded.shape
    integer, mask = _integer(padded), (1 << BITS) - 1
    start = torch.arange(0, longest, RUN, device=step.device) * step[:, None]  # (batch, runs), 64 bits
    offset = torch.arange(RUN, device=step.device, dtype=torch.int32) * step[:, None].int()  # (batch, RUN)
    position = (start & mask).int()[:, :, None] + offset[:, None]  # (batch, runs, RUN)
    behind = ((position & mask) * 2.0**-BITS).to(padded.dtype)
    place = position.bitwise_right_shift_(BITS).to(integer)
    row = torch.arange(batch, device=step.device)[:, None] * width
    place.add_((row + 1 + (start >> BITS)).to(integer)[:, :, None])
    place.clamp_(max=(row + width - 2).to(integer)[:, :, None])
    return place.flatten(1), behind.flatten(1)


def _integer(source: Tensor) -> torch.dtype:
    """The type of indices into flattened ``source``."""
    return torch.int32 if source.numel() < 2**31 else torch.int64


def _take(source: Tensor, places: Tensor) -> Tensor:
    """The elements of flattened ``source`` at ``places``, with the shape of ``places``."""
    return source.reshape(-1).index_select(0, places.reshape(-1)).view(places.shape)

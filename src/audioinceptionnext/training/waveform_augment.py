"""Augmentation of a batch of waveforms, on the device: shift, noise, speed.

Each takes ``waveforms`` (batch, samples), float, and ``lengths`` (batch,), how many samples of each are sound; whatever
follows them is 0, as `data.waveforms.collate` makes it, and stays 0. Randomness is torch's own: seed it to repeat a
result. The input is left as it was.

Samples are fetched by 32-bit indices into the flattened batch wherever it has fewer than 2^31: index tensors are the
largest there are here, and their size is most of the cost on a CPU.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

NOISE_PERIOD = 1 << 16  # samples of coloured noise made at once, 2.7 s at 24 kHz: longer than a clip, and a fast FFT
WHITE_BELOW = 1 / 512  # of the rate, 47 Hz at 24 kHz: falling from 0 Hz on, brown noise would be mostly inaudible
BITS = 16  # a position between samples is a whole number of 2^-16 samples: exact however long the sound
GROUP = 8  # clips resampled at once; 32 of 4.8 s would leave a CPU's cache and take 1.4 to 2 times as long
RUN = 256  # positions worked out from one start; RUN * factor * 2^BITS has to fit 32 bits


def shift(waveforms: Tensor, lengths: Tensor, seconds_max: float, rate: int) -> Tensor:
    """Each clip moved by up to ``seconds_max`` either way, drawn evenly; what leaves at one end enters at the other.

    Circular, because a clip's label may rest on one short event: filling with zeros could push that out and leave a
    wrong label behind. The price is a seam, as of an edit, inside the clip.
    """
    batch, samples = waveforms.shape
    most = round(seconds_max * rate)
    moved = (torch.rand(batch, device=waveforms.device) * (2 * most + 1)).long() - most
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
    """Background noise under some of the clips, at a signal-to-noise ratio drawn evenly in dB.

    The ratio is that of the mean squares over the clip's sound. A silent clip stays silent, since no level of noise
    has a ratio to it; silent noise adds nothing.

    Args:
        snr_db: lowest and highest ratio.
        probability: of a clip to get noise.
        noise: (pieces, samples) of recorded background; each clip gets a piece from a random place on, wrapped around.
            None makes noise for each clip in its own colour, see `coloured`.
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
    """Gaussian noise (batch, samples), each row of its own colour: power by frequency as f^-s, s even in 0 to 2.

    So from white to brown. Made in the frequency domain, so that the end runs into the beginning; longer noise is that
    period repeated.
    """
    period = min(samples, NOISE_PERIOD)
    bins = period // 2 + 1
    frequency = torch.arange(bins, device=device) / period  # of the rate
    slope = torch.rand(batch, 1, device=device)  # of the amplitude: half the power's
    fall = torch.exp(-slope * frequency.clamp(min=WHITE_BELOW).log())
    spectrum = torch.randn(batch, bins, 2, device=device).mul_(fall[:, :, None])
    wave = torch.fft.irfft(torch.view_as_complex(spectrum), n=period)
    return wave.repeat(1, math.ceil(samples / period))[:, :samples]


def _pieces(noise: Tensor, batch: int, samples: int) -> Tensor:
    """(batch, samples) of recorded noise (pieces, length): a random piece and place for each row."""
    pieces, length = noise.shape
    integer = _integer(noise)
    piece = torch.randint(pieces, (batch, 1), device=noise.device, dtype=integer)
    start = torch.randint(length, (batch, 1), device=noise.device, dtype=integer)
    place = start + torch.arange(samples, device=noise.device, dtype=integer) % length
    place = torch.where(place >= length, place - length, place)
    return _take(noise, place.add_(piece * length))


def change_speed(waveforms: Tensor, lengths: Tensor, factor_range: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Each clip played faster or slower, pitch and tempo together, as a tape is.

    Cubic interpolation through four samples (Catmull and Rom, 1974). It costs some truth at high frequencies: at 24 kHz
    a tone of 3 kHz comes with images 44 dB below it, one of 6 kHz half a decibel softer with images 24 dB below. And
    without a filter against aliasing, at a factor f above 1 what lies above rate / (2 f), 9.6 kHz for 1.25, folds back.

    Args:
        factor_range: lowest and highest factor, above 0 and up to 100; 2 is twice as fast. Drawn evenly on a
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
    """Each row read at every ``step`` / 2^BITS samples, (batch, longest), from its second sample on.

    The Catmull-Rom spline between neighbours b and c is the line between them less t (1 - t) / 2 of the line between
    the second differences (a - 2b + c) there.
    """
    bend = torch.nn.functional.pad(padded[:, :-2] + padded[:, 2:] - 2 * padded[:, 1:-1], (1, 1))
    place, t = _positions(step, longest, padded)
    line, bent = (torch.lerp(_take(x, place), _take(x.view(-1)[1:], place), t) for x in (padded, bend))
    return line.addcmul_(bent.mul_(t), t.sub_(1), value=0.5)[:, :longest]


def _positions(step: Tensor, longest: int, padded: Tensor) -> tuple[Tensor, Tensor]:
    """For each new sample, rounded up to whole runs: the index into flattened ``padded`` before it, and how far behind.

    Positions are multiples of ``step`` / 2^BITS samples. Those of a long clip need 64 bits; from the start of a run on,
    32 are enough.
    """
    batch, width = padded.shape
    integer, mask = _integer(padded), (1 << BITS) - 1
    start = torch.arange(0, longest, RUN, device=step.device) * step[:, None]  # (batch, runs), 64 bits
    ahead = torch.arange(RUN, device=step.device, dtype=torch.int32) * step[:, None].int()  # (batch, RUN)
    position = (start & mask).int()[:, :, None] + ahead[:, None]  # (batch, runs, RUN)
    behind = ((position & mask) * 2.0**-BITS).to(padded.dtype)
    place = position.bitwise_right_shift_(BITS).to(integer)
    row = torch.arange(batch, device=step.device)[:, None] * width
    place.add_((row + 1 + (start >> BITS)).to(integer)[:, :, None])
    place.clamp_(max=(row + width - 2).to(integer)[:, :, None])
    return place.flatten(1), behind.flatten(1)


def _integer(source: Tensor) -> torch.dtype:
    """Of indices into flattened ``source``."""
    return torch.int32 if source.numel() < 2**31 else torch.int64


def _take(source: Tensor, places: Tensor) -> Tensor:
    """Elements of flattened ``source`` at ``places``, in their shape."""
    return source.reshape(-1).index_select(0, places.reshape(-1)).view(places.shape)

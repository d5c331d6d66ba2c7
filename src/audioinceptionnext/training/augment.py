"""Augmentation of a batch, on the device: gain, equaliser, room, mixup, masks, pitch and time warp, all on log-mel.

A gain and an equaliser are additions there, since the log-mel is a logarithm of magnitudes. What acts on the sound
itself is in `waveform_augment`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from audioinceptionnext.network.frontend import hz_to_mel, mel_to_hz

LONGEST_TAIL = 0.6  # seconds; of a room of one second, 36 dB down
LEAST_POWER = 1e-12  # of the log-mel's smallest magnitude, 1e-6
NEPER_PER_DB = math.log(10) / 20  # the front end takes the natural logarithm of a magnitude


def random_gain(log_mel: Tensor, db: float, equaliser_db: float) -> Tensor:
    """Another loudness and another colour for each clip, as another microphone and room would give.

    Args:
        log_mel: (batch, 1, frames, bands).
        db: largest gain either way; drawn evenly.
        equaliser_db: largest gain either way at six points even over the bands, linear between them.
    """
    batch, _, _, bands = log_mel.shape
    gain = torch.empty(batch, 1, 1, device=log_mel.device).uniform_(-db, db)
    points = torch.empty(batch, 1, 6, device=log_mel.device).uniform_(-equaliser_db, equaliser_db)
    curve = torch.nn.functional.interpolate(points, size=bands, mode="linear", align_corners=True)
    return log_mel + ((gain + curve) * NEPER_PER_DB).unsqueeze(2)


def reverberate(
    log_mel: Tensor, probability: float, seconds: tuple[float, float], db: tuple[float, float], hop_seconds: float
) -> Tensor:
    """Some of the clips as if heard in another room, farther from the sound.

    Polack's statistical model: the tail of a room is noise that falls exponentially, so it adds powers, and the power
    in a frame is what came directly and a falling sum over the frames before. Tails end after `LONGEST_TAIL` seconds.

    Args:
        log_mel: (batch, 1, frames, bands), of magnitudes.
        seconds: shortest and longest reverberation time (in which power falls by 60 dB), every octave as likely.
        db: least and most power of the tail, over that of the direct sound.
    """
    batch, _, frames, _ = log_mel.shape
    time, level, chance = torch.rand(3, batch, 1, device=log_mel.device, dtype=log_mel.dtype)
    length = min(frames - 1, round(LONGEST_TAIL / hop_seconds))
    time = seconds[0] * (seconds[1] / seconds[0]) ** time
    tail = 10 ** (-6 * hop_seconds * torch.arange(length, 0, -1, device=time.device) / time)  # latest first, for conv1d
    level = 10 ** ((db[0] + (db[1] - db[0]) * level) / 10) * (chance < probability)
    heard = torch.cat([tail * (level / tail.sum(1, keepdim=True)), torch.ones_like(level)], dim=1)
    power = torch.nn.functional.pad((2 * log_mel[:, 0]).exp().permute(2, 0, 1), (length, 0))  # bands as conv1d's batch
    summed = torch.nn.functional.conv1d(power, heard[:, None], groups=batch)
    return summed.permute(1, 2, 0).clamp(min=LEAST_POWER).log()[:, None] / 2


def mixup(log_mel: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Zhang et al., 2018: each clip with a share of another, its target likewise. The share is Beta(alpha, alpha).

    Args:
        targets: (batch, classes), rows sum to 1.
    """
    if alpha <= 0:
        return log_mel, targets
    share = torch.distributions.Beta(alpha, alpha).sample((len(log_mel),)).to(log_mel)
    share = torch.maximum(share, 1 - share)  # the clip itself stays the larger part
    other = torch.randperm(len(log_mel), device=log_mel.device)
    s, t = share[:, None, None, None], share[:, None]
    return s * log_mel + (1 - s) * log_mel[other], t * targets + (1 - t) * targets[other]


def mask(log_mel: Tensor, count: int, longest: int, dim: int) -> Tensor:
    """SpecAugment's masks (Park et al., 2019), filled with each clip's mean.

    Args:
        count: masks a clip.
        longest: frames or bands; lengths are drawn evenly from 0 to this.
        dim: 2 masks time, 3 masks frequency.
    """
    size = log_mel.shape[dim]
    place = torch.arange(size, device=log_mel.device)
    hidden = torch.zeros(len(log_mel), size, dtype=torch.bool, device=log_mel.device)
    for _ in range(count):
        length = torch.rand(len(log_mel), 1, device=log_mel.device) * (longest + 1)
        start = torch.rand(len(log_mel), 1, device=log_mel.device) * (size - length.floor()).clamp(min=0)
        hidden |= (place >= start.floor()) & (place < start.floor() + length.floor())
    shape = [len(log_mel), 1, 1, 1]
    shape[dim] = size
    return torch.where(hidden.view(shape), log_mel.mean(dim=(2, 3), keepdim=True), log_mel)


def change_pitch(log_mel: Tensor, semitones: float, sample_rate: int) -> Tensor:
    """Each clip's bands moved as a pitch shift of up to ``semitones`` either way would, drawn evenly; the tempo stays.

    A band takes the value at the place of its centre frequency / 2^(shift / 12) on the HTK mel scale, linear between
    bands, the outermost repeated. On this scale a shift is no even move: low bands move by less than high ones.

    Args:
        log_mel: (batch, 1, frames, bands), of bands even on the mel scale from 0 Hz to half of ``sample_rate``.
    """
    batch, _, _, bands = log_mel.shape
    shift = torch.empty(batch, 1, device=log_mel.device).uniform_(-semitones, semitones)
    centres = mel_to_hz(_band_mels(sample_rate, bands)).float().to(log_mel.device)
    spacing = float(hz_to_mel(sample_rate / 2)) / (bands + 1)
    heard = 2595.0 * torch.log10(1.0 + centres * torch.exp2(-shift / 12) / 700.0)  # mel, (batch, bands)
    place = (heard / spacing - 1).clamp(0, bands - 1)
    lower = place.long()
    upper = (lower + 1).clamp(max=bands - 1)
    below, above = (log_mel.gather(3, b[:, None, None].expand_as(log_mel)) for b in (lower, upper))
    return below.lerp_(above, (place - lower)[:, None, None].to(log_mel.dtype))


def _band_mels(sample_rate: int, bands: int) -> Tensor:
    """The bands' centres in mel, float64."""
    return torch.linspace(0.0, float(hz_to_mel(sample_rate / 2)), bands + 2, dtype=torch.float64)[1:-1]


def time_warp(log_mel: Tensor, most: float) -> Tensor:
    """SpecAugment's time warp (Park et al., 2019): a random moment moves, and what is before and after it stretches.

    The moment is drawn evenly from ``most`` frames after the start to as many before the end, its move evenly from
    ``-most`` to ``most`` frames; first and last frame stay. Linear between frames. Where no such moment is: as it was.

    Args:
        log_mel: (batch, 1, frames, bands).
        most: frames, the paper's W; 5 in the paper's recipe.
    """
    batch, _, frames, bands = log_mel.shape
    last = frames - 1
    if most <= 0 or last <= 2 * most:
        return log_mel
    moment = torch.empty(batch, 1, device=log_mel.device).uniform_(most, last - most)
    target = (moment + torch.empty(batch, 1, device=log_mel.device).uniform_(-most, most)).clamp(1e-3, last - 1e-3)
    frame = torch.arange(frames, device=log_mel.device)
    early = frame * (moment / target)
    late = last - (last - frame) * ((last - moment) / (last - target))
    place = torch.where(frame < target, early, late).clamp(0, last)
    lower = place.long()
    first = torch.arange(batch, device=log_mel.device)[:, None] * frames  # the batch's frames one below the other
    rows = log_mel.reshape(-1, bands)
    below, above = (rows[(first + f).flatten()].view_as(log_mel) for f in (lower, (lower + 1).clamp(max=last)))
    return below.lerp_(above, (place - lower)[:, None, :, None].to(log_mel.dtype))

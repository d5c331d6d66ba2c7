"""Augmentation of log-mel in batches, on the device: gain, equaliser, reverberation, mixup, pitch.

A log-mel is the logarithm of magnitudes, so a gain and an equaliser are additions. `spec_augment` has the time warp and
the masks, `waveform_augment` what acts on waveforms.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from audioinceptionnext.network.frontend import hz_to_mel, mel_to_hz

LONGEST_TAIL = 0.6  # seconds; with a reverberation time of one second, the tail has then fallen by 36 dB
MIN_POWER = 1e-12  # of the smallest magnitude in a log-mel, 1e-6
AUDIBLE_DB = 20.0  # a sound that is softened by more than this need not be found in a mixture
NEPER_PER_DB = math.log(10) / 20  # the front end takes the natural logarithm of a magnitude


def random_gain(log_mel: Tensor, db: float, equaliser_db: float) -> Tensor:
    """Change the level and the spectrum of each clip, as another microphone and another room would.

    Args:
        log_mel: (batch, 1, frames, bands).
        db: largest gain in either direction; gains are uniform.
        equaliser_db: largest gain in either direction at six points evenly spaced over the bands, linear in between.

    Returns:
        (batch, 1, frames, bands).
    """
    batch, _, _, bands = log_mel.shape
    gain = torch.empty(batch, 1, 1, device=log_mel.device).uniform_(-db, db)
    points = torch.empty(batch, 1, 6, device=log_mel.device).uniform_(-equaliser_db, equaliser_db)
    curve = torch.nn.functional.interpolate(points, size=bands, mode="linear", align_corners=True)
    return log_mel + ((gain + curve) * NEPER_PER_DB).unsqueeze(2)


def reverberate(
    log_mel: Tensor, probability: float, seconds: tuple[float, float], db: tuple[float, float], hop_seconds: float
) -> Tensor:
    """Put some of the clips into a room, farther from the source of the sound.

    Polack's statistical model: the tail of a room is noise that falls exponentially. Its power adds to that of the
    direct sound, so the power of a frame is the direct one plus a falling sum over the frames before. Tails end after
    `LONGEST_TAIL` seconds.

    Args:
        log_mel: (batch, 1, frames, bands), of magnitudes.
        probability: of a clip to be put into a room.
        seconds: shortest and longest reverberation time, in which the power falls by 60 dB; uniform in octaves.
        db: lowest and highest power of the tail relative to the direct sound.
        hop_seconds: from one frame to the next.

    Returns:
        (batch, 1, frames, bands).
    """
    batch, _, frames, _ = log_mel.shape
    time, level, chance = torch.rand(3, batch, 1, device=log_mel.device, dtype=log_mel.dtype)
    length = min(frames - 1, round(LONGEST_TAIL / hop_seconds))
    time = seconds[0] * (seconds[1] / seconds[0]) ** time
    tail = 10 ** (-6 * hop_seconds * torch.arange(length, 0, -1, device=time.device) / time)  # latest first, for conv1d
    level = 10 ** ((db[0] + (db[1] - db[0]) * level) / 10) * (chance < probability)
    response = torch.cat([tail * (level / tail.sum(1, keepdim=True)), torch.ones_like(level)], dim=1)
    power = torch.nn.functional.pad((2 * log_mel[:, 0]).exp().permute(2, 0, 1), (length, 0))  # bands as conv1d's batch
    summed = torch.nn.functional.conv1d(power, response[:, None], groups=batch)
    return summed.permute(1, 2, 0).clamp(min=MIN_POWER).log()[:, None] / 2


def mixup(log_mel: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Mix a share of another clip into each clip, and of its target into the target (mixup, Zhang et al., 2018).

    Args:
        log_mel: (batch, 1, frames, bands).
        targets: (batch, classes), rows sum to 1; or (batch, steps, classes).
        alpha: the share is Beta(alpha, alpha), where the clip itself keeps the larger part; 0 mixes nothing.

    Returns:
        log-mel and targets with the same shapes.
    """
    if alpha <= 0:
        return log_mel, targets
    share = torch.distributions.Beta(alpha, alpha).sample((len(log_mel),)).to(log_mel)
    share = torch.maximum(share, 1 - share)  # the clip itself keeps the larger part
    other = torch.randperm(len(log_mel), device=log_mel.device)
    s, t = share[:, None, None, None], share.view(-1, *[1] * (targets.ndim - 1))
    return s * log_mel + (1 - s) * log_mel[other], t * targets + (1 - t) * targets[other]


def mix_sounds(log_mel: Tensor, targets: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Add another clip to each clip, at the same or a lower level, and keep the labels of both.

    What sounds in a mixture are both sounds, and not a share of each. So powers add up, and the target of a label is
    the larger one of both (as "hard" mixup in the baseline of DCASE 2021, task 4), unless the other clip is softened by
    more than `AUDIBLE_DB`.

    Args:
        log_mel: (batch, 1, frames, bands), of magnitudes.
        targets: (batch, classes), 0 to 1.
        alpha: the share of the power is Beta(alpha, alpha), of which the clip itself has the larger part; 0 adds
            nothing.

    Returns:
        log-mel and targets with the same shapes.
    """
    if alpha <= 0:
        return log_mel, targets
    share = torch.distributions.Beta(alpha, alpha).sample((len(log_mel),)).to(log_mel)
    share = torch.minimum(share, 1 - share)  # of the other clip
    other = torch.randperm(len(log_mel), device=log_mel.device)
    level = torch.stack([1 - share, share]).clamp(min=1e-12).log()[..., None, None, None]
    mixed = torch.logaddexp(2 * log_mel + level[0], 2 * log_mel[other] + level[1]) / 2
    audible = (share >= 10 ** (-AUDIBLE_DB / 10))[:, None]
    return mixed, torch.maximum(targets, targets[other] * audible)


def change_pitch(log_mel: Tensor, semitones: float, sample_rate: int) -> Tensor:
    """Move the bands of each clip as a pitch shift would; the tempo stays.

    A band takes the value at its centre frequency / 2^(shift / 12) on the HTK mel scale, linear between bands; beyond
    the outermost bands their values are repeated. Low bands move by less than high ones.

    Args:
        log_mel: (batch, 1, frames, bands), with bands evenly spaced on the mel scale from 0 Hz to half the sample rate.
        semitones: largest shift in either direction; shifts are uniform.
        sample_rate: in Hz.

    Returns:
        (batch, 1, frames, bands).
    """
    batch, _, _, bands = log_mel.shape
    shift = torch.empty(batch, 1, device=log_mel.device).uniform_(-semitones, semitones)
    centres = mel_to_hz(_band_mels(sample_rate, bands)).float().to(log_mel.device)
    spacing = float(hz_to_mel(sample_rate / 2)) / (bands + 1)
    origin = 2595.0 * torch.log10(1.0 + centres * torch.exp2(-shift / 12) / 700.0)  # mel, (batch, bands)
    place = (origin / spacing - 1).clamp(0, bands - 1)
    lower = place.long()
    upper = (lower + 1).clamp(max=bands - 1)
    below, above = (log_mel.gather(3, b[:, None, None].expand_as(log_mel)) for b in (lower, upper))
    return below.lerp_(above, (place - lower)[:, None, None].to(log_mel.dtype))


def _band_mels(sample_rate: int, bands: int) -> Tensor:
    """The centres of the bands in mel, (bands,) float64."""
    return torch.linspace(0.0, float(hz_to_mel(sample_rate / 2)), bands + 2, dtype=torch.float64)[1:-1]

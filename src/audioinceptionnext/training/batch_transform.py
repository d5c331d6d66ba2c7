"""From a batch of waveforms to the input of a training step: cropped and augmented log-mel, and targets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from audioinceptionnext.network.frontend import LogMel
from audioinceptionnext.network.tasks import undecided
from audioinceptionnext.training.augment import change_pitch, mix_sounds, mixup, random_gain, reverberate
from audioinceptionnext.training.background import background, background_count
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.spec_augment import VERSIONS
from audioinceptionnext.training.waveform_augment import add_noise, change_speed, shift


class BatchTransform(nn.Module):
    """Crops and augments a batch as a recipe says.

    Args:
        log_mel: the front end.
        recipe: gives the lengths of the crops and the augmentation.
        clip_seconds: length of the crops if the recipe gives none.
        noise, background: (pieces, samples), recordings to mix into clips, and recordings to add as clips of no
            class; None where they are generated. See `noise.read_noise`.
        tasks: see `StoredModel`.

    Attributes:
        keeps_labels: whether any number of labels can be true: then mixing adds sounds and keeps the labels of both,
            and none is true for background.
    """

    keeps_labels = False
    noise: Tensor | None
    background: Tensor | None

    def __init__(
        self,
        log_mel: LogMel,
        recipe: Recipe,
        clip_seconds: float,
        noise: Tensor | None = None,
        background: Tensor | None = None,
        *,
        tasks: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.log_mel, self.recipe, self.tasks = log_mel, recipe, tasks or {}
        self.log_mel.exact = False
        self.crops = recipe.crops or (clip_seconds,)
        self.register_buffer("noise", noise, persistent=False)
        self.register_buffer("background", background, persistent=False)

    @property
    def longest(self) -> float:
        """Seconds of a recording that a step may need: the longest crop at the highest speed."""
        return max(self.crops) * self.recipe.speed[1]

    @torch.no_grad()
    def forward(self, waveforms: Tensor, lengths: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Crop and augment a batch, with random numbers of torch's global generator.

        Args:
            waveforms: (batch, samples).
            lengths: (batch,), the number of samples that are not padding.
            targets: (batch, classes), rows sum to 1 unless several labels can be true; or those of steps, (batch,
                steps, classes), for which each crop begins where its waveform does.

        Returns:
            log-mel (batch, 1, frames, bands) and targets as given, mixed if the recipe says so. Clips of
            background, if it asks for them, follow those of the batch.
        """
        recipe, rate = self.recipe, self.log_mel.sample_rate
        spec_augment = VERSIONS[recipe.spec_augment]
        seconds = self.crops[int(torch.randint(len(self.crops), ()))] if len(self.crops) > 1 else self.crops[0]
        if recipe.speed != (1, 1):
            waveforms, lengths = change_speed(waveforms, lengths, recipe.speed)
        if recipe.shift_seconds:
            waveforms = shift(waveforms, lengths, recipe.shift_seconds, rate)
        if recipe.noise_probability:
            waveforms = add_noise(waveforms, lengths, recipe.noise_snr_db, recipe.noise_probability, self.noise)
        x = crop(self.log_mel, waveforms, lengths, seconds, random=recipe.targets == "clip")
        x = self._gain(x)
        if recipe.reverb_probability:
            x = self._reverberate(x)
        if recipe.pitch_semitones:
            x = change_pitch(x, recipe.pitch_semitones, rate)
        if recipe.time_warp:
            x = spec_augment.time_warp(x, recipe.time_warp)
        x, targets = (mix_sounds if self.keeps_labels else mixup)(x, targets, recipe.mixup)
        if recipe.background_share:
            extra = self._background(background_count(recipe.background_share, len(x)), seconds, x.device)
            x = torch.cat([x, extra])
            target = undecided(targets.shape[1], self.tasks, 0 if self.keeps_labels else 1).to(targets)
            targets = torch.cat([targets, target.expand(len(extra), -1)])
        x = spec_augment.mask(x, *recipe.frequency_masks, 3)
        x = spec_augment.mask(x, *recipe.time_masks, 2)
        return x, targets

    def _gain(self, x: Tensor) -> Tensor:
        gain, equaliser = self.recipe.gain_db, self.recipe.equaliser_db
        return random_gain(x, gain, equaliser) if gain or equaliser else x

    def _reverberate(self, x: Tensor) -> Tensor:
        recipe, hop = self.recipe, self.log_mel.hop / self.log_mel.sample_rate
        return reverberate(x, recipe.reverb_probability, recipe.reverb_seconds, recipe.reverb_db, hop)

    def _background(self, count: int, seconds: float, device: torch.device) -> Tensor:
        """Log-mel of background, (count, 1, frames, bands)."""
        rate = self.log_mel.sample_rate
        waveforms = background(count, round(rate * seconds) - 1, rate, self.background, device)
        lengths = torch.full((count,), waveforms.shape[1], device=device)
        return self._gain(crop(self.log_mel, waveforms, lengths, seconds, random=False))


def crop(log_mel: LogMel, waveforms: Tensor, lengths: Tensor, seconds: float, random: bool = True) -> Tensor:
    """Log-mel of a stretch of each waveform.

    A stretch has ``round(rate * seconds) - 1`` samples, which are 416 frames for 2.08 s at 24 kHz. A waveform that is
    shorter is used whole, and its last frame is repeated. A random start is below the number of samples that a
    stretch of ``round(rate * seconds)`` would leave. All this is as published.

    Args:
        log_mel: the front end.
        waveforms: (batch, samples).
        lengths: (batch,), the number of samples that are not padding.
        seconds: length of the stretch.
        random: whether it begins at a random place or at the start.

    Returns:
        (batch, 1, frames, bands).
    """
    samples = round(log_mel.sample_rate * seconds) - 1
    frames = log_mel.frames(samples)
    spare = (lengths - samples - 1).clamp(min=0)
    start = (
        (torch.rand(len(lengths), device=lengths.device, dtype=torch.float64) * spare).long() if random else 0 * spare
    )
    index = start[:, None] + torch.arange(samples, device=lengths.device)
    inside = index < lengths[:, None]
    cut = waveforms.gather(1, index.clamp(max=max(0, waveforms.shape[1] - 1))) * inside
    with torch.autocast(cut.device.type, enabled=False):
        spectrogram = log_mel(cut)
    last = (lengths.clamp(max=samples) // log_mel.hop).clamp(max=frames - 1)
    frame = torch.minimum(torch.arange(frames, device=lengths.device)[None], last[:, None])
    return spectrogram.gather(2, frame[:, None, :, None].expand(-1, 1, -1, spectrogram.shape[3]))

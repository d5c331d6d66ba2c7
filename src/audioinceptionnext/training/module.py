"""The Lightning module: log-mel and augmentation on the device, the network, the loss, the schedule."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor

from audioinceptionnext.network import products
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.augment import mask, mixup, random_gain
from audioinceptionnext.training.recipe import Recipe

Batch = tuple[Tensor, Tensor, Tensor]  # waveforms (batch, samples), how many samples of each are sound, labels


class SoundClassifier(L.LightningModule):
    """Trains ``model.net`` by ``recipe``."""

    def __init__(self, model: StoredModel, recipe: Recipe, total_steps: int) -> None:
        super().__init__()
        self.model, self.recipe, self.total_steps = model, recipe, total_steps
        self.net = model.net
        self.log_mel = model.front_end()
        self.dtype_inside = torch.bfloat16 if recipe.precision == "bf16" else torch.float32

    def crop(self, waveforms: Tensor, lengths: Tensor, frames: int, random: bool = True) -> Tensor:
        """Log-mel of a stretch of ``frames`` frames of each waveform, (batch, 1, frames, bands).

        A shorter waveform is heard whole and its last frame repeated, as published.
        """
        samples = frames * self.log_mel.hop - 1
        spare = (lengths - samples).clamp(min=0)
        start = (torch.rand(len(lengths), device=lengths.device) * (spare + 1)).long() if random else spare * 0
        index = start[:, None] + torch.arange(samples, device=lengths.device)
        inside = index < lengths[:, None]
        cut = waveforms.gather(1, index.clamp(max=waveforms.shape[1] - 1)) * inside
        with torch.autocast(cut.device.type, enabled=False):
            spectrogram = self.log_mel(cut)
        last = (lengths.clamp(max=samples) // self.log_mel.hop).clamp(max=frames - 1)
        frame = torch.minimum(torch.arange(frames, device=lengths.device)[None], last[:, None])
        return spectrogram.gather(2, frame[:, None, :, None].expand(-1, 1, -1, spectrogram.shape[3]))

    def log_probabilities(self, log_mel: Tensor) -> Tensor:
        """(batch, classes): logarithm of the mean over the steps of each step's distribution."""
        net = self.net
        if log_mel.device.type == "cpu" and products.supports(net):
            maps = products.features(net, log_mel, self.dtype_inside).float()
        else:
            with torch.autocast(log_mel.device.type, self.dtype_inside, enabled=self.recipe.precision == "bf16"):
                maps = net.features(log_mel.contiguous(memory_format=torch.channels_last)).float()
        with torch.autocast(log_mel.device.type, enabled=False):
            steps = torch.log_softmax(net.pooled_logits(maps), dim=2)  # (batch, steps, classes)
        return torch.logsumexp(steps, dim=1) - math.log(steps.shape[1])

    def training_step(self, batch: Batch, _: int) -> Tensor:
        waveforms, lengths, labels = batch
        recipe, classes = self.recipe, self.net.config.num_classes
        # Augmentation and dropout depend on the seed and the step alone: a run that is resumed goes on the same.
        torch.manual_seed(1_000_003 * recipe.seed + self.global_step)
        seconds = recipe.crops[int(torch.randint(len(recipe.crops), ()))]
        frames = max(self.net.config.clip_frames, round(seconds * 1000 / self.model.hop_ms))
        with torch.no_grad():
            x = self.crop(waveforms, lengths, frames)
            x = random_gain(x, recipe.gain_db, recipe.equaliser_db)
            targets = torch.nn.functional.one_hot(labels, classes).float()
            targets = targets * (1 - recipe.label_smoothing) + recipe.label_smoothing / classes
            x, targets = mixup(x, targets, recipe.mixup)
            x = mask(x, *recipe.frequency_masks, dim=3)
            x = mask(x, *recipe.time_masks, dim=2)
        loss = -(targets * self.log_probabilities(x)).sum(1).mean()
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        waveforms, lengths, labels = batch
        frames = max(self.net.config.clip_frames, self.log_mel.frames(int(lengths.max())))
        found = self.log_probabilities(self.crop(waveforms, lengths, frames, random=False))
        right = (found.argmax(1) == labels).float().mean()
        self.log("top1", 100 * right, prog_bar=True, batch_size=len(labels))

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        # Normalisation weights and biases are not decayed: pulling them to 0 says nothing about complexity.
        decayed = [p for p in self.net.parameters() if p.ndim > 1]
        kept = [p for p in self.net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": 0.0}]
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "adamw":
            optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate)
        else:
            optimizer = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
        warm = max(1, round(self.total_steps * recipe.warmup))

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            return 0.5 + 0.5 * math.cos(math.pi * min(1.0, (step - warm) / max(1, self.total_steps - warm)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

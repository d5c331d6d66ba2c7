"""A model's network, folded, and how it hears a stretch of sound: what all parts of an explanation stand on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.windows import SILENCE, Grid
from audioinceptionnext.network.storage import StoredModel

BATCH = 16  # clips that go through the network together, where each is heard by itself


def open_model(name: str | Path) -> StoredModel:
    """A shipped model by its name, or a file of weights (``.safetensors``, ``.pyth``).

    Raises:
        AinextError: nothing of that name (the nearest is suggested), a file without weights, an ONNX file.
    """
    if Path(name).suffix in (".onnx", ".xml"):
        raise AinextError(
            f"--model {name}: an exported file gives answers but not its layers; give the .safetensors file that it "
            "was exported from, or a shipped model's name"
        )
    from audioinceptionnext.training.initial_model import open_weights

    return open_weights(str(name))


class Probe:
    """Hears as recognition does: dense in one pass, otherwise clip by clip, the answers a step (32 frames) apart.

    A *view* is what goes through the network at once: the whole stretch, or one clip of it.

    Raises:
        AinextError: a network without a feature map over time and frequency, or with one class only.
    """

    def __init__(self, model: StoredModel) -> None:
        if not model.net.convolutional:
            raise AinextError(f"a network of the kind {model.net.config.architecture} has no map to explain it by")
        if len(model.labels) < 2:
            raise AinextError(f"this model knows one class alone, {model.labels[0]}: there is no decision to explain")
        self.model, self.net = model, model.folded()
        self.clip_frames, self.step_frames = model.net.config.clip_frames, model.net.step_frames

    @torch.no_grad()
    def log_mel(self, sound: np.ndarray) -> np.ndarray:
        """Waveform (samples,) to what of its log-mel is heard, (frames, bands) float32; a log-mel stays as it is.

        Raises:
            ValueError: of any other shape, empty, or a log-mel of other bands than the network's.
        """
        sound = np.nan_to_num(np.asarray(sound, np.float32))
        if sound.ndim == 2 and len(sound) and sound.shape[1] == self.net.config.bands:
            return sound
        if sound.ndim != 1 or not len(sound):
            bands = self.net.config.bands
            raise ValueError(f"sound of shape {sound.shape}: give a waveform (samples,) or a log-mel (frames, {bands})")
        front = self.model.front_end()
        frames = Grid(self.clip_frames, 0, front.hop, 0).frames(len(sound))
        return front(torch.from_numpy(sound)[None])[0, 0, :frames].numpy()

    def starts(self, frames: int) -> list[int]:
        """The first frame of each view of so many frames."""
        if self.model.run == "dense":
            return [0]
        steps = -(-max(0, frames - self.clip_frames) // self.step_frames) + 1
        return [step * self.step_frames for step in range(steps)]

    def views(self, log_mel: np.ndarray) -> Tensor:
        """(frames, bands) to (views, 1, frames of a view, bands). Short sound repeats its last frame, as published."""
        starts = self.starts(len(log_mel))
        length = max(len(log_mel), self.clip_frames) if self.model.run == "dense" else self.clip_frames
        place = (torch.tensor(starts)[:, None] + torch.arange(length)).clamp(max=len(log_mel) - 1)
        return torch.from_numpy(np.ascontiguousarray(log_mel))[place].unsqueeze(1)

    @torch.no_grad()
    def features(self, views: Tensor) -> Tensor:
        """(views, 1, frames, bands) to the last stage's map (views, channels, time, frequency)."""
        return torch.cat([self.net.features(part) for part in views.split(BATCH)])

    def logits(self, features: Tensor) -> Tensor:
        """(views, channels, time, frequency) to (steps, classes), divided by the model's temperature."""
        return self.net.pooled_logits(features).flatten(0, 1) / self.model.temperature

    def loud(self, log_mel: np.ndarray) -> Tensor:
        """(steps,): which steps hear anything. Recognition gives digital silence no label, nor is it explained."""
        frames, clip = len(log_mel), self.clip_frames
        positions = -(-max(frames, clip) // self.step_frames)  # of the feature map of a dense pass
        dense = self.model.run == "dense"
        steps = positions - self.net.clip_steps + 1 if dense else len(self.starts(frames))
        heard = log_mel.max(axis=1) > SILENCE
        first = [min(step * self.step_frames, frames - 1) for step in range(steps)]
        return torch.tensor([bool(heard[start : start + clip].any()) for start in first])


def probabilities(logits: Tensor, loud: Tensor) -> np.ndarray:
    """(steps, classes) to (classes,) float64: of the stretch as a whole, the mean over its steps that are loud."""
    return logits[loud].double().softmax(1).mean(0).numpy()


def log_odds(logits: Tensor, loud: Tensor, index: int) -> float:
    """``log(p / (1 - p))`` of a class's probability in the stretch as a whole, also where p is as good as 0 or 1."""
    logs = logits[loud].double().log_softmax(1)
    others = torch.cat([logs[:, :index], logs[:, index + 1 :]], dim=1)
    return float(logs[:, index].logsumexp(0) - others.flatten().logsumexp(0))

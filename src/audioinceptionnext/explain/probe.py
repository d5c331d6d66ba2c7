"""A folded network and the windows that it sees of an excerpt: what all parts of an explanation work with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from audioinceptionnext.errors import AinextError, ModelError
from audioinceptionnext.inference.steps import StepGrid
from audioinceptionnext.network.frontend import loud_steps
from audioinceptionnext.network.storage import StoredModel

BATCH_SIZE = 16  # windows that go through the network together


def open_model(name: str | Path) -> StoredModel:
    """Load a shipped model by its name, or a file of weights (``.safetensors``, ``.pyth``).

    Raises:
        ModelError: there is no such model (the nearest name is suggested), or it is an exported file.
        AinextError: the file holds no weights.

    >>> open_model("kitchen20").labels[:2]
    ('blender', 'dishwasher')
    """
    if Path(name).suffix in (".onnx", ".xml"):
        reason = (
            "an exported file gives probabilities but not its layers; give the .safetensors file that it was exported "
            "from, or the name of a shipped model"
        )
        raise ModelError(name, reason)
    from audioinceptionnext.training.initial_model import open_weights

    return open_weights(str(name))


class Probe:
    """Runs a network as recognition does, and gives access to its feature map.

    A *window* is what goes through the network at once. In the mode ``dense`` there is one, the whole excerpt, which
    gives one step every 32 frames. In the mode ``windows`` each step has a window of its own, of a clip's length.

    Args:
        model: the weights in training form.

    Attributes:
        model: the same.
        net: its folded network.
        clip_frames: frames of a clip.
        step_frames: frames from one step to the next.

    Raises:
        AinextError: the network has no feature map over time and frequency, knows one class only (unless it is
            multi-label), or has several tasks.
    """

    def __init__(self, model: StoredModel) -> None:
        if model.tasks:
            raise AinextError("models of several tasks cannot be explained yet; give a model of one task")
        if not model.net.convolutional:
            kind = model.net.config.architecture
            raise AinextError(f"a network of the kind {kind} has no feature map over time and frequency to explain")
        if len(model.labels) < 2 and not model.multi_label:
            raise AinextError(f"this model knows only one class, {model.labels[0]}, so there is no decision to explain")
        self.model, self.net = model, model.folded()
        self.clip_frames, self.step_frames = model.net.config.clip_frames, model.net.step_frames

    @torch.no_grad()
    def log_mel(self, audio: np.ndarray) -> np.ndarray:
        """The log-mel frames that recognition uses of a waveform.

        Args:
            audio: a waveform (samples,), or a log-mel (frames, bands), which is returned as it is.

        Returns:
            (frames, bands) float32.

        Raises:
            ValueError: the audio is of another shape, or empty.
        """
        audio = np.nan_to_num(np.asarray(audio, np.float32))
        if audio.ndim == 2 and len(audio) and audio.shape[1] == self.net.config.bands:
            return audio
        if audio.ndim != 1 or not len(audio):
            bands = self.net.config.bands
            raise ValueError(f"audio of shape {audio.shape}: give a waveform (samples,) or a log-mel (frames, {bands})")
        front_end = self.model.front_end()
        frames = StepGrid(self.clip_frames, 0, front_end.hop, 0).frames(len(audio))
        return front_end(torch.from_numpy(audio)[None])[0, 0, :frames].numpy()

    def window_starts(self, frames: int) -> list[int]:
        """The first frame of each window of an excerpt with this many frames."""
        if self.model.mode == "dense":
            return [0]
        steps = -(-max(0, frames - self.clip_frames) // self.step_frames) + 1
        return [step * self.step_frames for step in range(steps)]

    def windows(self, log_mel: np.ndarray) -> Tensor:
        """Cut a log-mel (frames, bands) into (windows, 1, frames of a window, bands).

        A log-mel that is shorter than a window repeats its last frame, as published.
        """
        starts = self.window_starts(len(log_mel))
        length = max(len(log_mel), self.clip_frames) if self.model.mode == "dense" else self.clip_frames
        index = (torch.tensor(starts)[:, None] + torch.arange(length)).clamp(max=len(log_mel) - 1)
        return torch.from_numpy(np.ascontiguousarray(log_mel))[index].unsqueeze(1)

    @torch.no_grad()
    def features(self, windows: Tensor) -> Tensor:
        """(windows, 1, frames, bands) to the feature map of the last stage, (windows, channels, time, frequency)."""
        return torch.cat([self.net.features(part) for part in windows.split(BATCH_SIZE)])

    def logits(self, features: Tensor) -> Tensor:
        """(windows, channels, time, frequency) to (steps, classes), divided by the model's temperature."""
        return self.net.pooled_logits(features).flatten(0, 1) / self.model.temperature

    def loud_steps(self, log_mel: np.ndarray) -> Tensor:
        """(steps,) bool: which steps are not digital silence, which recognition gives no label."""
        frames, clip = len(log_mel), self.clip_frames
        positions = -(-max(frames, clip) // self.step_frames)  # of the feature map of a dense pass
        dense = self.model.mode == "dense"
        steps = positions - self.net.clip_steps + 1 if dense else len(self.window_starts(frames))
        return torch.from_numpy(loud_steps(log_mel, np.arange(steps) * self.step_frames, clip))


def probabilities(logits: Tensor, loud: Tensor, multi_label: bool = False) -> np.ndarray:
    """(steps, classes) to (classes,) float64: the probabilities of the excerpt, the mean over its loud steps."""
    own = logits[loud].double()
    return (own.sigmoid() if multi_label else own.softmax(1)).mean(0).numpy()


def log_odds(logits: Tensor, loud: Tensor, index: int, multi_label: bool = False) -> float:
    """``log(p / (1 - p))`` of the probability of class ``index`` in the excerpt, exact even for p close to 0 or 1."""
    if multi_label:
        own = logits[loud, index].double()
        return float(logsigmoid(own).logsumexp(0) - logsigmoid(-own).logsumexp(0))
    logs = logits[loud].double().log_softmax(1)
    others = torch.cat([logs[:, :index], logs[:, index + 1 :]], dim=1)
    return float(logs[:, index].logsumexp(0) - others.flatten().logsumexp(0))

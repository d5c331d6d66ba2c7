"""What carried a decision: a map over time and frequency, and the branches' shares."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext.errors import AinextError, printable, suggest
from audioinceptionnext.explain.branches import contributions, spans
from audioinceptionnext.explain.probe import Probe, open_model, probabilities
from audioinceptionnext.explain.types import ExplanationData
from audioinceptionnext.network.baselines import PlainCNN
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.results.plot import check_can_draw
from audioinceptionnext.results.types import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP = 5


class Explanation(ExplanationData):
    """What carried a decision; see `types.ExplanationData` for its fields."""

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """The picture: log-mel with the map over it, below it the branches by stage.

        Saved to ``path`` if one is given, as its suffix says: .png, .svg, .pdf. Raises AinextError if it cannot be, and
        where matplotlib is missing.
        """
        check_can_draw()
        from audioinceptionnext.explain.plot import draw
        from audioinceptionnext.results.plot import save

        figure = draw(self)
        if path is not None:
            save(figure, path)
        return figure


def explain(
    model: StoredModel | str | Path, sound: np.ndarray, label: str | None = None, start: float = 0.0, file: str = ""
) -> Explanation:
    """Explain what a model makes of a stretch of sound, of some seconds (memory and time grow with it).

    Args:
        model: a `StoredModel`, or what `open_model` takes.
        sound: waveform (samples,), mono, -1…1, at the model's rate; or its log-mel (frames, bands).
        label: which of the model's labels; the likeliest one unless given.
        start, file: where the sound comes from, for the picture; ``start`` in seconds.

    Raises:
        AinextError: no such label or model, a network that has no map, digital silence.
        ValueError: sound of another shape.
    """
    named = str(model) if not isinstance(model, StoredModel) else str(model.info.get("name", ""))
    probe = Probe(model if isinstance(model, StoredModel) else open_model(model))
    labels = probe.model.labels
    if label is not None and label not in labels:
        raise AinextError(f"--label {label}: the model has no such label; {suggest(label, labels)}")
    log_mel = probe.log_mel(sound)
    loud = probe.loud(log_mel)
    if not loud.any():
        raise AinextError(
            f"{printable(file) if file else 'sound'}: digital silence, which gets no label; there is nothing to explain"
        )
    views = probe.views(log_mel)
    features = probe.features(views)
    with torch.no_grad():
        scores = probabilities(probe.logits(features), loud)
    index = int(scores.argmax()) if label is None else labels.index(label)
    best = np.argsort(-scores, kind="stable")[:TOP]
    branches = contributions(probe, views, loud, index)
    return Explanation(
        label=labels[index],
        score=float(scores[index]),
        top=[Score(labels[i], float(scores[i])) for i in best],
        log_mel=log_mel,
        map=grad_cam(probe, features, loud, index, len(log_mel)),
        kernels=tuple(getattr(probe.net.config, "kernels", ())),
        branches=branches,
        spans=spans(probe),
        start=start,
        hop=probe.model.hop_ms / 1000,
        sample_rate=probe.model.sample_rate,
        file=file,
        model=named,
    )


def grad_cam(probe: Probe, features: Tensor, loud: Tensor, index: int, frames: int) -> np.ndarray:
    """Grad-CAM of the last stage (Selvaraju et al., 2017), in the input's frames and bands.

    ``ReLU(sum over k of alpha_k A_k)``, where A_k is a channel of the feature map and alpha_k the mean over the map of
    the gradient of the class's logit; the logit is the mean over the loud steps. Clips that overlap are averaged.

    Returns:
        (frames, bands) float32, the greatest 1; all 0 where nothing speaks for the class.
    """
    features = features.detach().requires_grad_()
    logit = probe.logits(features)[loud, index].mean()
    (gradient,) = torch.autograd.grad(logit, features)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    maps = torch.relu((weights * features).sum(1)).detach().numpy()  # (views, time, frequency)
    bands = probe.net.config.bands
    total, count = np.zeros((frames, bands)), np.zeros((frames, 1))
    for first, one in zip(probe.starts(frames), maps, strict=True):
        length = frames if probe.model.run == "dense" else min(probe.clip_frames, frames - first)
        over_time, over_bands = (
            _between(size, positions, *place)
            for size, positions, place in zip((length, bands), one.shape, _places(probe), strict=True)
        )
        total[first : first + length] += over_time @ one @ over_bands.T
        count[first : first + length] += 1
    found = total / count
    return (found / max(found.max(), 1e-30)).astype(np.float32)


def _places(probe: Probe) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where the first position of the feature map lies, and how far it is to the next: in frames, and in bands.

    The middle of what a position hears. Strided convolutions with padding on both sides have it at the very first
    frame; scaling the map to the input as a picture is scaled would move it by half a stride.
    """
    if isinstance(probe.net, PlainCNN):  # it averages 32 frames x 16 bands
        return (15.5, 32), (7.5, 16)
    return (0, 32), (0, 32)


def _between(size: int, positions: int, first: float, stride: float) -> np.ndarray:
    """(size, positions): how much of each position a place gets, linear between two, level beyond the outermost."""
    places = first + stride * np.arange(positions)
    return np.stack([np.interp(np.arange(size), places, one) for one in np.eye(positions)], axis=1)

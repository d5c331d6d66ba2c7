"""What carried a decision: a map over time and frequency, and the branches' shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from audioinceptionnext.errors import AinextError, printable, suggest
from audioinceptionnext.explain.branches import contributions, spans
from audioinceptionnext.explain.probe import Probe, open_model, probabilities
from audioinceptionnext.network.baselines import PlainCNN
from audioinceptionnext.network.frontend import hz_to_mel, mel_to_hz
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.results.plot import check_can_draw
from audioinceptionnext.results.types import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARE = 0.1  # of all cells: the most important region, in texts, pictures and the check alike
TOP = 5


class Region(NamedTuple):
    """One stretch of the most important cells."""

    start: float  # seconds in the recording
    end: float
    low: float  # Hz
    high: float
    share: float  # how much of all the important cells lies in it


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class Explanation:
    """Why a model gives a label to a stretch of sound.

    Attributes:
        label, score: what is explained, and its probability in the stretch, as recognition would give it.
        top: the likeliest labels of the stretch, best first.
        log_mel: (frames, bands) float32, what was heard.
        map: (frames, bands) float32, 0 to 1, greatest where it speaks most for the label (Grad-CAM of the last stage);
            0 everywhere where nothing does.
        kernels: the branches' kernel sizes.
        branches: (stages, kernels) float64, what each branch adds to the label's log-odds, see `contributions`.
        spans: (stages, kernels) float64, seconds that a kernel of a stage reaches over.
        start, hop: seconds, where the stretch begins in its recording, and from frame to frame.
        sample_rate: Hz; the bands reach up to half of it.
    """

    label: str
    score: float
    top: list[Score]
    log_mel: np.ndarray = field(repr=False)
    map: np.ndarray = field(repr=False)
    kernels: tuple[int, ...]
    branches: np.ndarray = field(repr=False)
    spans: np.ndarray = field(repr=False)
    start: float
    hop: float
    sample_rate: int
    file: str = ""
    model: str = ""

    @property
    def end(self) -> float:
        return self.start + len(self.log_mel) * self.hop

    @property
    def empty(self) -> bool:
        """Nothing in the sound speaks for the label."""
        return not self.map.any()

    def important(self, share: float = SHARE) -> np.ndarray:
        """(frames, bands) bool: the ``share`` of all cells where the map is greatest; none of an empty map."""
        mask = np.zeros(self.map.size, bool)
        if not self.empty:
            mask[np.argsort(-self.map, axis=None, kind="stable")[: max(1, round(share * self.map.size))]] = True
        return mask.reshape(self.map.shape)

    def regions(self, share: float = SHARE) -> list[Region]:
        """The important cells as stretches of time, each with its lowest and highest frequency."""
        mask = self.important(share)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.any(axis=1), [0]]).astype(int)))
        found = []
        for first, stop in edges.reshape(-1, 2):
            bands = np.flatnonzero(mask[first:stop].any(axis=0))
            low, high = self.hertz(float(bands[0])), self.hertz(float(bands[-1] + 1))
            times = self.start + float(first) * self.hop, self.start + float(stop) * self.hop
            found.append(Region(*times, low, high, float(mask[first:stop].sum() / mask.sum())))
        return found

    def hertz(self, place: float) -> float:
        """The frequency at a place on the axis of bands, where band b spans b to b + 1 (HTK's mel scale)."""
        highest = float(hz_to_mel(self.sample_rate / 2))
        mel = (place + 0.5) / (self.log_mel.shape[1] + 1) * highest
        return min(float(mel_to_hz(torch.tensor(mel))), self.sample_rate / 2)

    def place(self, hertz: float) -> float:
        """The reverse of `hertz`."""
        return (self.log_mel.shape[1] + 1) * float(hz_to_mel(hertz) / hz_to_mel(self.sample_rate / 2)) - 0.5

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that ``ainext explain --json`` prints, without the arrays over time and frequency."""
        return {
            "file": self.file,
            "model": self.model,
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "label": self.label,
            "score": round(self.score, 4),
            "clip": [{"label": one.label, "score": round(one.score, 4)} for one in self.top],
            "regions": [
                {
                    "start": round(one.start, 3),
                    "end": round(one.end, 3),
                    "low_hz": round(one.low),
                    "high_hz": round(one.high),
                    "share": round(one.share, 3),
                }
                for one in self.regions()
            ],
            "branches": {
                "kernels": list(self.kernels),
                "stages": self.branches.round(4).tolist(),
                "span_seconds": self.spans.round(3).tolist(),
            },
        }

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """The picture: log-mel with the map over it, below it the branches by stage.

        Saved to ``path`` if one is given, as its suffix says: .png, .svg, .pdf. Raises AinextError if it cannot be, and
        where matplotlib is missing.
        """
        check_can_draw()
        from audioinceptionnext.explain.drawing import draw
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

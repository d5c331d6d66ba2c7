"""The record of an explanation: arrays over time and frequency, and what they say in seconds and hertz."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from audioinceptionnext.network.frontend import hz_to_mel, mel_to_hz
from audioinceptionnext.results.types import Score

SHARE = 0.1  # of all cells: the most important region, in texts, pictures and the check alike


class Region(NamedTuple):
    """One stretch of the most important cells."""

    start: float  # seconds in the recording
    end: float
    low: float  # Hz
    high: float
    share: float  # how much of all the important cells lies in it


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class ExplanationData:
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

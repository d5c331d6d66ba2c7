"""The record of an explanation: arrays over time and frequency, and what they mean in seconds and hertz."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from audioinceptionnext.network.frontend import hz_to_mel, mel_to_hz
from audioinceptionnext.results.types import Score

SHARE = 0.1  # of all cells that count as the most important ones, in texts, pictures and the check alike


class Region(NamedTuple):
    """A stretch of time with important cells.

    Attributes:
        start, end: seconds from the recording's start.
        low, high: lowest and highest frequency, in Hz.
        share: how many of all important cells lie in it, 0 to 1.
    """

    start: float
    end: float
    low: float
    high: float
    share: float


@dataclass(frozen=True, eq=False)  # arrays have no one truth value to compare by
class ExplanationData:
    """Why a model gives a label to an excerpt of a recording, as data. `Explanation` adds the picture.

    Attributes:
        label: the label that is explained.
        score: its probability in the excerpt, as recognition would give it.
        top: the most probable labels of the excerpt, best first.
        log_mel: (frames, bands) float32, the input of the network.
        map: (frames, bands) float32, 0 to 1: how much each cell is evidence for the label (Grad-CAM of the last stage).
            All 0 if nothing is.
        kernels: the kernel sizes of the branches.
        branches: (stages, kernels) float64, what each branch adds to the log-odds of the label, see `contributions`.
        spans: (stages, kernels) float64, the time in seconds over which a kernel of a stage reaches.
        start: where the excerpt begins in its recording, in seconds.
        hop_seconds: from one frame to the next.
        sample_rate: in Hz; the bands reach up to half of it.
        file: the recording's name; may be empty.
        model: the model's name; may be empty.
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
    hop_seconds: float
    sample_rate: int
    file: str = ""
    model: str = ""

    @property
    def end(self) -> float:
        """Where the excerpt ends in its recording, in seconds."""
        return self.start + len(self.log_mel) * self.hop_seconds

    @property
    def empty(self) -> bool:
        """Whether nothing in the excerpt is evidence for the label."""
        return not self.map.any()

    def important(self, share: float = SHARE) -> np.ndarray:
        """(frames, bands) bool: the cells in which the map is highest, ``share`` of all; none if the map is empty."""
        mask = np.zeros(self.map.size, bool)
        if not self.empty:
            mask[np.argsort(-self.map, axis=None, kind="stable")[: max(1, round(share * self.map.size))]] = True
        return mask.reshape(self.map.shape)

    def regions(self, share: float = SHARE) -> list[Region]:
        """The important cells as stretches of time, each with its lowest and highest frequency, by start."""
        mask = self.important(share)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.any(axis=1), [0]]).astype(int)))
        regions = []
        for first, stop in edges.reshape(-1, 2):
            bands = np.flatnonzero(mask[first:stop].any(axis=0))
            low, high = self.band_to_hz(float(bands[0])), self.band_to_hz(float(bands[-1] + 1))
            start, end = (self.start + float(frame) * self.hop_seconds for frame in (first, stop))
            regions.append(Region(start, end, low, high, float(mask[first:stop].sum() / mask.sum())))
        return regions

    def band_to_hz(self, band: float) -> float:
        """The frequency at a position on the axis of bands, where band b covers b to b + 1 (HTK's mel scale)."""
        highest = float(hz_to_mel(self.sample_rate / 2))
        mel = (band + 0.5) / (self.log_mel.shape[1] + 1) * highest
        return min(float(mel_to_hz(torch.tensor(mel))), self.sample_rate / 2)

    def hz_to_band(self, hertz: float) -> float:
        """The inverse of `band_to_hz`."""
        return (self.log_mel.shape[1] + 1) * float(hz_to_mel(hertz) / hz_to_mel(self.sample_rate / 2)) - 0.5

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that ``ainext explain`` prints, without the arrays over time and frequency."""
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

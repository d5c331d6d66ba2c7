"""Chooses the excerpt of a recording to explain, and explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import FileError, ParameterError, suggest
from audioinceptionnext.explain.explanation import Explanation, explain
from audioinceptionnext.explain.probe import open_model
from audioinceptionnext.export.onnx import Exported
from audioinceptionnext.inference.recogniser import recording_probabilities
from audioinceptionnext.inference.steps import StepPredictor
from audioinceptionnext.network.storage import StoredModel

MAX_WHOLE_S = 10.0  # recordings up to this length are explained as a whole
EXCERPT_S = 5.0  # length of the excerpt of a longer recording
MAX_EXCERPT_S = 30.0  # what one picture can show


class Excerpt(NamedTuple):
    """What to explain.

    Attributes:
        start: in seconds.
        seconds: its length.
        label: the label to explain; None for the most probable one of the excerpt.
    """

    start: float
    seconds: float
    label: str | None


def explain_file(
    model: StoredModel | str | Path,
    file: str | Path,
    *,
    label: str | None = None,
    start: float | None = None,
    end: float | None = None,
    name: str = "",
) -> Explanation:
    """Explain a recording: as a whole up to 10 s; of a longer one the 5 s in which its label scores best.

    Args:
        model: a `StoredModel`, or what `open_model` takes.
        file: an audio or video file.
        label: the label to explain; the most probable one of the recording unless given, or that of the excerpt if
            ``start`` or ``end`` is given.
        start, end: of the excerpt, in seconds, at most 30 s apart. With only one of them, the excerpt is 5 s long.
        name: of the model, for the picture; its own name, or what it was opened by, unless given.

    Raises:
        ModelError: there is no such model.
        ParameterError: the model has no such label, or the excerpt is impossible.
        MediaError: the file is not a recording.
        FileError: the recording ends before the excerpt, or is digital silence.

    >>> explain_file("kitchen20", "dinner.mp4", label="blender", start=12.0, end=15.0).plot("blender.png")
    """
    stored = model if isinstance(model, StoredModel) else open_model(model)
    name = name or str(stored.info.get("name", "") if isinstance(model, StoredModel) else model)
    if label is not None and label not in stored.labels:
        reason = f"{name or 'the model'} has no such label; {suggest(label, stored.labels)}"
        raise ParameterError("label", label, reason)
    if start is not None or end is not None:
        excerpt = _given_excerpt(start, end, label)
    else:
        excerpt = _best_excerpt(stored, file, label)
    waveform = decode.read(file, stored.sample_rate, excerpt.start, excerpt.seconds)
    if not len(waveform):
        raise FileError(file, f"has no sound at {excerpt.start:g} s; give a start before its end")
    explanation = explain(stored, waveform, label=excerpt.label, start=excerpt.start, file=str(file))
    return replace(explanation, model=name)


def _given_excerpt(start: float | None, end: float | None, label: str | None) -> Excerpt:
    """The excerpt between these seconds, one of which may be missing."""
    first = start if start is not None else max(0.0, (end or 0.0) - EXCERPT_S)
    last = end if end is not None else first + EXCERPT_S
    if not 0 <= first < float("inf"):  # false for NaN
        raise ParameterError("start", start, "give a number of seconds, 0 or more")
    if not first < last < float("inf"):
        raise ParameterError("end", end, f"give a time after the start, which is {first:g} s")
    if last - first > MAX_EXCERPT_S:
        reason = f"give at most {first + MAX_EXCERPT_S:g} s; a picture shows at most {MAX_EXCERPT_S:g} s"
        raise ParameterError("end", end, reason)
    return Excerpt(first, last - first, label)


def _best_excerpt(model: StoredModel, file: str | Path, label: str | None) -> Excerpt:
    """All of a short recording; of a long one the excerpt whose steps give the label the highest mean probability."""
    rate = model.sample_rate
    beginning = decode.read(file, rate, 0.0, MAX_WHOLE_S + 0.1)
    if len(beginning) <= MAX_WHOLE_S * rate:
        return Excerpt(0.0, MAX_WHOLE_S, label)
    predictor = torch_predictor(model)
    blocks = decode.read_blocks(file, rate, predictor.block_samples / rate)
    parts = predictor.predict_blocks(blocks, predictor.grid.step)
    steps = np.concatenate([prediction.probabilities for prediction in parts])
    if not steps.any():
        raise FileError(file, "digital silence, which gets no label; there is nothing to explain")
    label = label or model.labels[int(recording_probabilities(steps).argmax())]
    step_seconds, window_seconds = predictor.grid.step / rate, model.clip_seconds
    # The number of steps whose windows lie in one excerpt.
    inside = min(len(steps), int(max(0.0, EXCERPT_S - window_seconds) / step_seconds) + 1)
    sums = np.concatenate([[0.0], np.cumsum(steps[:, model.labels.index(label)], dtype=np.float64)])
    first = int(np.argmax(sums[inside:] - sums[:-inside]))
    return Excerpt(first * step_seconds, max(EXCERPT_S, window_seconds), label)


def torch_predictor(model: StoredModel) -> StepPredictor:
    """A predictor as recognition uses it, but computed by torch, so that no file has to be exported first."""
    metadata = {
        "clip_frames": str(model.net.config.clip_frames),
        "step_frames": str(model.net.step_frames),
        "hop_samples": str(model.front_end().hop),
    }
    session = _TorchSession(Exported(model, model.mode, "waveform"), metadata)
    return StepPredictor(session, metadata, model.mode)


class _TorchSession:
    """A `Session` that computes the exported module by torch."""

    def __init__(self, exported: Exported, metadata: Mapping[str, str]) -> None:
        self.exported, self.metadata = exported, metadata

    @torch.inference_mode()
    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        found = dict(zip(self.exported.outputs, self.exported(torch.from_numpy(inputs["waveform"])), strict=True))
        return [found[name].numpy() for name in outputs]

"""Explains an excerpt: which times and frequencies are evidence for a label, and what each branch adds to it."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from audioinceptionnext.errors import FileError, ParameterError, suggest
from audioinceptionnext.explain.branches import contributions, spans
from audioinceptionnext.explain.grad_cam import grad_cam
from audioinceptionnext.explain.probe import Probe, open_model, probabilities
from audioinceptionnext.explain.types import ExplanationData
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.results.plot import check_can_plot
from audioinceptionnext.results.types import Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOP_K = 5


class Explanation(ExplanationData):
    """Why a model gives a label to an excerpt of a recording. `ExplanationData` lists its attributes.

    >>> explanation = explain_file("kitchen20", "examples/kitchen-scene.flac")
    >>> explanation.label, round(explanation.regions()[0].start, 2)
    ('microwave', 23.58)
    >>> explanation.plot("scene.png")
    """

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """Draw the log-mel with the map over it, and below it what each branch adds, by stage.

        Args:
            path: a .png, .svg or .pdf file to save the picture to.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            FileError: the picture cannot be saved.
        """
        check_can_plot()
        from audioinceptionnext.explain.plot import draw
        from audioinceptionnext.results.plot import save

        figure = draw(self)
        if path is not None:
            save(figure, path, self.file)
        return figure


def explain(
    model: StoredModel | str | Path,
    audio: np.ndarray,
    *,
    label: str | None = None,
    start: float = 0.0,
    file: str = "",
) -> Explanation:
    """Explain what a model predicts for an excerpt of a few seconds. Memory and time grow with its length.

    Args:
        model: a `StoredModel`, or what `open_model` takes.
        audio: a waveform (samples,), mono, -1…1, at the model's sample rate; or its log-mel (frames, bands).
        label: the label to explain; the most probable one unless given.
        start: where the excerpt begins in its recording, in seconds; for the picture.
        file: name of the recording, for the picture and for errors.

    Raises:
        ParameterError: the model has no such label.
        ModelError: there is no such model.
        FileError: the excerpt is digital silence.
        AinextError: the network has no feature map to explain.
        ValueError: the audio is of another shape.
    """
    name = str(model) if not isinstance(model, StoredModel) else str(model.info.get("name", ""))
    probe = Probe(model if isinstance(model, StoredModel) else open_model(model))
    labels = probe.model.labels
    if label is not None and label not in labels:
        raise ParameterError("label", label, f"the model has no such label; {suggest(label, labels)}")
    log_mel = probe.log_mel(audio)
    loud = probe.loud_steps(log_mel)
    if not loud.any():
        raise FileError(file or "audio", "digital silence, which gets no label; there is nothing to explain")
    windows = probe.windows(log_mel)
    features = probe.features(windows)
    with torch.no_grad():
        scores = probabilities(probe.logits(features), loud, probe.model.multi_label)
    index = int(scores.argmax()) if label is None else labels.index(label)
    best = np.argsort(-scores, kind="stable")[:TOP_K]
    return Explanation(
        label=labels[index],
        score=float(scores[index]),
        top=[Score(labels[i], float(scores[i])) for i in best],
        log_mel=log_mel,
        map=grad_cam(probe, features, loud, index, len(log_mel)),
        kernels=tuple(getattr(probe.net.config, "kernels", ())),
        branches=contributions(probe, windows, loud, index),
        spans=spans(probe),
        start=start,
        hop_seconds=probe.model.hop_ms / 1000,
        sample_rate=probe.model.sample_rate,
        file=file,
        model=name,
    )

"""A model on a dataset, heard as it will be: through the file that is shipped."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.metrics import score
from audioinceptionnext.media import read
from audioinceptionnext.recogniser import Recogniser, load, overall


def evaluate(
    dataset: Dataset,
    model: str,
    folds: str = "all",
    run: str | None = None,
    unseen_sources: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The object that ``ainext evaluate --json`` prints.

    Args:
        model: a name, an ``.onnx`` file, or a ``.safetensors`` file, which is exported first.
        folds: as in `Dataset.split`; these are the ones scored.
        unseen_sources: leave out clips cut from a recording that the other folds have clips of too.
        run: ``dense`` or ``windows``, for a ``.safetensors`` model; as it was trained unless given.

    Raises:
        AinextError: labels that are not the dataset's, folds that it does not have, clips that cannot be read.
    """
    clips, others = dataset.split(folds)
    if unseen_sources:
        known = {clip.group for clip in others}
        clips = tuple(clip for clip in clips if clip.group is None or clip.group not in known)
    recogniser = open_model(model, run)
    if recogniser.labels != dataset.labels:
        raise AinextError(f"{model}: knows other classes than {dataset.name}; train or fine-tune on it first")
    probabilities = clip_probabilities(recogniser, clips, progress)
    targets = np.array([clip.label for clip in clips])
    head = {"data": dataset.name, "model": recogniser.name, "run": recogniser.run, "folds": folds, "clips": len(clips)}
    return head | score(probabilities, targets, dataset.labels)


def open_model(model: str, run: str | None = None) -> Recogniser:
    if not model.endswith(".safetensors"):
        recogniser = load(model)
        if run is not None and recogniser.run != run:
            raise AinextError(f"--run {run}: {model} is made for {recogniser.run}; give the .safetensors it came from")
        return recogniser
    from audioinceptionnext.export import export_onnx
    from audioinceptionnext.network.storage import load_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(model).with_suffix(".onnx").name)
        return load(export_onnx(load_model(model), path, run))  # type: ignore[arg-type]


def clip_probabilities(
    recogniser: Recogniser, clips: Sequence[Clip], progress: Callable[[int, int], None] | None = None
) -> np.ndarray:
    """(clips, classes): what `predict` gives for each recording as a whole."""
    found = []
    for number, clip in enumerate(clips, start=1):
        length = None if clip.end is None else clip.end - clip.start
        waveform = read(clip.path, recogniser.sample_rate, clip.start, length)
        found.append(overall(recogniser.predict(waveform).probabilities))
        if progress is not None:
            progress(number, len(clips))
    return np.stack(found)

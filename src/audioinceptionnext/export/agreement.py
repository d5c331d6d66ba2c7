"""Compares the predictions of two files of one network. Needs no torch: the files are run as their users run them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.backends import open_session
from audioinceptionnext.inference.recogniser import recording_probabilities

# Share of clips with the same top-1, or of the labels that either file reports, below which a file of lower precision
# is not worth having.
MIN_AGREEMENT = 0.99
MIN_COUNTED = 20  # with fewer clips whose best class is clear, all clips count; so with labels that are reported


@dataclass(frozen=True)
class Agreement:
    """How well two files agree. A clip's probabilities are the mean over the steps that are not digital silence.

    Attributes:
        top1: share of the counted clips, 0 to 1, for which both files have the same best class; of a multi-label model,
            share of the counted labels of clips that either file reports in one step or more, which both report.
        worst, mean_difference: the largest and the mean difference of the probabilities, over all classes and clips.
        clips: number of clips.
        counted: number of clips that count for ``top1``, or of labels of clips.
        of_labels: whether it is of labels that are reported.
    """

    top1: float
    worst: float
    mean_difference: float
    clips: int
    counted: int
    of_labels: bool = False

    @property
    def enough(self) -> bool:
        """Whether ``top1`` is high enough to use the second file in place of the first."""
        return self.top1 >= MIN_AGREEMENT


def compare(
    a_path: str | Path,
    b_path: str | Path,
    inputs: Iterable[np.ndarray],
    min_lead: float = 0.0,
    tasks: Sequence[int] = (),
    thresholds: Sequence[float] | None = None,
) -> Agreement:
    """Predict the same clips with both files and compare the probabilities.

    Args:
        a_path, b_path: ``.onnx`` files, or OpenVINO's ``.xml``.
        inputs: the first input of the files for each clip, without the batch: a waveform (samples,), for instance.
        min_lead: clips count for ``top1`` only if the first file's best class leads the second one by this
            probability, since the order of classes is chance where the network is undecided. If fewer than
            `MIN_COUNTED` clips do, all count.
        tasks: sizes of the parts of the labels of which each has a best class, see `StoredModel.tasks`. Files agree on
            a clip if they do in every part.
        thresholds: of a multi-label model, those from which on its labels are reported. ``min_lead`` is then the
            distance of the first file's highest probability from them, or half of that of 0 or 1 if these are nearer.
            If fewer than `MIN_COUNTED` labels are reported, best classes are compared all the same.

    Raises:
        AinextError: there are no clips.
        ModelError: a file is not an ONNX model.
    """
    predict_a, predict_b = _predictor(Path(a_path)), _predictor(Path(b_path))
    pairs = [tuple(_mean_and_peak(run(values[None])[0]) for run in (predict_a, predict_b)) for values in inputs]
    if not pairs:
        raise AinextError(f"there are no clips to compare {b_path} with {a_path} on; give at least one")
    # Each (clips, classes).
    (a, a_peaks), (b, b_peaks) = (np.stack(side, axis=1) for side in zip(*pairs, strict=True))
    if thresholds is not None:
        reported = _reported_by_both(a_peaks, b_peaks, np.asarray(thresholds), min_lead)
        if reported is not None:
            return _agreement(a, b, reported, of_labels=True)
    same, clear = np.ones(len(a), bool), np.ones(len(a), bool)
    cuts = np.cumsum(tasks, dtype=int)[:-1]
    for first, second in zip(np.split(a, cuts, axis=1), np.split(b, cuts, axis=1), strict=True):
        same &= first.argmax(1) == second.argmax(1)
        best = np.sort(first, axis=1)[:, -2:]
        clear &= (best[:, -1] - best[:, 0] >= min_lead) | (first.shape[1] == 1)
    return _agreement(a, b, same[clear] if clear.sum() >= MIN_COUNTED else same)


def _mean_and_peak(steps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(steps, classes) to (classes,) each: for the clip as a whole, and the highest of all steps."""
    return recording_probabilities(steps), steps.max(axis=0)


def _agreement(a: np.ndarray, b: np.ndarray, counted: np.ndarray, of_labels: bool = False) -> Agreement:
    difference = np.abs(a - b)
    worst, mean = float(difference.max()), float(difference.mean())
    return Agreement(float(counted.mean()), worst, mean, len(a), len(counted), of_labels)


def _reported_by_both(a: np.ndarray, b: np.ndarray, thresholds: np.ndarray, min_lead: float) -> np.ndarray | None:
    """Whether both files report a label, for each label of a clip that one of them does; None if these are too few."""
    either, both = (a >= thresholds) | (b >= thresholds), (a >= thresholds) & (b >= thresholds)
    # Below a threshold of 0.08 nothing is 0.1 away from it: there, what leads by less is clear.
    needed = np.minimum(min_lead, np.minimum(thresholds, 1 - thresholds) / 2)
    clear = either & (np.abs(a - thresholds) >= needed)
    chosen = clear if clear.sum() >= MIN_COUNTED else either
    return both[chosen] if chosen.sum() >= MIN_COUNTED else None


def _predictor(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function from a batch of inputs to probabilities (batch, steps, classes)."""
    if path.suffix == ".xml":
        return _openvino(path)
    session = open_session(path.read_bytes(), str(path), "onnxruntime")
    name = "log_mel" if session.metadata.get("input") == "log-mel" else "waveform"
    return lambda batch: session.run(["probabilities"], {name: batch})[0]


def _openvino(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import openvino

    compiled: Any = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    name = compiled.inputs[0].get_any_name()
    return lambda batch: np.array(compiled({name: batch})["probabilities"])

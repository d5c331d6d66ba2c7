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

MIN_AGREEMENT = 0.99  # share of clips with the same top-1, below which a file of lower precision is not worth having
MIN_COUNTED = 20  # with fewer clips whose best class is clear, all clips count


@dataclass(frozen=True)
class Agreement:
    """How well two files agree. A clip's probabilities are the mean over the steps that are not digital silence.

    Attributes:
        top1: share of the counted clips, 0 to 1, for which both files have the same best class.
        worst, mean_difference: the largest and the mean difference of the probabilities, over all classes and clips.
        clips: number of clips.
        counted: number of clips that count for ``top1``.
    """

    top1: float
    worst: float
    mean_difference: float
    clips: int
    counted: int

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

    Raises:
        AinextError: there are no clips.
        ModelError: a file is not an ONNX model.
    """
    predict_a, predict_b = _predictor(Path(a_path)), _predictor(Path(b_path))
    pairs = [
        tuple(recording_probabilities(run(values[None])[0]) for run in (predict_a, predict_b)) for values in inputs
    ]
    if not pairs:
        raise AinextError(f"there are no clips to compare {b_path} with {a_path} on; give at least one")
    a, b = (np.stack(side) for side in zip(*pairs, strict=True))  # each (clips, classes)
    same, clear, difference = np.ones(len(a), bool), np.ones(len(a), bool), np.abs(a - b)
    cuts = np.cumsum(tasks, dtype=int)[:-1]
    for first, second in zip(np.split(a, cuts, axis=1), np.split(b, cuts, axis=1), strict=True):
        same &= first.argmax(1) == second.argmax(1)
        best = np.sort(first, axis=1)[:, -2:]
        clear &= (best[:, -1] - best[:, 0] >= min_lead) | (first.shape[1] == 1)
    counted = same[clear] if clear.sum() >= MIN_COUNTED else same
    return Agreement(float(counted.mean()), float(difference.max()), float(difference.mean()), len(pairs), len(counted))


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

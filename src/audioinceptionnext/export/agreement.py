"""Do two files of one network give the same answers? No torch: the files are run as their users run them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.backends import open_session
from audioinceptionnext.inference.windows import softmax

LEAST = 0.99  # share of clips with the same top-1, below which a file of less precision is not worth having
ENOUGH = 20  # clips that are sure; with fewer, all count


@dataclass(frozen=True)
class Agreement:
    """
    Attributes:
        top1: share of the clips counted, 0 to 1, for which both give the same class. A clip's probabilities are the
            mean over its steps.
        worst, mean_difference: of the probabilities of all classes and clips, between the two.
        clips: how many were heard.
        counted: how many count for ``top1``: all, or those that the first file is sure of.
    """

    top1: float
    worst: float
    mean_difference: float
    clips: int
    counted: int

    @property
    def enough(self) -> bool:
        return self.top1 >= LEAST


def compare(a_path: str | Path, b_path: str | Path, sounds: Iterable[np.ndarray], lead: float = 0.0) -> Agreement:
    """Hears the same sounds with both files, ``.onnx`` or OpenVINO's ``.xml``.

    Args:
        sounds: of each clip the files' first input without its batch, e.g. a waveform (samples,).
        lead: count for ``top1`` the clips of which the first file's best class is ahead of its second by so much
            probability: of sounds that a network has no answer to, the order of its classes is chance. Where fewer than
            `ENOUGH` are, all count.

    Raises:
        AinextError: no sounds; a file that cannot be run.
    """
    run_a, run_b = _runner(Path(a_path)), _runner(Path(b_path))
    pairs = [(run_a(sound), run_b(sound)) for sound in sounds]
    if not pairs:
        raise AinextError(f"{b_path}: no clips to compare it with {a_path} on")
    a, b = (np.stack(side) for side in zip(*pairs, strict=True))  # each (clips, classes)
    same, difference = a.argmax(1) == b.argmax(1), np.abs(a - b)
    best = np.sort(a, axis=1)[:, -2:]
    sure = best[:, -1] - best[:, 0] >= lead if a.shape[1] > 1 else np.ones(len(a), bool)
    counted = same[sure] if sure.sum() >= ENOUGH else same
    return Agreement(float(counted.mean()), float(difference.max()), float(difference.mean()), len(pairs), len(counted))


def _runner(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """From an input without its batch to probabilities (classes,), the mean over the steps."""
    run = _openvino(path) if path.suffix == ".xml" else _onnx_runtime(path)
    return lambda sound: softmax(run(sound[None])[0]).mean(axis=0)


def _onnx_runtime(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    session = open_session(path.read_bytes(), str(path), "onnxruntime")
    name = "log_mel" if session.facts.get("input") == "log-mel" else "waveform"
    return lambda batch: session.run(["logits"], {name: batch})[0]


def _openvino(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    import openvino

    compiled: Any = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    name = compiled.inputs[0].get_any_name()
    return lambda batch: np.array(compiled({name: batch})["logits"])

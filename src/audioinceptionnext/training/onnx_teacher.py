"""Teachers as ONNX files, from a waveform to logits, features or both, as docs/onnx.md describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from scipy.signal import resample_poly

from audioinceptionnext.errors import ModelError, ParameterError, counted
from audioinceptionnext.inference.backends import choose_backend, open_session
from audioinceptionnext.models.names import find_model, list_models
from audioinceptionnext.training.recipe import Recipe

OUTPUTS = ("logits", "features")
KINDS = ("multi-label", "single-label")
TOGETHER = 8  # waveforms in one call on a CPU; more leave its caches


class Answers(NamedTuple):
    """What teachers say of waveforms.

    Attributes:
        logits: (batch, classes).
        features: (batch, channels); of several teachers, side by side.
    """

    logits: np.ndarray
    features: np.ndarray


class OnnxTeacher:
    """One teacher.

    Args:
        name: an ONNX file, or a shipped model's name.
        seconds: the shortest waveform that it will get. Whether it takes that is tried.

    Attributes:
        sample_rate: of its waveforms, in Hz.
        outputs: those of `OUTPUTS` that it gives.
        labels, identifiers: of its logits; empty without them.
        multi_label: whether several labels can be true at a time.
        channels: number of features.
        digest: of the file's content.

    Raises:
        ModelError: there is no such file, or it is not an ONNX model, or no teacher.
    """

    def __init__(self, name: str, seconds: float = 1.0) -> None:
        self.name = name
        content = _content(name)
        self.digest = hashlib.sha256(content).hexdigest()[:16]
        # One thread for each call, since mixtures are made in several threads.
        self._session = open_session(content, name, threads=1)
        self._together = TOGETHER if choose_backend().backend != "cuda" else 2**16
        graph = onnx.load_from_string(content).graph
        stored = {value.name for value in graph.initializer}
        inputs = [value.name for value in graph.input if value.name not in stored]
        if inputs != ["waveform"]:
            raise ModelError(name, f"it takes {', '.join(inputs)}; a teacher takes a waveform")
        given = [value.name for value in graph.output]
        self.outputs = [output for output in OUTPUTS if output in given]
        if not self.outputs:
            raise ModelError(name, f"it gives {', '.join(given)}; a teacher gives logits, features or both")
        metadata = self._session.metadata
        self.sample_rate: int = self._stated("sample_rate", lambda rate: type(rate) is int and rate > 0)
        self.labels: tuple[str, ...] = ()
        self.identifiers: tuple[str, ...] = ()
        self.multi_label = False
        if "logits" in self.outputs:
            self.labels = tuple(self._stated("labels", _are_names))
            self.identifiers = tuple(self._stated("identifiers", _are_names) if "identifiers" in metadata else ())
            if len(self.identifiers) not in (0, len(self.labels)):
                reason = f"its metadata have {counted(len(self.identifiers), 'identifier')}, but one is for each label"
                raise ModelError(name, reason)
            self.multi_label = metadata.get("kind") == KINDS[0]
            if metadata.get("kind") not in KINDS:
                raise ModelError(name, f"its metadata do not state its kind, which is {' or '.join(KINDS)}")
            if "tasks" in metadata:
                raise ModelError(name, "its labels belong to several tasks, which a student cannot learn this way")
        try:
            tried = self(np.zeros((1, round(seconds * self.sample_rate)), np.float32))
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            reason = str(error).splitlines()[0]
            raise ModelError(name, f"it gives nothing for {seconds:g} s of silence: {reason}") from error
        if tried.logits.shape[1] != len(self.labels):
            reason = f"its logits are of {tried.logits.shape[1]} labels, but its metadata name {len(self.labels)}"
            raise ModelError(name, reason)
        self.channels = tried.features.shape[1]

    def _stated(self, key: str, fits: Callable[[Any], bool]) -> Any:
        try:
            found = json.loads(self._session.metadata[key])
        except (KeyError, ValueError):
            found = None
        if not fits(found):
            raise ModelError(self.name, f"its metadata do not state {key} as a teacher's do")
        return found

    def __call__(self, waveforms: np.ndarray) -> Answers:
        """What it says of waveforms (batch, samples) at its rate, as the mean over its steps.

        What it does not give has no columns.
        """
        parts = []
        for first in range(0, len(waveforms), self._together):
            found = self._session.run(self.outputs, {"waveform": waveforms[first : first + self._together]})
            parts.append([output.mean(1) for output in found])
        said = {name: np.concatenate(own) for name, own in zip(self.outputs, zip(*parts, strict=True), strict=True)}
        return Answers(*(said.get(name, np.zeros((len(waveforms), 0), np.float32)) for name in OUTPUTS))


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _content(name: str) -> bytes:
    path = Path(name)
    if not path.exists() and name in list_models():
        return find_model(name).read()
    if not path.is_file():
        raise ModelError(name, "no such file; give an ONNX file, which takes a waveform")
    return path.read_bytes()


class Teachers:
    """Several teachers of the same waveforms.

    Args:
        names: of ONNX files, separated by commas.
        seconds: see `OnnxTeacher`.

    Attributes:
        head: the first one that gives logits, whose labels become those of the student.
        channels: number of features of each.

    Raises:
        ParameterError: there are none, or none gives logits.
        ModelError: see `OnnxTeacher`.

    >>> Teachers("mn04_as.onnx,aisfx.onnx").head.labels[0]
    'Speech'
    """

    def __init__(self, names: str | None, seconds: float = 1.0) -> None:
        if not names:
            raise ParameterError("teacher", None, "this recipe learns from teachers; name their ONNX files")
        self.each: Sequence[OnnxTeacher] = [OnnxTeacher(name.strip(), seconds) for name in names.split(",")]
        heads = [teacher for teacher in self.each if "logits" in teacher.outputs]
        if not heads:
            reason = f"{counted(len(self.each), 'teacher')} without logits; one has to give the labels of the student"
            raise ParameterError("teacher", names, reason)
        self.head = heads[0]
        self.channels = [teacher.channels for teacher in self.each]

    @property
    def digests(self) -> list[str]:
        return [teacher.digest for teacher in self.each]

    def __call__(self, waveforms: np.ndarray, sample_rate: int) -> Answers:
        """The logits of `head` and the features of all for waveforms (batch, samples) at ``sample_rate``."""
        said = [teacher(resampled(waveforms, sample_rate, teacher.sample_rate)) for teacher in self.each]
        logits = said[self.each.index(self.head)].logits
        return Answers(logits, np.concatenate([answers.features for answers in said], axis=1))


def open_teachers(recipe: Recipe) -> Teachers:
    """The teachers that a recipe names, which are tried with the shortest of its mixtures if that is under a second."""
    return Teachers(recipe.teacher, min((1.0, *recipe.crops)))


def resampled(waveforms: np.ndarray, rate: int, target_rate: int) -> np.ndarray:
    """Waveforms (…, samples) at another rate; the same ones if it is the same."""
    if rate == target_rate:
        return waveforms
    found: np.ndarray = resample_poly(waveforms, target_rate, rate, axis=-1)
    return found

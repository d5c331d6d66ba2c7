"""The main path on one page: recording -> blocks -> steps -> segments -> `Recognition`."""

from __future__ import annotations

import copy
import json
import math
import warnings as python_warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import ModelError, ParameterError, printable
from audioinceptionnext.inference.backends import Backend, open_session
from audioinceptionnext.inference.prefetch import prefetch
from audioinceptionnext.inference.steps import FILE_FORMAT, Mode, StepPredictor
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import SegmentationSettings, find_segments
from audioinceptionnext.results.thumbnail import LogMelThumbnail
from audioinceptionnext.results.types import Score

TOP_K = 5
Recording = str | Path | np.ndarray  # a file, or a waveform (samples,)


class Recogniser:
    """A loaded model. `audioinceptionnext.load` makes one.

    A recogniser may be used by several threads at a time. Pickling stores the name or file that it was loaded from, so
    it can be sent to other processes, for instance by joblib.

    Args:
        content: bytes of an ONNX file.
        source: name of the file in error messages.
        name: name of the model in results; the one in the file unless given.
        threads: CPU threads; all cores unless given.
        backend: what runs the network, see `load`.
        mode: how recordings longer than a window are processed, see `load`; as the file says unless given.

    Attributes:
        name: of the model.
        labels: one per class.
        sample_rate: in Hz.
        multi_label: whether several labels can be true at a time, so that a step's probabilities do not sum to 1.
        frame_wise: whether it was trained on steps (``targets: steps``): its window is one of them, and what it says
            there depends on what lies around it.
        mode: ``dense``, ``windows`` or ``clips``, see `load`.
        window_seconds: length of the window that each step sees.
        step_seconds: time from one step to the next, unless `predict` is given another one.
        tasks: the names and sizes of consecutive parts of the labels, of each of which one is true, such as
            ``{"verb": 97, "noun": 300}``. The probabilities of each part sum to 1. Empty if one of all labels is true.
        thresholds: one onset threshold per class, or empty if the file has none.
        metadata: all metadata of the file.

    >>> model = audioinceptionnext.load("kitchen20")
    >>> model.predict("kitchen-scene.flac").segments[0]
    Segment(start=0.0, end=5.36, label='water-flowing', score=0.8596882394381932)
    """

    def __init__(
        self,
        content: bytes,
        source: str,
        name: str | None = None,
        threads: int | None = None,
        backend: Backend = "auto",
        mode: Mode | None = None,
    ) -> None:
        self._session = open_session(content, source, backend, threads)
        self.metadata: dict[str, str] = dict(self._session.metadata)
        if self.metadata.get("input") != "waveform" or "labels" not in self.metadata:
            raise ModelError(
                source, "does not take a waveform, or has no labels; `ainext export` writes files that fit"
            )
        if self.metadata.get("format") != FILE_FORMAT:
            raise ModelError(source, "was exported by another version; export it again with `ainext export`")
        try:
            self.labels: tuple[str, ...] = tuple(json.loads(self.metadata["labels"]))
            self.name = name or self.metadata["name"]
            self.multi_label = self.metadata["kind"] == "multi-label"
            self.mode: str = mode or self.metadata["mode"]
            if self.mode not in ("clips", self.metadata["mode"]):
                reason = f"{source} can be used as {self.metadata['mode']} or as clips"
                raise ParameterError("mode", self.mode, reason)
            self.sample_rate = int(self.metadata["sample_rate"])
            self.thresholds = tuple(float(value) for value in json.loads(self.metadata.get("thresholds", "[]")))
            if len(self.thresholds) not in (0, len(self.labels)):
                raise KeyError("thresholds")
            self.tasks: dict[str, int] = dict(json.loads(self.metadata.get("tasks", "{}")))
            if self.tasks and sum(self.tasks.values()) != len(self.labels):
                raise KeyError("tasks")
            names = [task for task, size in self.tasks.items() for _ in range(size)]
            self._task_of = dict(zip(self.labels, names, strict=False))
            self._predictor = StepPredictor(self._session, self.metadata, self.mode)
            grid = self._predictor.grid
            self.frame_wise = self.multi_label and grid.clip_frames <= grid.step_frames
            # A clip has as many samples as give its frames and no further one: one less than a whole number of hops.
            self.window_seconds = (int(self.metadata["clip_samples"]) + 1) / self.sample_rate
        except ParameterError:
            raise
        except (KeyError, ValueError) as error:
            raise ModelError(source, f"its metadata are incomplete or damaged ({error}); export it again") from error
        self.step_seconds = self._predictor.grid.step / self.sample_rate
        self._origin: tuple[Callable[..., Recogniser], tuple[Any, ...]] | None = None

    def __repr__(self) -> str:
        steps = f"one step every {self.step_seconds:g} s"
        return f"<Recogniser {self.name!r}: {len(self.labels)} labels, {self.sample_rate} Hz, {self.mode}, {steps}>"

    def predict(
        self,
        recording: Recording | Generator[np.ndarray],
        *,
        top_k: int = TOP_K,
        settings: SegmentationSettings | None = None,
        step_seconds: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Recognition:
        """Recognise the sounds in a recording of any length, in the memory of a few blocks.

        Digital silence gets no label: its probabilities are 0, and it does not count for the recording as a whole.

        Args:
            recording: an audio or video file; or a waveform (samples,), mono, at ``sample_rate``: floats of -1…1; or a
                generator of its consecutive blocks, of any length.
            top_k: number of labels for the recording as a whole.
            settings: how probabilities become segments; the defaults with the model's own thresholds unless given.
            step_seconds: time from one step to the next: the model's ``step_seconds``, a multiple of it, or a half, a
                quarter and so on down to one frame.
            progress: called with the seconds processed so far.

        Raises:
            MediaError: the file cannot be read, or has no sound.
            ParameterError: ``step_seconds`` is none of these, or the waveform has the wrong shape.

        >>> result = model.predict("kitchen-scene.flac", top_k=1)
        >>> result.clip[0].label, len(result.segments), result.probabilities.shape
        ('microwave', 5, (85, 20))
        """
        settings = settings or SegmentationSettings(class_thresholds=self.thresholds)
        step = self.check_step(step_seconds)
        warnings: list[str] = []
        blocks = self._blocks(recording, warnings.append)
        samples, thumbnail = 0, LogMelThumbnail()
        parts: list[np.ndarray] = []

        def measured() -> Iterator[np.ndarray]:
            nonlocal samples
            for block in blocks:
                yield block  # the predictor asks for the next one when it has used this one
                samples += len(block)
                if progress is not None:
                    progress(samples / self.sample_rate)

        for prediction in self._predictor.predict_blocks(measured(), step):
            parts.append(prediction.probabilities)
            thumbnail.add(prediction.log_mel)
        probabilities = np.concatenate(parts)
        duration, seconds = samples / self.sample_rate, step / self.sample_rate
        segments = find_segments(probabilities, seconds, self.window_seconds, duration, self.labels, settings)
        return Recognition(
            file=str(recording) if isinstance(recording, str | Path) else "",
            duration=duration,
            model=self.name,
            clip=self._ranked(recording_probabilities(probabilities), max(0, top_k)),
            segments=[replace(one, task=self._task_of[one.label]) for one in segments] if self.tasks else segments,
            labels=self.labels,
            probabilities=probabilities,
            step_seconds=seconds,
            window_seconds=self.window_seconds,
            log_mel=thumbnail.picture(),
            sample_rate=self.sample_rate,
            warnings=warnings,
            onset_threshold=min(settings.class_thresholds, default=settings.onset_threshold),
            tasks=self.tasks,
        )

    def _blocks(
        self, recording: Recording | Generator[np.ndarray], on_warning: Callable[[str], None]
    ) -> Iterator[np.ndarray]:
        size = self._predictor.block_samples
        if isinstance(recording, Generator):
            return prefetch(recording)
        if isinstance(recording, np.ndarray):
            return _cut(recording, size)
        return prefetch(decode.read_blocks(recording, self.sample_rate, size / self.sample_rate, on_warning))

    def embed(self, recordings: Recording | Iterable[Recording]) -> np.ndarray:
        """Feature vectors of recordings, for a classifier, a search or a map.

        A vector is the mean input of the network's last layer over the steps that are not digital silence, or 0 if
        there are none. Memory use is that of one block, however long a recording is. In a pipeline of scikit-learn,
        use ``FunctionTransformer(model.embed)``.

        Args:
            recordings: files or waveforms, as `predict` takes them, or a single one; (n, samples) is n waveforms.

        Returns:
            (n, channels) float32, one row per recording. What `predict` notes about a damaged file becomes a Python
            warning.

        Raises:
            MediaError: a file cannot be read, or has no sound.

        >>> model.embed(["a.wav", "b.wav"]).shape
        (2, 256)
        """
        channels = int(self.metadata["features"])
        rows: list[np.ndarray] = []
        for recording in _each(recordings):
            total, loud_steps = np.zeros(channels), 0
            for features, loud in self._features(recording):
                total += features[loud].sum(axis=0, dtype=np.float64)
                loud_steps += int(loud.sum())
            rows.append(total / max(1, loud_steps))
        return np.array(rows, np.float32).reshape(-1, channels)

    def embed_steps(self, recording: Recording, *, step_seconds: float | None = None) -> np.ndarray:
        """The feature vector of every step of a recording, to search within it.

        Args:
            recording: as for `predict`.
            step_seconds: as for `predict`.

        Returns:
            (steps, channels) float32; row i is for the window from ``i * step_seconds`` on. 0 in digital silence.

        Raises:
            MediaError: as `embed`.
            ParameterError: the model does not support this ``step_seconds``.

        >>> model.embed_steps("kitchen-scene.flac").shape
        (85, 256)
        """
        parts = self._features(recording, step_seconds)
        return np.concatenate([features * loud[:, None] for features, loud in parts])

    def _features(
        self, recording: Recording, step_seconds: float | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(steps, channels), and which steps are not digital silence; one part of the recording at a time."""
        step = self.check_step(step_seconds)
        predictor = StepPredictor(self._session, self.metadata, self.mode, features=True)
        name = "" if isinstance(recording, np.ndarray) else printable(recording)
        blocks = self._blocks(recording, lambda line: python_warnings.warn(f"{name}: {line}", stacklevel=2))
        for prediction in predictor.predict_blocks(blocks, step):
            assert prediction.features is not None
            yield prediction.features, prediction.probabilities.max(axis=1) > 0

    def _ranked(self, probabilities: np.ndarray, top_k: int) -> list[Score]:
        """The most probable labels of a recording, of each task ``top_k``."""
        found: list[Score] = []
        first = 0
        parts: list[tuple[str | None, int]] = [*self.tasks.items()] or [(None, len(self.labels))]
        for task, size in parts:
            best = first + np.argsort(-probabilities[first : first + size], kind="stable")[:top_k]
            found += [Score(self.labels[i], float(probabilities[i]), task) for i in best]
            first += size
        return found

    def __deepcopy__(self, memo: Any) -> Recogniser:
        """The recogniser itself, since nothing in it changes. scikit-learn copies the steps of a pipeline."""
        return self

    def __reduce__(self) -> tuple[Callable[..., Recogniser], tuple[Any, ...]]:
        if self._origin is None:
            raise TypeError(f"{self!r} was made from bytes; one that audioinceptionnext.load made can be pickled")
        return self._origin

    def loaded_by(self, loader: Callable[..., Recogniser], *arguments: Any) -> Recogniser:
        """Remember how to load this model again, which is what pickling does. Returns the recogniser itself."""
        self._origin = loader, arguments
        return self

    def by_clips(self) -> Recogniser:
        """The same model in the mode ``clips`` (see `load`), sharing the session."""
        other = copy.copy(self)
        other.mode, other._predictor = "clips", StepPredictor(self._session, self.metadata, "clips")
        return other

    def check_step(self, step_seconds: float | None) -> int:
        """The distance from one step to the next, in samples.

        Above the model's own, it is the nearest multiple of it, with a warning if that is more than 1 % away.

        Raises:
            ParameterError: ``step_seconds`` is not the model's own, a multiple of it, or a fraction of whole frames.
        """
        grid, seconds = self._predictor.grid, self.step_seconds
        if step_seconds is None:
            return grid.step
        if seconds * 0.999 <= step_seconds <= 3600:  # false for NaN
            multiple = round(step_seconds / seconds)
            if not math.isclose(multiple * seconds, step_seconds, rel_tol=0.01):
                asked = f"a step every {step_seconds:g} s is no multiple of the {seconds:g} s of {self.name}"
                python_warnings.warn(f"{asked}; there is one every {multiple * seconds:g} s", stacklevel=1)
            return multiple * grid.step
        if 0.999 * grid.hop <= step_seconds * self.sample_rate < grid.step:
            parts = round(seconds / step_seconds)
            if grid.step_frames % parts == 0 and math.isclose(parts * step_seconds, seconds, rel_tol=0.01):
                return grid.step // parts
        others = "a multiple of it, or a fraction of it such as one half"
        reason = f"{self.name} has a step every {seconds:g} s; give that, {others}"
        raise ParameterError("step_seconds", step_seconds, reason)


def recording_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """(steps, classes) to (classes,): for the recording as a whole, the mean over the steps that are not silent."""
    return probabilities.sum(axis=0) / max(1, int(probabilities.any(axis=1).sum()))


def _each(recordings: Recording | Iterable[Recording]) -> Iterator[Recording]:
    """One recording after another, of one or of many; file names may be an array, as scikit-learn gives them."""
    if isinstance(recordings, np.ndarray) and (recordings.ndim > 1 or recordings.dtype.kind in "UO"):
        yield from recordings
    elif isinstance(recordings, str | Path | np.ndarray):
        yield recordings
    else:
        yield from recordings


def _cut(waveform: np.ndarray, size: int) -> Iterator[np.ndarray]:
    if waveform.ndim != 1 or not waveform.size:
        reason = f"a waveform of shape {waveform.shape}; give one dimension and at least one sample"
        raise ParameterError("recording", None, reason)
    samples = np.nan_to_num(waveform.astype(np.float32, copy=False))
    for start in range(0, len(samples), size):
        yield samples[start : start + size]

"""The main path on one page: recording -> blocks -> steps -> segments -> `Recognition`."""

from __future__ import annotations

import os
import warnings as python_warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from audioinceptionnext.errors import printable
from audioinceptionnext.inference.model import Model
from audioinceptionnext.inference.recordings import Recording, each_recording, mono_blocks_of
from audioinceptionnext.inference.steps import StepPredictor
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import find_segments
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.thresholds import Threshold
from audioinceptionnext.results.thumbnail import LogMelThumbnail

TOP_K = 5


class Recogniser(Model):
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
        window_seconds: length of the window of a prediction. A step sees one, unless the timeline is a fine one.
        step_seconds: time from one step to the next, unless `predict` is given another one.
        tasks: the names and sizes of consecutive parts of the labels, of each of which one is true, such as
            ``{"verb": 97, "noun": 300}``. The probabilities of each part sum to 1. Empty if one of all labels is true.
        task_of: the name of the task of each label; empty if there are no tasks.
        thresholds: one onset threshold per class, or empty if the file has none.
        identifiers: one per label, such as AudioSet's ``/m/09x0r``, or empty if the file has none.
        groups: the names of groups with their labels, by which `choose` finds them; empty if the file has none.
        names: of the labels, in the language that `in_language` was given; empty if none was.
        metadata: all metadata of the file.

    >>> model = audioinceptionnext.load("kitchen20")
    >>> model.predict("kitchen-scene.flac").segments[0]
    Segment(start=0.75, end=5.25, label='water-flowing', score=0.9511147946119308, task=None)
    """

    def predict(
        self,
        recording: Recording | Iterator[np.ndarray],
        *,
        sample_rate: int | None = None,
        top_k: int = TOP_K,
        threshold: Threshold | None = None,
        settings: SegmentationSettings | None = None,
        step_seconds: float | None = None,
        labels: str | Iterable[str] | None = None,
        ignore: str | Iterable[str] | None = None,
        track: int | None = None,
        progress: Callable[[float], None] | None = None,
        on_packet: Callable[[], None] | None = None,
    ) -> Recognition:
        """Recognise the sounds in a recording of any length, in the memory of a few blocks.

        Digital silence gets no label: its probabilities are 0, and it does not count for the recording as a whole.

        Args:
            recording: an audio or video file; or an array, (samples,) or (samples, channels): floats of -1…1, or
                signed integers with the full scale of their type; or an iterator of consecutive blocks of one, of any
                length. NaN, infinite and absurdly large values count as 0, with a warning.
            sample_rate: of the array, in Hz, if it is not the model's. A file states its own.
            top_k: number of labels for the recording as a whole.
            threshold: the probability that a segment must reach at least once: one for all labels, or a mapping such
                as ``{"blender": 0.9, "group:Animal": 0.7}``, where all other labels keep theirs. The model's own
                unless given.
            settings: how probabilities become segments, in place of ``threshold``; `segmentation_settings` of this
                recogniser, whatever ``labels`` are, makes them.
            step_seconds: time from one step to the next: the model's ``step_seconds``, a multiple of it, or a half, a
                quarter and so on down to one frame.
            labels: which labels to look for, as for `choose`. The result has no others.
            ignore: which labels to leave out, as for `choose`.
            track: number of a file's sound track, from 1 on; the first that can be decoded and is not silent unless
                given.
            progress: called with the seconds processed so far.
            on_packet: called for each packet of a file, in another thread. What it raises ends `predict`.

        Raises:
            MediaError: the file cannot be read, or has no sound or not so many tracks.
            ParameterError: ``step_seconds`` is none of these; ``threshold``, ``labels`` or ``ignore`` names no label of
                the model; a threshold is no probability; ``track`` is no whole number from 1 on, or given with an
                array; the array is empty, or has another shape or type, or values that look like integers; or
                ``sample_rate`` is out of range, or given with a file.

        >>> result = model.predict("kitchen-scene.flac", top_k=1)
        >>> result.clip[0].label, len(result.segments), result.probabilities.shape
        ('microwave', 5, (580, 20))
        """
        chosen = self if labels is None and ignore is None else self.choose(labels, ignore)
        settings = self._settings_for(chosen, threshold, settings=settings)
        step = self.check_step(step_seconds)
        warnings: list[str] = []

        rate, block_seconds = self.sample_rate, self._predictor.block_samples / self.sample_rate
        blocks = mono_blocks_of(
            recording, rate, block_seconds, warnings.append, sample_rate=sample_rate, track=track, on_packet=on_packet
        )
        samples, loud, thumbnail = 0, 0, LogMelThumbnail()
        parts: list[np.ndarray] = []
        windows: list[np.ndarray] = []

        def measured() -> Iterator[np.ndarray]:
            nonlocal samples
            for block in blocks:
                yield block  # the predictor asks for the next one when it has used this one
                samples += len(block)
                if progress is not None:
                    progress(samples / self.sample_rate)

        for prediction in self._predictor.predict_blocks(measured(), step):
            parts.append(np.take(prediction.probabilities, chosen._columns, axis=1))
            if self._predictor.fine:  # otherwise they are the same
                windows.append(np.take(prediction.windows, chosen._columns, axis=1))
            loud += int((prediction.windows > 0).any(axis=1).sum())  # false for NaN
            thumbnail.add(prediction.log_mel)
        for line in [] if isinstance(recording, str | os.PathLike) else warnings:
            python_warnings.warn(line, stacklevel=2)  # a file's reader looks at the result
        probabilities = _concatenated(parts, warnings)
        overall = _concatenated(windows, warnings) if self._predictor.fine else probabilities
        duration, seconds = samples / self.sample_rate, step / self.sample_rate
        segments = find_segments(probabilities, seconds, self._step_window, duration, chosen.labels, settings)
        return Recognition(
            file=str(recording) if isinstance(recording, str | os.PathLike) else "",
            duration=duration,
            model=self.name,
            clip=chosen._label_set.ranked(recording_probabilities(overall, loud), max(0, top_k)),
            segments=[replace(one, task=self.task_of.get(one.label)) for one in segments],
            labels=chosen.labels,
            probabilities=probabilities,
            step_seconds=seconds,
            window_seconds=self._step_window,
            log_mel=thumbnail.picture(),
            sample_rate=self.sample_rate,
            warnings=warnings,
            onset_threshold=_lowest(settings, chosen.labels, {one.label for one in segments}),
            tasks=chosen.tasks,
            window_probabilities=overall,
            names=chosen.names,
        )

    def embed(self, recordings: Recording | Iterable[Recording], *, sample_rate: int | None = None) -> np.ndarray:
        """Feature vectors of recordings, for a classifier, a search or a map.

        A vector is the mean input of the network's last layer over the steps that are not digital silence, or 0 if
        there are none. Memory use is that of one block, however long a recording is. In a pipeline of scikit-learn,
        use ``FunctionTransformer(model.embed)``.

        Args:
            recordings: files or arrays, as `predict` takes them, or a single one; (n, samples) is n mono recordings,
                and ``[array]`` one of (samples, channels).
            sample_rate: as for `predict`.

        Returns:
            (n, channels) float32, one row per recording. What `predict` notes about a recording becomes a Python
            warning.

        Raises:
            MediaError: a file cannot be read, or has no sound.
            ParameterError: as `predict`.

        >>> model.embed(["a.wav", "b.wav"]).shape
        (2, 1120)
        """
        channels = int(self.metadata["features"])
        rows: list[np.ndarray] = []
        for recording in each_recording(recordings):
            total, loud_steps = np.zeros(channels), 0
            for features, loud in self._features(recording, sample_rate=sample_rate):
                total += features[loud].sum(axis=0, dtype=np.float64)
                loud_steps += int(loud.sum())
            rows.append(total / max(1, loud_steps))
        return np.array(rows, np.float32).reshape(-1, channels)

    def embed_steps(
        self, recording: Recording, *, step_seconds: float | None = None, sample_rate: int | None = None
    ) -> np.ndarray:
        """The feature vector of every step of a recording, to search within it.

        Args:
            recording: as for `predict`.
            step_seconds: as for `predict`, from one window to the next.
            sample_rate: as for `predict`.

        Returns:
            (steps, channels) float32; row i is for the window from ``i * step_seconds`` on. 0 in digital silence.

        Raises:
            MediaError: as `embed`.
            ParameterError: as `predict`.

        >>> model.embed_steps("kitchen-scene.flac").shape
        (68, 1120)
        """
        parts = self._features(recording, step_seconds, sample_rate)
        return np.concatenate([features * loud[:, None] for features, loud in parts])

    def _features(
        self, recording: Recording, step_seconds: float | None = None, sample_rate: int | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(steps, channels), and which steps are not digital silence; one part of the recording at a time."""
        predictor = StepPredictor(self._session, self.metadata, self.mode, features=True)
        step = self.check_step(step_seconds, predictor=predictor)
        name = f"{printable(recording)}: " if isinstance(recording, str | os.PathLike) else ""
        block_seconds = predictor.block_samples / self.sample_rate

        def note(line: str) -> None:
            python_warnings.warn(name + line, stacklevel=2)

        blocks = mono_blocks_of(recording, self.sample_rate, block_seconds, note, sample_rate=sample_rate)
        for prediction in predictor.predict_blocks(blocks, step):
            assert prediction.features is not None
            yield prediction.features, prediction.windows.max(axis=1) > 0


def recording_probabilities(probabilities: np.ndarray, loud: int | None = None) -> np.ndarray:
    """(steps, classes) to (classes,): for the recording as a whole, the mean over the steps that are not silent.

    ``loud`` is the number of these, where the probabilities are of some labels only, which may all be 0.
    """
    return probabilities.sum(axis=0) / max(1, int(probabilities.any(axis=1).sum()) if loud is None else loud)


def _concatenated(parts: list[np.ndarray], warnings: list[str]) -> np.ndarray:
    """All rows of probabilities, with 0 for what is no number. The first time, a warning says so."""
    found = np.concatenate(parts)
    if np.isfinite(found).all():
        return found
    line = "the model gave no number for some steps (NaN): they count as 0"
    warnings += [] if line in warnings else [line]
    return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)


def _lowest(settings: SegmentationSettings, labels: Sequence[str], found: Collection[str]) -> float:
    """The lowest onset threshold of the labels that were found, or of all if none was."""
    own = dict(zip(labels, settings.class_thresholds, strict=False))
    return min((own[label] for label in found or own if own), default=settings.onset_threshold)

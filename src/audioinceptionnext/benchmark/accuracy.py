"""The accuracy of each row on the clips of a data set: what a precision or a backend costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax

from audioinceptionnext.benchmark.backends import in_batches
from audioinceptionnext.benchmark.measurement import Bench, Log, Measured
from audioinceptionnext.benchmark.process import RowFailed
from audioinceptionnext.benchmark.subjects import BATCH_SIZE, CALIBRATION_CLIPS, Subject
from audioinceptionnext.data import UNLABELLED, Clip, Dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import MediaError, ModelError, ParameterError
from audioinceptionnext.evaluation.frame_wise import frame_precision, mean_precision
from audioinceptionnext.evaluation.multi_label import true_labels
from audioinceptionnext.inference.recogniser import recording_probabilities
from audioinceptionnext.network.base import STEP_FRAMES
from audioinceptionnext.network.frontend import LogMel, loud_steps
from audioinceptionnext.network.storage import StoredModel


def check_can_score(dataset: Dataset, clips: Sequence[Clip], subjects: Mapping[str, Subject]) -> None:
    """Check that there is something to score, before minutes are spent on measuring.

    Raises:
        ParameterError: none of the clips is labelled, or none of the networks is trained.
        ModelError: a trained network is multi-label where the data set is not (or the reverse), has several tasks, or
            does not know one of the classes.
    """
    if all(clip.label == UNLABELLED for clip in clips):
        raise ParameterError("data", dataset.name, "none of the chosen clips is labelled; choose other folds or splits")
    trained = [subject for subject in subjects.values() if subject.trained]
    if not trained:
        raise ParameterError("model", None, "random weights have no accuracy; give a trained model")
    for subject in trained:
        if subject.stored.tasks:
            reason = "has several tasks, of which each has a top-1; give a model of one task"
            raise ModelError(subject.source, reason)
        if dataset.multi_label and not subject.stored.multi_label:
            reason = f"finds one label per clip, but several of those of {dataset.name} can be true"
            raise ModelError(subject.source, f"{reason}; give a multi-label model")
        if subject.stored.multi_label and not dataset.multi_label:
            raise ModelError(subject.source, "is multi-label, which has no top-1; give a single-label model")
        if unknown := [label for label in dataset.labels if label not in subject.stored.labels]:
            reason = f"does not know the class {unknown[0]!r} of {dataset.name}; give a model trained on its classes"
            raise ModelError(subject.source, reason)


def score(bench: Bench, dataset: Dataset, clips: Sequence[Clip], log: Log) -> list[str]:
    """Fill in the accuracy of each row that runs a trained network: ``accuracy`` (top-1, %) and ``clips``.

    Of a multi-label data set, it is ``map`` (mean average precision, %) in place of ``accuracy``.

    Each clip is predicted as `ainext evaluate` does it: as a whole, in the mode that the network was trained for, with
    the probabilities of its steps averaged.

    Returns:
        One line for each clip that could not be read.
    """
    labelled = [clip for clip in clips if clip.label != UNLABELLED]
    by_subject: dict[str, list[Measured]] = {}
    for measured in bench.running:
        if measured.subject.trained and measured.nanoseconds:
            by_subject.setdefault(measured.subject.source, []).append(measured)
    unreadable: dict[str, None] = {}
    for source, rows in by_subject.items():
        stored = rows[0].subject.stored
        front_end, reader = stored.front_end(), Reader(stored.sample_rate, dataset.sample_rate)
        found: dict[int, list[np.ndarray]] = {measured.number: [] for measured in rows}
        truth: dict[int, list[Clip]] = {measured.number: [] for measured in rows}
        numbers = [stored.labels.index(label) for label in dataset.labels]
        for number, clip in enumerate(labelled, start=1):
            if number % 20 == 0 or number == len(labelled):
                log(f"{source}: {number} of {len(labelled)} clips")
            try:
                log_mel = log_mel_of(stored, front_end, _not_empty(clip, reader.read(clip)))
            except MediaError as error:
                unreadable[str(error)] = None
                continue
            for measured in rows:
                if measured not in bench.running:
                    continue
                try:
                    found[measured.number].append(clip_probabilities(measured, log_mel))
                    truth[measured.number].append(clip)
                except RowFailed as error:
                    bench.stop(measured, error)
        for measured in rows:
            if measured in bench.running and (own := truth[measured.number]):
                figure = _figure(np.stack(found[measured.number]), own, numbers, dataset.multi_label)
                measured.accuracy = figure | {"clips": len(own)}
    return list(unreadable)


def _figure(probabilities: np.ndarray, clips: list[Clip], numbers: list[int], multi_label: bool) -> dict[str, Any]:
    """The accuracy or the mean average precision; ``numbers`` are the model's indices of the data set's labels."""
    if not multi_label:
        right = probabilities.argmax(1) == [numbers[clip.label] for clip in clips]
        return {"accuracy": 100 * float(right.mean())}
    true = true_labels(clips, len(numbers))
    return {"map": mean_precision(frame_precision(probabilities[:, numbers], true))}


def calibration_clips(dataset: Dataset, clips: Sequence[Clip]) -> Callable[[Subject], np.ndarray]:
    """A function that gives log-mels (n, clip frames, bands) to calibrate the int8 form of a network.

    They are the beginnings of randomly chosen clips, always the same ones.

    Raises:
        ParameterError: when called, if none of the clips can be read.
    """

    def log_mels(subject: Subject) -> np.ndarray:
        stored = subject.stored
        front_end, reader = stored.front_end(), Reader(stored.sample_rate, dataset.sample_rate)
        chosen = []
        for index in np.random.default_rng(0).permutation(len(clips)):
            try:
                waveform = _not_empty(clips[index], reader.read(clips[index], 0, stored.clip_seconds))
            except MediaError:
                continue
            chosen.append(log_mel_of(stored, front_end, waveform)[: stored.net.config.clip_frames])
            if len(chosen) == CALIBRATION_CLIPS:
                break
        if not chosen:
            reason = "none of the clips that are not scored can be read to calibrate int8; score fewer folds"
            raise ParameterError("data", dataset.name, reason)
        return np.stack(chosen)

    return log_mels


def _not_empty(clip: Clip, waveform: np.ndarray) -> np.ndarray:
    if not len(waveform):
        raise MediaError(clip.name, "contains no sound")
    return waveform


@torch.inference_mode()
def log_mel_of(stored: StoredModel, front_end: LogMel, waveform: np.ndarray) -> np.ndarray:
    """Log-mel (frames, bands) of a waveform (samples,). One shorter than a clip is filled up with its last frame."""
    clip, hop = stored.net.config.clip_frames, front_end.hop
    frames = max(-(-len(waveform) // hop), min(1 + len(waveform) // hop, clip))  # as `inference.steps.StepGrid.frames`
    log_mel = front_end(torch.from_numpy(waveform)[None])[0, 0, :frames].numpy()
    return np.pad(log_mel, ((0, max(0, clip - frames)), (0, 0)), mode="edge")


def clip_probabilities(measured: Measured, log_mel: np.ndarray) -> np.ndarray:
    """(classes,): the mean probabilities over the steps that are not silent, computed by the row's backend.

    Args:
        log_mel: (frames, bands), at least a clip.
    """
    stored = measured.subject.stored
    clip = stored.net.config.clip_frames
    if stored.mode == "dense" and stored.net.convolutional:
        logits = measured.process.request(log_mel[None])[0]
        starts = np.arange(len(logits)) * STEP_FRAMES
    else:
        count = 1 + -(-(len(log_mel) - clip) // STEP_FRAMES)
        starts = np.arange(count) * STEP_FRAMES
        frames = (starts[:, None] + np.arange(clip)).clip(max=len(log_mel) - 1)
        size = max(measured.nanoseconds, default=BATCH_SIZE)  # a batch size that the row is warmed up for
        logits = in_batches(measured.process.request, log_mel[frames], size)[:, 0]
    loud = loud_steps(log_mel, starts, clip)
    scaled = logits / stored.temperature
    return recording_probabilities((expit(scaled) if stored.multi_label else softmax(scaled, axis=1)) * loud[:, None])

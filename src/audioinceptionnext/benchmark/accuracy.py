"""A dataset's clips through each row: what a precision or an engine costs in accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from audioinceptionnext.audio.source import MediaError
from audioinceptionnext.benchmark.engines import in_batches
from audioinceptionnext.benchmark.measurement import Bench, Measured
from audioinceptionnext.benchmark.process import RowFailed
from audioinceptionnext.benchmark.subjects import BATCH, CALIBRATING, Subject
from audioinceptionnext.data import UNLABELLED, Clip, Dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.recogniser import overall
from audioinceptionnext.inference.windows import SILENCE, softmax
from audioinceptionnext.network.base import STEP_FRAMES
from audioinceptionnext.network.frontend import LogMel
from audioinceptionnext.network.storage import StoredModel


def check(dataset: Dataset, clips: Sequence[Clip], found: dict[str, Subject]) -> None:
    """Raises `AinextError`: no labelled clip, no trained network, or classes that it does not know."""
    if all(clip.label == UNLABELLED for clip in clips):
        raise AinextError(f"--data {dataset.name}: no labelled clips there to score")
    trained = [subject for subject in found.values() if subject.trained]
    if not trained:
        raise AinextError(f"--data {dataset.name}: random weights have no accuracy; give a trained --model")
    for subject in trained:
        if unknown := [label for label in dataset.labels if label not in subject.stored.labels]:
            raise AinextError(f"{subject.source}: knows other classes than {dataset.name}, not {unknown[0]!r} for one")


def score(bench: Bench, dataset: Dataset, clips: Sequence[Clip], tell: Callable[[str], None]) -> list[str]:
    """Adds ``accuracy`` (top-1, %) and ``clips`` to each row that runs a trained network.

    Each clip is heard as `ainext evaluate` hears it: whole, dense or by windows 32 frames apart as the network was
    trained, the probabilities of its steps averaged. Returns a line for each clip that could not be read.
    """
    labelled = [clip for clip in clips if clip.label != UNLABELLED]
    by_subject: dict[str, list[Measured]] = {}
    for found in bench.running:
        if found.subject.trained and found.nanoseconds:
            by_subject.setdefault(found.subject.source, []).append(found)
    unreadable: dict[str, None] = {}
    for source, rows in by_subject.items():
        stored = rows[0].subject.stored
        front, reader = stored.front_end(), Reader(stored.sample_rate, dataset.sample_rate)
        right: dict[int, list[bool]] = {found.number: [] for found in rows}
        for number, clip in enumerate(labelled, start=1):
            if number % 20 == 0 or number == len(labelled):
                tell(f"{source}: {number} of {len(labelled)} clips")
            try:
                log_mel = heard(stored, front, reader.read(clip))
            except MediaError as error:
                unreadable[str(error)] = None
                continue
            for found in rows:
                if found not in bench.running:
                    continue
                try:
                    best = stored.labels[int(probabilities(found, log_mel).argmax())]
                    right[found.number].append(best == dataset.labels[clip.label])
                except RowFailed as error:
                    bench.stop(found, error)
        for found in rows:
            if found in bench.running and right[found.number]:
                answers = right[found.number]
                found.accuracy = {"accuracy": 100 * float(np.mean(answers)), "clips": len(answers)}
    return list(unreadable)


def calibration(dataset: Dataset, clips: Sequence[Clip]) -> Callable[[Subject], np.ndarray]:
    """Log-mels (n, clip frames, bands) of clips' beginnings for a network's int8, chosen by chance but always alike."""

    def hear(subject: Subject) -> np.ndarray:
        stored = subject.stored
        front, reader = stored.front_end(), Reader(stored.sample_rate, dataset.sample_rate)
        found = []
        for index in np.random.default_rng(0).permutation(len(clips)):
            try:
                waveform = reader.read(clips[index], 0, stored.clip_seconds)
            except MediaError:
                continue
            found.append(heard(stored, front, waveform)[: stored.net.config.clip_frames])
            if len(found) == CALIBRATING:
                break
        if not found:
            raise AinextError(f"{dataset.name}: no clip outside those that are scored can be read, to calibrate int8")
        return np.stack(found)

    return hear


@torch.inference_mode()
def heard(stored: StoredModel, front: LogMel, waveform: np.ndarray) -> np.ndarray:
    """Log-mel (frames, bands) of a recording, at least a clip: the last frame of a shorter one is repeated."""
    if not len(waveform):
        raise MediaError("a clip holds no sound")
    clip = stored.net.config.clip_frames
    frames = max(-(-len(waveform) // front.hop), min(1 + len(waveform) // front.hop, clip))  # as `recogniser.Grid`
    log_mel = front(torch.from_numpy(waveform)[None])[0, 0, :frames].numpy()
    return np.pad(log_mel, ((0, max(0, clip - frames)), (0, 0)), mode="edge")


def probabilities(found: Measured, log_mel: np.ndarray) -> np.ndarray:
    """(classes,): the mean over the steps that are not silent, through the row's engine."""
    stored = found.subject.stored
    clip = stored.net.config.clip_frames
    if stored.run == "dense" and stored.net.convolutional:
        logits = found.process.ask(log_mel[None])[0]
        starts = np.arange(len(logits)) * STEP_FRAMES
    else:
        count = 1 + -(-(len(log_mel) - clip) // STEP_FRAMES)
        starts = np.arange(count) * STEP_FRAMES
        place = (starts[:, None] + np.arange(clip)).clip(max=len(log_mel) - 1)
        size = max(found.nanoseconds, default=BATCH)  # that the row is warm for
        logits = in_batches(found.process.ask, log_mel[place], size)[:, 0]
    loud = np.concatenate([[0], np.cumsum(log_mel.max(axis=1) > SILENCE)])
    ends = np.minimum(starts + clip, len(log_mel))
    return overall(softmax(logits / stored.temperature) * (loud[ends] > loud[starts])[:, None])

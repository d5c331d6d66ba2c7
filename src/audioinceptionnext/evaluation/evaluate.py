"""A model on a dataset, heard as it will be: through the file that is shipped."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.audio.source import MediaError
from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.calibration import (
    Calibration,
    calibrate,
    fit_temperature,
    log_probabilities,
    tempered,
)
from audioinceptionnext.evaluation.intervals import bootstrap
from audioinceptionnext.evaluation.metrics import score
from audioinceptionnext.evaluation.report_folder import write_report
from audioinceptionnext.evaluation.thresholds import fit_thresholds, peaks
from audioinceptionnext.inference.recogniser import Recogniser, overall
from audioinceptionnext.models.load import load

Progress = Callable[[int, int], None]
ENOUGH_CLIPS, ENOUGH_MISTAKES = 50, 5  # below which a temperature says more about the clips than about the model
HEARD_IN_REPORT = 30.0  # seconds of a mistake that its player gives


@dataclass
class Heard:
    """What a model made of clips.

    Attributes:
        clips: those that could be read.
        outputs: of each, its (steps or views, classes) distributions; rows of silence are 0.
        unreadable: a line for each of the others.
    """

    clips: list[Clip] = field(default_factory=list)
    outputs: list[np.ndarray] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def add(self, other: Heard) -> None:
        self.clips += other.clips
        self.outputs += other.outputs
        self.unreadable += other.unreadable

    def only(self, clips: Sequence[Clip]) -> Heard:
        """Of these clips alone."""
        wanted = {id(clip) for clip in clips}
        pairs = [(c, steps) for c, steps in zip(self.clips, self.outputs, strict=True) if id(c) in wanted]
        return Heard([clip for clip, _ in pairs], [steps for _, steps in pairs])

    @property
    def probabilities(self) -> np.ndarray:
        """(clips, classes): of each recording as a whole, as `predict` gives it."""
        return np.stack([overall(steps) for steps in self.outputs])

    @property
    def targets(self) -> np.ndarray:
        return np.array([clip.label for clip in self.clips])

    @property
    def groups(self) -> list[str | None]:
        return [clip.group for clip in self.clips]

    def temperature(self) -> float | None:
        """The one by which each step's logits are to be divided (see `fit_temperature`).

        None where there are too few clips or mistakes to tell: of a model that is always right, the best is 0.
        """
        mistakes = int((self.probabilities.argmax(1) != self.targets).sum())
        if len(self.clips) < ENOUGH_CLIPS or mistakes < ENOUGH_MISTAKES:
            return None
        return fit_temperature([log_probabilities(steps[steps.any(1)]) for steps in self._not_silent()], self._known())

    def thresholds(self, temperature: float = 1.0) -> list[float]:
        """Of each class, for a timeline of probabilities at this temperature (see `fit_thresholds`)."""
        return fit_thresholds(peaks([tempered(steps, temperature) for steps in self.outputs]), self.targets).tolist()

    def _not_silent(self) -> list[np.ndarray]:
        return [steps for steps in self.outputs if steps.any()]

    def _known(self) -> np.ndarray:
        return np.array([c.label for c, steps in zip(self.clips, self.outputs, strict=True) if steps.any()])


@dataclass
class Evaluation:
    """
    Attributes:
        figures: the object that ``ainext evaluate --json`` prints.
        reader: gives the report its sound.
    """

    dataset: Dataset
    heard: Heard
    figures: dict[str, Any]
    reader: Reader

    def report(self, folder: Path, title: str | None = None, log: Path | None = None) -> Path:
        """Writes the report folder (see `write_report`) and returns its first page."""
        heard, rate = self.heard, self.reader.sample_rate
        return write_report(
            folder,
            self.figures,
            heard.probabilities,
            heard.targets,
            self.dataset.labels,
            heard.clips,
            self.figures.get("intervals"),
            self.calibration(),
            title,
            lambda clip: (self.reader.read(clip, 0, HEARD_IN_REPORT), rate),
            log,
        )

    def calibration(self) -> Calibration:
        return calibrate(self.heard.probabilities, self.heard.targets, self.heard.groups)


def evaluate(
    dataset: Dataset,
    clips: Sequence[Clip],
    recogniser: Recogniser,
    views: int = 0,
    resamples: int = 1000,
    progress: Progress | None = None,
) -> Evaluation:
    """Scores a model on ``clips`` of ``dataset``.

    Args:
        views: clips at even spacing whose distributions are averaged, as published; 0 hears all of each recording.
        resamples: of the bootstrap that gives the 95 % intervals; 0 gives none.

    Raises:
        AinextError: a class that the model does not know, no labelled clip, or none that can be read.
    """
    dataset, clips = in_terms_of(recogniser, dataset, clips)
    labelled = [clip for clip in clips if clip.label != UNLABELLED]
    if not labelled:
        raise AinextError(f"{dataset.name}: no labelled clips to score; --predictions writes what is heard in others")
    reader = Reader(recogniser.sample_rate, dataset.sample_rate)
    heard = hear(recogniser, labelled, reader, views, progress)
    return Evaluation(dataset, heard, figures_of(dataset, heard, recogniser, views, resamples), reader)


def in_terms_of(recogniser: Recogniser, dataset: Dataset, clips: Sequence[Clip]) -> tuple[Dataset, Sequence[Clip]]:
    """The same clips with the model's classes, which may be more and in another order than the dataset's.

    Raises:
        AinextError: a class that the model does not know.
    """
    if recogniser.labels == dataset.labels:
        return dataset, clips
    place = {label: index for index, label in enumerate(recogniser.labels)}
    unknown = [label for label in dataset.labels if label not in place]
    if unknown:
        raise AinextError(
            f"{recogniser.name}: knows other classes than {dataset.name}, not {unknown[0]!r} for one; "
            f"train or fine-tune on it first"
        )
    known = [place[label] for label in dataset.labels]
    moved = [c if c.label == UNLABELLED else replace(c, label=known[c.label]) for c in clips]
    return replace(dataset, labels=recogniser.labels), moved


def figures_of(
    dataset: Dataset, heard: Heard, recogniser: Recogniser | None, views: int = 0, resamples: int = 1000
) -> dict[str, Any]:
    """Raises `AinextError` when none of the clips could be read."""
    if not heard.clips:
        raise AinextError(f"{dataset.name}: none of {len(heard.unreadable)} clips can be read: {heard.unreadable[0]}")
    head: dict[str, Any] = {"data": dataset.name}
    if recogniser is not None:
        head |= {"model": recogniser.name, "run": recogniser.run}
    head |= {"views": views} if views else {}
    head |= {"clips": len(heard.clips)} | ({"unreadable": len(heard.unreadable)} if heard.unreadable else {})
    figures = head | score(heard.probabilities, heard.targets, dataset.labels)
    if resamples:
        found = bootstrap(heard.probabilities, heard.targets, dataset.labels, heard.groups, resamples)
        figures["intervals"] = {name: list(interval) for name, interval in found.items()}
    return figures


def unseen_sources(clips: Sequence[Clip], others: Sequence[Clip]) -> list[Clip]:
    """Those of ``clips`` cut from a recording that ``others`` have no clip of."""
    known = {clip.group for clip in others if clip.group is not None}
    return [clip for clip in clips if clip.group not in known]


def open_model(model: str, run: str | None = None) -> Recogniser:
    """A name, an ``.onnx`` file, or a ``.safetensors`` file, which is exported first.

    Args:
        run: ``dense`` or ``windows``, for a ``.safetensors`` model; as it was trained unless given.
    """
    if not model.endswith(".safetensors"):
        recogniser = load(model)
        if run is not None and recogniser.run != run:
            raise AinextError(f"--run {run}: {model} is made for {recogniser.run}; give the .safetensors it came from")
        return recogniser
    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.network.storage import load_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(model).with_suffix(".onnx").name)
        return load(export_onnx(load_model(model), path, run))  # type: ignore[arg-type]


def hear(
    recogniser: Recogniser, clips: Sequence[Clip], reader: Reader, views: int = 0, progress: Progress | None = None
) -> Heard:
    """What the model makes of each clip. One that cannot be read is noted, the others go on."""
    heard = Heard()
    for number, clip in enumerate(clips, start=1):
        try:
            waveform = reader.read(clip)
            if not len(waveform):
                raise MediaError(f"{clip.name}: holds no sound")
            steps = _by_views(recogniser, waveform, views) if views else recogniser.predict(waveform).probabilities
            heard.clips.append(clip)
            heard.outputs.append(steps)
        except MediaError as error:
            heard.unreadable.append(str(error))
        if progress is not None:
            progress(number, len(clips))
    return heard


def _by_views(recogniser: Recogniser, waveform: np.ndarray, views: int) -> np.ndarray:
    """(views, classes), of clips placed as `training.views` has them. A shorter sound is heard whole, each time."""
    samples = round(recogniser.window * recogniser.sample_rate) - 1
    if len(waveform) < samples:
        # The frame that is repeated is the one centred on the end, as published and in training. Of a sound of whole
        # hops `predict` would leave that one out.
        waveform = np.append(waveform, np.float32(0))
    spare = max(0, len(waveform) - samples)
    starts = [spare // 2] if views == 1 else [spare * view // (views - 1) for view in range(views)]
    found: dict[int, np.ndarray] = {}
    for start in starts:
        if start not in found:
            found[start] = recogniser.predict(waveform[start : start + samples]).probabilities[0]
    return np.stack([found[start] for start in starts])

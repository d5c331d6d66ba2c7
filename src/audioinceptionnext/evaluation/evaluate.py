"""Scores a model on a data set through its exported file, so that the figures are those of what is shipped."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError, ModelError, ParameterError, counted
from audioinceptionnext.evaluation.calibration import Calibration, calibrate, enough
from audioinceptionnext.evaluation.clip_predictions import ClipPredictions, Progress, predict_clips
from audioinceptionnext.evaluation.intervals import bootstrap, known, sources
from audioinceptionnext.evaluation.joint import joint_accuracy
from audioinceptionnext.evaluation.label_report import write_label_report
from audioinceptionnext.evaluation.metrics import score
from audioinceptionnext.evaluation.multi_label import at_temperature, fit_to, score_labels
from audioinceptionnext.evaluation.report_files import MAX_AUDIO_SECONDS
from audioinceptionnext.evaluation.report_folder import write_report, write_tasks_index
from audioinceptionnext.evaluation.report_pages import FITTED, SEEN
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.steps import Mode
from audioinceptionnext.models.load import load
from audioinceptionnext.results.settings import ONSET_THRESHOLD

RESAMPLES = 1000  # of the bootstrap


@dataclass
class Evaluation:
    """The predictions for the clips of a data set, and the figures computed from them.

    Attributes:
        dataset: its labels are the model's.
        predictions: for the labelled clips.
        figures: the object that ``ainext evaluate`` prints as JSON.
        reader: reads the audio of the mistakes for the report.
    """

    dataset: Dataset
    predictions: ClipPredictions
    figures: dict[str, Any]
    reader: Reader

    def by_task(self) -> dict[str, Evaluation]:
        """The evaluation of each task, as if it were of a data set with the labels of that task alone."""
        labels = iter(self.dataset.labels)
        about = {key: value for key, value in self.figures.items() if isinstance(value, str | int)}
        return {
            name: Evaluation(
                replace(self.dataset, labels=tuple(islice(labels, size)), tasks={}),
                predictions,
                about | {"task": name} | self.figures[name],
                self.reader,
            )
            for (name, size), predictions in zip(
                self.dataset.tasks.items(), self.predictions.by_task(self.dataset.tasks).values(), strict=True
            )
        }

    def report(self, folder: Path, title: str | None = None, training_logs: Sequence[Path] = ()) -> Path:
        """Write the report (see `write_report`) and return the path of its first page.

        With tasks, each has a report in a folder of its name, and the first page leads to them.
        """
        if self.dataset.tasks:
            title = title or f"{self.figures['model']} on {self.dataset.name}"
            for name, evaluation in self.by_task().items():
                evaluation.report(folder / name, f"{title}: {name}", training_logs)
            return write_tasks_index(folder, title, self.figures, list(self.dataset.tasks))
        shared: dict[str, Any] = {
            "intervals": self.figures.get("intervals"),
            "title": title,
            "read": lambda clip: (self.reader.read(clip, 0, MAX_AUDIO_SECONDS), self.reader.sample_rate),
            "training_logs": training_logs,
        }
        if self.dataset.multi_label:
            return write_label_report(folder, self.figures, self.predictions, self.dataset.labels, **shared)
        return write_report(
            folder,
            self.figures,
            self.predictions.probabilities,
            self.predictions.targets,
            self.dataset.labels,
            self.predictions.clips,
            calibration=self.calibration(),
            **shared,
        )

    def fit(self, resamples: int = RESAMPLES) -> tuple[float | None, list[float] | None]:
        """Fit the temperature and the thresholds of a multi-label model to these clips, as `fit_to` does.

        The predictions and the figures are from then on those of the model with both. Labels that are true for none of
        the clips keep their thresholds.
        """
        before = [row["threshold"] for row in self.figures["per_label"].values()]
        temperature, thresholds = fit_to(self.predictions, before)
        if temperature is not None:
            self.predictions = at_temperature(self.predictions, temperature)
        self.figures |= score_labels(self.predictions, self.dataset.labels, thresholds or before, resamples)
        self.figures[FITTED] = thresholds is not None
        return temperature, thresholds

    def calibration(self) -> Calibration | None:
        """How far probabilities and accuracy agree, see `calibrate`; None if these clips cannot tell.

        Also None of a multi-label model or data set, since a temperature for a softmax says nothing of them.
        """
        found, several = self.predictions, self.dataset.multi_label or self.figures.get("kind") == "multi-label"
        if several or self.figures.get(SEEN) or not enough(found.probabilities, found.targets):
            return None
        return calibrate(found.probabilities, found.targets, found.groups)


def evaluate(
    dataset: Dataset,
    clips: Sequence[Clip],
    recogniser: Recogniser,
    *,
    eval_clips: int = 0,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model on labelled clips.

    Args:
        dataset: the data set that the clips belong to.
        clips: those to score; clips without a label are left out.
        recogniser: the model.
        eval_clips: number of evenly spaced windows of each recording whose probabilities are averaged, as in the paper
            (5 or 2); 0 averages over all steps of the whole recording.
        resamples: of the bootstrap for the 95 % intervals; 0 computes no intervals.
        progress: called with the number of clips done and their total.

    Raises:
        ModelError: the data set has a class that the model does not know, or is multi-label and the model is not.
        AinextError: no clip has a label, or none can be read.

    >>> dataset = load_dataset("kitchen20", "Kitchen20")
    >>> clips, _ = dataset.select("5")
    >>> evaluation = evaluate(dataset, clips, open_model("runs/fold-5/model.safetensors"))  # trained on the other folds
    >>> round(evaluation.figures["top1"], 1)
    84.4
    """
    dataset, clips = map_labels(recogniser, dataset, clips)
    labelled = [clip for clip in clips if clip.label != UNLABELLED]
    if not labelled:
        raise AinextError(f"{dataset.name}: none of these clips has a label, so they can be predicted, but not scored")
    reader = Reader(recogniser.sample_rate, dataset.sample_rate)
    predictions = predict_clips(recogniser, labelled, reader, eval_clips=eval_clips, progress=progress)
    figures = figures_of(dataset, predictions, recogniser, eval_clips=eval_clips, resamples=resamples)
    return Evaluation(dataset, predictions, figures, reader)


def map_labels(recogniser: Recogniser, dataset: Dataset, clips: Sequence[Clip]) -> tuple[Dataset, Sequence[Clip]]:
    """Number the labels of the data set and of the clips as the model does, which may know more of them.

    Raises:
        ModelError: the model does not know one of the data set's classes, has other tasks, or is not multi-label where
            the data set is.
    """
    if dataset.multi_label and not recogniser.multi_label:
        reason = f"finds one label per clip, but several of those of {dataset.name} can be true; train or fine-tune"
        raise ModelError(recogniser.name, f"{reason} a model on it first")
    if recogniser.tasks != dataset.tasks:
        has = " and ".join(f"{size} of the task {name}" for name, size in recogniser.tasks.items()) or "one task only"
        reason = f"has labels of {has}, unlike {dataset.name}; train or fine-tune a model on it first"
        raise ModelError(recogniser.name, reason)
    if recogniser.labels == dataset.labels:
        return dataset, clips
    index = {label: number for number, label in enumerate(recogniser.labels)}
    unknown = [label for label in dataset.labels if label not in index]
    if unknown:
        reason = f"does not know {unknown[0]!r}, a class of {dataset.name}; train or fine-tune a model on it first"
        raise ModelError(recogniser.name, reason)
    numbers = [index[label] for label in dataset.labels]
    mapped = [
        c if c.label < 0 else replace(c, label=numbers[c.label], also=tuple(numbers[n] for n in c.also)) for c in clips
    ]
    return replace(dataset, labels=recogniser.labels), mapped


def figures_of(
    dataset: Dataset,
    predictions: ClipPredictions,
    recogniser: Recogniser | None,
    *,
    eval_clips: int = 0,
    resamples: int = RESAMPLES,
    thresholds: Sequence[float] | None = None,
) -> dict[str, Any]:
    """The figures of predictions, as ``ainext evaluate`` prints them in JSON.

    With tasks, there are figures for each, and those of ``action`` count a clip if all of its labels are right. Of a
    multi-label data set, they are those of `score_labels`.

    Args:
        dataset, eval_clips, resamples: as for `evaluate`.
        predictions: of labelled clips.
        recogniser: the model that the figures name; None where the clips were predicted by several models.
        thresholds: the onset threshold of each label of a multi-label data set; the model's, or else the usual one.

    Raises:
        AinextError: none of the clips could be read.
    """
    unreadable = predictions.unreadable
    if not predictions.clips:
        clips = counted(len(unreadable), "clip")
        raise AinextError(f"{dataset.name}: none of its {clips} can be read: {unreadable[0]}")
    figures: dict[str, Any] = {"data": dataset.name}
    if recogniser is not None:
        figures |= {"model": recogniser.name, "mode": recogniser.mode}
        figures |= {"kind": "multi-label"} if recogniser.multi_label else {}
    if eval_clips:
        figures["eval_clips"] = eval_clips
    figures["clips"] = len(predictions.clips)
    if any(group is not None for group in predictions.groups):
        figures["sources"] = sources(predictions.groups)
    if unreadable:
        figures["unreadable"] = len(unreadable)
    if dataset.multi_label:
        own = thresholds or (recogniser.thresholds if recogniser is not None else ())
        usual = [ONSET_THRESHOLD] * len(dataset.labels)
        return figures | score_labels(predictions, dataset.labels, own or usual, resamples)
    if not dataset.tasks:
        return figures | _scored(predictions, dataset.labels, resamples)
    parts, labels = predictions.by_task(dataset.tasks), iter(dataset.labels)
    action = joint_accuracy([part.probabilities for part in parts.values()], [part.targets for part in parts.values()])
    scored = {
        name: _scored(part, tuple(islice(labels, dataset.tasks[name])), resamples) for name, part in parts.items()
    }
    return figures | action | scored | {"action": action}


def _scored(predictions: ClipPredictions, labels: tuple[str, ...], resamples: int) -> dict[str, Any]:
    """The figures of `score`, with the ``intervals`` that are known if there are to be resamples."""
    probabilities, targets = predictions.probabilities, predictions.targets
    figures = score(probabilities, targets, labels)
    if resamples:
        intervals = bootstrap(probabilities, targets, labels, predictions.groups, resamples=resamples)
        figures["intervals"] = known(figures, intervals, predictions.groups)
    return figures


def rounded(value: Any) -> Any:
    """The value for JSON: with four decimals, and None for numbers that are not finite."""
    return finite(value, 4)


def finite(value: Any, decimals: int | None = None) -> Any:
    """The value for JSON, which has no NaN: with None for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: finite(item, decimals) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item, decimals) for item in value]
    if isinstance(value, float):
        return None if not math.isfinite(value) else value if decimals is None else round(value, decimals)
    return value


def unseen_sources(clips: Sequence[Clip], others: Sequence[Clip]) -> list[Clip]:
    """Those of ``clips`` that were cut from a recording of which ``others`` contain no clip."""
    known = {clip.group for clip in others if clip.group is not None}
    return [clip for clip in clips if clip.group not in known]


def open_model(model: str, mode: Mode | None = None) -> Recogniser:
    """Load a model by name or from a file, as `load` does, or from a ``.safetensors`` file, which is exported first.

    Args:
        model: a name, an ``.onnx`` file or a ``.safetensors`` file.
        mode: ``dense`` or ``windows``; as the model was trained unless given.

    Raises:
        ParameterError: an exported file was made for another mode.
        ModelError: as `load`.
    """
    if not model.endswith(".safetensors"):
        recogniser = load(model)
        if mode is not None and recogniser.mode != mode:
            reason = f"{model} was exported for {recogniser.mode}; give the .safetensors file that it was exported from"
            raise ParameterError("mode", mode, reason)
        return recogniser
    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.network.storage import load_model

    file = Path(model)
    name = file.absolute().parent.name if file.stem == "model" else file.stem  # as a run calls its model.onnx
    with tempfile.TemporaryDirectory() as folder:
        return load(export_onnx(load_model(file), Path(folder, "model.onnx"), name=name, mode=mode))  # type: ignore[arg-type]

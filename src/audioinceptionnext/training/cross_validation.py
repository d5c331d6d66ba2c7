"""Cross-validation: one network per fold, trained on the other folds, and figures over all clips."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import Dataset
from audioinceptionnext.data.clip import UNLABELLED, Clip
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import ParameterError, counted, writing
from audioinceptionnext.evaluation.clip_predictions import ClipPredictions, predict_clips
from audioinceptionnext.evaluation.evaluate import (
    RESAMPLES,
    Evaluation,
    figures_of,
    finite,
    open_model,
    unseen_sources,
)
from audioinceptionnext.network.registry import name_of
from audioinceptionnext.network.storage import load_model
from audioinceptionnext.training.fit import Interrupted, train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import DONE, FIGURES, LAST, MODEL, OUTPUTS, RUN, is_run
from audioinceptionnext.training.run_record import Run, check_same
from audioinceptionnext.training.teacher import FOLD


@dataclass(frozen=True)
class CrossValidation:
    """Trains and scores one network per fold.

    Attributes:
        dataset: with folds; `Dataset.leak_free` makes folds that keep sources whole.
        out: the folder for one subfolder per fold, ``figures.json`` and the report. Folds that are done are kept, and
            a fold that was interrupted is resumed.
        recipe: the settings.
        initial_weights: weights that each fold starts from; ``{fold}`` in the name is replaced by the fold's number, so
            that each fold can start from a network that was not trained on its clips.
        hardware: what to compute on.
        eval_clips: number of evenly spaced clips over which to average; 0 uses whole recordings.
        folds: the folds to do, such as ``1,2``; the figures are then of their clips only. None does all.
        overwrite: whether to start over with folds that are done or were interrupted.

    >>> CrossValidation(dataset, Path("runs/folds"), load_recipe("modern")).run().figures["top1"]
    """

    dataset: Dataset
    out: Path
    recipe: Recipe
    _: KW_ONLY
    initial_weights: str | None = None
    hardware: Hardware = field(default_factory=Hardware)
    eval_clips: int = 0
    folds: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if (targets := self.recipe.targets) in ("steps", "timeline"):
            raise ParameterError("targets", targets, "clips are scored here, with targets of clips; train a single run")
        if self.recipe.targets == "teacher":
            raise ParameterError("targets", "teacher", "mixtures of recordings belong to no fold; train a single run")

    def run(self) -> Evaluation:
        """Train the network of every fold, score its clips, and write the figures of all of them together.

        Raises:
            ParameterError: ``folds`` names folds that do not exist.
            AinextError: as `fit.train`.
        """
        self.dataset.check_one_task("cross-validation")
        predictions, unseen = ClipPredictions(), list[Clip]()
        figures_by_fold: dict[str, Any] = {}
        chosen = self.dataset.select(self.folds)[0]
        folds = sorted({clip.fold for clip in chosen if clip.fold is not None})
        if self.overwrite:
            self._forget(folds)
        for number, fold in enumerate(folds):
            try:
                part, figures_by_fold[str(fold)] = self.run_fold(fold)
            except Interrupted:
                done = f"{number} of {counted(len(folds), 'fold')} are done"
                raise Interrupted(
                    f"interrupted in fold {fold} ({done}); resume the cross-validation to continue"
                ) from None
            predictions.add(part)
            unseen += unseen_sources(part.clips, self.dataset.select(str(fold))[1])
        evaluation, calibration = self._pooled(predictions, fold)
        figures = evaluation.figures
        if 0 < len(unseen) < len(predictions.clips):  # sources lie in several folds: the figures without those
            figures["unseen_sources"] = figures_of(
                self.dataset,
                evaluation.predictions.only(unseen),
                None,
                eval_clips=self.eval_clips,
                thresholds=[*(calibration["thresholds"] or {}).values()],
            )
        figures |= calibration
        main = "map" if self.dataset.multi_label else "top1"
        values = np.array([figures_of_fold[main] for figures_of_fold in figures_by_fold.values()])
        figures |= {
            "model": self._network(fold),
            "folds": figures_by_fold,
            f"{main}_mean_of_folds": float(values.mean()),
            f"{main}_deviation_of_folds": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
            "minutes": sum(figures_of_fold["minutes"] for figures_of_fold in figures_by_fold.values()),
            "recipe": self.recipe.as_dict(),
        }
        path = self.out / FIGURES
        with writing(path):
            path.write_text(_as_json(figures) + "\n", encoding="utf-8")
        return evaluation

    def _pooled(self, predictions: ClipPredictions, fold: int) -> tuple[Evaluation, dict[str, Any]]:
        """The figures of all folds, and what fits a model trained on all of them, which has no held-out clips.

        That is a temperature and thresholds. The figures of a multi-label data set are those with both.
        """
        several, labels = self.dataset.multi_label, self.dataset.labels
        resamples = 0 if several else RESAMPLES  # of several labels, the figures are computed once more
        figures = figures_of(self.dataset, predictions, None, eval_clips=self.eval_clips, resamples=resamples)
        evaluation = Evaluation(self.dataset, predictions, figures, self._reader(fold))
        if several:
            temperature, thresholds = evaluation.fit()
        else:
            temperature = predictions.temperature()
            thresholds = predictions.thresholds(temperature or 1.0)
        found = thresholds and dict(zip(labels, thresholds, strict=True))
        return evaluation, {"temperature": temperature, "thresholds": found}

    def run_fold(self, fold: int, training: list[Clip] | None = None) -> tuple[ClipPredictions, dict[str, Any]]:
        """Train the network of a fold, unless that is done, and score the fold's clips.

        Args:
            fold: its number.
            training: the clips to train on; those of all other folds unless given.

        Returns:
            The predictions for the fold's clips, and their figures.

        Raises:
            AinextError: as `fit.train`.
        """
        folder = self.out / f"fold-{fold}"
        clips, others = ([c for c in part if c.label != UNLABELLED] for part in self.dataset.select(str(fold)))
        others = others if training is None else training
        initial_weights = self.initial_weights and self.initial_weights.replace(FOLD, str(fold))
        run = Run(self.dataset, others, clips, folder, self.recipe, initial_weights, {"fold": fold})
        if (folder / DONE).is_file() and not self.overwrite:
            check_same(json.loads((folder / RUN).read_text(encoding="utf-8")), run.describe(), folder / RUN)
            return _read_fold(clips, folder)
        started = time.monotonic()
        resume = is_run(folder) and not self.overwrite  # also one that stopped before its first checkpoint
        train(run, resume=resume, overwrite=self.overwrite, hardware=self.hardware)
        minutes = (time.monotonic() - started) / 60
        predictions, figures = score_fold(self.dataset, clips, folder, minutes=minutes, eval_clips=self.eval_clips)
        figure = f"mAP {figures['map']:.1f}" if self.dataset.multi_label else f"top-1 {figures['top1']:.1f}"
        print(f"fold {fold}: {figure} %, {minutes:.1f} minutes", file=sys.stderr, flush=True)
        return predictions, figures

    def _forget(self, folds: list[int]) -> None:
        """Remove by what folds are done or resumed, so that, interrupted, the next call mixes no old ones with new."""
        for path in (self.out / f"fold-{fold}" / name for fold in folds for name in (DONE, LAST)):
            with writing(path):
                path.unlink(missing_ok=True)

    def _reader(self, fold: int) -> Reader:
        return Reader(load_model(self.out / f"fold-{fold}" / MODEL).sample_rate, self.dataset.sample_rate)

    def _network(self, fold: int) -> str:
        """What the network of a fold is called. Initial weights bring their own, which the recipe does not name."""
        if self.initial_weights is None:
            return self.recipe.network
        return name_of(load_model(self.out / f"fold-{fold}" / MODEL).net.config)


def score_fold(
    dataset: Dataset, clips: list[Clip], folder: Path, *, minutes: float, eval_clips: int = 0
) -> tuple[ClipPredictions, dict[str, Any]]:
    """Predict clips with the network in ``folder`` and write the predictions and figures there: the fold is done.

    Args:
        dataset: the data set that the clips belong to.
        clips: those of the fold.
        folder: holds ``model.safetensors``.
        minutes: the time that training took, for the figures.
        eval_clips: number of evenly spaced clips over which to average; 0 uses whole recordings.

    Returns:
        The predictions and the figures.
    """
    recogniser = open_model(str(folder / MODEL))
    reader = Reader(recogniser.sample_rate, dataset.sample_rate)
    predictions = predict_clips(recogniser, clips, reader, eval_clips=eval_clips)
    figures = figures_of(dataset, predictions, recogniser, eval_clips=eval_clips, resamples=0)
    figures |= {"minutes": minutes, "unreadable_clips": predictions.unreadable}
    index = {id(clip): number for number, clip in enumerate(clips)}
    arrays = {f"output{i}": steps for i, steps in enumerate(predictions.outputs)}
    with writing(folder / OUTPUTS):
        indices = [index[id(clip)] for clip in predictions.clips]
        np.savez(folder / OUTPUTS, clips=indices, **arrays)  # type: ignore[arg-type]
        partial = folder / f"{DONE}.part"  # the fold is done once this file has its final name
        partial.write_text(_as_json(figures), encoding="utf-8")
        partial.replace(folder / DONE)
    return predictions, figures


def _as_json(figures: dict[str, Any]) -> str:
    """JSON has no NaN, which a figure is that these clips do not have."""
    return json.dumps(finite(figures), indent=2, ensure_ascii=False, allow_nan=False)


def _read_fold(clips: list[Clip], folder: Path) -> tuple[ClipPredictions, dict[str, Any]]:
    """What `score_fold` wrote."""
    figures = json.loads((folder / DONE).read_text(encoding="utf-8"))
    stored = np.load(folder / OUTPUTS)
    kept = [clips[index] for index in stored["clips"]]
    outputs = [stored[f"output{i}"] for i in range(len(kept))]
    return ClipPredictions(kept, outputs, figures["unreadable_clips"]), figures

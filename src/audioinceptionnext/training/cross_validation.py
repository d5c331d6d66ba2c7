"""One network a fold, each trained on all the others, and the figure that all clips give together."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import Dataset
from audioinceptionnext.data.clip import UNLABELLED, Clip
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError, writing
from audioinceptionnext.evaluation.evaluate import Evaluation, Heard, figures_of, hear, open_model, unseen_sources
from audioinceptionnext.training.fit import LAST, MODEL, RUN, Run, train
from audioinceptionnext.training.hardware import Machine
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_record import check_same
from audioinceptionnext.training.teacher import FOLD

OUTPUTS, DONE, FIGURES = "outputs.npz", "fold.json", "figures.json"


@dataclass(frozen=True)
class CrossValidation:
    """
    Attributes:
        dataset: with folds; `Dataset.leak_free` makes those that keep sources whole.
        out: gets a folder a fold, ``figures.json`` and the report. Folds that are done are not done again, and one that
            was stopped goes on.
        start: weights to begin each fold with; ``{fold}`` in it stands for the fold's number, so that each goes on from
            a network that has not heard its clips.
        only: the folds to do, ``1,2`` say, and figures of their clips alone; None does all.
    """

    dataset: Dataset
    out: Path
    recipe: Recipe
    start: str | None = None
    machine: Machine = field(default_factory=Machine)
    views: int = 0
    only: str | None = None

    def run(self) -> Evaluation:
        """Trains, scores every fold with the network that has not heard it, and writes it all down.

        Raises:
            AinextError: ``only`` names folds that do not exist; what `fit.train` raises.
        """
        heard, unseen = Heard(), Heard()
        folds: dict[str, Any] = {}
        for fold in self._chosen():
            part, figures = self.run_fold(fold)
            folds[str(fold)] = figures
            heard.add(part)
            unseen.add(part.only(unseen_sources(part.clips, self.dataset.select(str(fold))[1])))
        figures = figures_of(self.dataset, heard, None, self.views)
        if 0 < len(unseen.clips) < len(heard.clips):  # the folds leak: what is left without the leak
            figures["unseen_sources"] = figures_of(self.dataset, unseen, None, self.views)
        figures |= _to_ship(self.dataset, heard)
        top1 = np.array([fold["top1"] for fold in folds.values()])
        figures |= {
            "model": self.recipe.model,
            "folds": folds,
            "top1_mean_of_folds": float(top1.mean()),
            "top1_deviation_of_folds": float(top1.std(ddof=1)) if len(top1) > 1 else 0.0,
            "minutes": sum(fold["minutes"] for fold in folds.values()),
            "recipe": self.recipe.as_dict(),
        }
        path = self.out / FIGURES
        with writing(path):
            path.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return Evaluation(self.dataset, heard, figures, self._reader(fold))

    def _chosen(self) -> list[int]:
        try:
            return sorted({clip.fold for clip in self.dataset.select(self.only)[0] if clip.fold is not None})
        except AinextError as error:
            raise AinextError(str(error).replace("--folds", "--only", 1)) from None

    def run_fold(self, fold: int, training: list[Clip] | None = None) -> tuple[Heard, dict[str, Any]]:
        """What the network of one fold makes of its clips, and the figures; trained first, unless that is done.

        Args:
            training: clips to train on, if not all of the other folds.

        Raises:
            AinextError: what `fit.train` raises.
        """
        place = self.out / f"fold-{fold}"
        clips, others = ([c for c in part if c.label != UNLABELLED] for part in self.dataset.select(str(fold)))
        others = others if training is None else training
        start = self.start and self.start.replace(FOLD, str(fold))
        run = Run(self.dataset, others, clips, place, self.recipe, start, {"fold": fold})
        if (place / DONE).is_file():
            check_same(json.loads((place / RUN).read_text(encoding="utf-8")), run.describe(), place / RUN)
            figures = json.loads((place / DONE).read_text(encoding="utf-8"))
            stored = np.load(place / OUTPUTS)
            kept = [clips[index] for index in stored["clips"]]
            return Heard(kept, [stored[f"output{i}"] for i in range(len(kept))], figures["unreadable_clips"]), figures
        begun = time.monotonic()
        train(run, resume=(place / LAST).is_file(), machine=self.machine)
        minutes = (time.monotonic() - begun) / 60
        heard, figures = score_fold(self.dataset, clips, place, minutes, self.views)
        print(f"fold {fold}: top-1 {figures['top1']:.1f} %, {minutes:.1f} minutes", file=sys.stderr, flush=True)
        return heard, figures

    def _reader(self, fold: int) -> Reader:
        from audioinceptionnext.network.storage import load_model

        rate = load_model(self.out / f"fold-{fold}" / MODEL).sample_rate
        return Reader(rate, self.dataset.sample_rate)


def score_fold(
    dataset: Dataset, clips: list[Clip], place: Path, minutes: float, views: int = 0
) -> tuple[Heard, dict[str, Any]]:
    """Has the network in ``place`` hear the clips, and writes down there what it said: the fold is done."""
    recogniser = open_model(str(place / MODEL))
    heard = hear(recogniser, clips, Reader(recogniser.sample_rate, dataset.sample_rate), views)
    figures = figures_of(dataset, heard, recogniser, views, resamples=0)
    figures |= {"minutes": minutes, "unreadable_clips": heard.unreadable}
    index = {id(clip): number for number, clip in enumerate(clips)}
    arrays = {f"output{i}": steps for i, steps in enumerate(heard.outputs)}
    with writing(place / OUTPUTS):
        np.savez(place / OUTPUTS, clips=[index[id(clip)] for clip in heard.clips], **arrays)  # type: ignore[arg-type]
        partial = place / f"{DONE}.part"  # the fold is done once this has its name
        partial.write_text(json.dumps(figures, indent=2, ensure_ascii=False), encoding="utf-8")
        partial.replace(place / DONE)
    return heard, figures


def _to_ship(dataset: Dataset, heard: Heard) -> dict[str, Any]:
    """What a model trained on all folds cannot find out by itself: each clip was heard by a network new to it."""
    temperature = heard.temperature()
    thresholds = heard.thresholds(temperature or 1.0)
    return {"temperature": temperature, "thresholds": dict(zip(dataset.labels, thresholds, strict=True))}

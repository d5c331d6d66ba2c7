"""Which runs a study needs: one per variant, seed and fold, and those that give initial weights to others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.studies.study import Study, Variant
from audioinceptionnext.training.recipe import Recipe

RUNS = "runs"  # the folder of the runs, which studies in the same place share
FOLDS = 5  # of a data set without folds


@dataclass(frozen=True)
class StudyData:
    """A data set and its folds, described so that another process can open the same.

    Attributes:
        name: of the data set.
        root: its folder.
        leak_free: make folds that keep all clips of a source together. This is always done if the data set has no
            folds.
        max_clips: number of clips that a run is trained on at most; None takes all.
    """

    name: str
    root: str
    leak_free: bool = False
    max_clips: int | None = None

    def open(self) -> Dataset:
        """The data set with folds. A clip without a named source counts as a source of its own.

        Raises:
            AinextError: the data set cannot be opened, or has too few sources.
        """
        return _open(self)

    def split(self, dataset: Dataset, fold: int | None) -> tuple[list[Clip], list[Clip]]:
        """The labelled clips to train on, and those to score.

        Args:
            dataset: from `open`.
            fold: it is scored, and the others are trained on. None trains on all folds, and scores nothing.
        """
        inside, others = dataset.select("all" if fold is None else str(fold))
        scored, trained = ((), inside) if fold is None else (inside, others)
        known = [clip for clip in trained if clip.label != UNLABELLED]
        return self._limited(known), [clip for clip in scored if clip.label != UNLABELLED]

    def _limited(self, clips: list[Clip]) -> list[Clip]:
        """At most ``max_clips`` of the clips, taken evenly from the classes, at random but always the same ones."""
        if self.max_clips is None or self.max_clips >= len(clips):
            return clips
        order = np.random.default_rng(0).permutation(len(clips))
        count: dict[int, int] = {}
        ranked = []
        for index in order:
            label = clips[index].label
            count[label] = count.get(label, -1) + 1
            ranked.append((count[label], int(index)))
        return [clips[index] for index in sorted(index for _, index in sorted(ranked)[: self.max_clips])]


@lru_cache
def _open(data: StudyData) -> Dataset:
    dataset = load_dataset(data.name, Path(data.root))
    dataset.check_one_label("a study")
    return dataset.leak_free(FOLDS) if dataset.folds and data.leak_free else dataset.with_folds(FOLDS)


def study_data(
    data: Sequence[str], root: Sequence[Path], *, leak_free: bool = False, max_clips: int | None = None
) -> dict[str, StudyData]:
    """The data sets of a study, by name.

    Args:
        data: names of data sets.
        root: the folder of each, in the same order.
        leak_free, max_clips: as in `StudyData`.

    Raises:
        ParameterError: no data set, one that is given twice, or another number of folders.
    """
    if not data:
        raise ParameterError("data", None, "give the data set to study, such as kitchen20, and its folder")
    if len(data) != len(root):
        given = f"data sets: {len(data)}, folders: {len(root)}"
        reason = f"give one folder for each data set, in the same order ({given})"
        raise ParameterError("root", None, reason)
    for name in data:
        if data.count(name) > 1:
            raise ParameterError("data", name, "given more than once")
    pairs = zip(data, root, strict=True)
    return {name: StudyData(name, str(folder.resolve()), leak_free, max_clips) for name, folder in pairs}


@dataclass(frozen=True)
class Unit:
    """One training run of a study.

    Attributes:
        variant: its name.
        fold: the fold that is held out and scored. None trains on all folds, to give initial weights to others.
        place: the folder of the run's folds.
        initial_weights: a file of weights to start from.
        predict: the settings of each `PredictionMode`, by name.
    """

    variant: str
    seed: int
    fold: int | None
    data: StudyData
    recipe: Recipe
    place: Path
    initial_weights: Path | None = None
    predict: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of this run alone."""
        return self.place / ("all" if self.fold is None else f"fold-{self.fold}")

    @property
    def name(self) -> str:
        """What messages call the run."""
        return f"{self.variant}, seed {self.seed}, {'all folds' if self.fold is None else f'fold {self.fold}'}"

    def as_json(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {"data": asdict(self.data), "recipe": self.recipe.as_dict(), "place": str(self.place)}
        return json.dumps(values | {"initial_weights": self.initial_weights and str(self.initial_weights)})

    @classmethod
    def from_json(cls, text: str) -> Unit:
        values = json.loads(text)
        values["data"] = StudyData(**values["data"])
        values["recipe"] = Recipe.from_dict(values["recipe"])
        values["place"] = Path(values["place"])
        values["initial_weights"] = values["initial_weights"] and Path(values["initial_weights"])
        return cls(**values)


@dataclass(frozen=True)
class Plan:
    """A study, what it is done with, and the runs that follow from these.

    Attributes:
        data: data sets by name; the first is for variants that name none.
        out: folder for ``runs/``, which studies share, and for a folder of the study's own.
        seeds: number of runs per variant and fold.
        folds: the folds to score, as in ``1,2``; None scores all.
        changes: settings of the recipe that apply to all variants, see `Study.recipe_of`.
        width: see `Study.recipe_of`.
    """

    study: Study
    data: Mapping[str, StudyData]
    out: Path
    seeds: int = 1
    folds: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    width: float | None = None

    def data_of(self, variant: Variant) -> StudyData:
        """The data set of a variant.

        Raises:
            ParameterError: that data set was not given.
        """
        if variant.data is None:
            return next(iter(self.data.values()))
        if variant.data not in self.data:
            given = ", ".join(self.data)
            reason = (
                f"the variant {variant.name} is for {variant.data}; give that one and its folder too, not only {given}"
            )
            raise ParameterError("data", None, reason)
        return self.data[variant.data]

    @cached_property
    def units(self) -> list[Unit]:
        """All runs, in the order in which they are done.

        Those that give initial weights come first, then the others fold by fold and seed by seed, so that a study that
        is stopped early has results for every variant.

        Raises:
            ParameterError: folds or a data set that do not exist.
        """
        folds = {data: self._folds(data) for data in self.data.values()}
        variants = self.study.variants
        first = dict.fromkeys(name for variant in variants if (name := variant.initial_weights_of) is not None)
        units = [self._unit(self.study.variant(name), seed, None) for seed in range(self.seeds) for name in first]
        rounds = max(map(len, folds.values()))
        for seed in range(self.seeds):
            for number in range(rounds):
                for variant in variants:
                    own = folds[self.data_of(variant)]
                    if number < len(own):
                        units.append(self._unit(variant, seed, own[number]))
        return units

    def scored_units(self, variant: Variant) -> Iterator[Unit]:
        """The runs of a variant that hold out a fold."""
        return (unit for unit in self.units if unit.variant == variant.name and unit.fold is not None)

    def _folds(self, data: StudyData) -> list[int]:
        clips, _ = data.open().select(self.folds)
        return sorted({clip.fold for clip in clips if clip.fold is not None})

    def _unit(self, variant: Variant, seed: int, fold: int | None) -> Unit:
        recipe = self.study.recipe_of(variant, {**self.changes, "seed": seed}, self.width)
        data = self.data_of(variant)
        initial_weights = None
        if variant.initial_weights_of is not None:
            from audioinceptionnext.training.run_folder import MODEL

            other = self.study.variant(variant.initial_weights_of)
            initial_weights = self._unit(other, seed, None).folder / MODEL
            recipe = replace(recipe, network_settings={})  # the weights bring their own
        place = self.out / RUNS / f"{data.name}-{_digest(data, recipe, initial_weights)}"
        predict = {name: asdict(mode) for name, mode in self.study.predict.items()} if fold is not None else {}
        return Unit(variant.name, seed, fold, data, recipe, place, initial_weights, predict)


def _digest(data: StudyData, recipe: Recipe, initial_weights: Path | None) -> str:
    """A hash of everything that decides a run's result, by which studies find runs that others have done."""
    weights = initial_weights and initial_weights.parts[-3:]
    values = [data.name, data.leak_free, data.max_clips, recipe.as_dict(), weights]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:10]

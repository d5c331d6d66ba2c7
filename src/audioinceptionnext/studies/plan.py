"""Which runs a study needs: of every variant one a seed and fold, and those that others begin with."""

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
from audioinceptionnext.errors import AinextError, suggest
from audioinceptionnext.studies.study import Study, Variant
from audioinceptionnext.training.recipe import Recipe

RUNS = "runs"  # the folder of the runs, which studies beside each other share
FOLDS = 5  # of a dataset without folds


@dataclass(frozen=True)
class Source:
    """A dataset, and how it is divided: enough to make it again in another process.

    Attributes:
        leak_free: make folds that keep sources whole; always so where the dataset has none.
        most: clips to train a run on at most, None for all.
    """

    name: str
    root: str
    leak_free: bool = False
    most: int | None = None

    def open(self) -> Dataset:
        """With folds; a clip whose source is not named is one of its own. Raises `AinextError`."""
        return _open(self)

    def training(self, dataset: Dataset, fold: int | None) -> tuple[list[Clip], list[Clip]]:
        """Clips to train on and to score: all but a fold and the fold, or all and none."""
        inside, others = dataset.select("all" if fold is None else str(fold))
        scored, trained = ((), inside) if fold is None else (inside, others)
        known = [clip for clip in trained if clip.label != UNLABELLED]
        return self._some(known), [clip for clip in scored if clip.label != UNLABELLED]

    def _some(self, clips: list[Clip]) -> list[Clip]:
        """At most ``most`` of them, of each class its share, whichever chance takes; always the same."""
        if self.most is None or self.most >= len(clips):
            return clips
        order = np.random.default_rng(0).permutation(len(clips))
        place: dict[int, int] = {}
        ranked = []
        for index in order:
            label = clips[index].label
            place[label] = place.get(label, -1) + 1
            ranked.append((place[label], int(index)))
        return [clips[index] for index in sorted(index for _, index in sorted(ranked)[: self.most])]


@lru_cache
def _open(source: Source) -> Dataset:
    dataset = load_dataset(source.name, Path(source.root))
    return dataset.leak_free(FOLDS) if dataset.folds and source.leak_free else dataset.with_folds(FOLDS)


@dataclass(frozen=True)
class Unit:
    """One run: a network, a seed, and the fold that it does not hear; None where it hears all."""

    variant: str
    seed: int
    fold: int | None
    source: Source
    recipe: Recipe
    place: Path  # of the run's folds
    start: Path | None = None  # weights to begin with
    hear: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.place / ("all" if self.fold is None else f"fold-{self.fold}")

    @property
    def name(self) -> str:
        return f"{self.variant}, seed {self.seed}, {'all of it' if self.fold is None else f'fold {self.fold}'}"

    def as_json(self) -> str:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {"source": asdict(self.source), "recipe": self.recipe.as_dict(), "place": str(self.place)}
        return json.dumps(values | {"start": self.start and str(self.start)})

    @classmethod
    def from_json(cls, text: str) -> Unit:
        values = json.loads(text)
        values["source"] = Source(**values["source"])
        values["recipe"] = Recipe.from_dict(values["recipe"])
        values["place"] = Path(values["place"])
        values["start"] = values["start"] and Path(values["start"])
        return cls(**values)


@dataclass(frozen=True)
class Plan:
    """
    Attributes:
        sources: by the name that variants use; the first is for variants that name none.
        folds: to score, as ``1,2``; None is all.
        changes: settings over those of all variants.
        width: see `Study.recipe_of`.
        out: gets ``runs/``, which studies share, and a folder of the study's own.
    """

    study: Study
    sources: Mapping[str, Source]
    out: Path
    seeds: int = 1
    folds: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    width: float | None = None

    def source(self, variant: Variant) -> Source:
        """Raises AinextError: a dataset that was not given."""
        if variant.data is None:
            return next(iter(self.sources.values()))
        if variant.data not in self.sources:
            raise AinextError(
                f"{variant.name} is for {variant.data}: give it too, --data {variant.data} --root …; "
                f"{suggest(variant.data, list(self.sources))}"
            )
        return self.sources[variant.data]

    @cached_property
    def units(self) -> list[Unit]:
        """In the order in which they are done: those that others begin with first, then fold by fold and seed by seed,
        so that a study that is stopped early has something to say of every variant."""
        chosen = {name: self._folds(source) for name, source in self.sources.items()}
        names = {source: name for name, source in self.sources.items()}
        before = dict.fromkeys(variant.after for variant in self.study.variants if variant.after is not None)
        units = [
            self._unit(self.study.variant(name), seed, None) for seed in range(self.seeds) for name in before if name
        ]
        rounds = max(map(len, chosen.values()))
        for seed in range(self.seeds):
            for number in range(rounds):
                for variant in self.study.variants:
                    folds = chosen[names[self.source(variant)]]
                    if number < len(folds):
                        units.append(self._unit(variant, seed, folds[number]))
        return units

    def of(self, variant: Variant) -> Iterator[Unit]:
        """Those whose clips are scored."""
        return (unit for unit in self.units if unit.variant == variant.name and unit.fold is not None)

    def _folds(self, source: Source) -> list[int]:
        dataset = source.open()
        try:
            return sorted({clip.fold for clip in dataset.select(self.folds)[0] if clip.fold is not None})
        except AinextError as error:
            raise AinextError(f"{source.name}: {error}") from None

    def _unit(self, variant: Variant, seed: int, fold: int | None) -> Unit:
        recipe = self.study.recipe_of(variant, {**self.changes, "seed": seed}, self.width)
        source = self.source(variant)
        start = None
        if variant.after is not None:
            from audioinceptionnext.training.fit import MODEL

            start = self._unit(self.study.variant(variant.after), seed, None).folder / MODEL
            recipe = replace(recipe, network={})  # the weights bring their own
        place = self.out / RUNS / f"{source.name}-{_digest(source, recipe, start)}"
        ways = {name: asdict(way) for name, way in self.study.hear.items()} if fold is not None else {}
        return Unit(variant.name, seed, fold, source, recipe, place, start, ways)


def _digest(source: Source, recipe: Recipe, start: Path | None) -> str:
    """Of all that makes a run what it is, so that studies find those that others have done."""
    what = [source.name, source.leak_free, source.most, recipe.as_dict(), start and start.parts[-3:]]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:10]


def sources(data: Sequence[str], roots: Sequence[Path], leak_free: bool, most: int | None) -> dict[str, Source]:
    """Of ``--data`` and ``--root``, which go in pairs. Raises AinextError."""
    if not data:
        raise AinextError("give the sounds to study: --data kitchen20 --root DIR")
    if len(data) != len(roots):
        raise AinextError(f"{len(data)} --data but {len(roots)} --root; give one --root for each, in the same order")
    for name in data:
        if data.count(name) > 1:
            raise AinextError(f"--data {name}: given twice")
    return {name: Source(name, str(root.resolve()), leak_free, most) for name, root in zip(data, roots, strict=True)}

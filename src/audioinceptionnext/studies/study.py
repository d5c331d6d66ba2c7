"""A study as data: a question, a base, and variants that state only how they differ from it.

    question: Does half the width cost accuracy?
    reference: full
    base: {model: tiny}
    variants:
      full: {}
      half: {network: {widths: [8, 16, 32, 64]}}

``base`` and variants hold settings of a recipe; those of ``network`` are merged. Besides, a variant may name the
dataset that it is for (``data``), and begin with what another variant has learnt from all of its dataset (``after``).
``hear`` lists ways in which every trained network is heard: a clip's length (``clip_seconds``) and ``run``, dense or
windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from audioinceptionnext.errors import AinextError, suggest
from audioinceptionnext.training.recipe import SUFFIXES, Recipe, load_recipe

FOLDER = Path(__file__).parent / "shipped"
RECIPE = "modern"  # what a base differs from, unless it names a `recipe`
KEYS = ("question", "about", "reference", "base", "hear", "variants")
OURS = ("data", "after")  # of a variant, and no settings of a recipe
BASE_WIDTHS = (64, 128, 256, 512)  # of base size, which --width multiplies


@dataclass(frozen=True)
class Way:
    """How a trained network is heard.

    Attributes:
        clip_seconds: the stretch that an answer is given for; None is the clip of its training.
        run: ``dense`` or ``windows``; None as it was trained for.
    """

    clip_seconds: float | None = None
    run: str | None = None


@dataclass(frozen=True)
class Variant:
    """
    Attributes:
        settings: of a recipe: its differences from the study's base.
        data: the dataset that it is for, where the study has several; None is the first.
        after: the variant whose weights, learnt from all of its own dataset, it begins with.
    """

    name: str
    settings: dict[str, Any]
    data: str | None = None
    after: str | None = None


@dataclass(frozen=True)
class Study:
    """
    Attributes:
        reference: the variant that the others are compared with.
        hear: ways by name; empty where networks are heard as they were trained.
    """

    name: str
    question: str
    about: str
    reference: str
    variants: tuple[Variant, ...]
    recipe: str = RECIPE
    base: dict[str, Any] = field(default_factory=dict)
    hear: dict[str, Way] = field(default_factory=dict)

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)

    def recipe_of(self, variant: Variant, changes: Mapping[str, Any], width: float | None = None) -> Recipe:
        """What ``variant`` is trained with.

        Args:
            changes: of the command line: over the base, under what makes the variant what it is.
            width: channels, as a multiple of base size's, of networks that do not state their own.

        Raises:
            AinextError: settings that no recipe has.
        """
        parts = (self.base, changes, variant.settings)
        settings = {key: value for part in parts for key, value in part.items()}
        network = dict(load_recipe(self.recipe).network)
        for part in parts:
            network |= part.get("network") or {}
        if width is not None:
            network = _scaled(str(settings.get("model", "base")), width, network)
        return load_recipe(self.recipe, {**settings, "network": network})


def _scaled(model: str, width: float, network: Mapping[str, Any]) -> dict[str, Any]:
    """The network's settings with ``width`` times the channels, where they do not state any."""
    own = {"base": 1.0, "small": 0.5, "tiny": 0.25, "cnn": 1.0}.get(model)
    scaled: dict[str, Any]
    if own is not None:
        scaled = {"widths": [max(1, round(channels * own * width)) for channels in BASE_WIDTHS]}
    elif model == "ast":  # 64 channels a head, as published
        heads = max(1, round(12 * width))
        scaled = {"hidden": 64 * heads, "heads": heads, "intermediate": 256 * heads}
    else:
        scaled = {"multiplier": width} if model == "mobilenet" else {}
    return {**scaled, **network}


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_study(name: str) -> Study:
    """A shipped study by name, or a file (``.yaml``).

    Raises:
        AinextError: no such study, no YAML, keys that a study does not have.
    """
    path = Path(name) if name.endswith(SUFFIXES) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise AinextError(
            f"{name}: {'no such file' if path.parent != FOLDER else 'no such study; ' + suggest(name, names())}"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AinextError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    return _study(path.stem, values, str(path))


def _study(name: str, values: Any, where: str) -> Study:
    if not isinstance(values, dict) or not isinstance(values.get("variants"), dict) or not values["variants"]:
        raise AinextError(f"{where}: a study needs `variants`, each with its differences from `base`")
    for key in values:
        if key not in KEYS:
            raise AinextError(f"{where}: a study has no {key}; {suggest(str(key), KEYS)}")
    base = dict(values.get("base") or {})
    recipe = base.pop("recipe", RECIPE)
    variants = tuple(_variant(str(key), value, where) for key, value in values["variants"].items())
    known = [variant.name for variant in variants]
    reference = str(values.get("reference", known[0]))
    if reference not in known:
        raise AinextError(f"{where}: reference {reference!r} is no variant; {suggest(reference, known)}")
    study = Study(
        name,
        str(values.get("question") or name).strip(),
        str(values.get("about") or "").strip(),
        reference,
        variants,
        recipe,
        base,
        {str(key): _way(str(key), value, where) for key, value in (values.get("hear") or {}).items()},
    )
    for variant in variants:
        if variant.after is not None and variant.after not in known:
            raise AinextError(f"{where}: {variant.name}: after {variant.after!r}; {suggest(variant.after, known)}")
        if variant.after is not None and study.variant(variant.after).after is not None:
            raise AinextError(
                f"{where}: {variant.name}: {variant.after} itself comes after another; only one step is done"
            )
        try:
            study.recipe_of(variant, {})
        except AinextError as error:
            raise AinextError(f"{where}: {variant.name}: {error}") from None
    return study


def _variant(name: str, differences: Any, where: str) -> Variant:
    if differences is not None and not isinstance(differences, dict):
        raise AinextError(f"{where}: {name}: give settings, such as {{network: {{kernels: [11]}}}}, or {{}} for none")
    own = dict(differences or {})
    data, after = (own.pop(key, None) for key in OURS)
    return Variant(name, own, data and str(data), after and str(after))


def _way(name: str, value: Any, where: str) -> Way:
    try:
        way = Way(**(value or {}))
    except TypeError:
        raise AinextError(f"{where}: hear: {name}: give clip_seconds and run, such as {{clip_seconds: 4}}") from None
    if way.run not in (None, "dense", "windows"):
        raise AinextError(f"{where}: hear: {name}: run is {way.run!r}; give dense or windows")
    if way.clip_seconds is not None and not (isinstance(way.clip_seconds, int | float) and 0 < way.clip_seconds <= 60):
        raise AinextError(f"{where}: hear: {name}: clip_seconds is {way.clip_seconds!r}; give seconds, up to 60")
    return way

"""A study as data: a question, a base, and variants that state only how they differ from the base.

    question: Does half the width cost accuracy?
    reference: full
    base: {network: tiny}
    variants:
      full: {}
      half: {network_settings: {widths: [8, 16, 32, 64]}}

``base`` and the variants hold settings of a recipe; their ``network_settings`` are merged. In addition, a variant may
name the data set that it is for (``data``), and another variant whose network, trained on all clips of its own data
set, it starts from (``initial_weights_of``). ``predict`` lists ways to predict with each trained network: the length
of a clip (``clip_seconds``) and the ``mode``, dense or windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from audioinceptionnext.errors import AinextError, FileError, suggest
from audioinceptionnext.training.recipe import SUFFIXES, Recipe, load_recipe

SHIPPED = Path(__file__).parent / "shipped"
DEFAULT_RECIPE = "modern"  # what the base differs from, unless it names a `recipe`
KEYS = ("question", "about", "reference", "base", "predict", "variants")
VARIANT_KEYS = ("data", "initial_weights_of")  # of a variant, beside settings of a recipe
BASE_WIDTHS = (64, 128, 256, 512)  # channels of base size, by stage
WIDTHS = {"base": 1.0, "small": 0.5, "tiny": 0.25, "cnn": 1.0, "rep": 1.0}  # of networks with stages, relative to those

StudyMode = Literal["dense", "windows"]


@dataclass(frozen=True)
class PredictionMode:
    """A way to predict with a trained network.

    Attributes:
        clip_seconds: length of a clip; None is that of the training.
        mode: ``dense`` or ``windows``; None is the mode that the network was trained for.
    """

    clip_seconds: float | None = None
    mode: StudyMode | None = None


@dataclass(frozen=True)
class Variant:
    """One of the networks that a study compares.

    Attributes:
        settings: of a recipe; the differences from the study's base.
        data: the data set that the variant is for, if the study has several; None is the first one.
        initial_weights_of: the variant whose weights it starts from, after that one was trained on all clips of its
            own data set.
    """

    name: str
    settings: dict[str, Any]
    data: str | None = None
    initial_weights_of: str | None = None


@dataclass(frozen=True)
class Study:
    """A question and the variants that decide it.

    Attributes:
        reference: the variant that the others are compared with.
        recipe: name or file of the recipe that the base differs from.
        base: settings of a recipe that all variants share.
        predict: ways to predict, by name. If empty, networks predict as they were trained.
    """

    name: str
    question: str
    about: str
    reference: str
    variants: tuple[Variant, ...]
    recipe: str = DEFAULT_RECIPE
    base: dict[str, Any] = field(default_factory=dict)
    predict: dict[str, PredictionMode] = field(default_factory=dict)

    def variant(self, name: str) -> Variant:
        """The variant of this name."""
        return next(variant for variant in self.variants if variant.name == name)

    def recipe_of(self, variant: Variant, changes: Mapping[str, Any], width: float | None = None) -> Recipe:
        """The recipe that ``variant`` is trained with.

        The successor (``rep``) has as many channels as the network of the base, unless the variant states its own.

        Args:
            changes: settings that override the base. The variant's own settings override them in turn.
            width: the number of channels as a multiple of base size, for networks that do not state their own.

        Raises:
            AinextError: settings that no recipe has.
        """
        parts = (self.base, changes, variant.settings)
        settings = {key: value for part in parts for key, value in part.items()}
        recipe = load_recipe(self.recipe)
        network_settings = dict(recipe.network_settings)
        for part in parts:
            network_settings |= part.get("network_settings") or {}
        if settings.get("network") == "rep":
            beside = {**self.base, **changes}.get("network", recipe.network if width is None else "base")
            width = (1 if width is None else width) * WIDTHS.get(str(beside), 1.0)
        if width is not None:
            network_settings = _scaled(str(settings.get("network", "base")), width, network_settings)
        return load_recipe(self.recipe, {**settings, "network_settings": network_settings})


def _scaled(network: str, width: float, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The network's settings with ``width`` times the channels, unless they state the channels themselves."""
    own = WIDTHS.get(network)
    scaled: dict[str, Any]
    if own is not None:
        scaled = {"widths": [max(1, round(channels * own * width)) for channels in BASE_WIDTHS]}
    elif network == "ast":  # 64 channels per head, as published
        heads = max(1, round(12 * width))
        scaled = {"hidden": 64 * heads, "heads": heads, "intermediate": 256 * heads}
    else:
        scaled = {"multiplier": width} if network == "mobilenet" else {}
    return {**scaled, **settings}


def study_names() -> list[str]:
    """The names of the shipped studies."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def load_study(name: str) -> Study:
    """Load a shipped study by name, or a study from a ``.yaml`` file.

    Raises:
        FileError: there is no such study, the file is not YAML, or it does not describe a study.

    >>> load_study("order").reference
    'time, frequency'
    """
    own = name.endswith(SUFFIXES)
    path = Path(name) if own else SHIPPED / f"{name}.yaml"
    if not path.is_file():
        raise FileError(
            name, "no such file; check the name" if own else f"no such study; {suggest(name, study_names())}"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileError(path, f"not YAML: {' '.join(str(error).split())}") from error
    return _study(values, path)


def _study(values: Any, path: Path) -> Study:
    if not isinstance(values, dict) or not isinstance(values.get("variants"), dict) or not values["variants"]:
        raise FileError(path, "a study needs `variants`, each with its differences from `base`")
    for key in values:
        if key not in KEYS:
            raise FileError(path, f"a study has no key {key!r}; {suggest(str(key), KEYS)}")
    base = dict(values.get("base") or {})
    recipe = base.pop("recipe", DEFAULT_RECIPE)
    variants = tuple(_variant(str(key), value, path) for key, value in values["variants"].items())
    known = [variant.name for variant in variants]
    reference = str(values.get("reference", known[0]))
    if reference not in known:
        raise FileError(path, f"reference {reference!r} is not a variant; {suggest(reference, known)}")
    modes = {str(key): _prediction_mode(str(key), value, path) for key, value in (values.get("predict") or {}).items()}
    question, about = str(values.get("question") or path.stem).strip(), str(values.get("about") or "").strip()
    study = Study(path.stem, question, about, reference, variants, recipe, base, modes)
    for variant in variants:
        other = variant.initial_weights_of
        if other is not None and other not in known:
            reason = f"{variant.name}: initial_weights_of {other!r} is not a variant; {suggest(other, known)}"
            raise FileError(path, reason)
        if other is not None and study.variant(other).initial_weights_of is not None:
            reason = f"{variant.name}: {other} must start from scratch, but names initial weights itself"
            raise FileError(path, reason)
        try:
            study.recipe_of(variant, {})
        except AinextError as error:
            raise FileError(path, f"{variant.name}: {error}") from error
    return study


def _variant(name: str, differences: Any, path: Path) -> Variant:
    if differences is not None and not isinstance(differences, dict):
        example = "{network_settings: {kernels: [11]}}"
        raise FileError(path, f"{name}: give settings, such as {example}, or {{}} for none")
    settings = dict(differences or {})
    data, other = (settings.pop(key, None) for key in VARIANT_KEYS)
    return Variant(name, settings, data and str(data), other and str(other))


def _prediction_mode(name: str, value: Any, path: Path) -> PredictionMode:
    where = f"predict: {name}"
    try:
        mode = PredictionMode(**(value or {}))
    except TypeError:
        reason = f"{where}: give clip_seconds and mode, such as {{clip_seconds: 4, mode: windows}}"
        raise FileError(path, reason) from None
    if mode.mode is not None and mode.mode not in get_args(StudyMode):
        raise FileError(path, f"{where}: mode is {mode.mode!r}; give dense or windows")
    seconds = mode.clip_seconds
    if seconds is not None and not (isinstance(seconds, int | float) and 0 < seconds <= 60):
        raise FileError(path, f"{where}: clip_seconds is {seconds!r}; give at most 60 seconds, and more than 0")
    return mode

"""How a network is trained, as data: YAML files that state what differs from the defaults below."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from audioinceptionnext.errors import FileError, ParameterError, suggest

FOLDER = Path(__file__).parent / "recipes"
SUFFIXES = (".yaml", ".yml")
PARENT = "like"  # the key of a recipe file that names the recipe from which it differs

Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "steps"]
Precision = Literal["bf16", "fp16", "float32"]
Balance = Literal["uniform", "balanced"]
Keep = Literal["last", "best"]
Standardise = Literal["data", "nothing"]

CHOICES: dict[str, tuple[str, ...]] = {
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "precision": get_args(Precision),
    "sampling": get_args(Balance),
    "loss_weights": get_args(Balance),
    "keep": get_args(Keep),
    "standardise": get_args(Standardise),
}
RANGES: dict[str, tuple[float, float]] = {
    "dropout": (0, 0.99),
    "epochs": (1, 100_000),
    "batch_size": (1, 65_536),
    "accumulate": (1, 65_536),
    "learning_rate": (0, 100),
    "weight_decay": (0, 100),
    "momentum": (0, 1),
    "warmup": (0, 0.99),
    "gradient_norm": (0, math.inf),
    "head_epochs": (0, 100_000),
    "body_rate": (0, 100),
    "label_smoothing": (0, 0.99),
    "mixup": (0, 100),
    "gain_db": (0, 100),
    "equaliser_db": (0, 100),
    "shift_seconds": (0, 60),
    "noise_probability": (0, 1),
    "reverb_probability": (0, 1),
    "background_share": (0, 0.9),
    "teacher_share": (0, 1),
    "pitch_semitones": (0, 12),
    "time_warp": (0, 200),
    "ema": (0, 0.999999),
    "precise_bn": (0, 100_000),
    "eval_clips": (0, 1_000),
    "evaluate_every": (1, 100_000),
    "patience": (0, 100_000),
    "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a training run. The defaults are the plainest training; the named recipes state what they add.

    Attributes:
        network: the network to train, as `network.create_model` takes it: base, small, tiny, or a baseline.
        network_settings: changes to that network, such as ``{kernels: [11]}`` or ``{scaling: pcen}``.
        sample_rate, window_ms, hop_ms, clip_seconds, bands: the front end and the length of a clip. None takes those
            of the initial weights; without such weights, 24,000 Hz, 10 ms, 5 ms, 2.08 s and 128 mel bands.
        standardise: ``data`` sets the mean and the deviation of the network's input from the training clips, unless
            the run starts from weights, which keep their own; ``nothing`` leaves the log-mel as it is, as published.
        dropout: probability of dropout before the linear layer.
        epochs: number of passes over the training clips.
        batch_size: clips per step and process.
        accumulate: number of batches whose gradients are summed for one step of the optimiser.
        optimizer: ``adamw``, whose weight decay is decoupled, or ``sgd``.
        learning_rate, weight_decay, momentum: of the optimiser; only SGD has a momentum. Normalisations and biases are
            not decayed.
        schedule: ``cosine`` lets the rate fall to 0 along half a wave; ``steps`` multiplies it by a factor of
            ``rate_at``, ``{epoch: factor}``, from that epoch on.
        warmup: share of the steps in which the rate rises from 0.
        gradient_norm: gradients with a larger norm are scaled down to it; 0 turns this off.
        head_epochs: number of epochs at the start in which only the linear layer learns.
        body_rate: learning rate of everything but the linear layer, as a multiple of ``learning_rate``.
        precision: of the activations; fp16 needs a GPU.
        loss_weights, sampling: ``balanced`` gives every class the same weight in the loss, or the same share of clips.
        label_smoothing: share of the target that is spread evenly over the classes.
        mixup: alpha of mixup's Beta distribution; 0 turns it off.
        crops: lengths in seconds; each batch is cut to one of them, or to one clip if there are none. For crops that
            are longer than a clip, pooling slides, and the loss is that of the mean probability over the steps: this
            makes a network fit for the mode ``dense``.
        gain_db, equaliser_db: largest gain in either direction, overall and by frequency.
        shift_seconds: largest shift in either direction.
        noise_probability, noise_snr_db, noise: probability that noise is added to a clip, lowest and highest
            signal-to-noise ratio, and a folder of recordings to take the noise from. Without a folder, the noise is
            generated, of random colour.
        reverb_probability, reverb_seconds, reverb_db: probability that a clip is put into a room, the shortest and the
            longest reverberation time, and the lowest and highest power of the tail relative to the direct sound.
        background_share, background: number of clips that belong to none of the classes, added to each batch as a share
            of its size, and a folder of recordings for half of them; the others are generated (noise, hum, near
            silence). The network learns to give every class the same probability there (outlier exposure). 0 turns
            this off.
        teacher, teacher_share: trained models (names or files, separated by commas) whose mean prediction for each
            augmented crop becomes this share of its target; the rest is the label. ``{fold}`` in a name stands for the
            fold that a cross-validation holds out.
        speed: slowest and fastest speed; changes pitch and tempo together.
        pitch_semitones: largest pitch shift in either direction; the tempo stays.
        time_warp: SpecAugment's W, in frames; 0 turns it off.
        frequency_masks, time_masks: number of masks, and the largest number of bands or frames that one covers.
        ema: decay of the moving average of the weights, which is then what is evaluated and kept; 0 turns it off.
        precise_bn: number of batches from which normalisation statistics are recomputed before each evaluation; 0 turns
            this off.
        eval_clips: number of evenly spaced clips over which an evaluation averages; 0 uses the whole recording.
        evaluate_every: number of epochs from one evaluation to the next.
        patience: training stops after this many evaluations without a better top-1; 0 turns this off.
        keep: the weights that become the model: those of the ``last`` epoch or of the ``best`` evaluation. The best one
            is chosen on the held-out clips, so their accuracy is then an optimistic estimate.
        seed: of all randomness.

    Raises:
        ParameterError: a value is out of range, or a folder does not exist.

    >>> load_recipe("modern", {"epochs": 100}).epochs
    100
    """

    network: str = "small"
    network_settings: dict[str, Any] = field(default_factory=dict)
    sample_rate: int | None = None
    window_ms: float | None = None
    hop_ms: float | None = None
    clip_seconds: float | None = None
    bands: int | None = None
    standardise: Standardise = "data"
    dropout: float = 0.5
    epochs: int = 50
    batch_size: int = 32
    accumulate: int = 1
    optimizer: Optimizer = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    rate_at: dict[int, float] = field(default_factory=dict)
    warmup: float = 0.0
    gradient_norm: float = 0.0
    head_epochs: int = 0
    body_rate: float = 1.0
    precision: Precision = "bf16"
    loss_weights: Balance = "uniform"
    sampling: Balance = "uniform"
    label_smoothing: float = 0.0
    mixup: float = 0.0
    crops: tuple[float, ...] = ()
    gain_db: float = 0.0
    equaliser_db: float = 0.0
    shift_seconds: float = 0.0
    noise_probability: float = 0.0
    noise_snr_db: tuple[float, float] = (5.0, 30.0)
    noise: str | None = None
    reverb_probability: float = 0.0
    reverb_seconds: tuple[float, float] = (0.1, 1.0)
    reverb_db: tuple[float, float] = (-20.0, 0.0)
    background_share: float = 0.0
    background: str | None = None
    teacher: str | None = None
    teacher_share: float = 0.8
    speed: tuple[float, float] = (1.0, 1.0)
    pitch_semitones: float = 0.0
    time_warp: int = 0
    frequency_masks: tuple[int, int] = (0, 0)
    time_masks: tuple[int, int] = (0, 0)
    ema: float = 0.0
    precise_bn: int = 0
    eval_clips: int = 0
    evaluate_every: int = 5
    patience: int = 0
    keep: Keep = "last"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:  # false for NaN too
                wanted = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
                raise ParameterError(name, getattr(self, name), f"give a number {wanted}")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ParameterError(name, getattr(self, name), f"choose from {', '.join(known)}")
        for name in ("sample_rate", "window_ms", "hop_ms", "clip_seconds", "bands"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 768_000:
                raise ParameterError(name, value, "give a number above 0")
        if not all(0 < seconds <= 60 for seconds in self.crops):
            raise ParameterError("crops", self.crops, "give lengths in seconds, above 0 and at most 60")
        for name in ("frequency_masks", "time_masks", "noise_snr_db", "reverb_seconds", "reverb_db", "speed"):
            if len(getattr(self, name)) != 2:
                raise ParameterError(name, getattr(self, name), "give two numbers")
        for name, (low, high), ends in (
            ("speed", (0.5, 2), "the slowest and the fastest"),
            ("noise_snr_db", (-100, 100), "the lowest and the highest ratio"),
            ("reverb_seconds", (0.01, 20), "the shortest and the longest"),
            ("reverb_db", (-100, 30), "the lowest and the highest power"),
        ):
            first, second = getattr(self, name)
            if not low <= first <= second <= high:
                raise ParameterError(name, getattr(self, name), f"give {ends}, from {low:g} to {high:g}")
        for name in ("frequency_masks", "time_masks"):
            if min(getattr(self, name)) < 0:
                raise ParameterError(
                    name, getattr(self, name), "give the number of masks and their largest length, 0 or more"
                )
        for name in ("noise", "background"):
            folder = getattr(self, name)
            if folder is not None and not Path(folder).is_dir():
                raise ParameterError(name, folder, "no such folder; check the name")

    def as_dict(self) -> dict[str, Any]:
        """All settings, as types that JSON and YAML have."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe with these settings, which `as_dict`, a YAML file or the command line gives.

        Raises:
            ParameterError: there is no such setting (the nearest one is suggested), or a value has the wrong type or is
                out of range.
        """
        return cls(**_typed(values))


def _typed(values: dict[str, Any]) -> dict[str, Any]:
    """``values`` with the types that their settings have. Raises `ParameterError`."""
    types = {f.name: "str" if f.name in CHOICES else str(f.type) for f in fields(Recipe)}
    for name in map(str, values):
        if name not in types:
            raise ParameterError(name, None, f"there is no such setting; {suggest(name, types)}")
    return {name: _convert(name, value, types[name]) for name, value in values.items()}


def _convert(name: str, value: Any, type_name: str) -> Any:
    if value is None and type_name.endswith("| None"):
        return None
    type_name = type_name.removesuffix(" | None")
    if type_name.startswith("tuple"):
        numbers = value if isinstance(value, list | tuple) else str(value).split(",")
        try:
            return tuple(_whole(n) if type_name.startswith("tuple[int") else float(n) for n in numbers)
        except (TypeError, ValueError):
            raise ParameterError(name, value, f"give {_wanted(type_name)}") from None
    if type_name == "float" and isinstance(value, str):  # YAML reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            raise ParameterError(name, value, "give a number") from None
    if type_name.startswith("dict") and isinstance(value, dict):
        return _factors(name, value) if type_name.startswith("dict[int") else value
    accepted = {"int": int, "float": int | float, "str": str}.get(type_name)
    if accepted is None or not isinstance(value, accepted) or isinstance(value, bool):  # to Python, True is an integer
        raise ParameterError(name, value, f"give {_wanted(type_name)}")
    return float(value) if type_name == "float" else value


def _wanted(type_name: str) -> str:
    phrases = {"int": "a whole number", "float": "a number", "str": "text", "dict[str, Any]": "settings, {key: value}"}
    if type_name.startswith("tuple"):
        return "whole numbers such as 2,27" if type_name.startswith("tuple[int") else "numbers such as 2.08,3.2"
    return phrases.get(type_name, "{epoch: factor}, such as {30: 0.1, 40: 0.01}")


def _whole(value: Any) -> int:
    """Raises ValueError for 2.5, which `int` would cut to 2."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    return int(value)


def _factors(name: str, value: dict[Any, Any]) -> dict[int, float]:
    """``rate_at`` with numbers as keys, which JSON gives as text."""
    try:
        found = {int(epoch): float(factor) for epoch, factor in value.items()}
        if all(epoch >= 0 and 0 <= factor < math.inf for epoch, factor in found.items()):
            return found
    except (TypeError, ValueError):
        pass
    raise ParameterError(name, value, f"give {_wanted('dict[int, float]')}")


def names() -> list[str]:
    """The recipes that the package brings."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str, changes: dict[str, Any] | None = None) -> Recipe:
    """Load a recipe by name or from a file (``.yaml``, which may be `PARENT` another), with some settings changed.

    Raises:
        ParameterError: there is no such recipe, or a setting has a value that it cannot take.
        FileError: the file is not YAML, or states settings that no recipe has.

    >>> load_recipe("modern", {"mixup": 0.2}).mixup
    0.2
    """
    return Recipe.from_dict(_read(name) | (changes or {}))


def _read(name: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    path = Path(name) if name.endswith(SUFFIXES) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        reason = (
            "no such file; check the name" if path.parent != FOLDER else f"no such recipe; {suggest(name, names())}"
        )
        raise ParameterError("recipe", name, reason)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileError(path, f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise FileError(path, "a recipe consists of lines of the form `setting: value`")
    parent = values.pop(PARENT, None)
    try:
        values = _typed(values)
    except ParameterError as error:
        raise FileError(path, str(error)) from None
    if parent is None:
        return values
    parent, here = str(parent), str(path.resolve())
    if here in above:
        raise FileError(path, f"`{PARENT}: {parent}` leads back to this file")
    if parent.endswith(SUFFIXES):
        parent = str(path.parent / parent)  # relative to this file, not to where the command is run
    return _read(parent, (*above, here)) | values


def as_yaml(recipe: Recipe) -> str:
    """All settings, one per line."""
    return yaml.safe_dump(recipe.as_dict(), sort_keys=False, allow_unicode=True, default_flow_style=None)

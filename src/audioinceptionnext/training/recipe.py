"""How a network is trained, as data: YAML files that state differences, over the defaults below."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from audioinceptionnext.errors import AinextError, suggest

FOLDER = Path(__file__).parent / "recipes"
SUFFIXES = (".yaml", ".yml")
PARENT = "like"  # the key of a recipe file that names the recipe from which it differs

CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "steps"),
    "precision": ("bf16", "fp16", "float32"),
    "sampling": ("uniform", "balanced"),
    "loss_weights": ("uniform", "balanced"),
    "keep": ("last", "best"),
    "standardise": ("data", "nothing"),
}
RANGES = {
    "dropout": (0, 0.99),
    "epochs": (1, 100_000),
    "batch": (1, 65_536),
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
    "views": (0, 1_000),
    "evaluate_every": (1, 100_000),
    "patience": (0, 100_000),
    "seed": (0, 2**31 - 1),
}


@dataclass(frozen=True)
class Recipe:
    """The defaults are the plainest training; what a named recipe adds stands in its file.

    Attributes:
        model: what `network.create_model` takes: base, small, tiny, or a baseline.
        network: changes to that network, such as ``{kernels: [11]}`` or ``{scaling: pcen}``.
        sample_rate, window_ms, hop_ms, clip_seconds, bands: the front end and the clip. None takes those of the
            weights that training begins with; without any, 24,000 Hz, 10 ms, 5 ms, 2.08 s, 128 mel bands.
        standardise: ``data`` sets the network's input mean and deviation from the training clips, unless training
            begins with weights, whose own they keep; ``nothing`` hears the log-mel as it is, as published.
        dropout: before the linear layer.
        epochs, batch, accumulate: clips a step of each process, and steps whose gradients are summed.
        learning_rate, weight_decay, momentum: momentum is SGD's; AdamW decays its weights decoupled. Normalisations
            and biases are never decayed.
        schedule: ``cosine`` falls to 0 in half a wave; ``steps`` multiplies the rate by ``rate_at``, from that epoch.
        warmup: share of the steps in which the rate rises from 0.
        gradient_norm: gradients of a larger norm are scaled down to it; 0 is off.
        head_epochs: epochs at the start in which only the linear layer learns.
        body_rate: learning rate of all the rest, as a multiple.
        precision: of the activations; fp16 needs a GPU.
        loss_weights, sampling: ``balanced`` gives every class the same weight in the loss, or the same share of clips.
        label_smoothing, mixup: mixup is the alpha of the Beta distribution; 0 is off.
        crops: seconds; each batch takes one of these lengths, one clip if empty. Crops longer than a clip are heard
            with sliding pooling and the loss falls on the mean of the steps' probabilities: that makes a network fit
            for ``dense``.
        gain_db, equaliser_db: largest gain either way, over all and by frequency.
        shift_seconds: largest shift either way.
        noise_probability, noise_snr_db, noise: how often, how loud, and the folder of recordings that are mixed in;
            noise of random colour where no folder is named.
        reverb_probability, reverb_seconds, reverb_db: how often a room is heard around a clip, its reverberation time
            from shortest to longest, and the power of its tail over that of the direct sound, from least to most.
        background_share, background: how many clips of none of the classes are added to each batch, as a share of its
            own, and a folder of recordings for half of them; the others are rendered (noise, hum, near silence). Of
            those the network learns to be unsure: all classes are as likely (outlier exposure). 0 is off.
        teacher, teacher_share: trained models (names or files, commas between) whose mean answer to each augmented crop
            becomes a share of its target; the labels are the rest. ``{fold}`` in them stands for the fold that a
            cross-validation holds out.
        speed: slowest and fastest, pitch and tempo together.
        pitch_semitones: largest shift either way, tempo unchanged.
        time_warp: SpecAugment's W, in frames.
        frequency_masks, time_masks: (how many, up to how many bands or frames).
        ema: decay of the moving average of the weights that is evaluated and kept; 0 is off.
        precise_bn: batches over which normalisation statistics are computed anew before each evaluation; 0 is off.
        views: clips at even spacing that an evaluation averages; 0 hears the recording whole.
        evaluate_every: epochs.
        patience: evaluations without a better top-1 after which training stops; 0 is off.
        keep: which weights become the model: those of the ``last`` epoch or of the ``best`` evaluation. The best is
            chosen on the held-out clips, whose figure is then no longer a fair one.
    """

    model: str = "small"
    network: dict[str, Any] = field(default_factory=dict)
    sample_rate: int | None = None
    window_ms: float | None = None
    hop_ms: float | None = None
    clip_seconds: float | None = None
    bands: int | None = None
    standardise: str = "data"
    dropout: float = 0.5
    epochs: int = 50
    batch: int = 32
    accumulate: int = 1
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    momentum: float = 0.9
    schedule: str = "cosine"
    rate_at: dict[int, float] = field(default_factory=dict)
    warmup: float = 0.0
    gradient_norm: float = 0.0
    head_epochs: int = 0
    body_rate: float = 1.0
    precision: str = "bf16"
    loss_weights: str = "uniform"
    sampling: str = "uniform"
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
    views: int = 0
    evaluate_every: int = 5
    patience: int = 0
    keep: str = "last"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, (least, most) in RANGES.items():
            if not least <= getattr(self, name) <= most:  # false for NaN too
                raise AinextError(f"{name} is {getattr(self, name)}; it goes from {least:g} to {most:g}")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise AinextError(f"{name} is {getattr(self, name)!r}; choose from {', '.join(known)}")
        for name in ("sample_rate", "window_ms", "hop_ms", "clip_seconds", "bands"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 768_000:
                raise AinextError(f"{name} is {value}; give a number above 0")
        if not all(0 < seconds <= 60 for seconds in self.crops):
            raise AinextError(f"crops are {self.crops}; give lengths in seconds, above 0 and up to 60")
        for name in ("frequency_masks", "time_masks", "noise_snr_db", "reverb_seconds", "reverb_db", "speed"):
            if len(getattr(self, name)) != 2:
                raise AinextError(f"{name} is {getattr(self, name)}; give two numbers")
        if not 0.5 <= self.speed[0] <= self.speed[1] <= 2:
            raise AinextError(f"speed is {self.speed}; give slowest and fastest, from 0.5 to 2")
        if not -100 <= self.noise_snr_db[0] <= self.noise_snr_db[1] <= 100:
            raise AinextError(f"noise_snr_db is {self.noise_snr_db}; give lowest and highest, from -100 to 100")
        if not 0.01 <= self.reverb_seconds[0] <= self.reverb_seconds[1] <= 20:
            raise AinextError(f"reverb_seconds is {self.reverb_seconds}; give shortest and longest, from 0.01 to 20")
        if not -100 <= self.reverb_db[0] <= self.reverb_db[1] <= 30:
            raise AinextError(f"reverb_db is {self.reverb_db}; give least and most, from -100 to 30")
        for name in ("frequency_masks", "time_masks"):
            if min(getattr(self, name)) < 0:
                raise AinextError(f"{name} is {getattr(self, name)}; give how many and how long, 0 is off")
        for name in ("noise", "background"):
            folder = getattr(self, name)
            if folder is not None and not Path(folder).is_dir():
                raise AinextError(f"{name}: {folder}: no such folder")

    def as_dict(self) -> dict[str, Any]:
        """Of JSON and YAML's own types."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str = "recipe") -> Recipe:
        """Raises `AinextError` for unknown keys, with the nearest known one, and for values of another kind."""
        kinds = {f.name: str(f.type) for f in fields(cls)}
        for key, value in values.items():
            if key not in kinds:
                raise AinextError(f"{source}: no setting is called {key}; {suggest(str(key), kinds)}")
            values = values | {key: _of_kind(kinds[key], value, f"{source}: {key}")}
        return cls(**values)


def _of_kind(kind: str, value: Any, where: str) -> Any:
    """``value`` as the field's type, where it is one."""
    if value is None and kind.endswith("| None"):
        return None
    kind = kind.removesuffix(" | None")
    if kind.startswith("tuple"):
        numbers = value if isinstance(value, list | tuple) else str(value).split(",")
        try:
            return tuple(_whole(n) if kind.startswith("tuple[int") else float(n) for n in numbers)
        except (TypeError, ValueError):
            raise AinextError(f"{where}: {value!r} is no list of numbers such as 2.08,3.2") from None
    if kind == "float" and isinstance(value, str):  # YAML reads 1e-3 as a text
        try:
            return float(value)
        except ValueError:
            raise AinextError(f"{where}: {value!r} is no number") from None
    if kind.startswith("dict") and isinstance(value, dict):
        return _factors(value, where) if kind.startswith("dict[int") else value
    fits = {"int": int, "float": int | float, "str": str}.get(kind)
    if fits is None or not isinstance(value, fits) or isinstance(value, bool):  # Python calls True a whole number
        wanted = {"int": "a whole number", "float": "a number", "str": "a text"}.get(kind, "settings, {key: value}")
        raise AinextError(f"{where}: {value!r} is not {wanted}")
    return float(value) if kind == "float" else value


def _whole(value: Any) -> int:
    """Raises ValueError for 2.5, which `int` would cut to 2."""
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    return int(value)


def _factors(value: dict[Any, Any], where: str) -> dict[int, float]:
    """JSON gives the numbers of epochs as texts."""
    try:
        found = {int(epoch): float(factor) for epoch, factor in value.items()}
        if all(epoch >= 0 and 0 <= factor < math.inf for epoch, factor in found.items()):
            return found
    except (TypeError, ValueError):
        pass
    raise AinextError(f"{where}: {value} is not {{epoch: factor}}, such as {{30: 0.1, 40: 0.01}}")


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str, changes: dict[str, Any] | None = None) -> Recipe:
    """A recipe by name or file (``.yaml``, which may be `PARENT` another), with some settings changed.

    Raises:
        AinextError: no such recipe, no YAML, unknown settings.
    """
    return Recipe.from_dict(_read(name) | (changes or {}), name)


def _read(name: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    path = Path(name) if name.endswith(SUFFIXES) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        hint = "no such file" if path.parent != FOLDER else f"no such recipe; {suggest(name, names())}"
        raise AinextError(f"--recipe {name}: {hint}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AinextError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise AinextError(f"{path}: a recipe is lines of `setting: value`")
    parent = values.pop(PARENT, None)
    if parent is None:
        return values
    parent, here = str(parent), str(path.resolve())
    if here in above:
        raise AinextError(f"{path}: its `{PARENT}: {parent}` comes back to itself")
    if parent.endswith(SUFFIXES):
        parent = str(path.parent / parent)  # counted from this file, wherever the command is typed
    return _read(parent, (*above, here)) | values


def as_yaml(recipe: Recipe) -> str:
    """All settings, a line each."""
    return yaml.safe_dump(recipe.as_dict(), sort_keys=False, allow_unicode=True, default_flow_style=None)

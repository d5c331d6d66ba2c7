"""How a network is trained, as data: YAML files that state what differs from the defaults below.

A setting is declared once: its type, its range or choices, its default, and what it does. pydantic checks the values.
"""

from __future__ import annotations

import inspect
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from audioinceptionnext.errors import FileError, ParameterError, suggest
from audioinceptionnext.training.setting_errors import with_errors_of_one_line
from audioinceptionnext.training.setting_types import (
    Blocks,
    Factors,
    Folder,
    Lengths,
    Masks,
    Number,
    Pair,
    Positive,
    Scenes,
    Settings,
    Share,
    Whole,
    require,
    rising,
    wanted,
)

FOLDER = Path(__file__).parent / "recipes"
SUFFIXES = (".yaml", ".yml")
PARENT = "like"  # the key of a recipe file that names the recipe from which it differs

Optimizer = Literal["adamw", "sgd"]
Schedule = Literal["cosine", "steps", "constant"]
Precision = Literal["bf16", "fp16", "float32"]
Balance = Literal["uniform", "balanced"]
Keep = Literal["last", "best"]
Standardise = Literal["data", "nothing"]
SpecAugmentVersion = Literal["textbook", "published"]
Targets = Literal["clip", "steps", "timeline", "teacher"]


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class Recipe:
    """The settings of a training run. The defaults are the plainest training; the named recipes state what they add.

    Raises:
        ParameterError: there is no such setting (the nearest one is suggested), or a value has the wrong type or is out
            of range.

    >>> load_recipe("modern", {"epochs": 100}).epochs
    100
    """

    network: str = "small"
    """The network to train, as `network.create_model` takes it: base, small, tiny, rep, or a baseline."""
    network_settings: Settings = field(default_factory=dict)
    """Changes to that network, such as ``{kernels: [11]}`` or ``{scaling: pcen}``."""

    fine_tunes: bool = False
    """Whether the recipe is meant for trained weights. A run without them gets a warning."""

    targets: Targets = "clip"
    """What the predictions are compared with: the label (or the labels) of each ``clip``; or, in ``steps``, with the
    annotated segments of whole recordings, 32 frames at a time. Then several labels can be true at once, and ``crops``
    are stretches of recordings. ``timeline`` teaches the head of the fine timeline on what the rest of a trained
    network makes of sounds whose times are known; nothing else learns, but a new linear layer where the labels are
    others than those of the initial weights. With ``teacher``, they are what teachers say of mixtures of recordings,
    which need no labels."""

    scenes: Scenes | None = None
    """With targets of ``steps`` or ``timeline``: settings of scenes that are composed of the training clips, such as
    ``{events_per_minute: [5, 30]}``; ``{}`` takes the defaults (docs/scenes.md). Without it, the data set states what
    sounds when in its recordings."""

    timeline_channels: Annotated[Whole, Field(ge=8, le=1024)] = 128
    """Channels of the head of the fine timeline. It starts from that of the initial weights if they have as many."""
    timeline_steps: Annotated[Whole, Field(ge=1, le=1_000_000)] = 2000
    """Steps of the optimiser that teach the head, at most; on little sound, there are fewer."""
    timeline_minutes: Annotated[Number, Field(gt=0, le=100_000)] = 400
    """Minutes of ``scenes`` that teach the head, at least. Each training clip is used about once in any case."""

    sample_rate: Annotated[Whole | None, Positive] = None
    """Sample rate in Hz. None takes that of the initial weights; without such weights, 24,000."""
    window_ms: Annotated[Number | None, Positive] = None
    """Window of the front end in ms. None takes that of the initial weights; without such weights, 10."""
    hop_ms: Annotated[Number | None, Positive] = None
    """Distance between frames in ms. None takes that of the initial weights; without such weights, 5."""
    n_fft: Annotated[Whole | None, Positive] = None
    """Samples of the front end's Fourier transform, at least those of the window. Fewer are faster. None takes those of
    the initial weights; without such weights, 2,048."""
    clip_seconds: Annotated[Number | None, Positive] = None
    """Length of a clip. None takes that of the initial weights; without such weights, 2.08."""
    bands: Annotated[Whole | None, Positive] = None
    """Number of mel bands. None takes that of the initial weights; without such weights, 128."""
    remove_dc: bool | None = None
    """Whether the front end subtracts the running mean of the waveform, so that a DC offset hides nothing. None takes
    that of the initial weights; without such weights, it does not, as published."""
    standardise: Standardise = "data"
    """``data`` sets the mean and the deviation of the network's input from the training clips, unless the run starts
    from weights, which keep their own; ``nothing`` leaves the log-mel as it is, as published."""
    statistics: Annotated[Blocks | None, wanted("numbers of blocks such as 6,10")] = None
    """Numbers of blocks, counted from 0, whose means and deviations over time a new linear layer gets, beside those of
    the last block. Numbers that the network does not have are left out. None takes those of the initial weights;
    without such weights, the linear layer gets the means of the last block, as published."""
    dropout: Annotated[Number, Share] = 0.5
    """Probability of dropout before the linear layer."""

    epochs: Annotated[Whole, Field(ge=0, le=100_000)] = 50
    """Number of passes over the training clips. With 0, the model is the start itself; see ``linear_start``."""
    batch_size: Annotated[Whole, Field(ge=1, le=65_536)] = 32
    """Clips per step and process."""
    drop_last: bool = False
    """Whether an epoch leaves out its last batch if that is smaller than the others, as in the published code."""
    accumulate: Annotated[Whole, Field(ge=1, le=65_536)] = 1
    """Number of batches whose gradients are summed for one step of the optimiser."""
    optimizer: Optimizer = "adamw"
    """``adamw``, whose weight decay is decoupled, or ``sgd``."""
    learning_rate: Annotated[Number, Field(ge=0, le=100)] = 1e-3
    """Learning rate of the optimiser."""
    weight_decay: Annotated[Number, Field(ge=0, le=100)] = 0.05
    """Weight decay of the optimiser. Normalisations are not decayed, nor are biases unless ``decay_biases`` says so."""
    decay_biases: bool = False
    """Whether the weight decay also applies to biases, in these networks that of the linear layer, as in the published
    code."""
    momentum: Annotated[Number, Field(ge=0, le=1)] = 0.9
    """Momentum of SGD; AdamW has none."""
    nesterov: bool = False
    """Whether the momentum of SGD is Nesterov's, as in the published code."""
    schedule: Schedule = "cosine"
    """``cosine`` lets the rate fall to 0 along half a wave; ``steps`` multiplies it by the factors of ``rate_at``;
    ``constant`` keeps it, and lets it fall to 0 in the last steps, see ``decay``."""
    rate_at: Factors = field(default_factory=dict)
    """``{epoch: factor}``: from that epoch on, the schedule ``steps`` multiplies the rate by the factor."""
    decay: Annotated[Number, Share] = 0.2
    """Share of the steps, at the end, in which the schedule ``constant`` lets the rate fall."""
    warmup: Annotated[Number, Share] = 0.0
    """Share of the steps in which the rate rises from 0."""
    gradient_norm: Annotated[Number, Field(ge=0)] = 0.0
    """Gradients with a larger norm are scaled down to it; 0 turns this off."""
    head_epochs: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    """Number of epochs at the start in which only the linear layer learns."""
    freeze_bn: bool = False
    """Whether the weights, biases and statistics of every batch normalisation but the stem's stay as they are in the
    initial weights."""
    freeze_statistics: bool = False
    """Whether every batch normalisation keeps the statistics of the initial weights, which a few clips would estimate
    badly. Its weight and bias still learn, unless ``freeze_bn`` says otherwise."""
    body_rate: Annotated[Number, Field(ge=0, le=100)] = 1.0
    """Learning rate of everything but the linear layer, as a multiple of ``learning_rate``."""
    linear_start: bool = False
    """Whether the linear layer starts as the logistic regression on the frozen features of the training clips. It
    replaces the linear layer of the initial weights too."""
    trial_share: Annotated[Number, Share] = 0.0
    """Share of the training clips (in whole sources) that are set aside, to decide how much of what a run has changed
    is kept: all, nothing, or weights in between. So a run never ends worse on them than it started. 0 turns this
    off."""
    layer_decay: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Factor of the learning rate from each block of the body to the one before it, so that what lies near the input
    changes least."""
    precision: Precision = "bf16"
    """Precision of the activations; fp16 needs a GPU."""

    loss_weights: Balance = "uniform"
    """``balanced`` gives every class the same weight in the loss."""
    sampling: Balance = "uniform"
    """``balanced`` gives every class the same share of clips."""
    label_smoothing: Annotated[Number, Share] = 0.0
    """Share of the target that is spread evenly over the classes; of a multi-label data set, according to how frequent
    each label is."""
    mixup: Annotated[Number, Field(ge=0, le=100)] = 0.0
    """Alpha of mixup's Beta distribution; 0 turns it off. Of a multi-label data set, the sounds of two clips are added,
    and the labels of both stay true."""
    crops: Annotated[
        Lengths,
        require(
            lambda crops: all(0 < seconds <= 60 for seconds in crops),
            "give lengths in seconds, above 0 and at most 60",
        ),
    ] = ()
    """Lengths in seconds; each batch is cut to one of them, or to one clip if there are none. For crops that are longer
    than a clip, pooling slides, and the loss is that of the mean probability over the steps: this makes a network fit
    for the mode ``dense``."""
    gain_db: Annotated[Number, Field(ge=0, le=100)] = 0.0
    """Largest gain in either direction."""
    equaliser_db: Annotated[Number, Field(ge=0, le=100)] = 0.0
    """Largest gain by frequency, in either direction."""
    shift_seconds: Annotated[Number, Field(ge=0, le=60)] = 0.0
    """Largest shift in either direction."""
    noise_probability: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Probability that noise is added to a clip."""
    noise_snr_db: Annotated[Pair, rising(-100, 100, "the lowest and the highest ratio")] = (5.0, 30.0)
    """Lowest and highest signal-to-noise ratio."""
    noise: Folder | None = None
    """A folder of recordings to take the noise from. Without it, the noise is generated, of random colour."""
    reverb_probability: Annotated[Number, Field(ge=0, le=1)] = 0.0
    """Probability that a clip is put into a room."""
    reverb_seconds: Annotated[Pair, rising(0.01, 20, "the shortest and the longest")] = (0.1, 1.0)
    """Shortest and longest reverberation time."""
    reverb_db: Annotated[Pair, rising(-100, 30, "the lowest and the highest power")] = (-20.0, 0.0)
    """Lowest and highest power of the tail relative to the direct sound."""
    background_share: Annotated[Number, Field(ge=0, le=0.9)] = 0.0
    """Number of clips that belong to none of the classes, added to each batch as a share of its size. The network
    learns to give every class the same probability there (outlier exposure); of a multi-label data set, that none is
    true. 0 turns this off."""
    background: Folder | None = None
    """A folder of recordings for half of them; the others are generated (noise, hum, near silence)."""
    teacher: str | None = None
    """Trained models (names or files, separated by commas) whose mean prediction for each augmented crop becomes a
    share of its target; the rest is the label. Or a table (.csv) of such predictions for the whole clips, which
    `tools/soft_targets.py` writes. ``{fold}`` in a name stands for the fold that a cross-validation holds out. With
    ``targets: teacher``, ONNX files, which docs/onnx.md describes."""
    teacher_share: Annotated[Number, Field(ge=0, le=1)] = 0.8
    """The teacher's share of the target."""
    mixtures: Annotated[Whole, Field(ge=1, le=10_000_000)] = 50_000
    """Number of mixtures that ``targets: teacher`` makes of the recordings. Each epoch uses all of them."""
    probability_weight: Annotated[Number, Field(ge=0, le=1_000)] = 0.25
    """Weight of the cross-entropy to the teacher's probabilities (summed over labels) with ``targets: teacher``."""
    logit_weight: Annotated[Number, Field(ge=0, le=1_000)] = 0.05
    """Weight of the squared difference from the teacher's logits, both at least -9; with ``targets: teacher``."""
    feature_weight: Annotated[Number, Field(ge=0, le=1_000)] = 2.0
    """Weight of the difference from each teacher's features; with ``targets: teacher``."""
    speed: Annotated[Pair, rising(0.5, 2, "the slowest and the fastest")] = (1.0, 1.0)
    """Slowest and fastest speed; changes pitch and tempo together."""
    pitch_semitones: Annotated[Number, Field(ge=0, le=12)] = 0.0
    """Largest pitch shift in either direction; the tempo stays."""
    spec_augment: SpecAugmentVersion = "textbook"
    """How the time warp and the masks are drawn: ``textbook`` as SpecAugment defines them, or ``published`` as the code
    of the paper's authors draws them (docs/epic-sounds.md)."""
    time_warp: Annotated[Whole, Field(ge=0, le=200)] = 0
    """SpecAugment's W, in frames; 0 turns it off."""
    frequency_masks: Masks = (0, 0)
    """Number of masks, and the largest number of bands that one covers."""
    time_masks: Masks = (0, 0)
    """Number of masks, and the largest number of frames that one covers."""

    ema: Annotated[Number, Field(ge=0, le=0.999999)] = 0.0
    """Decay of the moving average of the weights, which is then what is evaluated and kept; 0 turns it off."""
    precise_bn: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    """Number of batches from which normalisation statistics are recomputed before each evaluation; 0 turns this off."""
    eval_clips: Annotated[Whole, Field(ge=0, le=1_000)] = 0
    """Number of evenly spaced clips over which an evaluation averages; 0 uses the whole recording."""
    evaluate_every: Annotated[Whole, Field(ge=1, le=100_000)] = 5
    """Number of epochs from one evaluation to the next."""
    patience: Annotated[Whole, Field(ge=0, le=100_000)] = 0
    """Training stops after this many evaluations without a better top-1 (mean average precision if several labels can
    be true); 0 turns this off."""
    keep: Keep = "last"
    """The weights that become the model: those of the ``last`` epoch or of the ``best`` evaluation. The best one is
    chosen on the held-out clips, so their accuracy is then an optimistic estimate."""
    seed: Annotated[Whole, Field(ge=0, le=2**31 - 1)] = 0
    """Seed of all randomness."""

    @property
    def suits_any_weights(self) -> bool:
        """Whether it fine-tunes a model, of whatever network and front end, to clips with labels."""
        front_end = (self.sample_rate, self.window_ms, self.hop_ms, self.n_fft, self.bands, self.remove_dc)
        own = self.network_settings or any(setting is not None for setting in front_end)
        return self.fine_tunes and not own and self.targets != "teacher"

    def as_dict(self) -> dict[str, Any]:
        """All settings, as types that JSON and YAML have."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """The recipe with these settings, which `as_dict`, a YAML file or the command line gives.

        Raises:
            ParameterError: see `Recipe`.
        """
        return cls(**{str(name): value for name, value in values.items()})


SETTINGS: dict[str, FieldInfo] = Recipe.__pydantic_fields__  # type: ignore[attr-defined]


Recipe.__init__ = with_errors_of_one_line(Recipe.__init__, SETTINGS)  # type: ignore[method-assign]
Recipe.__doc__ = "\n".join(  # `help` shows no docstrings of attributes
    [inspect.cleandoc(Recipe.__doc__ or ""), "", "Attributes:"]
    + [f"    {name}: {setting.description}" for name, setting in SETTINGS.items()]
)


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
    stated = _read(name)
    try:
        return Recipe.from_dict({key: value for key, (value, _) in stated.items()} | (changes or {}))
    except ParameterError as error:
        if error.name in stated and error.name not in (changes or {}):
            raise FileError(stated[error.name][1], str(error)) from None
        raise


def _read(name: str, above: tuple[str, ...] = ()) -> dict[str, tuple[Any, Path]]:
    """What a recipe and its parents state: for each setting, the value and the file that it is from."""
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
    stated = {str(key): (value, path) for key, value in values.items()}
    if parent is None:
        return stated
    parent, here = str(parent), str(path.resolve())
    if here in above:
        raise FileError(path, f"`{PARENT}: {parent}` leads back to this file")
    if parent.endswith(SUFFIXES):
        parent = str(path.parent / parent)  # relative to this file, not to where the command is run
    return _read(parent, (*above, here)) | stated


def as_yaml(recipe: Recipe) -> str:
    """All settings, one per line."""
    return yaml.safe_dump(recipe.as_dict(), sort_keys=False, allow_unicode=True, default_flow_style=None)

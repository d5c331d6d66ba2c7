"""The network and its variants. ``create_model("base", num_classes=44)`` is the paper's."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, Self, overload

import torch
from torch import Tensor, nn

from audioinceptionnext.errors import suggest
from audioinceptionnext.network.blocks import Activation, Block, ConvNorm, Mixer, Order, Stem
from audioinceptionnext.network.frontend import BANDS
from audioinceptionnext.network.pcen import PCEN

Scaling = Literal["log", "pcen"]
CLIP_FRAMES = 416  # 2.08 s at the EPIC-SOUNDS setting
STEP_FRAMES = 32  # the network's stride over time: a step of the dense timeline, 160 ms at that setting


class Config:
    """What every network's configuration is: a frozen dataclass with at least these fields."""

    num_classes: int
    dropout: float
    clip_frames: int
    bands: int
    __dataclass_fields__: ClassVar[dict[str, Any]]
    architecture: ClassVar[str] = ""  # which of the baselines; of ours none is written, so that older files load

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ValueError(f"num_classes is {self.num_classes}; a network needs at least one class")

    def as_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {"architecture": self.architecture, **values} if self.architecture else values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Unknown keys are an error (``ValueError``) that names the nearest known one."""
        values = dict(values)
        architecture = values.pop("architecture", cls.architecture)
        if architecture != cls.architecture:
            raise ValueError(f"architecture {architecture!r}, where {cls.__name__} was to be made")
        known = [repr(f.name) for f in fields(cls)]
        for key in map(repr, values):
            if key not in known:
                raise ValueError(f"unknown network setting {key}; {suggest(key, known)}")
        return cls(**values)


@dataclass(frozen=True)
class NetworkConfig(Config):
    """What makes a network: enough, with its weights, to build it again.

    Attributes:
        widths, depths: channels and blocks of each stage; the first block of every later stage has stride 2.
        kernels: sizes of the parallel depthwise kernels.
        order: time then frequency, the reverse, or ``both`` side by side. Read only where ``separable``.
        separable: k x 1 and 1 x k kernels; otherwise one k x k kernel.
        depthwise: each channel has kernels of its own; otherwise standard convolutions, which mix all channels.
        expansion: channels between expansion and squeeze, as a multiple of the stage's width.
        activation: ``relu`` or ``gelu`` between expansion and squeeze; the paper has none (empty), and only without one
            do they fold. True, as older files have it, is ``relu``.
        dropout: before the linear layer.
        clip_frames: frames of one clip, the window over which the dense timeline pools.
        bands: mel bands of the input.
        scaling: what is heard of the input: the log-mel, or its PCEN (see `pcen.PCEN`).
        time_constant: of PCEN, in frames; training sets it to 0.4 s of its hop. Read only where ``scaling`` is pcen.
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    kernels: tuple[int, ...] = (3, 11, 21)
    order: Order = "time-frequency"
    separable: bool = True
    depthwise: bool = True
    expansion: float = 4
    activation: Activation = ""
    dropout: float = 0.5
    clip_frames: int = CLIP_FRAMES
    bands: int = BANDS
    scaling: Scaling = "log"
    time_constant: float = 80  # 0.4 s at the EPIC-SOUNDS setting

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("widths", "depths", "kernels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # lists, as JSON gives them
        if isinstance(self.activation, bool):
            object.__setattr__(self, "activation", "relu" if self.activation else "")
        if self.activation not in Activation.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"activation {self.activation!r}: choose from relu and gelu, or leave it empty")
        if len(self.widths) != len(self.depths):
            raise ValueError(f"{len(self.widths)} widths but {len(self.depths)} depths; give one of each a stage")
        if not self.kernels or any(k % 2 == 0 or k < 1 for k in self.kernels):
            raise ValueError(f"kernels {self.kernels}: give odd sizes, so that a kernel has a middle")
        if self.order not in Order.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"order {self.order!r}: choose from {', '.join(Order.__args__)}")  # type: ignore[attr-defined]
        if self.scaling not in Scaling.__args__:  # type: ignore[attr-defined]
            raise ValueError(f"scaling {self.scaling!r}: choose from log, pcen")
        if not 1 <= self.time_constant < math.inf:
            raise ValueError(f"time_constant is {self.time_constant}; give frames, one at least")


VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "small": {"widths": (32, 64, 128, 256)},  # half the width: a quarter of the weights
    "tiny": {"widths": (16, 32, 64, 128)},
}


BASELINES = ("cnn", "ast", "mobilenet")  # to compare with, see `baselines`


class Network(nn.Module):
    """Log-mel ``(batch, 1, frames, bands)`` to logits. Always logits: softmax is the caller's.

    A subclass gives `features`, ``dropout`` and ``classifier``.

    Attributes:
        convolutional: hears input of any length at once, so that `dense` is a timeline; others hear clip by clip.
        scale: what becomes of the log-mel before it is standardised, of the same shape; nothing unless a subclass says.

    Buffers ``mean`` and ``std`` (scalars) standardise the input. They are 0 and 1, as published, until training sets
    them from its data; they travel with the weights.
    """

    convolutional: ClassVar[bool] = True
    dropout: nn.Dropout
    classifier: nn.Linear
    mean: Tensor
    std: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.scale: nn.Module = nn.Identity()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def reset_parameters(self) -> None:
        """Kaiming normal (fan out, ReLU) convolutions that have a normalisation; linear layers of deviation 0.01."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                nn.init.kaiming_normal_(module.conv.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def standardised(self, log_mel: Tensor) -> Tensor:
        """What is heard of a log-mel (batch, 1, frames, bands), of the same shape."""
        return (self.scale(log_mel) - self.mean) / self.std

    def features(self, log_mel: Tensor) -> Tensor:
        """(batch, 1, frames, bands) to a map (batch, channels, time, frequency)."""
        raise NotImplementedError

    def forward(self, log_mel: Tensor) -> Tensor:
        """One answer for the whole input: (batch, 1, frames, bands) to logits (batch, classes)."""
        return self.classifier(self.dropout(self.features(log_mel).mean(dim=(2, 3))))

    @property
    def clip_steps(self) -> int:
        """Time positions of the feature map of one clip: 13 for 416 frames."""
        return -(-self.config.clip_frames // STEP_FRAMES)

    @property
    def step_frames(self) -> int:
        """Frames between the steps of `pooled_logits`."""
        return STEP_FRAMES

    def steps(self, frames: Tensor) -> Tensor:
        """How many steps `pooled_logits` gives for so many frames, whole numbers; for a clip and less one.

        They slide over the positions of the feature map, so that a clip of 208 frames counts as 224, 7 positions.
        """
        return (-(-frames // STEP_FRAMES) - self.clip_steps).clamp(min=0) + 1

    def dense(self, log_mel: Tensor) -> Tensor:
        """An answer for each window of one clip, 32 frames apart: the global pooling made a sliding one.

        (batch, 1, frames, bands) to logits (batch, steps, classes); one clip's length gives one step, equal to
        `forward`. Shorter input is a ``ValueError``: pad it as training does, by repeating its last frame.
        """
        return self.pooled_logits(self.features(log_mel))

    def pooled_logits(self, features: Tensor) -> Tensor:
        """Feature map (batch, channels, time, frequency) to logits (batch, steps, classes), a clip's window a step."""
        pooled = nn.functional.avg_pool1d(features.mean(dim=3), self.clip_steps, stride=1)
        return self.classifier(self.dropout(pooled.transpose(1, 2)))

    def product_macs(self, frames: int) -> int:
        """Multiply-accumulates of products between activations, which no layer's weights show; `count_macs` adds it."""
        return 0


class AudioInceptionNeXt(Network):
    """The paper's network. See `Network` for what it takes and gives.

    Args:
        config: see `NetworkConfig`.
    """

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        if config.scaling == "pcen":
            self.scale = PCEN(config.time_constant)
        self.stem = Stem(config.widths[0])
        blocks: list[Block] = []
        inputs = config.widths[0]
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(
                    Block(
                        inputs,
                        width,
                        stride,
                        config.kernels,
                        config.order,
                        config.separable,
                        config.expansion,
                        config.activation,
                        config.depthwise,
                    )
                )
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(inputs, config.num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As published: besides what all networks do, each block's last normalisation starts at 0."""
        super().reset_parameters()
        for module in self.modules():
            if isinstance(module, Mixer):
                nn.init.zeros_(module.squeeze.norm.weight)

    def features(self, log_mel: Tensor) -> Tensor:
        """(batch, 1, frames, bands) to (batch, channels, about frames / 32, bands / 32)."""
        return self.blocks(self.stem(self.standardised(log_mel)))


@overload
def create_model(
    variant: Literal["base", "small", "tiny"] = "base", num_classes: int = 44, **changes: Any
) -> AudioInceptionNeXt: ...


@overload
def create_model(variant: str, num_classes: int = 44, **changes: Any) -> Network: ...


def create_model(variant: str = "base", num_classes: int = 44, **changes: Any) -> Network:
    """A network in its training form, freshly initialised.

    Args:
        variant: a name in `VARIANTS` (``base`` is the paper's) or of a baseline: ``cnn``, ``ast``, ``ast:FOLDER``,
            ``mobilenet``.
        changes: any field of the network's configuration (`NetworkConfig`), e.g. ``kernels=(11,)``.

    Raises:
        ValueError: an unknown variant or setting, with the nearest known name.
        AinextError: a folder that holds no such network.
    """
    if variant in BASELINES or variant.startswith("ast:"):
        from audioinceptionnext.network.baselines import create

        return create(variant, num_classes, changes)
    if variant not in VARIANTS:
        hint = suggest(repr(variant), map(repr, (*VARIANTS, *BASELINES)))
        raise ValueError(f"unknown variant {variant!r}; {hint}")
    config = NetworkConfig.from_dict({"num_classes": num_classes} | VARIANTS[variant] | changes)
    return AudioInceptionNeXt(config)


def build(values: dict[str, Any]) -> Network:
    """The network, freshly initialised, that a configuration's `as_dict` describes.

    Raises:
        ValueError: an unknown architecture or setting.
    """
    if "architecture" in values:
        from audioinceptionnext.network.baselines import build_baseline

        return build_baseline(values)
    return AudioInceptionNeXt(NetworkConfig.from_dict(values))


def count_parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def count_macs(net: Network, frames: int | None = None) -> int:
    """Multiply-accumulates for one clip, counted while it runs, by the convention of the published figures (fvcore's).

    A weight applied once is one; a batch normalisation is two an element, for its scale and its shift; a network's
    products between activations (attention) are added by `Network.product_macs`. Activations, softmax and layer
    normalisation are not counted.
    """
    frames = frames or net.config.clip_frames
    total = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.BatchNorm2d):
            total += 2 * output.numel()
            return
        weight: Tensor = module.weight  # type: ignore[assignment]
        positions = output[0].numel() // weight.shape[0]  # where the kernel is applied
        total += weight.numel() * positions

    counted = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, counted)]
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, 1, frames, net.config.bands))
    finally:
        net.train(training)
        for hook in hooks:
            hook.remove()
    return total + net.product_macs(frames)

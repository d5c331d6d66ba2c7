"""What every network here is: a configuration, a stack from log-mel to logits, and how both are counted."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from audioinceptionnext.errors import suggest
from audioinceptionnext.network.blocks import ConvNorm

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

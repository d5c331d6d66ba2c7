"""What all networks share: a configuration, the way from log-mel to logits, and counts of parameters and operations."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from audioinceptionnext.errors import ParameterError, suggest
from audioinceptionnext.network.blocks import ConvNorm

CLIP_FRAMES = 416  # 2.08 s at the EPIC-SOUNDS setting
STEP_FRAMES = 32  # the network's stride over time, and so one step of the dense timeline: 160 ms at that setting


class BaseConfig:
    """The fields that every network's configuration has. A subclass is a frozen dataclass and gives the defaults.

    Attributes:
        num_classes: number of classes, at least 1.
        dropout: share of the features that are dropped in front of the linear layer, in training.
        clip_frames: frames of one clip.
        bands: mel bands of the input.
        architecture: name of another network than the paper's. It is empty for `NetworkConfig`, and then not written,
            so that files from before there were others load.
    """

    num_classes: int
    dropout: float
    clip_frames: int
    bands: int
    __dataclass_fields__: ClassVar[dict[str, Any]]
    architecture: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.num_classes < 1:
            raise ParameterError("num_classes", self.num_classes, "a network needs at least one class")

    def as_dict(self) -> dict[str, Any]:
        """All fields, and the architecture if it is not the paper's. `from_dict` takes this back, also from JSON."""
        values = asdict(self)
        return {"architecture": self.architecture, **values} if self.architecture else values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The configuration that `as_dict` wrote.

        Raises:
            ParameterError: a field is unknown (the nearest known one is suggested), or has a value out of range.
        """
        values = dict(values)
        architecture = values.pop("architecture", cls.architecture)
        if architecture != cls.architecture:
            raise ParameterError("architecture", architecture, f"{cls.__name__} describes another network")
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise ParameterError(key, None, f"this network has no such setting; {suggest(key, known)}")
        return cls(**values)


class Network(nn.Module):
    """Log-mel ``(batch, 1, frames, bands)`` to logits, to which the caller applies softmax.

    A subclass defines `features`, ``dropout`` and ``classifier``.

    Attributes:
        convolutional: whether the network takes input of any length in one pass, so that `dense` gives a timeline. The
            other networks predict clip by clip.
        scale: applied to the log-mel before it is standardised; keeps its shape. The identity by default.
        summary: applied to features averaged over a clip or a step, (…, channels), before the linear layer. The
            identity by default.
        mean, std: scalar buffers that standardise the input. They are 0 and 1, as published, until training sets them
            from its data. They are stored with the weights.
    """

    convolutional: ClassVar[bool] = True
    dropout: nn.Dropout
    classifier: nn.Linear
    mean: Tensor
    std: Tensor

    def __init__(self, config: BaseConfig) -> None:
        super().__init__()
        self.config = config
        self.scale: nn.Module = nn.Identity()
        self.summary: nn.Module = nn.Identity()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def reset_parameters(self) -> None:
        """Initialise as published: Kaiming normal (fan out, ReLU) for each convolution with a normalisation, and a
        standard deviation of 0.01 for linear layers."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                nn.init.kaiming_normal_(module.conv.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)

    def standardised(self, log_mel: Tensor) -> Tensor:
        """Scale and standardise a log-mel (batch, 1, frames, bands), which keeps its shape."""
        return (self.scale(log_mel) - self.mean) / self.std

    def features(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, 1, frames, bands) to a feature map (batch, channels, time, frequency)."""
        raise NotImplementedError

    def forward(self, log_mel: Tensor) -> Tensor:
        """One prediction for the whole input: log-mel (batch, 1, frames, bands) to logits (batch, classes).

        Raises:
            ParameterError: the input has another shape, such as one with its axes swapped.
        """
        self._check(log_mel)
        return self.classifier(self.dropout(self.summary(self.features(log_mel).mean(dim=(2, 3)))))

    def _check(self, log_mel: Tensor) -> None:
        """Check the sizes that are the same for every input. Those of batch and time may be symbolic."""
        if not isinstance(log_mel, Tensor) or torch.jit.is_tracing():  # it is drawn, and has no sizes
            return
        bands = self.config.bands
        if log_mel.dim() != 4 or log_mel.shape[1] != 1 or log_mel.shape[3] != bands:
            swapped = log_mel.dim() == 4 and log_mel.shape[1:3] == (1, bands)
            hint = "; its last two axes are swapped" if swapped else ""
            reason = f"this is not the shape of a log-mel, (batch, 1, frames, {bands}){hint}"
            raise ParameterError("log_mel", tuple(log_mel.shape), reason)

    @property
    def clip_steps(self) -> int:
        """Time positions of the feature map of one clip: 13 for 416 frames."""
        return -(-self.config.clip_frames // STEP_FRAMES)

    @property
    def step_frames(self) -> int:
        """Frames from one step of `pooled_logits` to the next."""
        return STEP_FRAMES

    def steps(self, frames: Tensor) -> Tensor:
        """Number of steps that `pooled_logits` gives for these numbers of frames: one for a clip or less.

        The pooling slides over positions of the feature map, so that a clip of 208 frames counts as 224, 7 positions.
        """
        return (-(-frames // STEP_FRAMES) - self.clip_steps).clamp(min=0) + 1

    def dense(self, log_mel: Tensor) -> Tensor:
        """One prediction per window of a clip's length, every 32 frames: a sliding pooling in place of the global one.

        Args:
            log_mel: (batch, 1, frames, bands), at least one clip long. Pad shorter input by repeating its last frame,
                as training does.

        Returns:
            Logits (batch, steps, classes). One clip's length gives one step, equal to `forward`.

        Raises:
            ParameterError: as `forward`.
        """
        self._check(log_mel)
        return self.pooled_logits(self.features(log_mel))

    def pooled_logits(self, features: Tensor) -> Tensor:
        """Feature map (batch, channels, time, frequency) to logits (batch, steps, classes), one step per window."""
        pooled = nn.functional.avg_pool1d(features.mean(dim=3), self.clip_steps, stride=1)
        return self.classifier(self.dropout(self.summary(pooled.transpose(1, 2))))

    def product_macs(self, frames: int) -> int:
        """Multiply-accumulates of products between activations, as in attention, which no layer's weights show."""
        return 0


def count_parameters(net: nn.Module) -> int:
    """Number of weights, without buffers.

    >>> count_parameters(create_model("base", num_classes=44))
    11698924
    """
    return sum(p.numel() for p in net.parameters())


def count_macs(net: Network, frames: int | None = None) -> int:
    """Multiply-accumulates for one clip, counted while the network runs, by the convention of the published figures.

    That convention is fvcore's: each application of a weight counts one; a batch normalisation counts two per element,
    for its scale and its shift. Products between activations (attention) are added by `Network.product_macs`.
    Activations, softmax and layer normalisation are not counted.

    Args:
        frames: length of the input; one clip unless given.

    >>> round(count_macs(create_model("base", num_classes=44)) / 1e9, 4)
    2.1325
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

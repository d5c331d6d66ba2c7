"""What the paper's network and its successor share: a stem, and stages of blocks that halve the feature map."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.network.base import BaseConfig, Network
from audioinceptionnext.network.blocks import Mixer, Stem


class StagedConfig(BaseConfig):
    """The fields that the configurations of both have, and what these have to be.

    Attributes:
        widths, depths: channels and number of blocks, one per stage. The first block of each later stage has stride 2.
        kernels: sizes of the parallel depthwise kernels, which must be odd.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("widths", "depths", "kernels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # lists, as JSON gives them
        if len(self.widths) != len(self.depths):
            raise ParameterError("depths", self.depths, f"give one number per stage, {len(self.widths)} as in widths")
        if not self.kernels or any(k % 2 == 0 or k < 1 for k in self.kernels):
            raise ParameterError("kernels", self.kernels, "give odd sizes, so that each kernel has a middle")


class StagedNetwork(Network):
    """Stem, stages of blocks, global pooling, linear layer. A subclass defines `block`. See `Network` for the shapes.

    Attributes:
        blocks: the blocks of all stages, in order.
    """

    config: Any  # a `StagedConfig`; each network narrows it to its own

    def __init__(self, config: StagedConfig) -> None:
        super().__init__(config)
        self.stem = Stem(config.widths[0])
        blocks = []
        inputs = config.widths[0]
        for stage, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            for index in range(depth):
                blocks.append(self.block(inputs, width, 2 if stage > 0 and index == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(inputs, config.num_classes)
        self.reset_parameters()

    def block(self, inputs: int, width: int, stride: int) -> nn.Module:
        """A new block from ``inputs`` to ``width`` channels."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Initialise as published: like all networks, and each block's last normalisation starts at 0."""
        super().reset_parameters()
        for module in self.modules():
            if isinstance(module, Mixer):
                nn.init.zeros_(module.squeeze.norm.weight)

    def features(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, 1, frames, bands) to (batch, channels, about frames / 32, bands / 32)."""
        return self.blocks(self.stem(self.standardised(log_mel)))

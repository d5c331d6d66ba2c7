"""The successor of the paper's network, AudioRepInceptionNeXt (Lau, Ur Rehman and Po, 2024, arXiv 2404.13551).

Its kernels meet after each direction: all sizes along time are summed before frequency begins, where the paper's
network sums once, after both. So the three of a direction are one at inference. But its expansion ends in a ReLU, and
so does not fold into the squeeze.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from audioinceptionnext.network.base import CLIP_FRAMES
from audioinceptionnext.network.blocks import ConvNorm, KernelSum, Mixer
from audioinceptionnext.network.frontend import BANDS
from audioinceptionnext.network.staged import StagedConfig, StagedNetwork


@dataclass(frozen=True)
class RepConfig(StagedConfig):
    """The settings of an `AudioRepInceptionNeXt`. The defaults are the published size, the only one.

    Attributes:
        num_classes: number of classes, at least 1.
        widths, depths, kernels: as in `NetworkConfig`.
        expansion: channels between expansion and squeeze, as a multiple of the stage's width.
        dropout, clip_frames, bands: as in `NetworkConfig`.
        merged: whether the kernels of each direction are a single one with a bias, as in published files for inference.
            Such a network computes the same as the one that it was merged from.

    Raises:
        ParameterError: a value is out of range.
    """

    architecture: ClassVar[str] = "rep"
    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    kernels: tuple[int, ...] = (3, 11, 21)
    expansion: float = 4
    dropout: float = 0.5
    clip_frames: int = CLIP_FRAMES
    bands: int = BANDS
    merged: bool = False


class RepBlock(nn.Module):
    """A 1x1 head (with the stride), the kernels along time, those along frequency, and a mixer; plus the shortcut.

    A ReLU follows each of these. In the mixer, it also stands between expansion and squeeze.
    """

    def __init__(
        self, inputs: int, channels: int, stride: int, kernels: tuple[int, ...], expansion: float, merged: bool = False
    ) -> None:
        super().__init__()
        self.head = ConvNorm(inputs, channels, stride=stride)
        self.time = KernelSum(channels, kernels, "time", merged)
        self.frequency = KernelSum(channels, kernels, "frequency", merged)
        self.mixer = Mixer(channels, expansion, "relu")
        changes = stride != 1 or inputs != channels
        self.shortcut = ConvNorm(inputs, channels, stride=stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.head(x))
        h = torch.relu(self.time(h))
        h = torch.relu(self.frequency(h))
        return torch.relu(self.shortcut(x) + self.mixer(h))


class AudioRepInceptionNeXt(StagedNetwork):
    """The successor of `AudioInceptionNeXt`; see `Network` for the shapes.

    >>> count_parameters(fold(create_model("rep", num_classes=44)))
    11531820
    """

    config: RepConfig

    def block(self, inputs: int, width: int, stride: int) -> RepBlock:
        """A new block from ``inputs`` to ``width`` channels."""
        config = self.config
        return RepBlock(inputs, width, stride, config.kernels, config.expansion, config.merged)

"""What the paper's network and its successor share: a stem, and stages of blocks that halve the feature map."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.network.base import BaseConfig, Network
from audioinceptionnext.network.blocks import Mixer, Stem
from audioinceptionnext.network.timeline import EPSILON, TimelineHead


class StagedConfig(BaseConfig):
    """The fields that the configurations of both have, and what these have to be.

    Attributes:
        widths, depths: channels and number of blocks, one per stage. The first block of each later stage has stride 2.
        kernels: sizes of the parallel depthwise kernels, which must be odd.
        statistics, timeline_channels: see `model.NetworkConfig`, whose fields they are.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    statistics: tuple[int, ...] = ()
    timeline_channels: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("widths", "depths", "kernels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # lists, as JSON gives them
        if len(self.widths) != len(self.depths):
            raise ParameterError("depths", self.depths, f"give one number per stage, {len(self.widths)} as in widths")
        if not self.kernels or any(k % 2 == 0 or k < 1 for k in self.kernels):
            raise ParameterError("kernels", self.kernels, "give odd sizes, so that each kernel has a middle")

    def stage(self, number: int) -> int:
        """The stage of a block, both counted from 0."""
        ends = itertools.accumulate(self.depths)
        return next(stage for stage, end in enumerate(ends) if number < end)


class Deviations(nn.Module):
    """Means of features and of their squares to means and standard deviations: the same shape, (…, channels).

    Args:
        sizes: channels of each group of features. The input has the means of the first group, those of its squares,
            and so on.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = [size for size in sizes for _ in range(2)]

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split(self.sizes, -1)
        found: list[Tensor] = []
        for mean, square in zip(parts[::2], parts[1::2], strict=True):
            found += [mean, ((square - mean.square()).clamp(min=0) + EPSILON).sqrt()]
        return torch.cat(found, -1)


class StagedNetwork(Network):
    """Stem, stages of blocks, global pooling, linear layer. A subclass defines `block`. See `Network` for the shapes.

    Attributes:
        blocks: the blocks of all stages, in order.
        last: applied to the feature map; the identity, except where axes are swapped for export.
        timeline: the head of the fine timeline; None without ``timeline_channels``.
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
        self.last: nn.Module = nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        if config.statistics:
            sizes = [inputs, *(config.widths[config.stage(number)] for number in config.statistics)]
            self.summary, inputs = Deviations(sizes), 2 * sum(sizes)
        self.classifier = nn.Linear(inputs, config.num_classes)
        self.timeline: TimelineHead | None = None
        if config.timeline_channels:
            self.timeline = TimelineHead(config.widths, config.timeline_channels, config.num_classes)
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
        """Log-mel (batch, 1, frames, bands) to (batch, channels, about frames / 32, bands / 32).

        With ``statistics``, the channels are those of the last block, their squares, and both of each block that these
        name, averaged to the same size; `Deviations` turns the means of all of them into means and deviations.
        """
        return self._features(self._maps(log_mel, self.config.statistics))

    def features_and_summaries(self, log_mel: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Both from one pass: what `features` gives, and what the head of the fine timeline takes.

        ``timeline`` turns the latter into logits (batch, steps, classes), with a step for every `FINE_STEP_FRAMES`
        frames or part of them.

        Raises:
            ParameterError: the network has no head for it.
        """
        if self.timeline is None:
            raise ParameterError("timeline_channels", 0, "this network has no fine timeline")
        maps = self._maps(log_mel, (*self.config.statistics, *self._ends))
        return self._features(maps), self._summaries(maps)

    def summaries(self, log_mel: Tensor) -> list[Tensor]:
        """What the head of the fine timeline takes of each stage, see `TimelineHead.summaries`."""
        return self._summaries(self._maps(log_mel, self._ends))

    @property
    def _ends(self) -> list[int]:
        """The numbers of the last blocks of the stages."""
        return [end - 1 for end in itertools.accumulate(self.config.depths)]

    def _summaries(self, maps: dict[int, Tensor]) -> list[Tensor]:
        assert self.timeline is not None
        return self.timeline.summaries([maps[end] for end in self._ends])

    def _maps(self, log_mel: Tensor, numbers: Sequence[int]) -> dict[int, Tensor]:
        """The feature maps after these blocks and after the last one, by the block's number."""
        x = self.stem(self.standardised(log_mel))
        kept = {}
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in numbers or number == len(self.blocks) - 1:
                kept[number] = x
        return kept

    def _features(self, maps: dict[int, Tensor]) -> Tensor:
        statistics: tuple[int, ...] = self.config.statistics
        x = maps[len(self.blocks) - 1]
        if not statistics:
            return self.last(x)
        found = [x, x.square()]
        for number in statistics:
            ratio = 2 ** (len(self.config.depths) - 1 - self.config.stage(number))
            for y in (maps[number], maps[number].square()):
                found.append(nn.functional.avg_pool2d(y, ratio, ceil_mode=True, count_include_pad=False))
        return self.last(torch.cat(found, 1))

"""The paper's network and its variants; `registry.create_model` makes them by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.network.base import CLIP_FRAMES
from audioinceptionnext.network.blocks import Activation, Block, Order
from audioinceptionnext.network.frontend import BANDS
from audioinceptionnext.network.pcen import PCEN
from audioinceptionnext.network.staged import StagedConfig, StagedNetwork

Scaling = Literal["log", "pcen"]


@dataclass(frozen=True)
class NetworkConfig(StagedConfig):
    """The settings of an `AudioInceptionNeXt`. Together with the weights they are enough to build it again.

    Attributes:
        num_classes: number of classes, at least 1.
        widths, depths: channels and number of blocks, one per stage. The first block of each later stage has stride 2.
        kernels: sizes of the parallel depthwise kernels, which must be odd.
        order: ``time-frequency``, ``frequency-time``, or ``both`` side by side. Only used if ``separable``.
        separable: whether a kernel is k x 1 and 1 x k; otherwise it is k x k.
        depthwise: whether each channel has kernels of its own; otherwise standard convolutions mix all channels.
        expansion: channels between expansion and squeeze, as a multiple of the stage's width.
        activation: ``relu`` or ``gelu`` between expansion and squeeze. It is empty in the paper, and only then do the
            two fold into one. Older files have True for ``relu``.
        dropout: share of the features that are dropped in front of the linear layer, in training.
        clip_frames: frames of one clip, over which the dense timeline pools.
        bands: mel bands of the input.
        scaling: whether the network sees the log-mel (``log``) or its PCEN (``pcen``, see `pcen.PCEN`).
        statistics: numbers of blocks, counted from 0. With any, the linear layer gets the means and the standard
            deviations, over time and frequency, of the last block and of these; without, the means of the last block.
        timeline_channels: of the head that gives the fine timeline, see `timeline.TimelineHead`; 0 for none.
        time_constant: of PCEN, in frames; training sets it to 0.4 s. Only used with ``pcen``.

    Raises:
        ParameterError: a value is out of range.
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
    statistics: tuple[int, ...] = ()
    timeline_channels: int = 0
    time_constant: float = 80  # 0.4 s at the EPIC-SOUNDS setting

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "statistics", tuple(self.statistics))
        last = sum(self.depths) - 1
        if any(not 0 <= number < last for number in self.statistics):
            reason = f"give numbers of blocks before the last one, 0 to {last - 1}"
            raise ParameterError("statistics", list(self.statistics), reason)
        if not 0 <= self.timeline_channels <= 4096:
            raise ParameterError(
                "timeline_channels", self.timeline_channels, "give a number of channels, or 0 for none"
            )
        if isinstance(self.activation, bool):
            object.__setattr__(self, "activation", "relu" if self.activation else "")
        if self.activation not in get_args(Activation):
            raise ParameterError("activation", self.activation, "choose from relu and gelu, or leave it empty")
        for name, choices in (("order", Order), ("scaling", Scaling)):
            if getattr(self, name) not in get_args(choices):
                raise ParameterError(name, getattr(self, name), f"choose from {', '.join(get_args(choices))}")
        if not 1 <= self.time_constant < math.inf:
            raise ParameterError("time_constant", self.time_constant, "give a number of frames, at least 1")


class AudioInceptionNeXt(StagedNetwork):
    """The paper's network: stem, four stages of blocks, global pooling, linear layer. See `Network` for the shapes."""

    config: NetworkConfig

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        if config.scaling == "pcen":
            self.scale = PCEN(config.time_constant)

    def block(self, inputs: int, width: int, stride: int) -> Block:
        """A new block from ``inputs`` to ``width`` channels."""
        config = self.config
        return Block(
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

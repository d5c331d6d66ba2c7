"""The paper's network and its variants. ``create_model("base", num_classes=44)`` in `registry` makes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from audioinceptionnext.network.base import CLIP_FRAMES, Config, Network
from audioinceptionnext.network.blocks import Activation, Block, Mixer, Order, Stem
from audioinceptionnext.network.frontend import BANDS
from audioinceptionnext.network.pcen import PCEN

Scaling = Literal["log", "pcen"]


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

"""Networks to compare with: a plain CNN, and by name MobileNetV2 and the Audio Spectrogram Transformer.

These two come from ``transformers`` (extra: baselines) and are defined in `mobilenet` and `transformer`. All are a
`Network` like `AudioInceptionNeXt`, so that training, evaluation and export work with them unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.network.base import CLIP_FRAMES, STEP_FRAMES, BaseConfig, Network
from audioinceptionnext.network.blocks import ConvNorm
from audioinceptionnext.network.frontend import BANDS
from audioinceptionnext.network.mobilenet import MobileNet, MobileNetConfig
from audioinceptionnext.network.transformer import SpectrogramTransformer, TransformerConfig

# Average pooling after each stage, time x frequency. The first one pools four frames, since at a hop of 5 ms neighbours
# hardly differ. Together the four give one step per STEP_FRAMES frames, as in our network.
POOLS = ((4, 2), (2, 2), (2, 2), (2, 2))


@dataclass(frozen=True)
class CNNConfig(BaseConfig):
    """The settings of a `PlainCNN`.

    Attributes:
        widths: channels of the four stages.
        dropout, clip_frames, bands: as in `NetworkConfig`.
    """

    architecture: ClassVar[str] = "cnn"
    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512)
    dropout: float = 0.5
    clip_frames: int = CLIP_FRAMES
    bands: int = BANDS

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "widths", tuple(self.widths))  # a list, as JSON gives it
        if len(self.widths) != len(POOLS):
            raise ParameterError("widths", self.widths, f"give {len(POOLS)} numbers, one per stage of the plain CNN")


class PlainCNN(Network):
    """Four stages, global average pooling, and a linear layer.

    Each stage has two 3x3 convolutions with normalisation and ReLU, then average pooling, as in VGG (Simonyan and
    Zisserman, 2014) and the CNNs of PANNs (Kong et al., 2020). Like our network it has one step per 32 frames, so it
    can be trained for and used in the mode ``dense``.
    """

    config: CNNConfig

    def __init__(self, config: CNNConfig) -> None:
        super().__init__(config)
        inputs = (1, *config.widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(ConvNorm(before, width, (3, 3)), nn.ReLU(), ConvNorm(width, width, (3, 3)), nn.ReLU())
            for before, width in zip(inputs, config.widths, strict=True)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.widths[-1], config.num_classes)
        self.reset_parameters()

    def features(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, 1, frames, bands) to (batch, channels, frames / 32 rounded up, bands / 16)."""
        x = (log_mel - self.mean) / self.std
        x = nn.functional.pad(x, (0, 0, 0, -x.shape[2] % STEP_FRAMES))
        for stage, pool in zip(self.stages, POOLS, strict=True):
            x = nn.functional.avg_pool2d(stage(x), pool)
        return x


# The configuration and the network of each, by its name.
BASELINES: dict[str, tuple[type[BaseConfig], Callable[[Any], Network]]] = {
    "cnn": (CNNConfig, PlainCNN),
    "ast": (TransformerConfig, SpectrogramTransformer),
    "mobilenet": (MobileNetConfig, MobileNet),
}

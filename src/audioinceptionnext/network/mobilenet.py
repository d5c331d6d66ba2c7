"""MobileNetV2 from ``transformers``, as a widely used efficient network to compare with.

It needs the extra ``[baselines]``. Its weights are random; nothing is ever downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.network.base import CLIP_FRAMES, BaseConfig, Network
from audioinceptionnext.network.blocks import ConvNorm
from audioinceptionnext.network.frontend import BANDS


@dataclass(frozen=True)
class MobileNetConfig(BaseConfig):
    """The settings of a `MobileNet`.

    Attributes:
        multiplier: scales all widths ("depth multiplier" in ``transformers``). 1.0 is the published size.
        dropout: in front of the linear layer. The published network keeps 0.8 of its features.
        clip_frames, bands: as in `NetworkConfig`.
    """

    architecture: ClassVar[str] = "mobilenet"
    num_classes: int
    multiplier: float = 1.0
    dropout: float = 0.2
    clip_frames: int = CLIP_FRAMES
    bands: int = BANDS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.multiplier <= 0:
            raise ParameterError("multiplier", self.multiplier, "give a number above 0, such as 1.0")


class MobileNet(Network):
    """``transformers.MobileNetV2Model`` (Sandler et al., 2018) with one input channel, and a linear layer.

    Its five strides of 2 give one step per 32 frames, as in our network, so it can be trained for and used in the mode
    ``dense``.

    Two things differ from what ``transformers`` builds, so that it trains with our recipes and folds. Convolutions are
    padded evenly and not as in TensorFlow. And a normalisation moves its statistics by a tenth per step; the 0.997 of
    ``transformers`` is TensorFlow's momentum, which in torch keeps little but the last batch.
    """

    config: MobileNetConfig

    def __init__(self, config: MobileNetConfig) -> None:
        super().__init__(config)
        from transformers import MobileNetV2Config, MobileNetV2Model

        settings = MobileNetV2Config(num_channels=1, depth_multiplier=config.multiplier, tf_padding=False)
        self.body = MobileNetV2Model(settings, add_pooling_layer=False)
        layers: list[Any] = [layer for layer in self.body.modules() if hasattr(layer, "normalization")]
        for layer in layers:
            layer.convolution, layer.normalization = _conv_norm(layer.convolution, layer.normalization.eps), None
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(layers[-1].convolution.norm.num_features, config.num_classes)
        self.reset_parameters()

    def features(self, log_mel: Tensor) -> Tensor:
        """Log-mel (batch, 1, frames, bands) to (batch, channels, frames / 32 rounded up, bands / 32 rounded up)."""
        return self.body((log_mel - self.mean) / self.std).last_hidden_state


def _conv_norm(conv: nn.Conv2d, eps: float) -> ConvNorm:
    """A fresh `ConvNorm`, which `fold` knows, of the same size."""
    height, width = conv.kernel_size
    pair = ConvNorm(conv.in_channels, conv.out_channels, (height, width), conv.stride[0], conv.groups)
    pair.norm.eps = eps
    return pair

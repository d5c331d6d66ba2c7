"""A fine timeline beside the prediction of a clip: a light head on the feature maps of all stages.

The last stage has one position for 32 frames, which is too coarse to cut by, and the window of a clip averages over
many of them. The first stage has a position for 4 frames, but knows little of what sounds. The head joins all of them.
It reads the maps and changes nothing in them, so that the prediction of the clip stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from audioinceptionnext.network.blocks import ConvNorm

FINE_STEP_FRAMES = 4  # the stride of the stem, and so one step of the fine timeline: 50 ms with a hop of 12.5 ms
LAYERS, KERNEL = 3, 15  # of the convolutions along time: together they see 21 steps to either side
EPSILON = 1e-6  # of a variance, so that the gradient of its root is finite
RARE = -4.0  # the first bias: most labels are silent most of the time


class TimeLayer(nn.Module):
    """A depthwise convolution along time and a 1x1 convolution, with a shortcut around both."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.along = nn.Conv2d(channels, channels, (KERNEL, 1), padding=(KERNEL // 2, 0), groups=channels)
        self.mix = ConvNorm(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.mix(self.along(x)))


class TimelineHead(nn.Module):
    """Feature maps of the stages to logits of the fine timeline.

    Of each map, it takes the mean and the standard deviation over frequency at each of its positions, and projects both
    to ``channels`` before it repeats them for the steps that a position covers. The sum goes through `LAYERS`
    convolutions along time.

    Args:
        widths: channels of the stages, each of which has half as many positions as the one before.
        channels: of the head.
        classes: number of classes.

    Attributes:
        time: the axis of time: 2, or 3 where axes are swapped for export.
    """

    def __init__(self, widths: Sequence[int], channels: int, classes: int) -> None:
        super().__init__()
        self.time = 2
        self.projections = nn.ModuleList(ConvNorm(2 * width, channels) for width in widths)
        self.layers = nn.Sequential(*(TimeLayer(channels) for _ in range(LAYERS)))
        self.classifier = nn.Conv2d(channels, classes, 1)
        assert self.classifier.bias is not None
        nn.init.constant_(self.classifier.bias, RARE)

    def summaries(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What the head takes of each map (batch, channels, time, frequency): (batch, 2 * channels, time, 1)."""
        frequency, found = 5 - self.time, []
        for x in maps:
            mean = x.mean(frequency, keepdim=True)
            variance = x.square().mean(frequency, keepdim=True) - mean.square()
            found.append(torch.cat([mean, (variance.clamp(min=0) + EPSILON).sqrt()], 1))
        return found

    def forward(self, summaries: Sequence[Tensor]) -> Tensor:
        """Summaries of the maps of all stages to logits (batch, steps, classes)."""
        steps = summaries[0].shape[self.time]
        x: Tensor = self.projections[0](summaries[0])
        for stage, (summary, project) in enumerate(zip(summaries[1:], self.projections[1:], strict=True), start=1):
            repeated = project(summary).repeat_interleave(2**stage, self.time)
            x = x + repeated.narrow(self.time, 0, steps)
        x = self.classifier(self.layers(torch.relu(x)))
        return x.squeeze(5 - self.time).transpose(1, 2)

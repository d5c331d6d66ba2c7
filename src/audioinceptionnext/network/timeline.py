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
LEAST = 1e-4  # probabilities below this, and above 1 minus this, count as these
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
    convolutions along time. To the logit of a label, ``trust`` times the log-odds of what windows say is added.

    Args:
        widths: channels of the stages, each of which has half as many positions as the one before.
        channels: of the head.
        classes: number of classes.

    Attributes:
        time: the axis of time: 2, or 3 where axes are swapped for export.
        trust: (classes,) factors of the log-odds of the windows; 0 leaves them out.
    """

    def __init__(self, widths: Sequence[int], channels: int, classes: int) -> None:
        super().__init__()
        self.time = 2
        self.projections = nn.ModuleList(ConvNorm(2 * width, channels) for width in widths)
        self.layers = nn.Sequential(*(TimeLayer(channels) for _ in range(LAYERS)))
        self.classifier = nn.Conv2d(channels, classes, 1)
        assert self.classifier.bias is not None
        nn.init.constant_(self.classifier.bias, RARE)
        self.trust = nn.Parameter(torch.zeros(classes))

    def summaries(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """What the head takes of each map (batch, channels, time, frequency): (batch, 2 * channels, time, 1)."""
        frequency, found = 5 - self.time, []
        for x in maps:
            mean = x.mean(frequency, keepdim=True)
            variance = x.square().mean(frequency, keepdim=True) - mean.square()
            found.append(torch.cat([mean, (variance.clamp(min=0) + EPSILON).sqrt()], 1))
        return found

    def forward(self, summaries: Sequence[Tensor], highest: Tensor | None = None) -> Tensor:
        """Summaries of the maps of all stages to logits (batch, steps, classes).

        Args:
            summaries: see `summaries`.
            highest: (batch, positions, classes), what `highest_of_windows` gives. Nothing of it is added without.
        """
        steps = summaries[0].shape[self.time]
        x: Tensor = self.projections[0](summaries[0])
        for stage, (summary, project) in enumerate(zip(summaries[1:], self.projections[1:], strict=True), start=1):
            repeated = project(summary).repeat_interleave(2**stage, self.time)
            x = x + repeated.narrow(self.time, 0, steps)
        x = self.classifier(self.layers(torch.relu(x)))
        logits = x.squeeze(5 - self.time).transpose(1, 2)
        if highest is None:
            return logits
        odds = torch.logit(highest.clamp(LEAST, 1 - LEAST)) * self.trust
        return logits + odds.repeat_interleave(2 ** (len(summaries) - 1), 1)[:, :steps]


def highest_of_windows(probabilities: Tensor, clip_steps: int) -> Tensor:
    """For each position of the last stage, the highest probability in a window that contains it.

    Args:
        probabilities: (batch, windows, classes), of windows that begin one position apart.
        clip_steps: positions of a window.

    Returns:
        (batch, positions, classes).
    """
    reach = clip_steps - 1
    padded = nn.functional.pad(probabilities.transpose(1, 2), (reach, reach))
    return nn.functional.max_pool1d(padded, clip_steps, stride=1).transpose(1, 2)

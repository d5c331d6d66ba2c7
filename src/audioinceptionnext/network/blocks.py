"""The parts of the network, smallest first. Tensors are (batch, channels, time, frequency)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Order = Literal["time-frequency", "frequency-time", "both"]
Activation = Literal["", "relu", "gelu"]
Axis = Literal["time", "frequency"]


class ConvNorm(nn.Module):
    """A convolution without bias, followed by batch normalisation (eps 1e-5, momentum 0.1)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class Stem(nn.Module):
    """5x7 convolution, normalisation, ReLU, 3x3 max pooling. The two strides of 2 quarter time and frequency."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvNorm(1, channels, (5, 7), stride=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(torch.relu(self.conv(x)))


class Branch(nn.Module):
    """The convolutions of one kernel size, each followed by normalisation and ReLU.

    One runs along time and one along frequency, in either order or side by side, in which case their results are
    summed; or a single k x k kernel does both. They are depthwise, or standard convolutions, which mix all channels.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        order: Order = "time-frequency",
        separable: bool = True,
        depthwise: bool = True,
    ) -> None:
        super().__init__()
        self.parallel = separable and order == "both"
        time, frequency = (kernel, 1), (1, kernel)
        shapes = [(kernel, kernel)]
        if separable:
            shapes = [frequency, time] if order == "frequency-time" else [time, frequency]
        groups = channels if depthwise else 1
        self.convs = nn.ModuleList(ConvNorm(channels, channels, shape, groups=groups) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        if self.parallel:
            return torch.relu(self.convs[0](x)) + torch.relu(self.convs[1](x))
        for conv in self.convs:
            x = torch.relu(conv(x))
        return x


class KernelSum(nn.Module):
    """Depthwise convolutions of several sizes along one axis; the sum of their outputs and the input, not activated.

    At inference it is a single convolution, see `folding.merge`.

    Args:
        merged: whether the convolutions and their normalisations are one convolution with a bias already. The input is
            still added.
    """

    def __init__(self, channels: int, kernels: Sequence[int], axis: Axis, merged: bool = False) -> None:
        super().__init__()
        shapes = [(kernel, 1) if axis == "time" else (1, kernel) for kernel in kernels]
        if merged:
            widest = max(shapes)
            padding = (widest[0] // 2, widest[1] // 2)
            self.convs = nn.ModuleList([nn.Conv2d(channels, channels, widest, padding=padding, groups=channels)])
        else:
            self.convs = nn.ModuleList(ConvNorm(channels, channels, shape, groups=channels) for shape in shapes)

    def forward(self, x: Tensor) -> Tensor:
        total = x
        for conv in self.convs:
            total = total + conv(x)
        return total


class Mixer(nn.Module):
    """A 1x1 expansion and a 1x1 squeeze, each followed by normalisation.

    The paper has no activation between the two, which is why they fold into one convolution.
    """

    def __init__(self, channels: int, expansion: float, activation: Activation = "") -> None:
        super().__init__()
        wide = round(channels * expansion)
        self.expand = ConvNorm(channels, wide)
        self.activation = {"": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU}[activation]()
        self.squeeze = ConvNorm(wide, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.squeeze(self.activation(self.expand(x)))


class Block(nn.Module):
    """A 1x1 head (with the stride), the sum of parallel branches, and a mixer; plus the shortcut, then ReLU."""

    def __init__(
        self,
        inputs: int,
        channels: int,
        stride: int = 1,
        kernels: tuple[int, ...] = (3, 11, 21),
        order: Order = "time-frequency",
        separable: bool = True,
        expansion: float = 4,
        activation: Activation = "",
        depthwise: bool = True,
    ) -> None:
        super().__init__()
        self.head = ConvNorm(inputs, channels, stride=stride)
        self.branches = nn.ModuleList(Branch(channels, kernel, order, separable, depthwise) for kernel in kernels)
        self.mixer = Mixer(channels, expansion, activation)
        changes = stride != 1 or inputs != channels
        self.shortcut = ConvNorm(inputs, channels, stride=stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.head(x)
        summed = self.branches[0](h)
        for branch in self.branches[1:]:
            summed = summed + branch(h)
        return torch.relu(self.shortcut(x) + self.mixer(summed))

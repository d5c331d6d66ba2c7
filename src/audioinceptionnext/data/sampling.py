"""Which clips an epoch hears, in which order, and which process hears which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Sampler


@dataclass(frozen=True, slots=True)
class Draw:
    """A clip whose turn it is: all that decides which stretch of it is heard.

    Attributes:
        epoch, index: of the clip.
        again: how often this epoch has drawn the clip before.
    """

    epoch: int
    index: int
    again: int = 0


class EpochOrder(Sampler[Draw]):
    """An order for each epoch that depends on the seed and the epoch alone: a run that is resumed goes on with it.

    Several processes share an order: its clips [b * batch * world, (b + 1) * batch * world) are the b-th batch of all
    together, of which each process takes its ``batch`` consecutive ones. So they hear what one process hears at the
    global batch. What is left at the end is shared out evenly, at most world - 1 clips a second time, since every
    process must take the same number of steps; with one process no clip is heard twice.

    Args:
        size: clips.
        batch: clips a process and step; the DataLoader's too.
        weights: (size,), not negative: draws ``size`` clips an epoch with replacement, in these proportions.
        rank, world: this process and how many there are.
    """

    def __init__(
        self, size: int, batch: int, seed: int, weights: Tensor | None = None, rank: int = 0, world: int = 1
    ) -> None:
        if batch < 1 or not 0 <= rank < world:
            raise ValueError(f"batch {batch}, rank {rank} of {world}")
        if weights is not None and (weights.shape != (size,) or not weights.sum() > 0):
            raise ValueError(f"{size} clips need as many weights, not all of them 0")
        self.size, self.batch, self.seed, self.weights = size, batch, seed, weights
        self.rank, self.world, self.epoch = rank, world, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        steps, left = divmod(self.size, self.batch * self.world)
        return steps * self.batch + -(-left // self.world)

    def __iter__(self) -> Iterator[Draw]:
        draws = self._draws()
        together = self.batch * self.world
        for first in range(0, self.size, together):
            share = -(-min(together, self.size - first) // self.world)
            mine = first + self.rank * share
            for place in range(mine, mine + share):
                yield draws[place % self.size]

    def _draws(self) -> list[Draw]:
        """The whole epoch, of all processes."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        if self.weights is None:
            return [Draw(self.epoch, index) for index in torch.randperm(self.size, generator=generator).tolist()]
        before: Counter[int] = Counter()
        draws = []
        for index in torch.multinomial(self.weights, self.size, replacement=True, generator=generator).tolist():
            draws.append(Draw(self.epoch, index, before[index]))
            before[index] += 1
        return draws


def balanced_weights(labels: Sequence[int], classes: int) -> Tensor:
    """Weights (clips,), float64, with which every class that has clips is drawn as often. Unlabelled clips get 0."""
    found = torch.as_tensor(labels, dtype=torch.long)
    known = found >= 0
    count = torch.bincount(found[known], minlength=classes)
    return torch.where(known, 1 / count.double().clamp(min=1)[found.clamp(min=0)], 0.0)

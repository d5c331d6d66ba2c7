"""The order of the clips of an epoch, and how several processes share them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Sampler


@dataclass(frozen=True, slots=True)
class Draw:
    """One use of a clip in training. It alone decides which stretch of the clip is used.

    Attributes:
        epoch: number of the epoch, from 0.
        index: of the clip in the list of clips.
        repeat: how many times this epoch has drawn the clip before.
    """

    epoch: int
    index: int
    repeat: int = 0


class EpochOrder(Sampler[Draw]):
    """A random order of the clips for each epoch. It depends on the seed and the epoch alone, so resumed runs keep it.

    Several processes share an order: draws [b * batch_size * world_size, (b + 1) * batch_size * world_size) are the
    b-th global batch, of which each process takes ``batch_size`` consecutive ones. Together, the processes train on
    the same batches as one process does with the global batch size. Every process must take the same number of steps,
    so the draws left at the end are divided evenly, and up to world_size - 1 clips are used twice; with ``drop_last``
    they are left out.

    Args:
        size: number of clips.
        batch_size: clips per process and step, the same as the loader's.
        seed: of the order.
        weights: (size,), not negative. If given, an epoch has ``size`` draws with replacement, in these proportions.
        rank: number of this process, from 0.
        world_size: number of processes.
        drop_last: whether an epoch ends with the last full global batch.

    Raises:
        ValueError: ``batch_size`` or ``rank`` is out of range, ``weights`` have another length or are all 0, or with
            ``drop_last`` nothing is left.

    >>> order = EpochOrder(4, batch_size=2, seed=0)
    >>> sorted(draw.index for draw in order)
    [0, 1, 2, 3]
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        *,
        weights: Tensor | None = None,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
    ) -> None:
        if batch_size < 1 or not 0 <= rank < world_size:
            raise ValueError(f"batch size {batch_size}, rank {rank} of {world_size}")
        if weights is not None and (weights.shape != (size,) or not weights.sum() > 0):
            raise ValueError(f"{size} clips need as many weights, not all of them 0")
        self.size, self.batch_size, self.seed, self.weights = size, batch_size, seed, weights
        self.rank, self.world_size, self.epoch = rank, world_size, 0
        self.used = size - size % (batch_size * world_size) if drop_last else size  # draws of an epoch
        if drop_last and not self.used:
            raise ValueError(f"{size} clips are no full batch of {batch_size * world_size}")

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration. Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        steps, left = divmod(self.used, self.batch_size * self.world_size)
        return steps * self.batch_size + -(-left // self.world_size)

    def __iter__(self) -> Iterator[Draw]:
        draws = self._draws()
        global_batch = self.batch_size * self.world_size
        for first in range(0, self.used, global_batch):
            share = -(-min(global_batch, self.used - first) // self.world_size)
            own = first + self.rank * share
            for place in range(own, own + share):
                yield draws[place % self.size]

    def _draws(self) -> list[Draw]:
        """All draws of the epoch, of all processes together."""
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
    """Weights for `EpochOrder` with which clips of all classes are drawn equally often.

    Args:
        labels: class index of each clip, or `UNLABELLED`.
        classes: number of classes; some may have no clips.

    Returns:
        (clips,) float64; 0 for unlabelled clips.

    >>> balanced_weights([0, 0, 1], 2).tolist()
    [0.5, 0.5, 1.0]
    """
    found = torch.as_tensor(labels, dtype=torch.long)
    known = found >= 0
    count = torch.bincount(found[known], minlength=classes)
    return torch.where(known, 1 / count.double().clamp(min=1)[found.clamp(min=0)], 0.0)


def balanced_multi_label_weights(labels: Sequence[Sequence[int]]) -> Tensor:
    """Weights for `EpochOrder` where a clip has several labels: the sum of those that each label alone would give.

    This is usual for AudioSet (Gong, Chung and Glass, 2021, "PSLA").

    Args:
        labels: the class indices of each clip; any number that is below 0 stands for a class of its own.

    Returns:
        (clips,) float64.

    >>> balanced_multi_label_weights([[0], [0, 1]]).tolist()
    [0.5, 1.5]
    """
    count = Counter(label for own in labels for label in own)
    return torch.tensor([sum(1 / count[label] for label in own) for own in labels], dtype=torch.float64)

"""The order of the clips of an epoch: the same for any number of processes."""

from __future__ import annotations

import pytest
import torch

from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.data.sampling import EpochOrder, balanced_weights


@pytest.mark.parametrize("size", [64, 70, 71, 33, 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_processes_share_an_order(size: int, weighted: bool) -> None:
    weights = torch.arange(1, size + 1).double() if weighted else None
    alone = EpochOrder(size, 32, 5, weights=weights)
    ranks = [EpochOrder(size, 16, 5, weights=weights, rank=rank, world_size=2) for rank in range(2)]
    for order in (alone, *ranks):
        order.set_epoch(4)
        assert len(list(order)) == len(order)
    whole, (left, right) = list(alone), (list(order) for order in ranks)
    assert len(whole) == size and len(left) == len(right)
    # The global batches, one after the other.
    both = [draw for at in range(0, len(left), 16) for part in (left, right) for draw in part[at : at + 16]]
    assert both[:size] == whole
    assert both[size:] == whole[: len(both) - size] and len(both) - size <= 1
    if not weighted:
        assert sorted(draw.index for draw in whole) == list(range(size))
    assert len(set(whole)) == size  # a clip that is drawn again is another draw


def test_classes_are_drawn_evenly() -> None:
    labels = [0] * 900 + [2] * 90 + [3] * 10 + [UNLABELLED] * 5
    weights = balanced_weights(labels, 5)
    labels_drawn = [labels[draw.index] for draw in EpochOrder(len(labels), 32, 0, weights=weights)]
    for label, share in ((0, 1 / 3), (1, 0), (2, 1 / 3), (3, 1 / 3), (UNLABELLED, 0)):
        assert abs(labels_drawn.count(label) / len(labels_drawn) - share) < 0.06

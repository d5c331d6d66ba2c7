"""Whether fine-tuned weights are better than those that they started from, and how much of the way to take.

Weights between those of the start and of the end are often better than either (WiSE-FT, Wortsman et al., 2022, "Robust
fine-tuning of zero-shot models"), and the start is among the candidates. So what is accepted is never worse than the
start on the clips that decide, which are training clips that fine-tuning did not see.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from audioinceptionnext.network.base import Network

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Accepted(NamedTuple):
    """The network that was accepted.

    Attributes:
        net: with its weights; a copy.
        share: of the way from the start to the end, 0 to 1.
        losses: of every candidate, in the order of the shares.
    """

    net: Network
    share: float
    losses: tuple[float, ...]


def accept(
    start: Network, end: Network, loss: Callable[[Network], float], shares: Sequence[float] = SHARES
) -> Accepted:
    """Take the best of the weights on the line from ``start`` to ``end``; of equal ones, the nearest to the start.

    Args:
        start, end: networks of the same structure, before and after fine-tuning. They stay as they are.
        loss: of a network in evaluation mode on clips that neither was trained on; less is better.
        shares: the places on the line, from 0 to 1, in ascending order.

    >>> accept(start, tuned, lambda net: cross_entropy(net(log_mel), labels).item()).share
    0.5
    """
    candidates = [blend(start, end, share) for share in shares]
    losses = tuple(loss(net) for net in candidates)
    best = losses.index(min(losses))
    return Accepted(candidates[best], shares[best], losses)


@torch.no_grad()
def blend(start: Network, end: Network, share: float) -> Network:
    """A copy with the weights and statistics ``start + share * (end - start)``, in evaluation mode."""
    blended = copy.deepcopy(end).eval()
    first = start.state_dict()
    for name, value in blended.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.lerp(first[name], value, share) if share < 1 else value)
        elif share == 0:
            value.copy_(first[name])
    return blended

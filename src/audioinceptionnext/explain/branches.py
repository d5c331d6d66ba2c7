"""How much each kernel size adds to a prediction, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.explain.probe import BATCH_SIZE, Probe, log_odds
from audioinceptionnext.network import AudioInceptionNeXt
from audioinceptionnext.network.blocks import Branch, ConvNorm


@torch.no_grad()
def contributions(probe: Probe, windows: Tensor, loud: Tensor, index: int) -> np.ndarray:
    """What each branch of each stage adds to the log-odds of a class.

    A branch is switched off in all blocks of a stage at once: its output is replaced by its typical level
    (`typical_level`), so that it is the same for any input. The logits are computed for all 2^k ways to switch the k
    branches of a stage. The share of a branch is its Shapley value (Shapley, 1953; for networks Lundberg and Lee,
    2017): the difference that it makes, averaged over all orders in which the branches could be switched on.

    In this way every number is a difference of outputs that the network gave, nothing is linearised, and the shares of
    a stage sum to what switching on all its branches adds. Removing one branch alone would give no branch a share of
    what two of them know. A branch that changes nothing gets 0. Log-odds are used since a logit by itself is only
    defined up to a constant that all classes share.

    Two simpler replacements were tried (54 clips of Kitchen20's fold 5, one branch of one stage at a time), and they
    mislead. Zeros never occur in training: without any branch of the last stage the network became more confident, by
    0.6 to 1.1. The mean over the excerpt itself changes the last stage by at most 0.1, since that is what the pooling
    reads.

    Args:
        probe: the network.
        windows: (windows, 1, frames, bands), see `Probe.windows`.
        loud: (steps,) bool, which of the steps count, see `Probe.loud_steps`.
        index: of the class.

    Returns:
        (stages, kernels) float64, in log-odds; (0, 0) for a network without branches. The shares of different stages
        do not add up, since a later stage sees what the earlier ones pass on.
    """
    net = probe.net
    if not isinstance(net, AudioInceptionNeXt):
        return np.zeros((0, 0))
    stages, kernels = _stages(net), len(net.config.kernels)
    assert isinstance(probe.model.net, AudioInceptionNeXt)  # in training form, which still has its normalisations
    levels = [[typical_level(branch) for branch in branches] for branches in _branches(probe.model.net)]
    coalitions = [frozenset(k for k in range(kernels) if number >> k & 1) for number in range(2**kernels)]
    logits: dict[tuple[int, frozenset[int]], list[Tensor]] = {}
    for part in windows.split(BATCH_SIZE):
        x = net.stem(net.standardised(part))
        for stage, numbers in enumerate(stages):
            for on in coalitions:
                with _switched_off(net, levels, numbers, set(range(kernels)) - on):
                    logits.setdefault((stage, on), []).append(probe.logits(net.blocks[numbers[0] :](x)))
            x = net.blocks[numbers[0] : numbers[-1] + 1](x)
    multi_label = probe.model.multi_label
    odds = {key: log_odds(torch.cat(parts), loud, index, multi_label) for key, parts in logits.items()}
    return np.array(
        [shapley_values({on: odds[stage, on] for on in coalitions}, kernels) for stage in range(len(stages))]
    )


def shapley_values(worth: dict[frozenset[int], float], players: int) -> list[float]:
    """The share of each player in a game, from what every set of players is worth (Shapley, 1953).

    The share of player i is ``sum over S without i of |S|! (n - |S| - 1)! / n! (worth(S + i) - worth(S))``. The shares
    sum to ``worth(all) - worth(none)``.

    >>> shapley_values({frozenset(): 0, frozenset({0}): 1, frozenset({1}): 1, frozenset({0, 1}): 4}, players=2)
    [2.0, 2.0]
    """
    shares = [0.0] * players
    for some, value in worth.items():
        for player in set(range(players)) - some:
            weight = math.factorial(len(some)) * math.factorial(players - len(some) - 1) / math.factorial(players)
            shares[player] += weight * (worth[some | {player}] - value)
    return shares


def typical_level(branch: Branch) -> Tensor:
    """The mean output of a branch over the training data, as its last normalisation implies: (1, channels, 1, 1).

    After the normalisation a channel has mean b and standard deviation g, its bias and its weight. For a normal
    distribution, the mean after ReLU is ``b Phi(b / g) + g phi(b / g)``. Over 27 held-out clips of Kitchen20 the mean
    of a channel differs from it by 0.1 (root mean square over the channels of a branch: 0.07 to 0.17), and clips differ
    from each other by 0.1 to 0.35.
    """
    normal = torch.distributions.Normal(0.0, 1.0)
    total = torch.zeros(())
    for pair in branch.convs if branch.parallel else list(branch.convs)[-1:]:
        assert isinstance(pair, ConvNorm)
        mean, deviation = pair.norm.bias.detach().double(), pair.norm.weight.detach().double().abs()
        z = mean / deviation.clamp(min=1e-12)
        total = total + mean * normal.cdf(z) + deviation * normal.log_prob(z).exp()
    return total.float()[None, :, None, None]


def spans(probe: Probe) -> np.ndarray:
    """(stages, kernels): the time in seconds from the first to the last position that a kernel of a stage covers."""
    net = probe.net
    if not isinstance(net, AudioInceptionNeXt):
        return np.zeros((0, 0))
    frame = probe.model.hop_ms / 1000
    strides = 4 * 2 ** np.arange(len(net.config.depths))  # frames from one position of a stage's map to the next
    return np.outer(strides, np.array(net.config.kernels) - 1) * frame


def _branches(net: AudioInceptionNeXt) -> list[list[Branch]]:
    """The branches of each block, in the order of the kernels."""
    return [list(block.branches) for block in net.blocks]  # type: ignore[arg-type]


def _stages(net: AudioInceptionNeXt) -> list[list[int]]:
    """The numbers of each stage's blocks."""
    ends = np.cumsum(net.config.depths)
    return [list(range(end - depth, end)) for end, depth in zip(ends.tolist(), net.config.depths, strict=True)]


@contextmanager
def _switched_off(
    net: AudioInceptionNeXt, levels: Sequence[Sequence[Tensor]], numbers: Sequence[int], off: set[int]
) -> Iterator[None]:
    """Make the branches ``off`` of these blocks give their typical level."""

    def replace(_module: nn.Module, _inputs: Any, output: Tensor, level: Tensor) -> Tensor:
        return level.expand_as(output)

    branches = _branches(net)
    hooks = [
        branches[number][k].register_forward_hook(partial(replace, level=levels[number][k]))
        for number in numbers
        for k in off
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

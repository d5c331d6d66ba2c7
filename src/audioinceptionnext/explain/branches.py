"""How much each kernel size adds to a decision, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.explain.probe import BATCH, Probe, log_odds
from audioinceptionnext.network import AudioInceptionNeXt
from audioinceptionnext.network.blocks import Branch, ConvNorm


@torch.no_grad()
def contributions(probe: Probe, views: Tensor, loud: Tensor, index: int) -> np.ndarray:
    """What each branch of each stage adds to the log-odds of a class.

    A branch is switched off in all blocks of a stage at once: its output becomes its typical level (`typical_level`),
    so that it says of this sound what it says of any. Of the 2^k ways to switch the k branches of a stage, all are
    computed, and a branch's share is its Shapley value (Shapley, 1953; for networks Lundberg and Lee, 2017): the
    difference that it makes, averaged over all orders in which the branches could be switched on.

    Why so: every number is a difference of answers that the network gave, nothing is linearised, and the shares of a
    stage sum to what switching on all its branches adds. Taking out one branch alone would give none a share of what
    two of them know both. A branch that changes nothing gets 0. Log-odds, since a logit by itself is defined only up
    to a constant that all classes share.

    Two plainer replacements were tried (54 clips of Kitchen20's fold 5, a branch of a stage at a time) and mislead.
    Zeros are what training never saw: without any branch of the last stage the network became surer, by 0.6 to 1.1.
    The mean over the sound itself leaves the last stage as it was (0.1 at most), since that is what the pooling reads.

    Args:
        views: (views, 1, frames, bands), see `Probe.views`.
        loud: (steps,), which of the steps count.
        index: of the class.

    Returns:
        (stages, kernels) float64, in log-odds; (0, 0) of a network without branches. Shares of different stages do not
        add up: a later stage hears what the earlier ones pass on.
    """
    net = probe.net
    if not isinstance(net, AudioInceptionNeXt):
        return np.zeros((0, 0))
    stages, kernels = _stages(net), len(net.config.kernels)
    assert isinstance(probe.model.net, AudioInceptionNeXt)  # the training form, which still has its normalisations
    levels = [[typical_level(branch) for branch in branches] for branches in _branches(probe.model.net)]
    coalitions = [frozenset(k for k in range(kernels) if number >> k & 1) for number in range(2**kernels)]
    answers: dict[tuple[int, frozenset[int]], list[Tensor]] = {}
    for part in views.split(BATCH):
        x = net.stem(net.standardised(part))
        for stage, numbers in enumerate(stages):
            for on in coalitions:
                with _switched_off(net, levels, numbers, set(range(kernels)) - on):
                    logits = probe.logits(net.blocks[numbers[0] :](x))
                answers.setdefault((stage, on), []).append(logits)
            x = net.blocks[numbers[0] : numbers[-1] + 1](x)
    odds = {key: log_odds(torch.cat(logits), loud, index) for key, logits in answers.items()}
    return np.array(
        [shapley_values({on: odds[stage, on] for on in coalitions}, kernels) for stage in range(len(stages))]
    )


def shapley_values(worth: dict[frozenset[int], float], players: int) -> list[float]:
    """Each player's share, from what every set of them is worth (Shapley, 1953).

    ``sum over S without i of |S|! (n - |S| - 1)! / n! (worth(S + i) - worth(S))``; the shares sum to
    ``worth(all) - worth(none)``.
    """
    shares = [0.0] * players
    for some, value in worth.items():
        for player in set(range(players)) - some:
            weight = math.factorial(len(some)) * math.factorial(players - len(some) - 1) / math.factorial(players)
            shares[player] += weight * (worth[some | {player}] - value)
    return shares


def typical_level(branch: Branch) -> Tensor:
    """(1, channels, 1, 1): the mean output of a branch over the training data, by its last normalisation.

    There a channel has mean b and deviation g (its bias and weight); of a normal distribution the mean after ReLU is
    ``b Phi(b / g) + g phi(b / g)``. Over 27 held-out clips of Kitchen20 the mean of a channel is 0.1 from it (root mean
    square over the channels of a branch: 0.07 to 0.17), and clips differ from each other by 0.1 to 0.35.
    """
    normal = torch.distributions.Normal(0.0, 1.0)
    total = torch.zeros(())
    for pair in branch.convs if branch.parallel else list(branch.convs)[-1:]:
        assert isinstance(pair, ConvNorm)
        mean, deviation = pair.norm.bias.detach().double(), pair.norm.weight.detach().double().abs()
        place = mean / deviation.clamp(min=1e-12)
        total = total + mean * normal.cdf(place) + deviation * normal.log_prob(place).exp()
    return total.float()[None, :, None, None]


def spans(probe: Probe) -> np.ndarray:
    """(stages, kernels): seconds from the first to the last place that a kernel of a stage touches at once."""
    net = probe.net
    if not isinstance(net, AudioInceptionNeXt):
        return np.zeros((0, 0))
    frame = probe.model.hop_ms / 1000
    strides = 4 * 2 ** np.arange(len(net.config.depths))  # frames from one place of a stage's map to the next
    return np.outer(strides, np.array(net.config.kernels) - 1) * frame


def _branches(net: AudioInceptionNeXt) -> list[list[Branch]]:
    """Of each block, in the order of the kernels."""
    return [list(block.branches) for block in net.blocks]  # type: ignore[arg-type]


def _stages(net: AudioInceptionNeXt) -> list[list[int]]:
    """The numbers of each stage's blocks."""
    ends = np.cumsum(net.config.depths)
    return [list(range(end - depth, end)) for end, depth in zip(ends.tolist(), net.config.depths, strict=True)]


@contextmanager
def _switched_off(
    net: AudioInceptionNeXt, levels: Sequence[Sequence[Tensor]], numbers: Sequence[int], off: set[int]
) -> Iterator[None]:
    """Within these blocks the branches ``off`` give their typical level."""

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

"""A linear layer to start fine-tuning from: logistic regression on the frozen features of the training clips.

A fresh linear layer sends gradients of no meaning into a pretrained body, and what the body has learnt is lost before
the layer has learnt anything. With this layer, a run starts where a classifier on frozen features ends. How strongly
its weights are held back is decided by cross-validation on the training clips, so its probabilities are calibrated too.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.data import Clip
from audioinceptionnext.data.waveforms import Item, Waveforms, collate
from audioinceptionnext.errors import MediaError, counted
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.network.tasks import log_softmax, softmax, undecided
from audioinceptionnext.training.batch_transform import crop

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03)  # of the mean square of a class's weights for standardised features
FOLDS = 5
ITERATIONS = 40  # of L-BFGS for each penalty, from the solution for the one before
STRETCHES = 12  # at most, of a clip that is longer than a training step takes; a minute with the recipe `linear`
BATCH = 16
MIN_PROBABILITY = 1e-6


class Solution(NamedTuple):
    """A linear layer from features to logits.

    Attributes:
        weight, bias: (classes, channels), (classes,).
        penalty: the one of `PENALTIES` that fits best the clips that were left out.
        loss: the mean cross-entropy of these clips, in nats.
    """

    weight: Tensor
    bias: Tensor
    penalty: float
    loss: float


def start_from_linear_solution(
    model: StoredModel,
    waveforms: Sequence[Waveforms],
    targets: Tensor,
    soft_targets: Tensor | None = None,
    background: Iterable[Stretches] = (),
) -> Solution | None:
    """Set the linear layer of a model to the `solve`d one for the features that the rest of its network gives.

    With fewer than two clips that can be read, the layer stays as it is.

    Args:
        model: its network's ``classifier`` is changed.
        waveforms: the training clips, in one part or several. Those that cannot be read are left out.
        targets: (clips, classes), 1 for the labels of each clip and 0 for the others.
        soft_targets: what to fit in their place, of the same shape; ``targets`` then only choose the penalty.
        background: stretches of sound that belongs to no class, of which every class is to be as probable (of a
            multi-label model, none is).
    """
    found_of = [frozen_features(model, part) for part in waveforms]
    before = itertools.accumulate(map(len, waveforms[:-1]), initial=0)
    features = torch.cat([own for own, _ in found_of])
    clip = torch.cat([own + first for (_, own), first in zip(found_of, before, strict=True)])
    clips = [clip for part in waveforms for clip in part.clips]
    read, number = clip.unique(return_inverse=True)
    if len(read) < 2:
        return None
    folds = fold_numbers([clips[index] for index in read.tolist()])
    truth, wanted = targets[read], (targets if soft_targets is None else soft_targets)[read]
    others, _ = features_of(model, background)
    if len(others):
        even = undecided(targets.shape[1], model.tasks, 0 if model.multi_label else 1).to(targets)
        even = even.expand(len(others), -1)
        features = torch.cat([features, others])
        number = torch.cat([number, len(read) + torch.arange(len(others))])
        folds = np.concatenate([folds, np.arange(len(others)) % FOLDS])
        truth, wanted = torch.cat([truth, even]), torch.cat([wanted, even])
    found = solve(features, number, truth, folds, wanted, model.tasks, multi_label=model.multi_label)
    print(f"fitted a linear layer to {counted(len(read), 'clip')}", file=sys.stderr)
    with torch.no_grad():
        model.net.classifier.weight.copy_(found.weight)
        model.net.classifier.bias.copy_(found.bias)
    return found


class Stretches(NamedTuple):
    """A batch of stretches of clips.

    Attributes:
        log_mel: (batch, 1, frames, bands).
        frames: (batch,), the number of those that are not padding.
        clip: (batch,), the number of each one's clip.
    """

    log_mel: Tensor
    frames: Tensor
    clip: Tensor


def frozen_features(model: StoredModel, waveforms: Waveforms) -> tuple[Tensor, Tensor]:
    """What the linear layer of a model gets of clips: of up to `STRETCHES` stretches of each, as wholes.

    Returns:
        The features (rows, channels) float32, and the number of each row's clip, (rows,).
    """
    return features_of(model, log_mels(model, waveforms))


@torch.no_grad()
def log_mels(model: StoredModel, waveforms: Waveforms) -> Iterator[Stretches]:
    """What the network of a model gets of the stretches of each clip; nothing of clips that cannot be read."""
    front = model.front_end()
    front.exact = False
    items = _stretches(waveforms)
    while stretches := list(itertools.islice(items, BATCH)):
        batch = collate(stretches)
        seconds = max(model.clip_seconds, int(batch.lengths.max() + 1) / model.sample_rate)
        x = crop(front, batch.waveforms, batch.lengths, seconds, random=False)
        yield Stretches(x, batch.lengths // front.hop, batch.indices)


@torch.no_grad()
def features_of(model: StoredModel, stretches: Iterable[Stretches]) -> tuple[Tensor, Tensor]:
    """`frozen_features` of these stretches.

    A network that takes input of any length gives one row for a stretch: the mean over a whole stretch says more of it
    than those over its windows (docs/accuracy.md). Other networks give one row for each window.
    """
    net = model.folded().eval()
    net.classifier = nn.Identity()  # type: ignore[assignment]
    features, clips = [torch.zeros(0, model.net.classifier.in_features)], [torch.zeros(0, dtype=torch.long)]
    for x, frames, clip in stretches:
        if net.convolutional:
            frames = frames.clamp(net.config.clip_frames, x.shape[2])
            for count in frames.unique().tolist():
                features.append(net(x[frames == count, :, :count]))
                clips.append(clip[frames == count])
        else:
            rows = net.pooled_logits(net.features(x))  # (batch, steps, channels)
            steps = net.steps(frames).clamp(max=rows.shape[1])
            features.append(rows[torch.arange(rows.shape[1])[None] < steps[:, None]])
            clips.append(clip.repeat_interleave(steps))
    return torch.cat(features), torch.cat(clips)


def _stretches(waveforms: Waveforms) -> Iterator[Item]:
    """Clips as wholes; of those that are longer than what a training step may use, up to `STRETCHES` in a row."""
    size = waveforms.max_samples
    for index, clip in enumerate(waveforms.clips):
        for number in range(STRETCHES):
            try:
                part = waveforms.part(index, number * (size or 0), size)
            except MediaError:
                break
            if len(part) > (size or 0) / 2 * (number > 0):  # what is left at the end says little
                yield Item(torch.from_numpy(part), clip.label, index, len(part), clip.also)
            if size is None or len(part) < size:
                break


def solve(
    features: Tensor,
    clip: Tensor,
    targets: Tensor,
    folds: np.ndarray,
    wanted: Tensor | None = None,
    tasks: Mapping[str, int] | None = None,
    *,
    multi_label: bool = False,
) -> Solution:
    """Logistic regression on the mean features of clips, as a linear layer.

    The penalty is the one with the lowest `clip_loss` of clips that were left out, fold by fold.

    Args:
        features: (rows, channels), one or several rows of each clip.
        clip: (rows,), the number of each row's clip.
        targets: (clips, classes), 1 for the labels of each clip and 0 for the others.
        folds: (clips,), clips with the same number are left out together. There have to be two numbers at least.
        wanted: (clips, classes), what is fitted; ``targets`` unless given.
        tasks: see `StoredModel`.
        multi_label: whether several labels of a task can be true at a time.

    Returns:
        The linear layer, float32.

    >>> solve(features, torch.arange(len(features)), targets, fold_numbers(clips)).penalty
    1.0
    """
    truth = targets.double()
    fitted = truth if wanted is None else wanted.double()
    count = clip.bincount(minlength=len(truth)).double()[:, None]
    means = torch.zeros(len(truth), features.shape[1], dtype=truth.dtype).index_add_(0, clip, features.double()) / count
    path = partial(_regressions, tasks=tasks or {}, multi_label=multi_label)
    fold = torch.from_numpy(folds)
    losses = [0.0] * len(PENALTIES)
    for number in fold.unique():
        outside = fold == number
        left_out = outside[clip]
        # Fold by fold: the logits of all clips with every penalty take gigabytes with hundreds of labels.
        rows, own = features[left_out].double(), (outside.cumsum(0) - 1)[clip[left_out]]
        share = float(outside.double().mean())
        for place, layer in enumerate(path(means[~outside], fitted[~outside], PENALTIES)):
            logits = nn.functional.linear(rows, *layer)
            losses[place] += share * clip_loss(logits, own, truth[outside], tasks, multi_label=multi_label)
    best = losses.index(min(losses))
    *_, (weight, bias) = path(means, fitted, PENALTIES[: best + 1])
    return Solution(weight.float(), bias.float(), PENALTIES[best], losses[best])


def _regressions(
    x: Tensor, targets: Tensor, penalties: Sequence[float], tasks: Mapping[str, int], multi_label: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Weight (classes, channels) and bias (classes,) of the logistic regressions with these penalties."""
    mean, deviation = x.mean(0), x.std(0, correction=0)
    deviation = deviation.clamp(min=1e-6 * float(deviation.max()) + 1e-12)  # a feature may be constant
    x = (x - mean) / deviation
    weight = torch.zeros(targets.shape[1], x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(targets.shape[1], dtype=x.dtype, requires_grad=True)
    for penalty in penalties:
        optimizer = torch.optim.LBFGS(
            [weight, bias],
            max_iter=ITERATIONS,
            tolerance_grad=1e-5,
            tolerance_change=1e-5,
            line_search_fn="strong_wolfe",
        )

        def objective(penalty: float = penalty, optimizer: torch.optim.Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad()
            logits = nn.functional.linear(x, weight, bias)
            if multi_label:
                fit = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1).mean()
            else:
                fit = -(targets * log_softmax(logits, tasks)).sum(1).mean()
            loss = fit + penalty / 2 * weight.square().mean(1).sum()
            loss.backward()
            return loss

        optimizer.step(objective)
        found = (weight / deviation).detach()
        yield found, (bias - found @ mean).detach()


def clip_loss(
    logits: Tensor, clip: Tensor, targets: Tensor, tasks: Mapping[str, int] | None = None, *, multi_label: bool = False
) -> float:
    """The mean cross-entropy of clips, in nats, whose probabilities are the means over their rows of logits.

    Args:
        logits: (rows, classes).
        clip: (rows,), the number of each row's clip. A clip without rows counts as one with the probability 0.
        targets: (clips, classes), 1 for the labels of each clip and 0 for the others.
        tasks: see `StoredModel`.
        multi_label: whether several labels of a task can be true at a time.
    """
    each = torch.sigmoid(logits) if multi_label else softmax(logits, tasks or {})
    rows = clip.bincount(minlength=len(targets)).clamp(min=1)[:, None]
    mean = torch.zeros_like(targets, dtype=each.dtype).index_add_(0, clip, each) / rows
    cross = targets * mean.clamp(min=MIN_PROBABILITY).log()
    if multi_label:
        cross = cross + (1 - targets) * (1 - mean).clamp(min=MIN_PROBABILITY).log()
    return -float(cross.sum(1).mean())


def fold_numbers(clips: Sequence[Clip], count: int = FOLDS) -> np.ndarray:
    """Divide clips into folds, evenly by label, so that all clips of a source are in one; (clips,) numbers."""
    names = [f"group {clip.group}" if clip.group is not None else f"clip {i}" for i, clip in enumerate(clips)]
    if len(set(names)) == 1:  # of a single source, what can be left out are its clips
        names = [str(i) for i in range(len(clips))]
    number: dict[str, int] = {}
    taken: Counter[tuple[int, int]] = Counter()  # clips by (fold, label)
    size: Counter[int] = Counter()
    sizes = Counter(names)
    for name, clip in sorted(zip(names, clips, strict=True), key=lambda pair: (-sizes[pair[0]], pair[0])):
        if name not in number:
            number[name] = min(range(count), key=lambda f: (taken[f, clip.label], size[f], f))
        taken[number[name], clip.label] += 1
        size[number[name]] += 1
    return np.array([number[name] for name in names])


def folds_of_sources(clips: Sequence[Clip], count: int = FOLDS) -> np.ndarray:
    """`fold_numbers` of clips of at least ``count`` sources; with fewer, all are in one fold.

    A clip without a group is a source of its own.
    """
    sources = {clip.group if clip.group is not None else number for number, clip in enumerate(clips)}
    return fold_numbers(clips, count) if len(sources) >= count else np.zeros(len(clips), int)

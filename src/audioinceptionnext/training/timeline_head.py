"""Teaches the head of the fine timeline, on what the rest of a trained network makes of sounds whose times are known.

The rest stays as it is, and so does what it says of clips. So each sound goes through it once, and only the summaries
that the head takes are kept: the head learns in minutes on a CPU. Letting the last two stages learn too did not help
on scenes of other recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from audioinceptionnext.data.annotated import Segments, step_targets
from audioinceptionnext.network.base import STEP_FRAMES
from audioinceptionnext.network.registry import build_network
from audioinceptionnext.network.staged import StagedNetwork
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.network.tasks import softmax
from audioinceptionnext.network.timeline import FINE_STEP_FRAMES, TimelineHead, highest_of_windows

CHANNELS = 128
CROP_POSITIONS = 25  # of the last stage's map: 10 s at a hop of 12.5 ms
BATCH = 16
RATE, WEIGHT_DECAY, WARMUP = 2e-3, 0.1, 0.1  # of AdamW, on one cycle
TRUST = 0.5  # in what windows say, to start with
DROPOUT = 0.5  # of the summaries and of the last features: with less, the head relies on what it has seen


class Example(NamedTuple):
    """What the head gets of one stretch of sound, and what it is to say.

    Attributes:
        summaries: one of each stage, (2 * channels, positions) float16.
        targets: (steps, classes) float16, the share of each step in which each label sounds.
        highest: (positions, classes) float16, see `timeline.highest_of_windows`; None if the head is not to trust it.
        features: (windows, channels), what the linear layer gets of each window, if they were asked for.
    """

    summaries: tuple[Tensor, ...]
    targets: Tensor
    highest: Tensor | None = None
    features: Tensor | None = None


def add_head(model: StoredModel, channels: int = CHANNELS) -> None:
    """Give the network of a model a fresh head for a fine timeline, in place of one that it may have.

    Raises:
        ParameterError: a network of this kind cannot have one.
    """
    net = build_network(model.net.config.as_dict() | {"timeline_channels": channels})
    kept = {name: value for name, value in model.net.state_dict().items() if not name.startswith("timeline.")}
    net.load_state_dict({**net.state_dict(), **kept})
    model.net = net.eval()


@torch.no_grad()
def examples(
    model: StoredModel,
    sounds: Iterable[tuple[np.ndarray, Segments]],
    windows: bool = False,
    features_every: int | None = None,
) -> Iterator[Example]:
    """What the head gets of sounds, one after the other.

    Args:
        model: its network has a head.
        sounds: a waveform (samples,) at the model's rate each, and what sounds in it, see `annotated.Segments`.
        windows: whether the head gets what the windows say too. That is for a linear layer which did not learn from
            these sounds' labels; otherwise the head would trust it too much.
        features_every: also give the features of the windows that are so many positions apart.
    """
    net, front = model.folded(), model.front_end()
    front.exact = False
    assert isinstance(net, StagedNetwork) and net.timeline is not None
    step = FINE_STEP_FRAMES * front.hop / model.sample_rate
    classifier, net.classifier = net.classifier, nn.Identity()  # type: ignore[assignment]
    for waveform, segments in sounds:
        log_mel = front(torch.from_numpy(waveform)[None])
        frames = log_mel.shape[2] // STEP_FRAMES * STEP_FRAMES  # whole positions of all stages
        maps, found = net.features_and_summaries(log_mel[:, :, :frames])
        highest = features = None
        if windows:
            logits = classifier(net.pooled_logits(maps)) / model.temperature
            probabilities = torch.sigmoid(logits) if model.multi_label else softmax(logits, model.tasks)
            highest = highest_of_windows(probabilities, net.clip_steps)[0].half()
        if features_every is not None:
            features = net.pooled_logits(maps)[0, ::features_every]
        bounds = step * np.arange(frames // FINE_STEP_FRAMES + 1)
        targets = step_targets(segments, bounds, len(model.labels))
        summaries = tuple(x[0, :, :, 0].half() for x in found)
        yield Example(summaries, torch.from_numpy(targets).half(), highest, features)


def teach(
    model: StoredModel,
    seen: Sequence[Example],
    steps: int = 2000,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> None:
    """Teach the head of a model, whose present weights are where it starts.

    The loss is the binary cross-entropy, summed over the labels and averaged over the steps of random crops.

    Args:
        model: its head is changed.
        seen: what it learns from; each at least one crop long.
        steps: of the optimiser.
        seed: of crops and dropout.
        progress: called with the number of steps taken, and the mean loss of the latest ones.
    """
    net = model.net
    assert isinstance(net, StagedNetwork) and net.timeline is not None
    if seen[0].highest is None:
        nn.init.zeros_(net.timeline.trust)
    elif not net.timeline.trust.any():
        nn.init.constant_(net.timeline.trust, TRUST)
    head, rng = net.timeline.train().requires_grad_(True), np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=WARMUP)
    mean = 0.0
    for step in range(1, steps + 1):
        summaries, highest, targets = _crops(seen, rng)
        logits = _forward(head, summaries, highest)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        mean += (loss.item() - mean) / min(step, 50)
        if progress is not None:
            progress(step, mean)
    head.eval()


def _forward(head: TimelineHead, summaries: Sequence[Tensor], highest: Tensor | None) -> Tensor:
    """Logits of the head, with dropout of what it gets and of its last features."""
    dropped = [nn.functional.dropout(x, DROPOUT) for x in summaries]
    hook = head.classifier.register_forward_pre_hook(lambda _, x: nn.functional.dropout(x[0], DROPOUT))
    try:
        logits: Tensor = head(dropped, highest)
    finally:
        hook.remove()
    return logits


def _crops(seen: Sequence[Example], rng: np.random.Generator) -> tuple[list[Tensor], Tensor | None, Tensor]:
    """A batch: summaries (batch, 2 * channels, positions, 1) of each stage, what windows say (batch, positions,
    classes), and targets (batch, steps, classes)."""
    parts: list[tuple[Tensor, ...]] = []
    for index in rng.integers(len(seen), size=BATCH):
        one = seen[index]
        whole = one.summaries[-1].shape[1]
        length = min(CROP_POSITIONS, whole)
        first = int(rng.integers(whole - length + 1))
        ratio = STEP_FRAMES // FINE_STEP_FRAMES
        cut = []
        for summary in (*one.summaries, *([] if one.highest is None else [one.highest.T]), one.targets.T):
            times = round(summary.shape[1] / whole)
            cut.append(summary[:, first * times : (first + length) * times].float())
        parts.append(tuple(cut))
        assert cut[-1].shape[1] == length * ratio
    *summaries, targets = (torch.stack(column) for column in zip(*parts, strict=True))
    highest = summaries.pop().transpose(1, 2) if seen[0].highest is not None else None
    return [x[..., None] for x in summaries], highest, targets.transpose(1, 2)

"""A run that teaches the head of a fine timeline (``targets: timeline``), and leaves the rest of a network as it is.

The head learns in minutes on a CPU (see `timeline_head`), in one process and without checkpoints. How its probabilities
become segments is decided on sounds that a first head has not learnt from; then a second one learns from all.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch import nn

from audioinceptionnext.data.annotated import Segments, until
from audioinceptionnext.errors import ParameterError, counted, writing
from audioinceptionnext.evaluation.timeline_settings import Predicted, choose_segmentation
from audioinceptionnext.evaluation.timelines import merged
from audioinceptionnext.network.base import STEP_FRAMES
from audioinceptionnext.network.registry import build_network
from audioinceptionnext.network.staged import StagedNetwork
from audioinceptionnext.network.storage import StoredModel, save_model
from audioinceptionnext.network.timeline import FINE_STEP_FRAMES
from audioinceptionnext.results.types import Segment
from audioinceptionnext.training.hardware import Hardware, keep_memory
from audioinceptionnext.training.initial_model import FRONT_END, open_weights
from audioinceptionnext.training.linear_start import FOLDS, solve
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_folder import MODEL, RUN, check_out, holding, is_run, remove_run
from audioinceptionnext.training.run_record import Run, check_same, write_description
from audioinceptionnext.training.timeline_head import CROP_POSITIONS, Example, examples, teach
from audioinceptionnext.training.timeline_sounds import sounds_of

LEAST_STEPS, STEPS_PER_MINUTE = 300, 20  # of the optimiser
FEW_STEPS = 600  # with so few, it takes little time to let all folds decide on thresholds, each in its turn
MOST_WINDOWS = 4000  # to which a linear layer is fitted
MOST_CHOICES = 240  # sounds of a minute or less that decide on thresholds
LINE_SECONDS = 20.0  # from one line on the progress to the next
# What has to be left as it is: the network and its front end stay those of the initial weights.
KEPT = (*FRONT_END, "network_settings", "statistics", "crops", "teacher", "eval_clips")


def check_settings(recipe: Recipe, initial_weights: str | None, hardware: Hardware) -> None:
    """Check that settings go with targets of the timeline.

    Raises:
        ParameterError: they do not.
    """
    plain = Recipe()
    if recipe.epochs:
        reason = "the head of a timeline learns for timeline_steps, not epochs; set epochs=0"
        raise ParameterError("epochs", recipe.epochs, reason)
    for name in KEPT:
        if (value := getattr(recipe, name)) != getattr(plain, name):
            reason = "targets of the timeline keep the network and its front end as they are; leave it out"
            raise ParameterError(name, value, reason)
    for name in ("devices", "nodes", "wandb", "implementation"):
        if (value := getattr(hardware, name)) != getattr(Hardware(), name):
            reason = "the head of a timeline learns in one process on the CPU, without logs; leave it out"
            raise ParameterError(name, value, reason)
    if initial_weights is None:
        reason = "targets of the timeline keep what trained weights have learnt; give the weights to start from"
        raise ParameterError("initial_weights", None, reason)


def initial_model(run: Run) -> tuple[StoredModel, bool]:
    """The model that a run starts from: the initial weights, with a head. And whether its linear layer is fresh.

    With the labels of the initial weights, in any order, all but the head stays as it is. With others, the model is
    multi-label, and its linear layer is fresh. A head that the weights have is kept if it has the recipe's channels,
    without its last layer where the labels are others.

    Raises:
        ParameterError: the network cannot have a fine timeline.
        AinextError: the weights cannot be read.
    """
    assert run.initial_weights is not None
    start, recipe = open_weights(run.initial_weights), run.recipe
    channels = start.net.config.as_dict().get("timeline_channels")
    if start.tasks or start.mode != "dense" or channels is None:
        what = "its labels are of several tasks" if start.tasks else "it predicts clip by clip"
        what = what if start.tasks or start.mode != "dense" else "a network of its kind cannot have a fine timeline"
        reason = f"{what}; give weights that `ainext train` made with the networks base, small or tiny"
        raise ParameterError("initial_weights", run.initial_weights, reason)
    same = set(run.dataset.labels) == set(start.labels)
    labels = start.labels if same else run.dataset.labels
    changes = {"num_classes": len(labels), "timeline_channels": recipe.timeline_channels}
    net = build_network(start.net.config.as_dict() | changes)
    fresh = () if same else ("classifier.", "timeline.classifier.", "timeline.trust")
    if channels != recipe.timeline_channels:
        fresh = (*fresh, "timeline.")
    kept = {name: value for name, value in start.net.state_dict().items() if not name.startswith(fresh)}
    net.load_state_dict(net.state_dict() | kept)
    before = start.info.get("recipes", [])
    info = {"recipes": [*before, recipe.as_dict()], "data": run.dataset.name, "clips": len(run.training)}
    own = start if same else StoredModel(net, labels, multi_label=True)  # what belongs to the labels and their layer
    return replace(
        start,
        net=net.eval(),
        labels=labels,
        multi_label=own.multi_label,
        temperature=own.temperature,
        thresholds=own.thresholds,
        identifiers=own.identifiers,
        groups=own.groups,
        segmentation={},
        timeline_support=own.timeline_support,
        info=info | (run.details or {}),
    ), not same


@dataclass
class Gathered:
    """What the network makes of the sounds of a run.

    Attributes:
        examples: one for each sound.
        truth: the segments of each, whose class indices are those of the model.
        folds: (sounds,), see `Sound`.
    """

    examples: list[Example]
    truth: list[Segments]
    folds: np.ndarray

    def part(self, inside: np.ndarray) -> list[Example]:
        """The examples of these sounds, (sounds,) bool."""
        return [one for one, chosen in zip(self.examples, inside, strict=True) if chosen]


def train_timeline(run: Run, hardware: Hardware, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Teach the head of a fine timeline, and save the model. A run that is resumed begins anew unless it is complete.

    Args:
        run: its recipe has targets of the timeline.
        hardware, resume, overwrite: as for `fit.train`.

    Raises:
        ParameterError, FileError, AinextError: as `fit.train`.
    """
    if run.dataset.tasks:
        raise ParameterError("targets", "timeline", "labels in several tasks go with targets of clips only")
    description = run.describe(hardware.processes)
    complete = resume and is_run(run.out) and (run.out / MODEL).is_file()
    if resume and is_run(run.out):
        check_same(json.loads((run.out / RUN).read_text(encoding="utf-8")), description, run.out / RUN)
    if complete:
        return run.out / MODEL
    keep_memory()
    if hardware.threads is not None:
        torch.set_num_threads(hardware.threads)
    torch.manual_seed(run.recipe.seed)
    model, fresh = initial_model(run)
    with contextlib.ExitStack() as stack:
        stack.enter_context(holding(run.out))
        check_out(run.out, resume=resume, overwrite=overwrite)  # another run may have come and gone
        if overwrite:
            remove_run(run.out)
        write_description(run, description)
        _learn(run, model, fresh, hardware)
        with writing(run.out / MODEL):
            save_model(model, run.out / MODEL)
    return run.out / MODEL


def _learn(run: Run, model: StoredModel, fresh: bool, hardware: Hardware) -> None:
    """Teach the head of a model, fit its linear layer if that is fresh, and choose how the timeline is segmented."""
    recipe, net = run.recipe, model.net
    assert isinstance(net, StagedNetwork) and net.timeline is not None
    gathered = _gather(run, model, hardware, windows=fresh)
    if fresh:
        _fit_linear_layer(model, gathered)
    start = copy.deepcopy(net.timeline.state_dict())
    step = FINE_STEP_FRAMES * model.hop_ms / 1000
    minutes = sum(len(one.targets) for one in gathered.examples) * step / 60
    steps = min(recipe.timeline_steps, max(LEAST_STEPS, round(STEPS_PER_MINUTE * minutes)))
    what = f"{minutes:.1f} minutes of sound, in {counted(steps, 'step')}"
    print(f"the head of the timeline learns from {what}", file=sys.stderr, flush=True)
    predicted: list[Predicted] = []
    folds = sorted(set(gathered.folds.tolist())) if gathered.folds.any() else []
    for fold in folds if steps <= FEW_STEPS else folds[:1]:
        outside = gathered.folds == fold
        teach(model, gathered.part(~outside), steps, recipe.seed, _Progress("to choose thresholds", steps))
        truth = itertools.compress(gathered.truth, outside)
        predicted += _predicted(model, gathered.part(outside), list(truth))[:MOST_CHOICES]
        net.timeline.load_state_dict(start)
    if predicted:
        model.segmentation = choose_segmentation(predicted, step, model.labels)
    teach(model, gathered.examples, steps, recipe.seed, _Progress("on all sounds", steps))


def _gather(run: Run, model: StoredModel, hardware: Hardware, *, windows: bool) -> Gathered:
    """What the network makes of the sounds of a run, with features of windows or without them."""
    front, number = model.front_end(), [model.labels.index(label) for label in run.dataset.labels]
    least = max(CROP_POSITIONS * STEP_FRAMES, 3 * model.net.config.clip_frames) * front.hop
    gathered = Gathered([], [], np.zeros(0, int))
    folds: list[int] = []

    def noted() -> Iterator[tuple[np.ndarray, Segments]]:
        for sound in sounds_of(run, model.sample_rate, least, hardware):
            own = sound.segments.copy()
            own[:, 2] = np.array(number)[own[:, 2].astype(int)]
            folds.append(sound.fold)
            gathered.truth.append(own)
            yield sound.waveform, own

    gathered.examples += examples(model, noted(), features_every=_stride(model) if windows else None)
    gathered.folds = np.array(folds)
    return gathered


def _stride(model: StoredModel) -> int:
    """Steps of 32 frames from one window that the linear layer is fitted to, to the next: about one half."""
    return max(1, model.net.clip_steps // 2)


def _fit_linear_layer(model: StoredModel, gathered: Gathered) -> None:
    """Set the linear layer to the logistic regression on the features of windows.

    A label is true of a window as far as it sounds there for a second, or all the time in a shorter window.
    """
    ratio, step = STEP_FRAMES // FINE_STEP_FRAMES, FINE_STEP_FRAMES * model.hop_ms / 1000
    enough, targets = min(1.0, model.net.config.clip_frames * model.hop_ms / 1000), []
    windows = [one.features for one in gathered.examples if one.features is not None]
    for example, own in zip(gathered.examples, windows, strict=True):
        seconds = nn.functional.pad(example.targets.float().cumsum(0) * step, (0, 0, 1, 0))
        first = torch.arange(len(own)) * _stride(model) * ratio
        last = (first + model.net.config.clip_frames // FINE_STEP_FRAMES).clamp(max=len(seconds) - 1)
        targets.append(((seconds[last] - seconds[first]) / enough).clamp(max=1))
    features, wanted = torch.cat(windows), torch.cat(targets)
    folds = np.repeat(gathered.folds, [len(own) for own in windows])
    if len(set(folds.tolist())) < 2:
        folds = np.arange(len(folds)) * FOLDS // len(folds)
    some = slice(None, None, -(-len(features) // MOST_WINDOWS))
    count = len(features[some])
    found = solve(features[some], torch.arange(count), wanted[some], folds[some], multi_label=True)
    with torch.no_grad():
        model.net.classifier.weight.copy_(found.weight)
        model.net.classifier.bias.copy_(found.bias)
    print(f"fitted a linear layer to {counted(count, 'window')}", file=sys.stderr)


@torch.no_grad()
def _predicted(model: StoredModel, some: Sequence[Example], truth: Sequence[Segments]) -> list[Predicted]:
    """What the head makes of some sounds, beside what sounds in them."""
    net = model.net
    assert isinstance(net, StagedNetwork) and net.timeline is not None
    found = []
    for example, segments in zip(some, truth, strict=True):
        logits = net.timeline([summary.float()[None, :, :, None] for summary in example.summaries])[0]
        rows = until(segments.copy(), len(logits) * FINE_STEP_FRAMES * model.hop_ms / 1000)
        true = merged([Segment(start, end, model.labels[int(label)], 1.0) for start, end, label in rows])
        found.append(Predicted(torch.sigmoid(logits).numpy(), true))
    return found


class _Progress:
    """Prints how far the head is, now and then."""

    def __init__(self, what: str, steps: int) -> None:
        self.what, self.steps = what, steps
        self._start = self._printed = time.monotonic()

    def __call__(self, step: int, loss: float) -> None:
        now = time.monotonic()
        if step == self.steps or now - self._printed >= LINE_SECONDS:
            self._printed = now
            left = timedelta(seconds=round((now - self._start) / step * (self.steps - step)))
            print(f"{self.what}: step {step}/{self.steps}, loss {loss:.4g}, {left} left", file=sys.stderr, flush=True)

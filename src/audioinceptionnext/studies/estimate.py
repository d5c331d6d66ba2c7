"""How long a study will take: a training step of each variant is timed, and multiplied by the steps that are left."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from audioinceptionnext.benchmark.process import Process, RowFailed
from audioinceptionnext.benchmark.worker import Channel
from audioinceptionnext.data.waveforms import Batch
from audioinceptionnext.errors import AinextError
from audioinceptionnext.studies.plan import Unit
from audioinceptionnext.studies.worker import is_done
from audioinceptionnext.training import implementations
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.module import DTYPES, SoundClassifier
from audioinceptionnext.training.recipe import Recipe

TIMED_STEPS = 3  # for each length of crop, after one step to warm up
OVERHEAD_S = 25.0  # per run: starting, decoding, exporting, predicting the held-out clips


def estimate_seconds(units: Sequence[Unit], cores: Sequence[int], log: Callable[[str], None]) -> dict[Path, float]:
    """Estimate the seconds of each run that is not done, by its folder. A run that was begun counts in full.

    Args:
        units: see `Plan.units`.
        cores: the CPU cores that a run may use.
        log: called with a line of progress.

    Raises:
        AinextError: a network cannot be built or trained. Better now than after hours of training the others.
    """
    seconds: dict[Path, float] = {}
    per_step: dict[tuple[str, str], float] = {}
    with contextlib.closing(Process(serve, (len(cores),), cores)) as process:
        for unit in [unit for unit in units if not is_done(unit)]:
            dataset = unit.data.open()
            key = (unit.variant, unit.data.name)
            if key not in per_step:
                log(f"timing a step of {unit.variant}")
                try:
                    per_step[key] = process.request((unit.recipe.as_dict(), tuple(dataset.labels)))
                except RowFailed as error:
                    raise AinextError(f"{unit.variant}: {error}") from None
            clips = len(unit.data.split(dataset, unit.fold)[0])
            steps = math.ceil(clips / unit.recipe.batch_size) * unit.recipe.epochs
            seconds[unit.folder] = per_step[key] * steps + OVERHEAD_S
    return seconds


def serve(channel: Channel, threads: int) -> None:
    """Time training steps in its own process: each request, a recipe and labels, gets the seconds of a step."""
    torch.set_num_threads(threads)
    while (request := channel.receive()) is not None:
        recipe, labels = request
        channel.send(_seconds_per_step(Recipe.from_dict(recipe), labels))


def _seconds_per_step(recipe: Recipe, labels: tuple[str, ...]) -> float:
    """The mean over steps with crops of all lengths."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    model = build_initial_model(labels, recipe, None)
    implementation = implementations.usual(model.net.to(device), DTYPES[recipe.precision], device)
    module = SoundClassifier(model, recipe, 1, implementation=implementation).to(device).train()
    longest = round(max((model.clip_seconds, *recipe.crops)) * model.sample_rate)
    waveforms = torch.randn(recipe.batch_size, longest, device=device) * 0.1
    numbers = torch.arange(recipe.batch_size, device=device)
    lengths = torch.full_like(numbers, longest)
    batch = Batch(waveforms, lengths, numbers % len(labels), numbers, [], lengths)
    optimizer = torch.optim.AdamW(module.parameters())
    steps = TIMED_STEPS * max(1, len(recipe.crops))
    start = 0.0
    for step in range(-1, steps):  # the first one warms up
        if step == 0:
            _wait(device)
            start = time.perf_counter()
        optimizer.zero_grad()
        loss = module.training_step(batch, step + 1)
        assert loss is not None
        loss.backward()
        optimizer.step()
    _wait(device)
    return (time.perf_counter() - start) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()

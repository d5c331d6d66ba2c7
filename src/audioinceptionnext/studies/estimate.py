"""How long a study will take: a step of each variant, timed here, times the steps that are left."""

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
from audioinceptionnext.training.initial_model import begin
from audioinceptionnext.training.module import DTYPES, SoundClassifier
from audioinceptionnext.training.recipe import Recipe

STEPS = 3  # timed, after one that is not, of each length of crop
BESIDES = 25.0  # seconds a run: start, decoding, export, hearing the held-out clips


def seconds(units: Sequence[Unit], cores: Sequence[int], tell: Callable[[str], None]) -> dict[Path, float]:
    """Of each run that is not done, by its folder. What a run has done already counts as not done.

    Raises:
        AinextError: a network that cannot be built or trained, before hours go into the others.
    """
    found: dict[Path, float] = {}
    a_step: dict[tuple[str, str], float] = {}
    with contextlib.closing(Process(serve, (len(cores),), cores)) as process:
        for unit in [unit for unit in units if not is_done(unit)]:
            dataset = unit.source.open()
            key = (unit.variant, unit.source.name)
            if key not in a_step:
                tell(f"timing a step of {unit.variant}")
                try:
                    a_step[key] = process.ask((unit.recipe.as_dict(), tuple(dataset.labels)))
                except RowFailed as error:
                    raise AinextError(f"{unit.variant}: {str(error).removeprefix('AinextError: ')}") from None
            clips = len(unit.source.training(dataset, unit.fold)[0])
            steps = math.ceil(clips / unit.recipe.batch) * unit.recipe.epochs
            found[unit.folder] = a_step[key] * steps + BESIDES
    return found


def serve(channel: Channel, threads: int) -> None:
    """In a process of its own: given recipes and labels, says the mean seconds of a step of each."""
    torch.set_num_threads(threads)
    while (question := channel.receive()) is not None:
        recipe, labels = question
        channel.send(_seconds_a_step(Recipe.from_dict(recipe), labels))


def _seconds_a_step(recipe: Recipe, labels: tuple[str, ...]) -> float:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    model = begin(labels, recipe, None)
    form = implementations.usual(model.net.to(device), DTYPES[recipe.precision], device)
    module = SoundClassifier(model, recipe, 1, form=form).to(device).train()
    longest = round(max((model.clip_seconds, *recipe.crops)) * model.sample_rate)
    waveforms = torch.randn(recipe.batch, longest, device=device) * 0.1
    numbers = torch.arange(recipe.batch, device=device)
    batch = Batch(waveforms, torch.full_like(numbers, longest), numbers % len(labels), numbers, [])
    optimizer = torch.optim.AdamW(module.parameters())
    steps = STEPS * max(1, len(recipe.crops))
    begun = 0.0
    for step in range(-1, steps):  # the first one warms up
        if step == 0:
            _wait(device)
            begun = time.perf_counter()
        optimizer.zero_grad()
        loss = module.training_step(batch, step + 1)
        assert loss is not None
        loss.backward()
        optimizer.step()
    _wait(device)
    return (time.perf_counter() - begun) / steps


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()

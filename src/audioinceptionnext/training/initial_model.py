"""The network that a run begins with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from audioinceptionnext.data.waveforms import Item, Waveforms
from audioinceptionnext.errors import AinextError
from audioinceptionnext.models.names import find_model
from audioinceptionnext.network import NetworkConfig, create_model
from audioinceptionnext.network.frontend import BANDS, LogMel
from audioinceptionnext.network.pcen import TIME_CONSTANT
from audioinceptionnext.network.published import describe, load_published
from audioinceptionnext.network.storage import StoredModel, load_model
from audioinceptionnext.training.recipe import Recipe

FRONT_END: dict[str, Any] = {
    "sample_rate": 24_000,
    "window_ms": 10.0,
    "hop_ms": 5.0,
    "clip_seconds": 2.08,
    "bands": BANDS,
}


def begin(labels: tuple[str, ...], recipe: Recipe, start: str | None = None) -> StoredModel:
    """A fresh network, or that of ``start`` (see `open_weights`) with a fresh linear layer if its classes are others.

    Front end and clip are those that the recipe states, else those of the weights; the weights' input statistics stay.

    Raises:
        AinextError: an unknown network, weights that cannot be read or that cannot take the recipe's clip.
    """
    before = open_weights(start) if start is not None else None
    stated = {name: value for name in FRONT_END if (value := getattr(recipe, name)) is not None}
    front = (FRONT_END if before is None else _front_end_of(before)) | stated
    bands = front.pop("bands")  # the network's, which `StoredModel` asks
    try:
        log_mel = LogMel(front["sample_rate"], front["window_ms"], front["hop_ms"], bands)
    except ValueError as error:
        raise AinextError(f"the recipe's front end: {error}") from error
    frames = log_mel.frames(round(front["sample_rate"] * front["clip_seconds"]) - 1)
    if before is not None and recipe.network:
        raise AinextError(f"--from {start}: brings its own network; leave out the recipe's setting network")
    try:
        if before is None:
            changes = {"clip_frames": frames, "bands": bands, "dropout": recipe.dropout} | recipe.network
            if changes.get("scaling") == "pcen":
                changes.setdefault("time_constant", 1000 * TIME_CONSTANT / front["hop_ms"])
            net = create_model(recipe.model, len(labels), **changes)
        else:
            net = _adapt(before, labels, frames, front["hop_ms"], bands, recipe.dropout)
    except (ValueError, TypeError) as error:
        raise AinextError(f"model {recipe.model}: {error}") from error
    crops = recipe.crops or (front["clip_seconds"],)
    longer = max(crops) > front["clip_seconds"] * 1.01 and not recipe.views
    recipes = before.info.get("recipes", []) if before is not None else []
    info = {"recipes": [*recipes, recipe.as_dict()]}
    return StoredModel(net, labels, **front, run="dense" if longer and net.convolutional else "windows", info=info)


def open_weights(name: str) -> StoredModel:
    """Weights in training form: a shipped model's by name, a ``.safetensors`` file, a published ``.pyth``.

    Raises:
        AinextError: nothing of that name, or a file that holds no such weights.
    """
    if name.endswith((".pyth", ".pt", ".pth")):
        return describe(load_published(name))
    if name.endswith(".safetensors") or Path(name).is_file():
        return load_model(name)
    entry = find_model(name)
    if not entry.training_weights.is_file():
        raise AinextError(f"{name}: its weights in training form are not installed; give a .safetensors file")
    return load_model(entry.training_weights)


def _front_end_of(model: StoredModel) -> dict[str, Any]:
    """Its settings of `FRONT_END`."""
    return {name: getattr(model.net.config if name == "bands" else model, name) for name in FRONT_END}


def _adapt(before: StoredModel, labels: tuple[str, ...], frames: int, hop_ms: float, bands: int, dropout: float) -> Any:
    """The network of ``before`` for these classes and a clip of so many frames and bands."""
    net = before.net
    config = replace(net.config, num_classes=len(labels), clip_frames=frames, bands=bands, dropout=dropout)
    if isinstance(config, NetworkConfig) and config.scaling == "pcen":  # as many seconds as before
        config = replace(config, time_constant=config.time_constant * before.hop_ms / hop_ms)
    fresh = type(net)(config)
    kept = before.labels == labels
    weights = {k: v for k, v in net.state_dict().items() if kept or not k.startswith("classifier.")}
    own = fresh.state_dict()
    wrong = [k for k, v in weights.items() if k not in own or own[k].shape != v.shape]
    if wrong:
        raise AinextError(f"these weights do not fit a clip of {frames} frames and {bands} bands ({wrong[0]})")
    fresh.load_state_dict(own | weights)
    return fresh


def standardise(model: StoredModel, heard: Waveforms, most: int = 400) -> None:
    """Sets the network's input statistics from the training clips, evenly chosen."""
    front = model.front_end()
    step = max(1, math.ceil(len(heard) / most))
    count, total, square = 0, 0.0, 0.0
    for index in range(0, len(heard), step):
        item = heard[index]
        if isinstance(item, Item) and len(item.waveform):
            values = model.net.scale(front(item.waveform[None])).double()
            count += values.numel()
            total += float(values.sum())
            square += float(values.square().sum())
    if count:
        mean = total / count
        model.net.mean.copy_(torch.tensor(mean))
        model.net.std.copy_(torch.tensor(math.sqrt(max(square / count - mean * mean, 1e-6))))

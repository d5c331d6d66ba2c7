"""The network that a run starts from."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from audioinceptionnext.data.waveforms import Item, Waveforms
from audioinceptionnext.errors import ModelError, ParameterError
from audioinceptionnext.models.names import find_model, list_models
from audioinceptionnext.network import NetworkConfig, create_model
from audioinceptionnext.network.base import STEP_FRAMES
from audioinceptionnext.network.baselines import BASELINES
from audioinceptionnext.network.frontend import BANDS, N_FFT, LogMel
from audioinceptionnext.network.pcen import TIME_CONSTANT
from audioinceptionnext.network.published import open_published
from audioinceptionnext.network.staged import StagedConfig
from audioinceptionnext.network.storage import Mode, StoredModel, load_model
from audioinceptionnext.rendering.scene_epochs import SceneEpochs
from audioinceptionnext.training.recipe import Recipe

FRONT_END: dict[str, Any] = {
    "sample_rate": 24_000,
    "window_ms": 10.0,
    "hop_ms": 5.0,
    "clip_seconds": 2.08,
    "bands": BANDS,
    "remove_dc": False,
    "n_fft": N_FFT,
}


def build_initial_model(
    labels: tuple[str, ...],
    recipe: Recipe,
    initial_weights: str | None = None,
    tasks: Mapping[str, int] | None = None,
    multi_label: bool = False,
) -> StoredModel:
    """Build the network of a recipe, with fresh or with trained weights.

    The front end and the clip are those of the recipe; what it leaves open comes from the initial weights, which also
    keep their input statistics, or else from `FRONT_END`.

    Args:
        labels: one per class.
        recipe: names the network and its settings.
        initial_weights: see `open_weights`. The linear layer is fresh unless their labels and tasks are the same, both
            models predict clips or both steps, and both or neither are multi-label.
        tasks, multi_label: see `StoredModel`. With targets of steps, it is multi-label in any case.

    Raises:
        ParameterError: there is no such network or setting, the front end is impossible, the weights do not fit, or the
            length of a clip is left to weights of which it is one step.
        AinextError: the weights cannot be read.
    """
    pretrained = open_weights(initial_weights) if initial_weights is not None else None
    stated = {name: value for name in FRONT_END if (value := getattr(recipe, name)) is not None}
    front = (FRONT_END if pretrained is None else _front_end_of(pretrained)) | stated
    by_step, kept = recipe.targets == "steps", False
    if by_step:  # a clip is a single step
        front["clip_seconds"] = STEP_FRAMES * front["hop_ms"] / 1000
    elif pretrained is not None and recipe.clip_seconds is None and pretrained.frame_wise:
        reason = f"a clip of these weights is one step of {pretrained.clip_seconds:g} s; give the length of your clips"
        raise ParameterError("clip_seconds", None, reason)
    bands = front.pop("bands")  # `StoredModel` takes them from the network
    log_mel = LogMel(front["sample_rate"], front["window_ms"], front["hop_ms"], bands, n_fft=front["n_fft"])
    frames = log_mel.frames(round(front["sample_rate"] * front["clip_seconds"]) - 1)
    if pretrained is None and (recipe.freeze_bn or recipe.freeze_statistics):
        setting = "freeze_bn" if recipe.freeze_bn else "freeze_statistics"
        reason = f"{setting} keeps the normalisations of trained weights; give the weights to start from"
        raise ParameterError("initial_weights", None, reason)
    if pretrained is None and recipe.fine_tunes:
        what = "the recipe fine-tunes trained weights, but none are given, so the network starts from scratch"
        warnings.warn(f"{what}; name the weights to start from", stacklevel=2)
    if pretrained is not None and recipe.network_settings:
        reason = "these weights come with their own network; leave out the recipe's network_settings"
        raise ParameterError("initial_weights", initial_weights, reason)
    if pretrained is not None:
        _check_architecture(recipe, pretrained)
    if pretrained is None:
        changes = {"clip_frames": frames, "bands": bands, "dropout": recipe.dropout} | recipe.network_settings
        if changes.get("scaling") == "pcen":
            changes.setdefault("time_constant", 1000 * TIME_CONSTANT / front["hop_ms"])
        try:
            net = create_model(recipe.network, len(labels), **changes)
        except ParameterError:
            raise
        except (TypeError, ValueError) as error:  # a value of another type, or one that torch refuses
            raise ParameterError("network_settings", recipe.network_settings, str(error)) from error
    else:
        before = (pretrained.labels, pretrained.tasks, pretrained.multi_label, pretrained.frame_wise)
        kept = before == (labels, dict(tasks or {}), multi_label or by_step, by_step)
        net = _adapt(pretrained, len(labels), kept, frames, front["hop_ms"], bands, recipe.dropout)
        if net is None:
            reason = f"these weights do not fit a clip of {frames} frames and {bands} bands"
            raise ParameterError("initial_weights", initial_weights, reason)
    if recipe.statistics is not None and not kept:
        net = _with_statistics(net, recipe.statistics)
    crops = recipe.crops or (front["clip_seconds"],)
    longer = max(crops) > front["clip_seconds"] * 1.01 and not recipe.eval_clips
    recipes = pretrained.info.get("recipes", []) if pretrained is not None else []
    info = {"recipes": [*recipes, recipe.as_dict()]}
    mode: Mode = "dense" if (longer or by_step) and net.convolutional else "windows"
    tasks = dict(tasks or {})
    return StoredModel(net, labels, **front, mode=mode, info=info, multi_label=multi_label or by_step, tasks=tasks)


def _check_architecture(recipe: Recipe, pretrained: StoredModel) -> None:
    """Refuse weights of another architecture than the recipe names. (Its default, small, says nothing.)"""
    named = {"base": "", **{name: name for name in ("rep", *BASELINES)}}.get(recipe.network)
    found = pretrained.net.config.architecture
    if named is not None and named != found:
        reason = f"the initial weights are of the network {found or 'base'}; give a recipe or a network that fits them"
        raise ParameterError("network", recipe.network, reason)


def open_weights(name: str) -> StoredModel:
    """Load weights in their training form.

    Args:
        name: a shipped model's name, a ``.safetensors`` file, or a published ``.pyth`` checkpoint.

    Raises:
        ModelError: there is no such model, or it is shipped without weights in training form.
        AinextError: the file holds no such weights.

    >>> open_weights("kitchen20").sample_rate
    24000
    """
    if name.endswith((".pyth", ".pt", ".pth")):
        try:
            return open_published(name)
        except ParameterError as error:  # it does not say what it is; the commands that take weights do not ask
            raise ModelError(name, f"{error.reason}, to `ainext convert`, which writes a .safetensors file") from None
    if name.endswith(".safetensors") or (Path(name).is_file() and name not in list_models()):
        return load_model(name)
    entry = find_model(name)
    if not entry.training_weights.is_file():
        raise ModelError(name, "its weights in training form are not installed; give a .safetensors file")
    return load_model(entry.training_weights)


def _front_end_of(model: StoredModel) -> dict[str, Any]:
    """The settings of `FRONT_END` that a model has."""
    return {name: getattr(model.net.config if name == "bands" else model, name) for name in FRONT_END}


def _adapt(
    pretrained: StoredModel, classes: int, kept: bool, frames: int, hop_ms: float, bands: int, dropout: float
) -> Any:
    """The network of ``pretrained`` for these classes, frames and bands, with or without its linear layer.

    Without a head for the fine timeline, which fits the body that it was taught on, and no other. None if its weights
    do not fit.
    """
    net = pretrained.net
    config = replace(net.config, num_classes=classes, clip_frames=frames, bands=bands, dropout=dropout)
    if isinstance(config, NetworkConfig) and config.scaling == "pcen":  # the same time constant in seconds
        config = replace(config, time_constant=config.time_constant * pretrained.hop_ms / hop_ms)
    if isinstance(config, StagedConfig) and config.timeline_channels:
        config = replace(config, timeline_channels=0)
    fresh = type(net)(config)
    left_out = ("timeline.",) if kept else ("timeline.", "classifier.")
    weights = {k: v for k, v in net.state_dict().items() if not k.startswith(left_out)}
    own = fresh.state_dict()
    if any(k not in own or own[k].shape != v.shape for k, v in weights.items()):
        return None
    fresh.load_state_dict(own | weights)
    return fresh


def _with_statistics(net: Any, blocks: tuple[int, ...]) -> Any:
    """A network with the same body, and a new linear layer that gets the statistics of these blocks."""
    if "statistics" not in {field.name for field in fields(net.config)}:
        return net
    last = sum(net.config.depths) - 1
    fresh = type(net)(replace(net.config, statistics=tuple(number for number in blocks if number < last)))
    body = {key: value for key, value in net.state_dict().items() if not key.startswith("classifier.")}
    fresh.load_state_dict(fresh.state_dict() | body)
    return fresh


def standardise(model: StoredModel, waveforms: Waveforms | SceneEpochs, max_clips: int = 400) -> None:
    """Set the network's input statistics from the training clips, or from evenly spaced ones of them.

    Args:
        model: its network's ``mean`` and ``std`` are set.
        waveforms: the training clips, or the scenes that are composed of them.
        max_clips: about how many of them to use at most.
    """
    front = model.front_end()
    stride = max(1, math.ceil(len(waveforms) / max_clips))
    count, total, square = 0, 0.0, 0.0
    for index in range(0, len(waveforms), stride):
        item = waveforms[index]
        if isinstance(item, Item) and len(item.waveform):
            values = model.net.scale(front(item.waveform[None])).double()
            count += values.numel()
            total += float(values.sum())
            square += float(values.square().sum())
    if count:
        mean = total / count
        model.net.mean.copy_(torch.tensor(mean))
        model.net.std.copy_(torch.tensor(math.sqrt(max(square / count - mean * mean, 1e-6))))

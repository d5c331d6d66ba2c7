"""Loads the checkpoints that the paper's authors published: translates their names of weights into ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audioinceptionnext.errors import ModelError, ParameterError
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS
from audioinceptionnext.network.model import AudioInceptionNeXt, NetworkConfig
from audioinceptionnext.network.registry import create_model
from audioinceptionnext.network.storage import StoredModel

# The two published settings differ in their number of classes (the paper trains on VGG-Sound, then on EPIC-SOUNDS).
EPIC_SOUNDS_CLASSES, VGG_SOUND_CLASSES = 44, 309
CLIP_FRAMES_BY_CLASSES = {EPIC_SOUNDS_CLASSES: 416, VGG_SOUND_CLASSES: 512}
FRONT_ENDS: dict[int, dict[str, Any]] = {
    EPIC_SOUNDS_CLASSES: {"sample_rate": 24_000, "window_ms": 10, "hop_ms": 5, "clip_seconds": 2.08},
    VGG_SOUND_CLASSES: {"sample_rate": 16_000, "window_ms": 20, "hop_ms": 10, "clip_seconds": 5.119},
}
BRANCHES = ("_small", "_medium", "")  # their names of kernels 3, 11, 21
UNITS = {  # our names and theirs
    "shortcut": "branch1",
    "head": "branch2.a_head",
    "mixer.expand": "branch2.c",
    "mixer.squeeze": "branch2.d",
}


def load_published(path: str | Path) -> AudioInceptionNeXt:
    """Load the network of a published ``.pyth`` checkpoint, in evaluation mode.

    The file is read with ``weights_only``, so that nothing in it is executed.

    Raises:
        ModelError: there is no such file, or it is not a checkpoint of this network. The message says which
            weights differ.

    >>> load_published("checkpoint_best.pyth").config.num_classes
    44
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(path, "no such file; check the name")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        reason = f"not a checkpoint that torch.load can read with weights_only ({reason[:120]})"
        raise ModelError(path, reason) from error
    state = checkpoint.get("model_state", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(path, "has no weights under 'model_state'; give a checkpoint of the published system")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    head = state.get("head.projection.weight")
    if head is None:
        raise ModelError(path, "has no 'head.projection.weight'; give a checkpoint of the published system")
    classes = head.shape[0]
    net = create_model("base", classes, clip_frames=CLIP_FRAMES_BY_CLASSES.get(classes, NetworkConfig.clip_frames))
    ours = {ours: state.pop(theirs) for ours, theirs in published_names(net).items() if theirs in state}
    ours |= {"mean": torch.zeros(()), "std": torch.ones(())}  # published networks do not standardise the log-mel
    expected = net.state_dict()
    missing = sorted(expected.keys() - ours.keys())
    wrong = sorted(k for k in ours if k in expected and ours[k].shape != expected[k].shape)
    if missing or wrong or state:
        found = ", ".join(([f"{len(missing)} missing, e.g. {missing[0]}"] if missing else [])
                          + ([f"{len(wrong)} of another shape, e.g. {wrong[0]}"] if wrong else [])
                          + ([f"{len(state)} unknown, e.g. {next(iter(state))}"] if state else []))  # fmt: skip
        raise ModelError(path, f"not the published AudioInceptionNeXt: {found}")
    net.load_state_dict(ours)
    return net.eval()


def published_model(net: AudioInceptionNeXt, labels: Sequence[str] | None = None) -> StoredModel:
    """A published network with its front end and labels, in the mode ``windows``, as it was trained.

    Args:
        net: from `load_published`.
        labels: one name per class. Those of EPIC-SOUNDS are known; the classes of other networks are numbered unless
            labels are given.

    Raises:
        ParameterError: the number of labels is not the number of classes.
    """
    classes = net.config.num_classes
    if labels is None:
        known = classes == EPIC_SOUNDS_CLASSES
        labels = EPIC_SOUNDS_LABELS if known else [f"class {number}" for number in range(classes)]
    if len(labels) != classes:
        reason = f"{len(labels)} labels for {classes} classes; name each class once, in their order"
        raise ParameterError("labels", None, reason)
    data = {EPIC_SOUNDS_CLASSES: "epic-sounds", VGG_SOUND_CLASSES: "vggsound"}.get(classes, "unknown")
    info = {"data": data, "source": "published AudioInceptionNeXt checkpoint (arXiv 2307.07265)"}
    front_end = FRONT_ENDS.get(classes, FRONT_ENDS[EPIC_SOUNDS_CLASSES])
    return StoredModel(net, tuple(labels), **front_end, mode="windows", info=info)


def published_names(net: AudioInceptionNeXt) -> dict[str, str]:
    """Our name of each weight and buffer of a base network, mapped to the published name."""
    stages = enumerate(net.config.depths, start=2)
    places = [f"s{stage}.pathway0_res{index}" for stage, depth in stages for index in range(depth)]
    names = {}
    for key in net.state_dict():
        if key in ("mean", "std"):
            continue
        if key.startswith("classifier."):
            names[key] = key.replace("classifier", "head.projection")
        elif key.startswith("stem."):
            names[key] = _unit(key, "stem.conv", "s1.pathway0_stem.conv", "s1.pathway0_stem.bn")
        else:
            names[key] = _block_name(key, places)
    return names


def _unit(key: str, ours: str, conv: str, norm: str) -> str:
    return key.replace(f"{ours}.conv.", f"{conv}.").replace(f"{ours}.norm.", f"{norm}.")


def _block_name(key: str, places: list[str]) -> str:
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", key)
    assert match is not None, key
    place, rest = places[int(match[1])], match[2]
    if branch := re.fullmatch(r"branches\.(\d)\.convs\.(\d)\.(conv|norm)\.(.+)", rest):
        letter, size = "ab"[int(branch[2])], BRANCHES[int(branch[1])]
        middle = f"{letter}{size}" if branch[3] == "conv" else f"{letter}_bn{size}"
        return f"{place}.branch2.{middle}.{branch[4]}"
    unit, part, leaf = rest.rsplit(".", 2)
    return f"{place}.{UNITS[unit]}{'' if part == 'conv' else '_bn'}.{leaf}"

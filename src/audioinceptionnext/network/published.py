"""Loads the checkpoints that the paper's authors published: translates their names of weights into ours.

The paper's network and its successor have the same names and shapes, and compute different functions. Only the file's
``cfg``, the text of its configuration, says which of the two it is.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from audioinceptionnext.errors import ModelError, ParameterError, counted, kind_of_file, printable
from audioinceptionnext.network.folding import merge
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS, VERBS_AND_NOUNS
from audioinceptionnext.network.published_settings import Setting, find_setting
from audioinceptionnext.network.registry import create_model
from audioinceptionnext.network.rep import RepBlock
from audioinceptionnext.network.staged import StagedNetwork
from audioinceptionnext.network.storage import StoredModel

ARCHITECTURES = {"base": "AudioInceptionNeXt", "rep": "AudioRepInceptionNeXt"}  # our names and theirs
PAPERS = {"base": "arXiv 2307.07265", "rep": "arXiv 2404.13551"}
BRANCHES = ("_small", "_medium", "")  # their names of kernels 3, 11, 21
LETTERS = {"time": "a", "frequency": "b"}
UNITS = {  # our names and theirs
    "shortcut": "branch1",
    "head": "branch2.a_head",
    "mixer.expand": "branch2.c",
    "mixer.squeeze": "branch2.d",
}
MERGED = re.compile(r".+\.branch2\.[ab]_reparam\.(weight|bias)")
ROUNDING = 1e-4  # by which merged kernels may differ from those of the branches, relative to the largest weight


@dataclass(frozen=True)
class Checkpoint:
    """What a published file holds.

    Attributes:
        path: of the file.
        weights: by their published names. Heads of verbs and nouns are joined to one.
        cfg: the configuration; None if the file has none. It may be empty.
        tasks: as in `StoredModel`.
    """

    path: Path
    weights: dict[str, Tensor]
    cfg: dict[str, Any] | None
    tasks: dict[str, int]

    @property
    def merged(self) -> bool:
        """Whether it has the merged kernels but not the branches, as the published network for inference."""
        branches = any(key.endswith(".branch2.a.weight") for key in self.weights)
        return not branches and any(map(MERGED.fullmatch, self.weights))

    def setting(self, data: str | None) -> Setting:
        """Its front end, and what else is known of it; see `find_setting`."""
        classes = len(self.weights["head.projection.bias"])
        try:
            return replace(find_setting(classes, self.cfg, data), tasks=self.tasks)
        except ModelError as error:
            raise ModelError(self.path, error.reason) from None
        except ParameterError as error:
            raise ParameterError(error.name, error.value, f"{printable(self.path)}: {error.reason}") from None

    def architecture(self, given: str | None) -> str:
        """The network that it is of, ``base`` or ``rep``.

        Args:
            given: what the caller says. It has to be given if the file has no configuration.

        Raises:
            ParameterError: the caller has to say it, or says otherwise than the file.
            ModelError: it is of another network.
        """
        if given is not None and given not in ARCHITECTURES:
            raise ParameterError("architecture", given, f"choose from {', '.join(ARCHITECTURES)}")
        model = (self.cfg or {}).get("MODEL")
        name = model.get("MODEL_NAME") if isinstance(model, dict) else None
        if name is None and any(map(MERGED.fullmatch, self.weights)):
            name = ARCHITECTURES["rep"]  # the paper's network has nothing to merge
        stated = next((ours for ours, theirs in ARCHITECTURES.items() if theirs == name), None)
        if name is not None and stated is None:
            reason = f"it is of the network {name}; only {' and '.join(ARCHITECTURES.values())} can be loaded"
            raise ModelError(self.path, reason)
        if given is not None and stated not in (None, given):
            reason = f"the file {printable(self.path)} is of {name}, which is called {stated} here"
            raise ParameterError("architecture", given, reason)
        if given or stated:
            return given or str(stated)
        if self.cfg is None:
            choices = " or ".join(f"{ours} ({theirs})" for ours, theirs in ARCHITECTURES.items())
            reason = (
                f"the file {printable(self.path)} does not say of which network it is, and its weights have the names "
                f"of both; say {choices}"
            )
            raise ParameterError("architecture", None, reason)
        text = (
            f"{printable(self.path)}: its cfg does not name its network, so it is taken as base "
            f"({ARCHITECTURES['base']}); if it is of the successor, state the architecture rep"
        )
        warnings.warn(text, stacklevel=4)
        return "base"


def load_published(path: str | Path, architecture: str | None = None, data: str | None = None) -> StagedNetwork:
    """Load the network of a published ``.pyth`` checkpoint, in evaluation mode.

    The file is read with ``weights_only``, so that nothing in it is executed. Files of the paper's network, of its
    successor, and of its successor after merging are told apart by what they hold. A merged file still has the branches
    from which it was merged, and these are loaded. A file of their network for inference has none; its network has
    `RepConfig.merged` kernels.

    Args:
        path: of the file.
        architecture: ``base`` or ``rep``: the network that it is of. It has to be given if the file has no ``cfg``. If
            it has one that names no network, it is taken as ``base``, with a warning.
        data: name of the data set that it was trained on. It has to be given if neither its ``cfg`` nor the number of
            its classes says which front end it has.

    Raises:
        ModelError: there is no such file, or it is not a checkpoint of these networks. The message says which weights
            differ.
        ParameterError: what has to be given is not, or it contradicts the file.

    >>> load_published("checkpoint_best.pyth").config.num_classes
    44
    """
    checkpoint = read_checkpoint(path)
    return _network(checkpoint, architecture, checkpoint.setting(data))


def open_published(
    path: str | Path,
    architecture: str | None = None,
    data: str | None = None,
    labels: Sequence[str] | None = None,
) -> StoredModel:
    """A published ``.pyth`` checkpoint with its front end and labels: `load_published` and `published_model` in one.

    The front end is what its ``cfg`` states, or else that of the data set with its number of classes.
    """
    checkpoint = read_checkpoint(path)
    setting = checkpoint.setting(data)
    return published_model(_network(checkpoint, architecture, setting), labels, setting)


def published_model(
    net: StagedNetwork, labels: Sequence[str] | None = None, setting: Setting | None = None
) -> StoredModel:
    """A published network with its front end and labels, in the mode ``windows``, as it was trained.

    Args:
        net: from `load_published`.
        labels: one name per class. Those of EPIC-SOUNDS are known; the classes of other networks are numbered unless
            labels are given.
        setting: its front end and what else is known of it. That of the data set with its number of classes unless
            given.

    Raises:
        ParameterError: the number of labels is not the number of classes, or that number does not tell the setting.
    """
    classes = net.config.num_classes
    setting = setting or find_setting(classes)
    if labels is None:
        labels = EPIC_SOUNDS_LABELS if setting.data == "epic-sounds" else _numbered(setting.tasks or {"class": classes})
    if len(labels) != classes:
        reason = f"{len(labels)} labels for {classes} classes; name each class once, in their order"
        raise ParameterError("labels", None, reason)
    name = net.config.architecture or "base"
    info: dict[str, Any] = {
        "data": setting.data,
        "source": f"published {ARCHITECTURES[name]} checkpoint ({PAPERS[name]})",
    }
    if setting.eval_clips is not None:
        info["eval_clips"] = setting.eval_clips
    return StoredModel(net, tuple(labels), **setting.front_end(), mode="windows", info=info, tasks=dict(setting.tasks))


def _numbered(parts: dict[str, int]) -> list[str]:
    return [f"{part} {number}" for part, size in parts.items() for number in range(size)]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a published file. Raises `ModelError` if it is none."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(path, "no such file; check the name")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if (kind := kind_of_file(path)) in ("a torch file", "a pickle"):
            reason = "is damaged, or holds more than weights, which is not read; get the published file again"
        else:
            reason = f"is {kind}, not a published checkpoint (.pyth)"
        raise ModelError(path, reason) from error
    if kind_of_file(path) == "a .safetensors file":  # newer versions of torch read it too
        raise ModelError(path, "is a .safetensors file already, not a published checkpoint (.pyth)")
    state = content.get("model_state", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(path, "has no weights under 'model_state'; give a checkpoint of the published system")
    weights = {key.removeprefix("module."): value for key, value in state.items()}
    tasks = {}
    if all(f"head.projection_{task}.{leaf}" in weights for task in VERBS_AND_NOUNS for leaf in ("weight", "bias")):
        tasks = {task: len(weights[f"head.projection_{task}.bias"]) for task in VERBS_AND_NOUNS}
        for leaf in ("weight", "bias"):
            heads = [weights.pop(f"head.projection_{task}.{leaf}") for task in VERBS_AND_NOUNS]
            weights[f"head.projection.{leaf}"] = torch.cat(heads)
    if not all(f"head.projection.{leaf}" in weights for leaf in ("weight", "bias")):
        raise ModelError(path, "has no 'head.projection.weight'; give a checkpoint of the published system")
    return Checkpoint(path, weights, _cfg(content) if content is not state else None, tasks)


def _cfg(content: dict[str, Any]) -> dict[str, Any] | None:
    """The configuration of a checkpoint, a YAML text; None if there is none."""
    cfg = content.get("cfg")
    if isinstance(cfg, str):
        try:
            cfg = yaml.safe_load(cfg)
        except yaml.YAMLError:
            cfg = {}
    return cfg if isinstance(cfg, dict) else None if cfg is None else {}


def _network(checkpoint: Checkpoint, architecture: str | None, setting: Setting) -> StagedNetwork:
    """The network of a checkpoint, in evaluation mode."""
    name = checkpoint.architecture(architecture)
    merged = {"merged": True} if name == "rep" and checkpoint.merged else {}
    state = dict(checkpoint.weights)
    classes = len(state["head.projection.bias"])
    net = create_model(name, classes, clip_frames=setting.clip_frames, **merged)
    assert isinstance(net, StagedNetwork)
    ours = {ours: state.pop(theirs) for ours, theirs in published_names(net).items() if theirs in state}
    ours |= {"mean": torch.zeros(()), "std": torch.ones(())}  # published networks do not standardise the log-mel
    kernels = {key: state.pop(key) for key in list(state) if name == "rep" and MERGED.fullmatch(key)}
    expected = net.state_dict()
    missing = sorted(expected.keys() - ours.keys())
    wrong = sorted(k for k in ours if k in expected and ours[k].shape != expected[k].shape)
    if missing or wrong or state:
        found = ", ".join(([f"{len(missing)} missing, e.g. {missing[0]}"] if missing else [])
                          + ([f"{len(wrong)} of another shape, e.g. {wrong[0]}"] if wrong else [])
                          + ([f"{len(state)} unknown, e.g. {next(iter(state))}"] if state else []))  # fmt: skip
        raise ModelError(checkpoint.path, f"not the published {ARCHITECTURES[name]}: {found}")
    net.load_state_dict(ours)
    if kernels and (different := _different(net, kernels)):
        differ = f"{counted(different, 'merged tensor')} {'differs' if different == 1 else 'differ'}"
        text = f"{printable(checkpoint.path)}: {differ} from the branches"
        warnings.warn(f"{text}, which are used", stacklevel=3)
    return net.eval()


def _different(net: StagedNetwork, kernels: dict[str, Tensor]) -> int:
    """The number of merged tensors, by their published names, that are not those of the network's branches."""
    different = 0
    for place, block in zip(_places(net), net.blocks, strict=True):
        assert isinstance(block, RepBlock)
        for axis, letter in LETTERS.items():
            merged = merge(getattr(block, axis), identity=False)
            for leaf, own in merged.state_dict().items():
                kept = kernels.pop(f"{place}.branch2.{letter}_reparam.{leaf}", own)
                same = kept.shape == own.shape and (kept - own).abs().max() <= ROUNDING * own.abs().max()
                different += not same
    return different + len(kernels)


def published_names(net: StagedNetwork) -> dict[str, str]:
    """Our name of each weight and buffer of a published network, mapped to the published name."""
    places = _places(net)
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


def _places(net: StagedNetwork) -> list[str]:
    """The published name of each block."""
    stages = enumerate(net.config.depths, start=2)
    return [f"s{stage}.pathway0_res{index}" for stage, depth in stages for index in range(depth)]


def _unit(key: str, ours: str, conv: str, norm: str) -> str:
    return key.replace(f"{ours}.conv.", f"{conv}.").replace(f"{ours}.norm.", f"{norm}.")


def _block_name(key: str, places: list[str]) -> str:
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", key)
    assert match is not None, key
    place, rest = places[int(match[1])], match[2]
    if branch := re.fullmatch(r"branches\.(\d)\.convs\.(\d)\.(conv|norm)\.(.+)", rest):
        return _kernel_name(place, "ab"[int(branch[2])], *branch.group(1, 3, 4))
    if kernel := re.fullmatch(r"(time|frequency)\.convs\.(\d)\.(conv|norm)\.(.+)", rest):
        return _kernel_name(place, LETTERS[kernel[1]], *kernel.group(2, 3, 4))
    if merged := re.fullmatch(r"(time|frequency)\.convs\.0\.(.+)", rest):
        return f"{place}.branch2.{LETTERS[merged[1]]}_reparam.{merged[2]}"
    unit, part, leaf = rest.rsplit(".", 2)
    return f"{place}.{UNITS[unit]}{'' if part == 'conv' else '_bn'}.{leaf}"


def _kernel_name(place: str, letter: str, index: str, part: str, leaf: str) -> str:
    size = BRANCHES[int(index)]
    return f"{place}.branch2.{letter}{size if part == 'conv' else f'_bn{size}'}.{leaf}"

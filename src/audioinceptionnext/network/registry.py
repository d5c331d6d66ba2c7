"""Creates networks by name; ``create_model("base", num_classes=44)`` is the paper's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

from audioinceptionnext.errors import ParameterError, suggest
from audioinceptionnext.network.base import BaseConfig, Network
from audioinceptionnext.network.baselines import BASELINES
from audioinceptionnext.network.model import AudioInceptionNeXt, NetworkConfig
from audioinceptionnext.network.rep import AudioRepInceptionNeXt, RepConfig
from audioinceptionnext.network.transformer import load_transformer

# The variants of the paper's network, and how they differ from it.
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "small": {"widths": (32, 64, 128, 256)},  # half the width: a quarter of the weights
    "tiny": {"widths": (16, 32, 64, 128)},
}
# The other networks by their names: the configuration and the class of each.
OTHERS: dict[str, tuple[type[BaseConfig], Callable[[Any], Network]]] = {
    **BASELINES,
    "rep": (RepConfig, AudioRepInceptionNeXt),
}


@overload
def create_model(
    network: Literal["base", "small", "tiny"] = "base", num_classes: int = 44, **settings: Any
) -> AudioInceptionNeXt: ...


@overload
def create_model(network: Literal["rep"], num_classes: int = 44, **settings: Any) -> AudioRepInceptionNeXt: ...


@overload
def create_model(network: str, num_classes: int = 44, **settings: Any) -> Network: ...


def create_model(network: str = "base", num_classes: int = 44, **settings: Any) -> Network:
    """Create a freshly initialised network in its training form.

    Args:
        network: ``base`` (the paper's), ``small``, ``tiny``, or another name in `VARIANTS`; ``rep``, its successor; or
            a baseline: ``cnn``, ``mobilenet``, ``ast``, or ``ast:FOLDER`` with the weights that ``transformers`` saved
            in a folder.
        num_classes: number of classes.
        settings: fields of the network's configuration, such as `NetworkConfig`.

    Raises:
        ParameterError: the network or a setting is unknown (the nearest known name is suggested), or a setting is out
            of range.
        ModelError, FileError: the folder holds no such network.

    >>> create_model("small", num_classes=20, kernels=(11,)).config.widths
    (32, 64, 128, 256)
    """
    if network.startswith("ast:"):
        return load_transformer(network.removeprefix("ast:"), num_classes, settings)
    if network in OTHERS:
        return build_network({"architecture": network, "num_classes": num_classes} | settings)
    if network not in VARIANTS:
        reason = f"there is no such network; {suggest(network, (*VARIANTS, *OTHERS))}"
        raise ParameterError("network", network, reason)
    config = NetworkConfig.from_dict({"num_classes": num_classes} | VARIANTS[network] | settings)
    return AudioInceptionNeXt(config)


def name_of(config: BaseConfig) -> str:
    """What a network with this configuration is called, such as ``tiny``; its widths if it is no named variant.

    >>> name_of(create_model("tiny", num_classes=20).config)
    'tiny'
    """
    if config.architecture:
        return config.architecture
    assert isinstance(config, NetworkConfig)
    for name, changes in VARIANTS.items():
        if config.widths == changes.get("widths", NetworkConfig.widths):
            return name
    return f"AudioInceptionNeXt with widths {', '.join(map(str, config.widths))}"


def build_network(config: dict[str, Any]) -> Network:
    """Create a freshly initialised network from its configuration as `BaseConfig.as_dict` wrote it.

    Raises:
        ParameterError: the architecture or a setting is unknown, or a setting is out of range.
    """
    architecture = config.get("architecture", NetworkConfig.architecture)
    if architecture == NetworkConfig.architecture:
        return AudioInceptionNeXt(NetworkConfig.from_dict(config))
    if architecture not in OTHERS:
        raise ParameterError("architecture", architecture, f"this version has only {', '.join(OTHERS)}")
    kind, network = OTHERS[architecture]
    return network(kind.from_dict(config))

"""Networks by name: ``create_model("base", num_classes=44)`` is the paper's."""

from __future__ import annotations

from typing import Any, Literal, overload

from audioinceptionnext.errors import suggest
from audioinceptionnext.network import baselines
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.baselines import BASELINES
from audioinceptionnext.network.model import AudioInceptionNeXt, NetworkConfig

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "small": {"widths": (32, 64, 128, 256)},  # half the width: a quarter of the weights
    "tiny": {"widths": (16, 32, 64, 128)},
}


@overload
def create_model(
    variant: Literal["base", "small", "tiny"] = "base", num_classes: int = 44, **changes: Any
) -> AudioInceptionNeXt: ...


@overload
def create_model(variant: str, num_classes: int = 44, **changes: Any) -> Network: ...


def create_model(variant: str = "base", num_classes: int = 44, **changes: Any) -> Network:
    """A network in its training form, freshly initialised.

    Args:
        variant: a name in `VARIANTS` (``base`` is the paper's) or of a baseline: ``cnn``, ``ast``, ``ast:FOLDER``,
            ``mobilenet``.
        changes: any field of the network's configuration (`NetworkConfig`), e.g. ``kernels=(11,)``.

    Raises:
        ValueError: an unknown variant or setting, with the nearest known name.
        AinextError: a folder that holds no such network.
    """
    if variant in BASELINES or variant.startswith("ast:"):
        return baselines.create(variant, num_classes, changes)
    if variant not in VARIANTS:
        hint = suggest(repr(variant), map(repr, (*VARIANTS, *BASELINES)))
        raise ValueError(f"unknown variant {variant!r}; {hint}")
    config = NetworkConfig.from_dict({"num_classes": num_classes} | VARIANTS[variant] | changes)
    return AudioInceptionNeXt(config)


def build(values: dict[str, Any]) -> Network:
    """The network, freshly initialised, that a configuration's `as_dict` describes.

    Raises:
        ValueError: an unknown architecture or setting.
    """
    if "architecture" in values:
        return baselines.build_baseline(values)
    return AudioInceptionNeXt(NetworkConfig.from_dict(values))

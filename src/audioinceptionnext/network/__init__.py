"""Networks, the front end and the inference form. Everything but `labels` needs torch (extra: train or export).

from audioinceptionnext.network import create_model, fold, load_published, LogMel

net = create_model("base", num_classes=44)           # the paper's network in its training form
net = create_model("rep", num_classes=44)            # that of its successor
net = load_published("checkpoint_best.pyth")         # the authors' weights, of either
fast = fold(net)                                     # the same outputs, a quarter of the parameters
logits = fast(LogMel(sample_rate=24_000)(waveform))  # (batch, samples) to (batch, 44)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audioinceptionnext.network.base import count_macs as count_macs
    from audioinceptionnext.network.base import count_parameters as count_parameters
    from audioinceptionnext.network.folding import fold as fold
    from audioinceptionnext.network.frontend import LogMel as LogMel
    from audioinceptionnext.network.model import AudioInceptionNeXt as AudioInceptionNeXt
    from audioinceptionnext.network.model import NetworkConfig as NetworkConfig
    from audioinceptionnext.network.published import load_published as load_published
    from audioinceptionnext.network.registry import VARIANTS as VARIANTS
    from audioinceptionnext.network.registry import create_model as create_model
    from audioinceptionnext.network.rep import AudioRepInceptionNeXt as AudioRepInceptionNeXt
    from audioinceptionnext.network.rep import RepConfig as RepConfig

# Each name is imported when it is first used, so that `labels` can be imported without torch.
_MODULES = {
    "AudioInceptionNeXt": "model",
    "AudioRepInceptionNeXt": "rep",
    "LogMel": "frontend",
    "NetworkConfig": "model",
    "RepConfig": "rep",
    "VARIANTS": "registry",
    "count_macs": "base",
    "count_parameters": "base",
    "create_model": "registry",
    "fold": "folding",
    "load_published": "published",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)

"""The network, its front end and its inference form. Needs torch: extra ``[train]`` or ``[export]``."""

from audioinceptionnext.network.base import count_macs, count_parameters
from audioinceptionnext.network.folding import fold
from audioinceptionnext.network.frontend import LogMel
from audioinceptionnext.network.model import AudioInceptionNeXt, NetworkConfig
from audioinceptionnext.network.published import load_published
from audioinceptionnext.network.registry import VARIANTS, create_model

__all__ = [
    "VARIANTS",
    "AudioInceptionNeXt",
    "LogMel",
    "NetworkConfig",
    "count_macs",
    "count_parameters",
    "create_model",
    "fold",
    "load_published",
]

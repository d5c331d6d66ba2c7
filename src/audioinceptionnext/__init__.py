"""AudioInceptionNeXt: any recording in, a timeline of sounds out.

    import audioinceptionnext as ain
    heard = ain.load("kitchen20").predict("dinner.mp4")

Names are imported when they are first used, so that ``import audioinceptionnext`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audioinceptionnext.errors import AinextError
    from audioinceptionnext.inference.recogniser import Recogniser
    from audioinceptionnext.inference.stream import Answer, Stream
    from audioinceptionnext.models.load import load
    from audioinceptionnext.models.names import list_models
    from audioinceptionnext.models.publish import push_to_hub
    from audioinceptionnext.results.recognition import Recognition
    from audioinceptionnext.results.segmentation import TimelineSettings
    from audioinceptionnext.results.types import Score, Segment

_HOMES = {
    "AinextError": "errors",
    "Answer": "inference.stream",
    "Recogniser": "inference.recogniser",
    "Recognition": "results.recognition",
    "Score": "results.types",
    "Segment": "results.types",
    "Stream": "inference.stream",
    "TimelineSettings": "results.segmentation",
    "list_models": "models.names",
    "load": "models.load",
    "push_to_hub": "models.publish",
}

__all__ = [
    "AinextError",
    "Answer",
    "Recogniser",
    "Recognition",
    "Score",
    "Segment",
    "Stream",
    "TimelineSettings",
    "__version__",
    "list_models",
    "load",
    "push_to_hub",
]

try:
    __version__ = version("audioinceptionnext")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

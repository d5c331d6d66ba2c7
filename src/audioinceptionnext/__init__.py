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
    from audioinceptionnext.hub import push_to_hub
    from audioinceptionnext.live import Answer, Stream
    from audioinceptionnext.recogniser import Recogniser, load
    from audioinceptionnext.results.recognition import Recognition
    from audioinceptionnext.results.segmentation import TimelineSettings
    from audioinceptionnext.results.types import Score, Segment

_HOMES = {
    "AinextError": "errors",
    "Answer": "live",
    "Recogniser": "recogniser",
    "Recognition": "recognition",
    "Score": "recognition",
    "Segment": "recognition",
    "Stream": "live",
    "TimelineSettings": "timeline",
    "load": "recogniser",
    "push_to_hub": "hub",
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

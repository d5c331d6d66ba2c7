"""AudioInceptionNeXt: any recording in, a timeline of sounds out.

    import audioinceptionnext as ain

    model = ain.load()                           # or a name: ain.list_models() lists them
    result = model.predict("dinner.mp4")         # or a waveform: a NumPy array at model.sample_rate
    for segment in result.segments:
        print(segment.start, segment.end, segment.label, segment.score)

Recognise
    load, list_models        load a model by name or file; list the names
    list_languages           the languages that labels have names in
    Recogniser               a loaded model: predict, embed, embed_steps
    Recognition              what predict returns: segments, clip, probabilities; to_csv, to_dataframe, plot
    Segment, Score           the parts of a result
    SegmentationSettings     how probabilities become segments
    Stream, Step, Event      live sound
    teach, Taught            a model of your own sounds from a few examples of each
    push_to_hub              upload a model to the Hugging Face hub
    AinextError              base class of all errors that a user can fix

Train and export (extras: train, export)
    audioinceptionnext.network, .data, .training, .evaluation, .export, .explain
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from audioinceptionnext.errors import AinextError as AinextError
    from audioinceptionnext.inference.events import Event as Event
    from audioinceptionnext.inference.recogniser import Recogniser as Recogniser
    from audioinceptionnext.inference.stream import Step as Step
    from audioinceptionnext.inference.stream import Stream as Stream
    from audioinceptionnext.models.load import load as load
    from audioinceptionnext.models.names import list_models as list_models
    from audioinceptionnext.models.publish import push_to_hub as push_to_hub
    from audioinceptionnext.results.languages import list_languages as list_languages
    from audioinceptionnext.results.recognition import Recognition as Recognition
    from audioinceptionnext.results.settings import SegmentationSettings as SegmentationSettings
    from audioinceptionnext.results.types import Score as Score
    from audioinceptionnext.results.types import Segment as Segment
    from audioinceptionnext.teaching.teach import Taught as Taught
    from audioinceptionnext.teaching.teach import teach as teach

# Each name is imported when it is first used, so that `import audioinceptionnext` costs nothing.
_MODULES = {
    "AinextError": "errors",
    "Event": "inference.events",
    "Recogniser": "inference.recogniser",
    "Recognition": "results.recognition",
    "Score": "results.types",
    "Segment": "results.types",
    "SegmentationSettings": "results.settings",
    "Step": "inference.stream",
    "Stream": "inference.stream",
    "Taught": "teaching.teach",
    "list_languages": "results.languages",
    "list_models": "models.names",
    "load": "models.load",
    "push_to_hub": "models.publish",
    "teach": "teaching.teach",
}

try:
    __version__ = version("audioinceptionnext")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*_MODULES, "__version__"])

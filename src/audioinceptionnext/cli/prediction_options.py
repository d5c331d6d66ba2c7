"""Options that the commands which recognise sounds share, and what they become."""

from __future__ import annotations

import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from audioinceptionnext.inference.recogniser import Recogniser
    from audioinceptionnext.results.settings import SegmentationSettings

_SEGMENTS = "Segments"
_LABELS = "Labels"


class BackendName(StrEnum):
    auto = "auto"
    onnxruntime = "onnxruntime"
    openvino = "openvino"
    cuda = "cuda"


ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE",
        help="Use this model: a shipped name, an .onnx file, or user/name on the Hugging Face hub.",
    ),
]
Backend = Annotated[
    BackendName,
    typer.Option(
        "--backend", metavar="NAME", help=f"Choose the backend that runs the network: {', '.join(BackendName)}."
    ),
]
_STEP = "Set the time from one prediction to the next."
StepSeconds = Annotated[float | None, typer.Option("--hop", metavar="SECONDS", help=_STEP, show_default="the model's")]
Lookahead = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Wait for this much sound after each prediction's window: more comes later and is closer to what predict "
        "gives.",
        show_default="3.2 for everyday",
    ),
]
TopK = Annotated[
    int, typer.Option("--top-k", "-k", metavar="N", min=1, help="Give this many labels for the recording as a whole.")
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--labels",
        metavar="NAMES",
        help="Look for these labels only: names, patterns such as 'Smoke detector*' and groups such as group:Animal, "
        "separated by commas.",
        show_default="all",
        rich_help_panel=_LABELS,
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="NAMES",
        help="Leave these labels out, named in the same way.",
        show_default="none",
        rich_help_panel=_LABELS,
    ),
]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        metavar="CODE",
        help="Name the labels in this language for people: de, en, es, fr, ja, pt or zh, or one that the model has a "
        "table of. JSON and tables keep the labels, and have the names too.",
        show_default="labels as they are",
        rich_help_panel=_LABELS,
    ),
]
OnsetThreshold = Annotated[
    list[str] | None,
    typer.Option(
        "--onset-threshold",
        "--threshold",
        "-t",
        metavar="P|LABEL=P|FILE",
        help="Set the probability that a segment must reach at least once, for all labels or for some, as in "
        "Speech=0.9 or 'group:Animal=0.7'. May be repeated. A file such as thresholds.txt has one of these on each "
        "line.",
        show_default="the model's, or 0.5",
        rich_help_panel=_SEGMENTS,
    ),
]
OffsetThreshold = Annotated[
    float | None,
    typer.Option(
        "--offset-threshold",
        metavar="P",
        help="End a segment when its probability falls below this. If the model has its own onset thresholds, this "
        "applies to 0.5 and scales with them.",
        show_default="the model's share of the onset threshold, or 0.6 of it",
        rich_help_panel=_SEGMENTS,
    ),
]
Smoothing = Annotated[
    float | None,
    typer.Option(
        "--smoothing",
        metavar="SECONDS",
        help="Average the probabilities over this length of time.",
        show_default="the model's, or 0.32",
        rich_help_panel=_SEGMENTS,
    ),
]
MinDuration = Annotated[
    float | None,
    typer.Option(
        "--min-duration",
        metavar="SECONDS",
        help="Drop segments that are shorter than this.",
        show_default="the model's, or 0.3",
        rich_help_panel=_SEGMENTS,
    ),
]
MergeGap = Annotated[
    float | None,
    typer.Option(
        "--merge-gap",
        metavar="SECONDS",
        help="Merge segments of the same label that are closer together than this.",
        show_default="the model's, or 0.3",
        rich_help_panel=_SEGMENTS,
    ),
]
Track = Annotated[
    int | None,
    typer.Option(
        "--track",
        metavar="N",
        min=1,
        help="Take this sound track, counted from 1.",
        show_default="the first that can be decoded and is not silent",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=1,
        help="Recognise this many recordings at a time.",
        show_default="one per core, up to 8",
    ),
]


def choose(
    recogniser: Recogniser, labels: list[str] | None, ignore: list[str] | None, language: str | None = None
) -> Recogniser:
    """The recogniser with the labels that the options choose, named in the language that they ask for."""
    if language is not None:
        recogniser = recogniser.in_language(language)
    return recogniser.choose(labels or None, ignore or None) if labels or ignore else recogniser


def segmentation_settings(
    recogniser: Recogniser,
    onset_threshold: list[str] | None,
    offset_threshold: float | None,
    smoothing: float | None,
    min_duration: float | None,
    merge_gap: float | None,
) -> SegmentationSettings:
    """The settings that the options stand for; labels without a threshold of their own keep the model's."""
    from audioinceptionnext.results.thresholds import parse_thresholds, read_thresholds

    texts = onset_threshold or []
    files = [text for text in texts if _names_a_file(text)]
    # What the command line itself says comes last, since that counts before the files.
    typed = [text for text in texts if text not in files]
    layers = [
        *map(read_thresholds, files),
        parse_thresholds(typed, ", or a file such as thresholds.txt or ./thresholds"),
    ]
    everywhere = [number for number, _ in layers if number is not None]
    return recogniser.segmentation_settings(
        [by_label for _, by_label in layers],
        onset_threshold=everywhere[-1] if everywhere else None,
        offset_threshold=offset_threshold,
        smoothing=smoothing,
        min_duration=min_duration,
        merge_gap=merge_gap,
    )


def _names_a_file(text: str) -> bool:
    """Whether the value of the option is a file, rather than a threshold: its name has a suffix or a folder.

    A file called ``blender`` is none, so that what a value means does not depend on what lies in the current folder.
    """
    with suppress(ValueError):
        float(text.rpartition("=")[2])
        return False
    named = Path(text).suffix[1:2].isalpha() or "/" in text or os.sep in text
    with suppress(OSError):  # the name is too long, for instance
        return named and ("=" not in text or Path(text).is_file())
    return False

"""Options that the commands which recognise sounds share, and what they become."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from audioinceptionnext.results.segmentation import SegmentationSettings

_SEGMENTS = "Segments"


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
Backend = Annotated[BackendName, typer.Option("--backend", help="Choose the backend that runs the network.")]
_STEP = "Set the time from one prediction to the next."
StepSeconds = Annotated[float | None, typer.Option("--hop", metavar="SECONDS", help=_STEP, show_default="the model's")]
Lookahead = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Wait for this much sound after each prediction's window: more comes later and is closer to what predict "
        "gives.",
        show_default="2.56 for kitchen20",
    ),
]
TopK = Annotated[int, typer.Option("--top-k", "-k", min=1, help="Give this many labels for the recording as a whole.")]
OnsetThreshold = Annotated[
    float | None,
    typer.Option(
        "--onset-threshold",
        "--threshold",
        "-t",
        metavar="P",
        help="Set the probability that a segment must reach at least once.",
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
        show_default="0.6 of the onset threshold",
        rich_help_panel=_SEGMENTS,
    ),
]
Smoothing = Annotated[
    float,
    typer.Option(
        "--smoothing",
        metavar="SECONDS",
        help="Average the probabilities over this length of time.",
        rich_help_panel=_SEGMENTS,
    ),
]
MinDuration = Annotated[
    float,
    typer.Option(
        "--min-duration", metavar="SECONDS", help="Drop segments that are shorter than this.", rich_help_panel=_SEGMENTS
    ),
]
MergeGap = Annotated[
    float,
    typer.Option(
        "--merge-gap",
        metavar="SECONDS",
        help="Merge segments of the same label that are closer together than this.",
        rich_help_panel=_SEGMENTS,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Recognise this many recordings at a time.", show_default="one per core, up to 8"
    ),
]


def segmentation_settings(
    class_thresholds: tuple[float, ...],
    onset_threshold: float | None,
    offset_threshold: float | None,
    smoothing: float,
    min_duration: float,
    merge_gap: float,
) -> SegmentationSettings:
    """The settings that the options stand for.

    Args:
        class_thresholds: the model's own, which are used where no onset threshold is given.
    """
    from audioinceptionnext.results.segmentation import SegmentationSettings

    given = {} if offset_threshold is None else {"offset_threshold": offset_threshold}
    settings = SegmentationSettings.from_threshold(
        0.5 if onset_threshold is None else onset_threshold,
        **given,
        smoothing=smoothing,
        min_duration=min_duration,
        merge_gap=merge_gap,
    )
    return settings if onset_threshold is not None else replace(settings, class_thresholds=class_thresholds)

"""Options that commands which recognise sound share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.errors import AinextError

if TYPE_CHECKING:
    from audioinceptionnext.results.segmentation import TimelineSettings

ModelName = Annotated[str, typer.Option("--model", "-m", metavar="NAME|FILE", help="A model's name, or an .onnx file.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        "-t",
        metavar="P",
        help="Probability a segment must reach.",
        show_default="the model's, or 0.5",
    ),
]
Backend = Annotated[str, typer.Option(metavar="NAME", help="What computes: auto, onnxruntime, cuda or openvino.")]


def timeline_settings(threshold: float, **others: float) -> TimelineSettings:
    """As `TimelineSettings.from_threshold`, whose errors name options here."""
    from audioinceptionnext.results.segmentation import TimelineSettings

    try:
        return TimelineSettings.from_threshold(threshold, **others)
    except AinextError as error:  # it names its own fields, and the upper one has another name here
        raise AinextError(f"--{error}".replace("upper", "threshold")) from error

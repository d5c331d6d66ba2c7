"""``ainext epic-sounds detect`` and ``score-detection``: the detection challenge."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from audioinceptionnext.cli.training_options import AsJson
from audioinceptionnext.errors import counted, printable

_SCALE = "(arXiv 2008.09890)"
LevelPt = Annotated[int, typer.Option(min=0, max=5, help=f"Set the supervision level of pretraining {_SCALE}.")]
LevelTl = Annotated[int, typer.Option(min=0, max=5, help=f"Set the supervision level of the training labels {_SCALE}.")]
LevelTd = Annotated[int, typer.Option(min=0, max=5, help=f"Set the supervision level of the training data {_SCALE}.")]


def score_detection(
    detections: Annotated[
        Path,
        typer.Argument(metavar="DETECTIONS", help="Read this JSON, or the zip of a submission that holds it."),
    ],
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="Read the published EPIC_Sounds_validation.csv or .pkl.")
    ],
    as_json: AsJson = False,
) -> None:
    """Score detections with the metrics of the detection challenge.

    Example: [bold]ainext epic-sounds score-detection test.json EPIC_Sounds_validation.csv[/bold]
    """
    from audioinceptionnext.evaluation.detection import score_detections
    from audioinceptionnext.evaluation.detection_file import read_detections

    figures = score_detections(read_detections(detections), annotations)
    name = printable(detections)
    if figures["unknown_videos"]:
        unknown = counted(figures["unknown_videos"], "video")
        print(f"ainext: warning: {name}: all in {unknown} that the annotations lack is wrong", file=sys.stderr)
    if as_json:
        print(json.dumps(figures, ensure_ascii=False, indent=2))
    else:
        _print_figures(figures, name)


def _print_figures(figures: dict[str, Any], name: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    left_out = f"; {counted(figures['left_out'], 'detection')} of other classes left out" if figures["left_out"] else ""
    what = f"{counted(figures['detections'], 'detection')} of {counted(figures['annotations'], 'segment')}{left_out}"
    console.print(f"[bold]{escape(name)}[/bold]: {what}", soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for tenths in range(1, 6):
        table.add_row(f"mAP at IoU 0.{tenths}", f"{figures[f'map_at_0{tenths}']:.2f} %")
    table.add_row("mean", f"{figures['map_avg']:.2f} %")
    console.print(table)

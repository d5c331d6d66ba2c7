"""``ainext export``."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.errors import AinextError


class Input(StrEnum):
    waveform = "waveform"
    log_mel = "log-mel"


class Precision(StrEnum):
    float32 = "float32"
    float16 = "float16"


class Run(StrEnum):
    dense = "dense"
    windows = "windows"


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .safetensors file of train or convert.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.onnx")],
    input: Annotated[Input, typer.Option("--input", help="What the file takes.")] = Input.waveform,
    precision: Annotated[
        Precision, typer.Option("--precision", help="How weights are stored; all is computed in float32.")
    ] = Precision.float32,
    run: Annotated[
        Run | None, typer.Option("--run", help="How long audio is heard.", show_default="as the model was trained")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Fold a trained network and write it as ONNX, with all that it takes to use it inside.

    Example: [bold]ainext export runs/mine/model.safetensors mine.onnx --precision float16[/bold]
    """
    from audioinceptionnext.export import export_onnx
    from audioinceptionnext.network.storage import load_model

    if target.suffix != ".onnx":
        raise AinextError(f"{target}: the output's name ends in .onnx")
    stored = load_model(model)
    export_onnx(stored, target, run.value if run else None, input.value, precision.value)
    size = target.stat().st_size
    facts = {
        "file": str(target),
        "bytes": size,
        "classes": len(stored.labels),
        "run": run or stored.run,
        "precision": precision,
    }
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        print(f"{target}: {size / 1e6:.1f} MB, {facts['classes']} classes, run {facts['run']}")

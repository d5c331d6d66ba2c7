"""``ainext convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.errors import FileError, counted, printable


def convert(
    checkpoint: Annotated[Path, typer.Argument(metavar="IN.pyth", help="Read this published checkpoint.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="Write this file.")],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Read the class names from this text file: one per line, in the order of the classes.",
            show_default="those of EPIC-SOUNDS, or numbers",
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            "--architecture",
            metavar="NAME",
            help="Say of which network the checkpoint is: base (AudioInceptionNeXt) or rep (AudioRepInceptionNeXt).",
            show_default="as the checkpoint says",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Say on which data set it was trained: epic-sounds, vggsound, epic-kitchens, speechcommands, "
            "urbansound8k or nsynth.",
            show_default="as the checkpoint says",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Convert a checkpoint of the paper's authors to a .safetensors file with its configuration and labels.

    It may be of the paper's network or of its successor, and merged or not.

    Example: [bold]ainext convert checkpoint_best.pyth epic.safetensors[/bold]
    """
    from audioinceptionnext.network import count_parameters
    from audioinceptionnext.network.published import open_published
    from audioinceptionnext.network.storage import save_model

    if out.suffix != ".safetensors":
        raise FileError(out, "the name of the output must end in .safetensors")
    model = open_published(checkpoint, architecture, data, _read_labels(labels))
    save_model(model, out)
    result = {
        "file": str(out),
        "architecture": model.net.config.architecture or "base",
        "data": model.info["data"],
        "classes": len(model.labels),
        "labels": list(model.labels),
        "parameters": count_parameters(model.net),
        "sample_rate": model.sample_rate,
        "mode": model.mode,
    }
    if as_json:
        print(json.dumps(result, ensure_ascii=False, indent=2))
    else:
        classes = counted(len(model.labels), "class")
        network = type(model.net).__name__
        print(
            f"{printable(out)}: {network}, {classes}, {result['parameters']:,} parameters, {result['sample_rate']} Hz"
        )


def _read_labels(path: Path | None) -> tuple[str, ...] | None:
    if path is None:
        return None
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(path, f"cannot be read as a list of class names ({error})") from error

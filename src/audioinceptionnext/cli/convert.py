"""``ainext convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.errors import AinextError


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN.pyth", help="A published checkpoint.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="Where to write ours.")],
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Class names: a text file with one a line, in the order of the classes."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Turn the authors' checkpoint into a safetensors file with its configuration and labels.

    Example: [bold]ainext convert checkpoint_best.pyth epic.safetensors[/bold]
    """
    from audioinceptionnext.network import count_parameters
    from audioinceptionnext.network.published import describe, load_published
    from audioinceptionnext.network.storage import save_model

    if target.suffix != ".safetensors":
        raise AinextError(f"{target}: the output's name ends in .safetensors")
    model = describe(load_published(source), _read_labels(labels))
    save_model(model, target)
    facts = {
        "file": str(target),
        "classes": len(model.labels),
        "labels": list(model.labels),
        "parameters": count_parameters(model.net),
        "sample_rate": model.sample_rate,
        "run": model.run,
    }
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        print(f"{target}: {facts['classes']} classes, {facts['parameters']:,} parameters, {facts['sample_rate']} Hz")


def _read_labels(path: Path | None) -> tuple[str, ...] | None:
    if path is None:
        return None
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise AinextError(f"{path}: cannot be read as a list of class names ({error})") from error

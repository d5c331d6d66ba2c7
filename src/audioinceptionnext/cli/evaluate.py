"""``ainext evaluate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from audioinceptionnext.cli.export import Run


def evaluate(
    data: Annotated[str, typer.Option(metavar="NAME", help="The dataset: kitchen20.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The folder that holds it.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|FILE", help="A name, an .onnx or a .safetensors file.")
    ] = "kitchen20",
    folds: Annotated[str, typer.Option(help="The folds to score: 5, 1-4, 1,3 or all.")] = "all",
    run: Annotated[
        Run | None, typer.Option(help="For a .safetensors model: how it hears long audio.", show_default="as trained")
    ] = None,
    unseen_sources: Annotated[
        bool, typer.Option("--unseen-sources", help="Leave out clips of recordings that other folds have clips of too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Score a model on a dataset.

    Example: [bold]ainext evaluate --data kitchen20 --root Kitchen20 --folds 5 --model runs/a/model.safetensors[/bold]
    """
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.evaluation.evaluate import evaluate as measure

    def tell(done: int, of: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done}/{of} clips", end="\n" if done == of else "", file=sys.stderr)

    found = measure(load_dataset(data, root), model, folds, run.value if run else None, unseen_sources, tell)
    if as_json:
        print(json.dumps(_rounded(found), ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{found['model']}[/bold] ({found['run']}) on {found['clips']} clips of {data}, folds {folds}")
    console.print(
        f"top-1 {found['top1']:.1f} %   top-5 {found['top5']:.1f} %   mean class accuracy {found['mca']:.1f} %   "
        f"mAP {found['map']:.1f} %   mAUC {found['mauc']:.3f}"
    )
    table = Table(box=None, show_header=False, padding=(0, 2))
    for label, accuracy in sorted(found["per_class"].items(), key=lambda item: -item[1]):
        table.add_row(label, f"{accuracy:.1f} %")
    console.print(table)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, 4) if isinstance(value, float) else value

"""``ainext train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from audioinceptionnext.errors import AinextError

NOT_OF_THE_RECIPE = ("data", "root", "out", "folds", "start", "resume", "threads", "as_json", "crops")


def train(
    data: Annotated[str, typer.Option(metavar="NAME", help="The dataset: kitchen20.")],
    root: Annotated[Path, typer.Option(metavar="DIR", help="The folder that holds it.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the run is kept.")],
    folds: Annotated[str, typer.Option(help="The folds to train on, 1-4 say; the rest is held out.")] = "all",
    start: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Begin with these weights (.safetensors).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.", show_default="all")] = None,
    variant: Annotated[
        str | None, typer.Option(help="base (the paper's), small or tiny.", show_default="small")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, show_default="50")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Clips a step.", show_default="32")] = None,
    crops: Annotated[
        str | None,
        typer.Option(metavar="SECONDS,…", help="Lengths that batches take in turn.", show_default="2.08,3.2,4.8"),
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw or sgd.", show_default="adamw")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", "--lr", show_default="0.002")] = None,
    weight_decay: Annotated[float | None, typer.Option(show_default="0.05")] = None,
    warmup: Annotated[float | None, typer.Option(help="Share of the steps.", show_default="0.2")] = None,
    mixup: Annotated[float | None, typer.Option(help="Alpha; 0 is off.", show_default="0.4")] = None,
    label_smoothing: Annotated[float | None, typer.Option(show_default="0.1")] = None,
    gain_db: Annotated[float | None, typer.Option(help="Largest random gain.", show_default="6")] = None,
    equaliser_db: Annotated[float | None, typer.Option(help="Largest random equaliser gain.", show_default="6")] = None,
    dropout: Annotated[float | None, typer.Option(show_default="0.5")] = None,
    precision: Annotated[str | None, typer.Option(help="bf16 or float32.", show_default="bf16")] = None,
    seed: Annotated[int | None, typer.Option(show_default="0")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document at the end.")] = False,
) -> None:
    """Train a network on a dataset.

    Example: [bold]ainext train --data kitchen20 --root Kitchen20 --folds 1-4 --out runs/mine[/bold]
    """
    options: dict[str, Any] = {
        name: value for name, value in locals().items() if name not in NOT_OF_THE_RECIPE and value is not None
    }
    if crops is not None:
        try:
            options["crops"] = tuple(float(part) for part in crops.split(","))
        except ValueError:
            raise AinextError(f"--crops {crops}: give seconds with commas between, such as 2.08,3.2,4.8") from None

    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.training.fit import train as fit
    from audioinceptionnext.training.recipe import Recipe

    path = fit(load_dataset(data, root), out, Recipe(**options), folds, start, resume, threads)
    if as_json:
        print(json.dumps({"model": str(path), "data": data, "folds": folds}, indent=2))
    else:
        print(f"{path}  (next: ainext evaluate --data {data} --root {root} --model {path}, or ainext export)")

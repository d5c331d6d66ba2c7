"""Options that `train` and `cross-validate` share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.errors import AinextError

if TYPE_CHECKING:
    from audioinceptionnext.data import Clip, Dataset
    from audioinceptionnext.training.recipe import Recipe

# Panels of the help.
of_recipe = partial(typer.Option, rich_help_panel="Recipe")
of_machine = partial(typer.Option, rich_help_panel="Machine")

Data = Annotated[str, typer.Option(metavar="NAME", help="The dataset: folder, csv, kitchen20, esc10, esc50, …")]
Root = Annotated[Path, typer.Option(metavar="DIR", help="The folder that holds it.")]
Audio = Annotated[
    Path | None, typer.Option(metavar="PATH", help="Recordings that lie elsewhere: a folder or an HDF5 file.")
]
RecipeName = Annotated[
    str | None,
    of_recipe("--recipe", metavar="NAME|FILE", help="See ainext recipes.", show_default="modern, or finetune"),
]
Start = Annotated[
    str | None,
    of_recipe("--from", metavar="NAME|FILE", help="Begin with these weights: kitchen20, a .safetensors, a .pyth."),
]
Changes = Annotated[
    list[str] | None,
    of_recipe("--set", metavar="SETTING=VALUE", help="Change any setting of the recipe; may be repeated."),
]
Model = Annotated[
    str | None,
    of_recipe("--model", "-m", help="base, small, tiny, cnn, mobilenet or ast.", show_default="small"),
]
Epochs = Annotated[int | None, of_recipe(min=1, show_default="the recipe's")]
Batch = Annotated[int | None, of_recipe(min=1, help="Clips a step.", show_default="the recipe's")]
LearningRate = Annotated[float | None, of_recipe("--learning-rate", "--lr", show_default="the recipe's")]
Precision = Annotated[str | None, of_recipe(help="bf16, fp16 or float32.", show_default="the recipe's")]
Seed = Annotated[int | None, of_recipe(show_default="0")]
Threads = Annotated[int | None, of_machine(min=1, help="CPU threads.", show_default="all")]
Workers = Annotated[int, of_machine(min=0, help="Processes that read audio.")]
Cache = Annotated[Path | None, of_machine(metavar="DIR", help="Keep decoded audio here.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def read_recipe(name: str | None, start: str | None, changes: list[str] | None, **options: Any) -> Recipe:
    """The recipe named, or the one that fits, with what the command line changes."""
    if start and options.get("model"):
        raise AinextError(f"--model {options['model']}: --from {start} brings its own network; give one of them")
    from audioinceptionnext.training.recipe import load_recipe

    values = read_changes(changes) | {key: value for key, value in options.items() if value is not None}
    return load_recipe(name or ("finetune" if start else "modern"), values)


def read_changes(changes: list[str] | None) -> dict[str, Any]:
    """The settings of ``--set``."""
    import yaml

    values: dict[str, Any] = {}
    for change in changes or []:
        key, equals, text = change.partition("=")
        if not equals:
            raise AinextError(f"--set {change}: give SETTING=VALUE, such as --set mixup=0.2")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise AinextError(f"--set {change}: the value cannot be read") from error
    return values


def tell_of(dataset: Dataset, training: Sequence[Clip], held_out: Sequence[Clip]) -> None:
    """On stderr, what is trained on, and what the dataset's list says that its folder does not hold."""
    print(f"{dataset.name}: {len(training)} clips to train on, {len(held_out)} held out", file=sys.stderr)
    absent = [dataset.labels[i] for i in sorted(set(range(len(dataset.labels))) - {c.label for c in training})]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        print(f"no clips to train on of the class {absent[0]}{more}", file=sys.stderr)
    tell_of_problems(dataset)


def tell_of_problems(dataset: Dataset) -> None:
    """On stderr, what the dataset's list says that its folder does not hold."""
    if dataset.problems:
        first = dataset.problems[0]
        more = f", and {len(dataset.problems) - 1} more" if len(dataset.problems) > 1 else ""
        print(f"left out: {first}{more} (ainext data check lists them)", file=sys.stderr)

"""Options that `train` and `cross-validate` share, some of them with other commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import Enum, StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.errors import ParameterError, counted, printable
from audioinceptionnext.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from audioinceptionnext.data import Clip, Dataset
    from audioinceptionnext.training.recipe import Recipe


class PrecisionName(StrEnum):
    bf16 = "bf16"
    fp16 = "fp16"
    float32 = "float32"


class ImplementationName(StrEnum):
    convolutions = "convolutions"
    matrix_products = "matrix-products"


RANDOM = "random"  # in place of a model: fresh weights
TIMED = ("labels",)  # kinds of data sets that state times

DATA_SETS = (
    "folder, csv, labels, kitchen20, esc10, esc50, urbansound8k, fsdd, speechcommands, nsynth, vggsound, epic-sounds "
    "or epic-kitchens"
)

RECIPE_HELP = "Use this recipe; `ainext recipes` lists the shipped ones."

# Options in panels of the help.
recipe_option = partial(typer.Option, rich_help_panel="Recipe")
hardware_option = partial(typer.Option, rich_help_panel="Hardware")

Data = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=f"Choose the kind of data set: {DATA_SETS}. A csv list with a column `labels` (names separated by ;) may "
        "have any number of labels per clip.",
    ),
]
Root = Annotated[Path, typer.Option(metavar="DIR", help="Read the data set from this folder.")]
Audio = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="Read the recordings from this folder or HDF5 file, if they are not below --root."
    ),
]
RecipeName = Annotated[
    str | None,
    recipe_option(
        "--recipe",
        metavar="NAME|FILE",
        help=RECIPE_HELP,
        show_default="linear; timeline with --data labels or scenes; from random weights, modern or steps",
    ),
]
InitialWeights = Annotated[
    str | None,
    recipe_option(
        "--from",
        metavar="NAME|FILE",
        help="Start from the weights of this model: a name, a .safetensors file or a .pyth file; or from random ones "
        f"({RANDOM}).",
        show_default=f"{DEFAULT_MODEL}; {RANDOM} with --network, modern and most other recipes",
    ),
]
Changes = Annotated[
    list[str] | None,
    recipe_option("--set", metavar="SETTING=VALUE", help="Change a setting of the recipe. May be repeated."),
]
NetworkName = Annotated[
    str | None,
    recipe_option(
        "--network",
        metavar="NAME",
        help="Train this network: base, small, tiny, rep, cnn, mobilenet or ast.",
        show_default="the recipe's",
    ),
]
Epochs = Annotated[int | None, recipe_option(min=0, help="Train for this many epochs.", show_default="the recipe's")]
BatchSize = Annotated[
    int | None,
    recipe_option(min=1, help="Set the number of clips per step in each process.", show_default="the recipe's"),
]
LearningRate = Annotated[
    float | None,
    recipe_option("--learning-rate", "--lr", help="Set the peak learning rate.", show_default="the recipe's"),
]
Precision = Annotated[
    PrecisionName | None, recipe_option(help="Set the precision of the activations.", show_default="the recipe's")
]
Seed = Annotated[int | None, recipe_option(help="Set the random seed.", show_default="the recipe's")]
Threads = Annotated[int | None, hardware_option(min=1, help="Use this many CPU threads.", show_default="all")]
LoaderWorkers = Annotated[
    int, hardware_option(min=0, help="Decode audio in this many processes; 0 decodes in the main process.")
]
Cache = Annotated[Path | None, hardware_option(metavar="DIR", help="Keep decoded audio in this folder.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Remove the run in --out, and start over. Other files there stay.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def read_recipe(
    name: str | None, start: str | None, changes: list[str] | None, data: str = "", **options: Any
) -> tuple[Recipe, str | None]:
    """The recipe that was named, or that fits, with what the command line changes; and the weights to start from.

    Label tracks and scenes state times, which teach the head of a trained model's timeline; from random weights, a
    network learns them step by step. (A cross-validation does not name its ``data``, since it cannot train on times.)
    Unless the command line says otherwise, a linear layer is fitted on the default model. A network or a front end of
    one's own starts from random weights (None), and so does a recipe that needs these, or weights of a certain kind.
    """
    if start not in (None, RANDOM) and options.get("network"):
        reason = f"the weights of {start} come with their own network; give either the network or the weights"
        raise ParameterError("network", options["network"], reason)
    from audioinceptionnext.training.recipe import load_recipe

    given = {key: value for key, value in options.items() if value is not None}
    values = read_changes(changes) | {key: v.value if isinstance(v, Enum) else v for key, v in given.items()}
    targets = values.get("targets")
    timed = data in TIMED or values.get("scenes") is not None or targets in ("steps", "timeline")
    if start != RANDOM and (start or "network" not in values):
        fitting = ("steps" if targets == "steps" else "timeline") if timed else "linear"
        recipe = load_recipe(name or fitting, values)
        if start or recipe.suits_any_weights:
            return recipe, start or DEFAULT_MODEL
    return load_recipe(name or ("steps" if timed else "modern"), values), None


def read_changes(changes: list[str] | None) -> dict[str, Any]:
    """The settings of ``--set``."""
    import yaml

    values: dict[str, Any] = {}
    for change in changes or []:
        key, equals, text = change.partition("=")
        if not equals:
            raise ParameterError("changes", change, "give SETTING=VALUE, such as mixup=0.2")
        try:
            values[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ParameterError("changes", change, "the value cannot be read as YAML") from error
    return values


def print_start(dataset: Dataset, training: Sequence[Clip], held_out: Sequence[Clip], weights: str | None) -> None:
    """On stderr, print what a run begins with, and what the data set's list names that its folder lacks."""
    clips = f"{counted(len(training), 'clip')} to train on, {len(held_out)} held out"
    print(f"{dataset.name}: {clips}; starts from {printable(weights or 'random weights')}", file=sys.stderr)
    present = {label for clip in training for label in clip.labels}
    absent = [label for number, label in enumerate(dataset.labels) if number not in present]
    if absent and present:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        print(f"no clips to train on of the class {printable(absent[0])}{more}", file=sys.stderr)
    print_problems(dataset)


def print_problems(dataset: Dataset) -> None:
    """On stderr, print the first clip that the data set's list names and its folder lacks, and how many more."""
    if dataset.problems:
        first = dataset.problems[0]
        more = f", and {len(dataset.problems) - 1} more" if len(dataset.problems) > 1 else ""
        print(f"left out: {first}{more} (ainext data check lists them)", file=sys.stderr)

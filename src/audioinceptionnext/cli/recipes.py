"""``ainext recipes``."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer


def recipes(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="Print all settings of this recipe.",
            show_default="list all recipes",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the training recipes, or print all settings of one.

    Example: [bold]ainext recipes modern > mine.yaml[/bold]

    Then train with the edited file: [bold]ainext train --recipe mine.yaml …[/bold]
    """
    if recipe is not None:
        from audioinceptionnext.training.recipe import as_yaml, load_recipe

        settings = load_recipe(recipe)
        print(json.dumps(settings.as_dict(), indent=2) if as_json else as_yaml(settings).rstrip())
        return
    # Listed without the packages that training needs.
    folder = files("audioinceptionnext.training") / "recipes"
    texts = {Path(file.name).stem: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.is_file()}
    about = {name: text.splitlines()[0].removeprefix("# ") for name, text in sorted(texts.items())}
    if as_json:
        print(json.dumps([{"name": n, "about": text} for n, text in about.items()], indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for n, text in about.items():
        table.add_row(f"[bold]{n}[/bold]", text)
    Console(highlight=False).print(table)

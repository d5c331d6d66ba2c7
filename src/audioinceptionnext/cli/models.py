"""``ainext models``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.errors import counted, printable

if TYPE_CHECKING:
    from audioinceptionnext.models.names import ModelEntry


def models(
    model: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Describe this model, with all its labels.", show_default="list all"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the models that other commands accept by name, with their size, licence and measured accuracy.

    Example: [bold]ainext models kitchen20[/bold]
    """
    from audioinceptionnext.models.names import find_model, model_entries

    if model is not None:
        entry = find_model(model)
        print(json.dumps(_as_dict(entry), ensure_ascii=False, indent=2) if as_json else _in_words(entry))
        return
    entries = model_entries()
    if as_json:
        print(json.dumps([_as_dict(entry) for entry in entries], ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    table.add_column("model", no_wrap=True)
    for name in ("classes", "parameters", "GMAC", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    for entry in entries:
        description = entry.description
        table.add_row(
            entry.name,
            str(len(description["labels"])),
            f"{description['parameters']:,}",
            f"{description['gmac']:.3f}",
            f"{description['bytes'] / 1e6:.1f} MB",
            description["licence"],
        )
    console = Console(highlight=False)
    console.print(table)
    console.print("\nGMAC: billions of multiply-accumulates per clip.\n\nMeasured accuracy:")
    for entry in entries:
        console.print(f"{entry.name}: {entry.description['measured']}", markup=False)
    console.print("\nThe labels of one: ainext models NAME", markup=False)


def _in_words(entry: ModelEntry) -> str:
    about = entry.description
    figures = f"{about['parameters']:,} parameters, {about['gmac']:.3f} GMAC per clip, {about['bytes'] / 1e6:.1f} MB"
    labels = [printable(label) for label in about["labels"]]
    return "\n".join(
        [
            f"{entry.name}: {figures}, {about['licence']}",
            f"measured: {about['measured']}",
            *(["kind: multi-label (several labels can be true at once)"] if about.get("kind") == "multi-label" else []),
            f"file: {printable(entry.path)}",
            f"\n{counted(len(labels), 'label')}:",
            *labels,
        ]
    )


def _as_dict(entry: ModelEntry) -> dict[str, Any]:
    """What ``model.json`` says, and where the model is."""
    return entry.description | {"path": str(entry.path)}

"""``ainext models``."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def models(as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False) -> None:
    """List the models that `--model` takes by name.

    Example: [bold]ainext models --json[/bold]
    """
    from audioinceptionnext.models.names import model_entries

    found = model_entries()
    if as_json:
        print(json.dumps([entry.facts | {"path": str(entry.path)} for entry in found], ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 3, 0, 0), header_style="bold")
    for name, justify in (("model", "left"), ("classes", "right"), ("parameters", "right"), ("GMAC", "right"),
                          ("MB", "right"), ("licence", "left")):  # fmt: skip
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for entry in found:
        facts = entry.facts
        table.add_row(
            entry.name,
            str(len(facts["labels"])),
            f"{facts['parameters']:,}",
            f"{facts['gmac']:.3f}",
            f"{facts['bytes'] / 1e6:.1f}",
            facts["licence"],
        )
    console = Console(highlight=False)
    console.print(table)
    console.print()
    for entry in found:
        console.print(f"{entry.name}: {entry.facts['measured']}", markup=False)

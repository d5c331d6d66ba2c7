"""``ainext explain``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.errors import printable

if TYPE_CHECKING:
    from audioinceptionnext.explain import Explanation, Faithfulness

NAMED = 0.05  # of the important cells: smaller regions stand in the picture and in JSON


def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An audio or video file.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|FILE", help="A model's name, or a .safetensors file.")
    ] = "kitchen20",
    label: Annotated[
        str | None, typer.Option("--label", "-l", help="Which label to explain.", show_default="the likeliest")
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Explain from here on.", show_default="all of 10 s, or the best 5 s"),
    ] = None,
    end: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Explain up to here.", show_default="5 s after the start")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="The picture.", show_default="FILE-explained.png, here"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Delete what the picture calls important: does the score drop?")
    ] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Draw which times and frequencies carried a label, and how much each kernel size contributed.

    Of a recording longer than 10 s the 5 s are explained where its label scores best.

    Example: [bold]ainext explain dinner.mp4 --label blender --check --out why.png[/bold]
    """
    from audioinceptionnext.explain import explain_file, faithfulness, open_model
    from audioinceptionnext.results.plot import check_can_draw

    check_can_draw()
    stored = open_model(model)
    found = explain_file(stored, file, label, start, end, model)
    checked = faithfulness(stored, found) if check and not found.empty else None
    picture = out or Path(f"{file.stem}-explained.png")
    found.plot(picture)
    if as_json:
        facts = found.as_dict() | {"picture": str(picture)}
        if check:
            facts["check"] = checked.as_dict() if checked else None
        print(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    _print(found, checked, picture)
    if check and checked is None:
        print("ainext: --check: an empty map has no region to delete", file=sys.stderr)


def _print(found: Explanation, checked: Faithfulness | None, picture: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    where = f"{found.start:.2f} to {found.end:.2f} s, {found.model}"
    console.print(Text.assemble((f"{found.label}  {found.score:.1%}", "bold"), f"   {printable(found.file)}, {where}"))
    if found.empty:
        console.print("  nothing in it speaks for this label: the map is empty")
    for one in found.regions():
        if one.share >= NAMED:
            console.print(f"  {one.start:.2f} to {one.end:.2f} s   {one.low / 1000:.1f} to {one.high / 1000:.1f} kHz")
    if len(found.branches):
        table = Table(box=None, padding=(0, 2), header_style="dim")
        table.add_column("log-odds from")
        for stage in range(len(found.branches)):
            table.add_column(f"stage {stage + 1}", justify="right")
        for kernel, shares in zip(found.kernels, found.branches.T, strict=True):
            table.add_row(f"kernel {kernel}", *(f"{share:+.2f}" for share in shares))
        console.print()
        console.print(table)
        console.print()
    if checked is not None:
        after, others = checked.score - checked.region, checked.score - float(checked.random.mean())
        console.print(
            f"check: {checked.score:.1%}, without its most important {checked.share:.0%} {after:.1%}, "
            f"without others of that shape {others:.1%} (mean of {len(checked.random)})"
        )
    console.print(f"picture: {picture}", markup=False)

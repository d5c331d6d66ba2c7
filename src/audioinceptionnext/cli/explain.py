"""``ainext explain``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.cli.progress import working
from audioinceptionnext.errors import printable
from audioinceptionnext.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    from audioinceptionnext.explain import Explanation, Faithfulness

MIN_SHARE = 0.05  # of the important cells; smaller regions are only in the picture and in JSON


def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Explain this audio or video file.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE",
            help="Explain this model: a name, a .safetensors file or a .pyth file.",
        ),
    ] = DEFAULT_MODEL,
    label: Annotated[
        str | None, typer.Option("--label", "-l", help="Explain this label.", show_default="the most probable one")
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Explain an excerpt that starts here.",
            show_default="all if it is up to 10 s, else the best 5 s",
        ),
    ] = None,
    end: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Explain an excerpt that ends here.", show_default="5 s after its start"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write the picture to this file.", show_default="FILE-explained.png"
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Let the picture replace that of another recording.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Delete the most important region of the log-mel, and print how far the score drops."
        ),
    ] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Draw which times and frequencies are evidence for a label, and print how much each kernel size contributes.

    Of a recording longer than 10 s, only the 5 s in which the label scores highest are explained.

    Example: [bold]ainext explain dinner.mp4 --label Speech --check --out why.png[/bold]
    """
    from audioinceptionnext.cli.output_names import check_not_replaced
    from audioinceptionnext.explain import explain_file, faithfulness, open_model
    from audioinceptionnext.results.plot import check_can_plot, check_picture_path

    picture = out or Path(f"{file.stem}-explained.png")
    check_can_plot()
    check_picture_path(picture)
    if out is None and not overwrite:  # nobody chose this name
        check_not_replaced({file: picture.with_suffix("")}, {picture.suffix: "png"}, "out", "file")
    with working(f"explaining {file}"):
        stored = open_model(model)
        explanation = explain_file(stored, file, label=label, start=start, end=end, name=model)
        checked = faithfulness(stored, explanation) if check and not explanation.empty else None
        explanation.plot(picture)
    if as_json:
        document = explanation.as_dict() | {"picture": str(picture)}
        if check:
            document["check"] = checked.as_dict() if checked else None
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return
    _print(explanation, checked, picture)
    if check and checked is None:
        print("ainext: warning: --check: the map is empty, so there is no region to delete", file=sys.stderr)


def _print(explanation: Explanation, checked: Faithfulness | None, picture: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    where = f"{explanation.start:.2f} to {explanation.end:.2f} s, {explanation.model}"
    title = (f"{printable(explanation.label)}  {explanation.score:.1%}", "bold")
    console.print(Text.assemble(title, f"   {printable(explanation.file)}, {where}"))
    if explanation.empty:
        console.print("  there is no evidence for this label: the map is empty")
    for region in explanation.regions():
        if region.share >= MIN_SHARE:
            frequencies = f"{region.low / 1000:.1f} to {region.high / 1000:.1f} kHz"
            console.print(f"  {region.start:.2f} to {region.end:.2f} s   {frequencies}")
    if len(explanation.branches):
        table = Table(box=None, padding=(0, 2), header_style="dim")
        table.add_column("log-odds from")
        for stage in range(len(explanation.branches)):
            table.add_column(f"stage {stage + 1}", justify="right")
        for kernel, shares in zip(explanation.kernels, explanation.branches.T, strict=True):
            table.add_row(f"kernel {kernel}", *(f"{share:+.2f}" for share in shares))
        console.print()
        console.print(table)
        console.print()
    if checked is not None:
        without_region, without_others = checked.score - checked.region, checked.score - float(checked.random.mean())
        console.print(
            f"check: {checked.score:.1%}; {without_region:.1%} without the most important {checked.share:.0%}, "
            f"{without_others:.1%} without other regions of that shape (mean of {len(checked.random)})"
        )
    console.print(f"picture: {printable(picture)}", markup=False)

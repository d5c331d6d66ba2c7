"""``ainext study``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import training_options as shared

if TYPE_CHECKING:
    from audioinceptionnext.studies.plan import Plan


def study(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FILE", help="A shipped study, or a .yaml of your own.", show_default="lists them"),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="NAME", help="The dataset; repeat it where a study is of several."),
    ] = None,
    root: Annotated[
        list[Path] | None, typer.Option("--root", metavar="DIR", help="The folder that holds it; one for each --data.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Gets runs/, and a folder for the study.")
    ] = Path("studies"),
    seeds: Annotated[int, typer.Option(min=1, help="Runs of every variant and fold.")] = 1,
    folds: Annotated[str | None, typer.Option(help="Score these folds, 1,2 say.", show_default="all")] = None,
    leak_free: Annotated[
        bool, typer.Option("--leak-free", help="Folds that keep all clips of one source together.")
    ] = False,
    epochs: shared.Epochs = None,
    width: Annotated[
        float | None,
        typer.Option(min=0.01, max=4, help="Channels, as a multiple of base size's.", show_default="the recipe's"),
    ] = None,
    clips: Annotated[
        int | None, typer.Option(min=1, help="Train each run on at most so many.", show_default="all")
    ] = None,
    changes: shared.Changes = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time.", show_default="one a GPU, or one")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of a run.", show_default="all, shared out")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep decoded audio here.", show_default="in --out")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show the runs and the time they will take, and stop.")] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Train nothing: measure time and memory again, and report on what is done.")
    ] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Answer a question about networks or training: train its variants, compare them, write a report.

    Runs that are done are kept: the same command goes on after a stop. Without NAME, lists the shipped studies.

    Example: [bold]ainext study kernels --data kitchen20 --root Kitchen20 --width 0.25 --epochs 20 --folds 1,2[/bold]
    """
    from audioinceptionnext.studies.plan import Plan, sources
    from audioinceptionnext.studies.session import Conduct, show
    from audioinceptionnext.studies.study import load_study

    if name is None:
        _list(as_json)
        return
    chosen = load_study(name)
    given = sources(data or [], root or [], leak_free, clips)
    settings = shared.read_changes(changes) | ({"epochs": epochs} if epochs is not None else {})
    planned = Plan(chosen, given, out.resolve(), seeds, folds, settings, width)
    conduct = Conduct(planned, jobs, threads, cache, command(name, data or [], root or [], planned))
    if plan:
        print(show(conduct.expected(), as_json))
        return
    found = conduct.report(again=True) if report else conduct.run()
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=2))
    else:
        print(found.as_text())
    if found.failed:
        raise typer.Exit(1)


def command(name: str, data: Sequence[str], root: Sequence[Path], plan: Plan) -> tuple[str, str]:
    """The command that repeats a study, and the one at base size, on all folds, with the recipe's epochs."""
    sounds = " ".join(f"--data {one} --root {where.name or where}" for one, where in zip(data, root, strict=True))
    first = next(iter(plan.sources.values()))
    parts = [f"ainext study {name}", sounds, "--leak-free" if first.leak_free else ""]
    budget = [
        f"--clips {first.most}" if first.most else "",
        f"--folds {plan.folds}" if plan.folds else "",
        f"--seeds {plan.seeds}" if plan.seeds > 1 else "",
        f"--width {plan.width:g}" if plan.width is not None else "",
        *(f"--epochs {value}" if key == "epochs" else f"--set {key}={value}" for key, value in plan.changes.items()),
    ]
    own, full = [*parts, *budget], [*parts, "--width 1" if plan.width is not None else "", "--seeds 2"]
    return " ".join(filter(None, own)), " ".join(filter(None, full))


def _list(as_json: bool) -> None:
    from audioinceptionnext.studies.study import load_study, names

    found = [load_study(name) for name in names()]
    if as_json:
        print(
            json.dumps(
                [{"name": s.name, "question": s.question, "variants": [v.name for v in s.variants]} for s in found],
                ensure_ascii=False,
            )
        )
        return
    for one in found:
        print(f"{one.name:12}{one.question}\n{'':12}{'; '.join(variant.name for variant in one.variants)}")
    print("\nainext study NAME --data … --root … --plan   shows what it takes")

"""``ainext study``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli import training_options as shared

if TYPE_CHECKING:
    from audioinceptionnext.studies.plan import Plan


def study(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="STUDY",
            help="Run this study: a shipped name, or a .yaml file of your own.",
            show_default="list the shipped studies",
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Use this kind of data set. May be repeated, for a study of several data sets.",
        ),
    ] = None,
    root: Annotated[
        list[Path] | None,
        typer.Option("--root", metavar="DIR", help="Read the data set from this folder. Give one for each --data."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Write the runs and the study's report to this folder.")
    ] = Path("studies"),
    seeds: Annotated[int, typer.Option(min=1, help="Train every variant and fold with this many seeds.")] = 1,
    folds: Annotated[str | None, typer.Option(help="Score only these folds, such as 1,2.", show_default="all")] = None,
    leak_free: Annotated[
        bool, typer.Option("--leak-free", help="Make folds that keep all clips of one source together.")
    ] = False,
    epochs: shared.Epochs = None,
    width: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=4,
            help="Set the number of channels, as a multiple of the base size.",
            show_default="the recipe's",
        ),
    ] = None,
    max_clips: Annotated[
        int | None, typer.Option(min=1, help="Train each run on at most this many clips.", show_default="all")
    ] = None,
    changes: shared.Changes = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Carry out this many runs at a time.", show_default="one per GPU, or one")
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Use this many CPU threads per run.", show_default="all cores, shared between the runs"
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep decoded audio in this folder.", show_default="a folder in --out"),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only list the runs and the time that they will take.")] = False,
    report_only: Annotated[
        bool,
        typer.Option("--report-only", help="Train nothing; measure time and memory again, and rewrite the report."),
    ] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Answer a question about networks or training: train its variants, compare them, and write a report.

    Finished runs are kept. To continue an interrupted study, give the same command again.

    Example: [bold]ainext study kernels --data kitchen20 --root Kitchen20 --width 0.25 --epochs 20 --folds 1,2[/bold]
    """
    from audioinceptionnext.studies.plan import Plan, study_data
    from audioinceptionnext.studies.session import StudySession
    from audioinceptionnext.studies.study import load_study

    if name is None:
        _list_studies(as_json)
        return
    chosen = load_study(name)
    given = study_data(data or [], root or [], leak_free=leak_free, max_clips=max_clips)
    settings = shared.read_changes(changes) | ({"epochs": epochs} if epochs is not None else {})
    planned = Plan(chosen, given, out.resolve(), seeds, folds, settings, width)
    commands = repeating_commands(name, data or [], root or [], planned)
    session = StudySession(planned, jobs=jobs, threads=threads, cache=cache, commands=commands)
    if plan:
        forecast = session.forecast()
        more = "\n--json lists every run" if forecast.shortened else ""
        print(_as_json(forecast.as_dict()) if as_json else forecast.as_text() + more)
        return
    result = session.report(again=True) if report_only else session.run()
    print(_as_json(result.as_dict()) if as_json else result.as_text())
    if result.failed:
        raise typer.Exit(1)


def repeating_commands(name: str, data: Sequence[str], root: Sequence[Path], plan: Plan) -> tuple[str, str]:
    """The command that repeats a study, and the one at base size, on all folds, with the recipe's epochs."""
    first = next(iter(plan.data.values()))
    study = ["ainext", "study", name]
    for one, folder in zip(data, root, strict=True):
        study += ["--data", one, "--root", folder.name or str(folder)]
    study += ["--leak-free"] if first.leak_free else []
    budget = ["--max-clips", first.max_clips] if first.max_clips else []
    budget += ["--folds", plan.folds] if plan.folds else []
    budget += ["--seeds", plan.seeds] if plan.seeds > 1 else []
    budget += ["--width", f"{plan.width:g}"] if plan.width is not None else []
    for key, value in plan.changes.items():
        text = value if isinstance(value, str) else json.dumps(value)
        budget += ["--epochs", text] if key == "epochs" else ["--set", f"{key}={text}"]
    full = ["--width", "1"] if plan.width is not None else []
    return shlex.join(map(str, [*study, *budget])), shlex.join([*study, *full, "--seeds", "2"])


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _list_studies(as_json: bool) -> None:
    from audioinceptionnext.studies.study import load_study, study_names

    studies = [load_study(name) for name in study_names()]
    if as_json:
        items = [{"name": s.name, "question": s.question, "variants": [v.name for v in s.variants]} for s in studies]
        print(json.dumps(items, ensure_ascii=False))
        return
    for one in studies:
        print(f"{one.name:14}{one.question}\n{'':14}{'; '.join(variant.name for variant in one.variants)}")
    print("\nainext study NAME --data … --root … --plan   lists the runs of a study and the time that they will take")

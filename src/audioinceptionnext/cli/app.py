"""All commands. Nothing heavy is imported before a command runs, so that ``--help`` is immediate."""

from __future__ import annotations

from typing import Annotated

import typer

from audioinceptionnext.cli import (
    batch,
    benchmark,
    convert,
    cross_validate,
    data,
    epic_sounds,
    evaluate,
    explain,
    export,
    history,
    listen,
    models,
    predict,
    push,
    recipes,
    report,
    rules,
    serve,
    study,
    teach,
    train,
)
from audioinceptionnext.cli.program import Program

app = Program(help="Recognise everyday sounds in any recording. Try: ainext predict dinner.mp4")


def _version(requested: bool) -> None:
    if requested:
        from audioinceptionnext import __version__

        print(f"audioinceptionnext {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options that come before the command."""


_TRAIN = "Train and measure (extra: train)"
_FILES = "Model files (extras: export, hub)"
app.command("predict")(predict.predict)
app.command("batch")(batch.batch)
app.command("listen")(listen.listen)
app.add_typer(history.app, name="history")
app.add_typer(rules.app, name="rules")
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.command("teach")(teach.teach)
app.command("models")(models.models)
app.command("train", rich_help_panel=_TRAIN)(train.train)
app.command("evaluate", rich_help_panel=_TRAIN)(evaluate.evaluate)
app.command("cross-validate", rich_help_panel=_TRAIN)(cross_validate.cross_validate)
app.command("explain", rich_help_panel=_TRAIN)(explain.explain)
app.command("recipes", rich_help_panel=_TRAIN)(recipes.recipes)
app.add_typer(data.app, name="data", rich_help_panel=_TRAIN)
app.add_typer(epic_sounds.app, name="epic-sounds", rich_help_panel=_TRAIN)
app.command("study", rich_help_panel=_TRAIN)(study.study)
app.command("benchmark", rich_help_panel=_TRAIN)(benchmark.benchmark)
app.command("convert", rich_help_panel=_FILES)(convert.convert)
app.command("export", rich_help_panel=_FILES)(export.export)
app.command("push", rich_help_panel=_FILES)(push.push)

"""The commands, gathered. Nothing heavy is imported before a command runs: ``--help`` answers at once."""

from __future__ import annotations

from typing import Annotated

import typer

from audioinceptionnext.cli import (
    benchmark,
    convert,
    cross_validate,
    data,
    epic_sounds,
    evaluate,
    explain,
    export,
    listen,
    models,
    predict,
    push,
    recipes,
    report,
    serve,
    study,
    train,
)

app = typer.Typer(
    help="Recognise everyday sounds in any recording. Try: ainext predict dinner.mp4",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from audioinceptionnext import __version__

        print(f"audioinceptionnext {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")] = False,
) -> None:
    """Options before the command; the doc string of the app stands in its help."""


app.command("predict")(predict.predict)
app.command("listen")(listen.listen)
app.command("report")(report.report)
app.command("serve")(serve.serve)
app.command("models")(models.models)
app.command("train", rich_help_panel="Workshop (extra: train)")(train.train)
app.command("evaluate", rich_help_panel="Workshop (extra: train)")(evaluate.evaluate)
app.command("cross-validate", rich_help_panel="Workshop (extra: train)")(cross_validate.cross_validate)
app.command("explain", rich_help_panel="Workshop (extra: train)")(explain.explain)
app.command("recipes", rich_help_panel="Workshop (extra: train)")(recipes.recipes)
app.add_typer(data.app, name="data", rich_help_panel="Workshop (extra: train)")
app.add_typer(epic_sounds.app, name="epic-sounds", rich_help_panel="Workshop (extra: train)")
app.command("study", rich_help_panel="Workshop (extra: train)")(study.study)
app.command("benchmark", rich_help_panel="Workshop (extra: train)")(benchmark.benchmark)
app.command("convert", rich_help_panel="Workshop (extra: export)")(convert.convert)
app.command("export", rich_help_panel="Workshop (extra: export)")(export.export)
app.command("push", rich_help_panel="Workshop (extra: hub)")(push.push)

"""``ainext cross-validate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.cli import training_options as shared


def cross_validate(
    data: shared.Data,
    root: shared.Root,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the runs and the report are kept.")],
    leak_free: Annotated[
        bool, typer.Option("--leak-free", help="Folds that keep all clips of one source together.")
    ] = False,
    folds: Annotated[int, typer.Option(min=2, help="How many, of a dataset without folds.")] = 5,
    only: Annotated[
        str | None,
        typer.Option(help="Do these folds, 1,2 say: for a quick look, or to share them out.", show_default="all"),
    ] = None,
    audio: shared.Audio = None,
    recipe: shared.RecipeName = None,
    start: shared.Start = None,
    changes: shared.Changes = None,
    model: shared.Model = None,
    epochs: shared.Epochs = None,
    batch: shared.Batch = None,
    learning_rate: shared.LearningRate = None,
    precision: shared.Precision = None,
    seed: shared.Seed = None,
    threads: shared.Threads = None,
    workers: shared.Workers = 0,
    cache: shared.Cache = None,
    as_json: shared.AsJson = False,
) -> None:
    """Train a network a fold and score all clips, each with the network that has not heard it.

    Folds that are done are kept: the same command goes on after a stop.

    Example: [bold]ainext cross-validate --data esc10 --root ESC-50 --out runs/esc10[/bold]
    """
    from audioinceptionnext.cli.evaluate import print_figures
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.evaluation.report_folder import check_can_report
    from audioinceptionnext.training.cross_validation import CrossValidation
    from audioinceptionnext.training.hardware import Machine

    settings = shared.read_recipe(
        recipe, start, changes,
        model=model, epochs=epochs, batch=batch, learning_rate=learning_rate, precision=precision, seed=seed,
    )  # fmt: skip
    dataset = load_dataset(data, root, audio)
    unnamed = not dataset.folds and any(clip.group is None for clip in dataset.clips)
    dataset = dataset.leak_free(folds) if leak_free else dataset.with_folds(folds)
    if unnamed:
        how = f"dealt out into {folds} folds clip by clip; clips cut from one recording make the figure too good"
        print(f"ainext: --data {data}: names neither folds nor sources: {how}", file=sys.stderr)
    check_can_report(out / "report")
    machine = Machine(threads=threads, workers=workers, cache=cache)
    evaluation = CrossValidation(dataset, out, settings, start, machine, settings.views, only).run()
    kind = "leak-free folds" if leak_free else "folds"
    title = f"{settings.model} on {data}, {len(evaluation.figures['folds'])} {kind}"
    page = evaluation.report(out / "report", title)
    if as_json:
        from audioinceptionnext.cli.evaluate import rounded

        print(json.dumps(rounded(evaluation.figures | {"report": str(page)}), ensure_ascii=False, indent=2))
        return
    print_figures(evaluation.figures, title)
    print(f"{evaluation.figures['minutes']:.0f} minutes of training   report: {page}")

"""``ainext cross-validate``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.errors import counted, printable


def cross_validate(
    data: shared.Data,
    root: shared.Root,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Write the runs and the report to this folder.")
    ],
    leak_free: Annotated[
        bool, typer.Option("--leak-free", help="Make folds that keep all clips of one source together.")
    ] = False,
    num_folds: Annotated[int, typer.Option(min=2, help="Divide a data set that has no folds into this many.")] = 5,
    folds: Annotated[
        str | None, typer.Option("--folds", help="Train and score only these folds, such as 1,2.", show_default="all")
    ] = None,
    audio: shared.Audio = None,
    recipe: Annotated[
        str | None,
        shared.recipe_option(
            "--recipe",
            metavar="NAME|FILE",
            help=shared.RECIPE_HELP,
            show_default="linear; modern with --from random or --network",
        ),
    ] = None,
    initial_weights: shared.InitialWeights = None,
    changes: shared.Changes = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the folds in --out. This is the default."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start over with the folds in --out.")] = False,
    network: shared.NetworkName = None,
    epochs: shared.Epochs = None,
    batch_size: shared.BatchSize = None,
    learning_rate: shared.LearningRate = None,
    precision: shared.Precision = None,
    seed: shared.Seed = None,
    threads: shared.Threads = None,
    loader_workers: shared.LoaderWorkers = 0,
    cache: shared.Cache = None,
    as_json: shared.AsJson = False,
) -> None:
    """Train one network per fold, and score each clip with the network that was not trained on it.

    Finished folds in --out are kept, and an interrupted one is continued, unless --overwrite is given.

    Example: [bold]ainext cross-validate --data esc10 --root ESC-50 --out runs/esc10[/bold]
    """
    from audioinceptionnext.cli.figures import print_figures
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.evaluation.report_folder import check_can_report
    from audioinceptionnext.training.cross_validation import CrossValidation
    from audioinceptionnext.training.fit import check_call
    from audioinceptionnext.training.hardware import Hardware
    from audioinceptionnext.training.initial_model import open_weights
    from audioinceptionnext.training.teacher import FOLD

    settings, initial_weights = shared.read_recipe(
        recipe, initial_weights, changes, network=network, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, precision=precision, seed=seed,
    )  # fmt: skip
    check_call(out, resume=resume, overwrite=overwrite, recipe=settings, initial_weights=initial_weights, folds=True)
    check_can_report(out / "report")
    if initial_weights is not None and FOLD not in initial_weights:
        open_weights(initial_weights)  # before the data set, which may take long to read
    dataset = load_dataset(data, root, audio)
    dataset.check_one_task("cross-validation")
    unknown_sources = not dataset.folds and any(clip.group is None for clip in dataset.clips)
    dataset = dataset.leak_free(num_folds) if leak_free else dataset.with_folds(num_folds)
    if unknown_sources:
        print(
            f"ainext: warning: --data {data} names neither folds nor sources, so its clips are divided into "
            f"{num_folds} folds one by one; if some were cut from the same recording, the figures are too optimistic",
            file=sys.stderr,
        )
    evaluation = CrossValidation(
        dataset,
        out,
        settings,
        initial_weights=initial_weights,
        hardware=Hardware(threads=threads, loader_workers=loader_workers, cache=cache),
        eval_clips=settings.eval_clips,
        folds=folds,
        overwrite=overwrite,
    ).run()
    fitted = counted(len(evaluation.figures["folds"]), "leak-free fold" if leak_free else "fold")
    title = f"{evaluation.figures['model']} on {data}, {fitted}"
    page = evaluation.report(out / "report", title)
    if as_json:
        from audioinceptionnext.evaluation.evaluate import rounded

        print(json.dumps(rounded(evaluation.figures | {"report": str(page)}), ensure_ascii=False, indent=2))
        return
    print_figures(evaluation.figures, title)
    print(f"{evaluation.figures['minutes']:.0f} minutes of training   report: {printable(page)}")

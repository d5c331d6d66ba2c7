"""``ainext train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.cli import training_options as shared


def train(
    data: shared.Data,
    root: shared.Root,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where the run is kept.")],
    folds: Annotated[
        str | None, typer.Option(help="The folds to train on, 1-4 say; the rest is held out.", show_default="all")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="The splits to train on, of a dataset that has them.", show_default="train")
    ] = None,
    hold_out: Annotated[
        float, typer.Option(min=0, max=0.9, help="Of a dataset without folds or splits: the share that is held out.")
    ] = 0.2,
    per_class: Annotated[
        int | None, typer.Option(min=1, help="Train on so many clips a class only.", show_default="all")
    ] = None,
    audio: shared.Audio = None,
    recipe: shared.RecipeName = None,
    start: shared.Start = None,
    changes: shared.Changes = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    model: shared.Model = None,
    epochs: shared.Epochs = None,
    batch: shared.Batch = None,
    learning_rate: shared.LearningRate = None,
    precision: shared.Precision = None,
    seed: shared.Seed = None,
    threads: shared.Threads = None,
    workers: shared.Workers = 0,
    cache: shared.Cache = None,
    devices: Annotated[int, shared.of_machine(min=1, help="GPUs, or processes on a CPU.")] = 1,
    nodes: Annotated[
        int,
        shared.of_machine(min=1, help="Machines; start it on each with torchrun or SLURM."),
    ] = 1,
    form: Annotated[
        str | None,
        shared.of_machine(help="How steps are computed: products or convolutions.", show_default="the faster"),
    ] = None,
    wandb: Annotated[bool, shared.of_machine("--wandb", help="Log to Weights & Biases too.")] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Train or fine-tune a network on a dataset, and leave a model that `ainext predict` takes.

    Example: [bold]ainext train --data folder --root my_sounds --from kitchen20 --out runs/mine[/bold]
    """
    settings = shared.read_recipe(
        recipe, start, changes,
        model=model, epochs=epochs, batch=batch, learning_rate=learning_rate, precision=precision, seed=seed,
    )  # fmt: skip
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.evaluation.report_folder import check_can_report
    from audioinceptionnext.training.finish import conclude
    from audioinceptionnext.training.fit import Run
    from audioinceptionnext.training.fit import train as fit
    from audioinceptionnext.training.hardware import Machine, first_process
    from audioinceptionnext.training.splits import divide, few

    dataset = load_dataset(data, root, audio)
    training, held_out = divide(dataset, folds, split, hold_out, settings.seed)
    training = few(training, per_class, settings.seed) if per_class else training
    if first_process():
        shared.tell_of(dataset, training, held_out)
    if held_out:
        check_can_report(out / "report")
    what = {"folds": folds, "split": split, "per_class": per_class}
    run = Run(dataset, training, held_out, out, settings, start, what)
    machine = Machine(devices, nodes, threads, workers, cache, form, wandb)
    weights = fit(run, resume, machine)
    if weights is None:  # one of several processes; the first one concludes
        return
    found = conclude(run, weights)
    if as_json:
        from audioinceptionnext.cli.evaluate import rounded

        print(json.dumps(rounded(found), ensure_ascii=False, indent=2))
        return
    if "top1" in found:
        from audioinceptionnext.cli.evaluate import print_figures

        print_figures(found, f"{found['model_file']} on {found['clips']} held-out clips")
        print(f"report: {found['report']}")
    print(f"{found['model_file']}  (next: ainext predict recording.wav --model {found['model_file']})")

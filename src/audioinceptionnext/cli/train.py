"""``ainext train``."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.errors import ParameterError, counted, printable


def train(
    data: shared.Data,
    root: shared.Root,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Write the model and the report to this folder.")
    ],
    folds: Annotated[
        str | None,
        typer.Option(
            "--train-folds", help="Train on these folds, such as 1-4, and hold out the rest.", show_default="all"
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--train-split", help="Train on these splits, if the data set has splits.", show_default="train"),
    ] = None,
    hold_out: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.9,
            help="Hold out this share of a data set without folds or splits.",
            show_default="0.2; 0.05 without labels",
        ),
    ] = None,
    per_class: Annotated[
        int | None, typer.Option(min=1, help="Train on at most this many clips of each class.", show_default="all")
    ] = None,
    audio: shared.Audio = None,
    recipe: shared.RecipeName = None,
    initial_weights: shared.InitialWeights = None,
    changes: shared.Changes = None,
    teacher: Annotated[
        str | None,
        shared.recipe_option(
            metavar="FILE[,FILE]", help="Learn from these teachers: ONNX files for the recipe distil, else models."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out from its last epoch.")] = False,
    overwrite: shared.Overwrite = False,
    network: shared.NetworkName = None,
    epochs: shared.Epochs = None,
    batch_size: shared.BatchSize = None,
    learning_rate: shared.LearningRate = None,
    precision: shared.Precision = None,
    seed: shared.Seed = None,
    threads: shared.Threads = None,
    loader_workers: shared.LoaderWorkers = 0,
    cache: shared.Cache = None,
    devices: Annotated[
        int, shared.hardware_option(min=1, help="Use this many GPUs per machine, or this many processes on a CPU.")
    ] = 1,
    nodes: Annotated[
        int,
        shared.hardware_option(
            min=1, help="Use this many machines; torchrun or SLURM starts the command on each of them."
        ),
    ] = 1,
    implementation: Annotated[
        shared.ImplementationName | None,
        shared.hardware_option(
            help="Compute training steps with convolutions or with matrix products.", show_default="the faster one"
        ),
    ] = None,
    wandb: Annotated[bool, shared.hardware_option("--wandb", help="Also log to Weights & Biases.")] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Train or fine-tune a network on a data set, and write a model for `ainext predict`.

    Example: [bold]ainext train --data folder --root my_sounds --out runs/mine[/bold]
    """
    settings, initial_weights = shared.read_recipe(
        recipe, initial_weights, changes, data, network=network, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, precision=precision, seed=seed, teacher=teacher,
    )  # fmt: skip
    from audioinceptionnext.data import load_dataset, unlabelled
    from audioinceptionnext.data.annotated import by_recording
    from audioinceptionnext.evaluation.report_folder import check_can_report
    from audioinceptionnext.training import fit
    from audioinceptionnext.training.finish import finish_run
    from audioinceptionnext.training.hardware import Hardware, is_first_process
    from audioinceptionnext.training.initial_model import open_weights
    from audioinceptionnext.training.run_record import Run
    from audioinceptionnext.training.splits import limit_per_class, split_clips, split_recordings

    hardware = Hardware(
        devices=devices, nodes=nodes, threads=threads, loader_workers=loader_workers, cache=cache,
        implementation=implementation.value if implementation else None, wandb=wandb,
    )  # fmt: skip
    fit.check_call(out, hardware, resume=resume, overwrite=overwrite, recipe=settings, initial_weights=initial_weights)
    if initial_weights is not None:
        open_weights(initial_weights)  # before the data set, which may take long to read
    timed, taught = settings.targets in ("steps", "timeline"), settings.targets == "teacher"
    if per_class and ((timed and settings.scenes is None) or taught):
        where = "steps" if settings.targets == "steps" else "the timeline"
        what = (
            f"targets of {where} take all segments of a recording" if timed else "without labels there are no classes"
        )
        raise ParameterError("per_class", per_class, f"{what}; leave it out")
    read = unlabelled.read_recordings if taught and data == "folder" else partial(load_dataset, data)
    dataset = read(root, audio)
    dataset = by_recording(dataset) if timed else dataset
    details: dict[str, object] = {"folds": folds, "split": split, "per_class": per_class}
    teachers = None
    if taught:
        from audioinceptionnext.training.onnx_teacher import open_teachers

        teachers = open_teachers(settings)
        dataset = unlabelled.with_labels(dataset, teachers.head.labels)
        training, held_out = split_recordings(dataset, root, hold_out, folds=folds, split=split)
    else:
        share = 0.2 if hold_out is None else hold_out
        training, held_out = split_clips(dataset, folds=folds, split=split, hold_out=share, seed=settings.seed)
    training = limit_per_class(training, per_class, settings.seed, dataset.kinds) if per_class else training
    if is_first_process():
        shared.print_start(dataset, training, held_out, initial_weights)
    if held_out and not timed and not taught:
        check_can_report(out / "report")
    run = Run(dataset, training, held_out, out, settings, initial_weights, details)
    weights = fit.train(run, resume=resume, overwrite=overwrite, hardware=hardware, teachers=teachers)
    if weights is None:  # one of several processes; the first one does the rest
        return
    found = finish_run(run, weights)
    for message in found["unreadable"] if timed and held_out else ():
        print(f"ainext: {message}", file=sys.stderr)
    if as_json:
        from audioinceptionnext.evaluation.evaluate import rounded

        print(json.dumps(rounded(found), ensure_ascii=False, indent=2))
        return
    if "frame_map" in found:
        from audioinceptionnext.cli.figures import print_step_figures

        print_step_figures(found, "held-out recording" if settings.scenes is None else "held-out scene")
    elif timed and held_out:
        from audioinceptionnext.cli.figures import print_timeline_figures

        print_timeline_figures(found)
    if "teacher_map" in found:
        print(
            f"{counted(found['mixtures'], 'held-out mixture')}: KL {found['kl']:.2f}, mAP against the teacher "
            f"{found['teacher_map']:.1f} % over {counted(found['labels_with_decisions'], 'label')}"
        )
    if "report" in found:
        from audioinceptionnext.cli.figures import print_figures

        print_figures(found, f"{found['model_file']} on {counted(found['clips'], 'held-out clip')}")
        print(f"report: {printable(found['report'])}")
    model_file = printable(found["model_file"])
    print(f"{model_file}  (next: ainext predict recording.wav --model {model_file})")

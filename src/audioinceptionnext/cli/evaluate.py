"""``ainext evaluate``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.cli.evaluate_timeline import (
    OFFSET_COLLAR,
    ONSET_COLLAR,
    check_options,
    print_warnings,
    score_timeline,
)
from audioinceptionnext.cli.export import Mode
from audioinceptionnext.cli.figures import print_figures, print_step_figures
from audioinceptionnext.errors import FileError, ParameterError, counted, printable

if TYPE_CHECKING:
    from audioinceptionnext.data import Clip, Dataset
    from audioinceptionnext.evaluation.clip_predictions import ClipPredictions
    from audioinceptionnext.evaluation.evaluate import Evaluation
    from audioinceptionnext.inference.recogniser import Recogniser

RESAMPLES = 1000


def evaluate(
    data: shared.Data,
    root: shared.Root,
    model: Annotated[
        str,
        typer.Option(
            "--model", "-m", metavar="NAME|FILE", help="Score this model: a name, an .onnx file or a .safetensors file."
        ),
    ],
    folds: Annotated[
        str | None, typer.Option(help="Score these folds, such as 5 or 1-4 or 1,3.", show_default="all")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Score these splits, such as test or validation,test.", show_default="all")
    ] = None,
    audio: shared.Audio = None,
    eval_clips: Annotated[
        int,
        typer.Option(
            min=0,
            help="Average the predictions for this many evenly spaced clips of each recording, as the paper does "
            "(5 or 2); 0 uses the whole recording.",
        ),
    ] = 0,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="Process long audio in one pass (dense) or window by window (windows); only for a .safetensors file.",
            show_default="as it was trained",
        ),
    ] = None,
    unseen_sources: Annotated[
        bool,
        typer.Option("--unseen-sources", help="Leave out clips whose source also occurs in the other folds or splits."),
    ] = False,
    leak_free: Annotated[
        bool, typer.Option("--leak-free", help="Make folds that keep all clips of one source together.")
    ] = False,
    timeline: Annotated[
        bool,
        typer.Option(
            "--timeline",
            help="Score the segments of whole recordings against those of the data set, which states their times.",
        ),
    ] = False,
    onset_collar: Annotated[
        float,
        typer.Option(min=0, metavar="S", help="With --timeline, let the onset of an event be off by so many seconds."),
    ] = ONSET_COLLAR,
    offset_collar: Annotated[
        float,
        typer.Option(
            min=0, metavar="S", help="The same of its offset, which may in any case be off by 20 % of the event."
        ),
    ] = OFFSET_COLLAR,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="With --timeline, write the scores to this folder, for the package sed_scores_eval; scores of other "
            "recordings that are there are removed.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a report with pages, tables and pictures to this folder.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the scores of each clip to this file, for `ainext epic-sounds`."),
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Fit the temperature to these clips (and the thresholds, if several labels can be true), and store it "
            "in the model (a .safetensors file).",
        ),
    ] = False,
    resamples: Annotated[
        int, typer.Option(min=0, help="Set the number of bootstrap resamples; 0 gives no confidence intervals.")
    ] = RESAMPLES,
    as_json: shared.AsJson = False,
) -> None:
    """Score a model on a data set.

    Example: [bold]ainext evaluate --data kitchen20 --root Kitchen20 --folds 5 --model runs/a/model.safetensors[/bold]

    Example: [bold]ainext evaluate --timeline --data labels --root corrected --model everyday --report report[/bold]
    """
    of_clips: dict[str, object] = {
        "eval_clips": eval_clips, "unseen_sources": unseen_sources, "leak_free": leak_free, "predictions": predictions,
        "calibrate": calibrate,
    }  # fmt: skip
    collars = onset_collar, offset_collar
    of_timelines: dict[str, object] = {
        "scores": scores, "onset_collar": onset_collar != ONSET_COLLAR and onset_collar,
        "offset_collar": offset_collar != OFFSET_COLLAR and offset_collar,
    }  # fmt: skip
    check_options(timeline, of_timelines, of_clips)
    if calibrate and not model.endswith(".safetensors"):
        reason = f"needs a .safetensors file, not {model}; calibrate that file and export it again"
        raise ParameterError("calibrate", calibrate, reason)
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.data.clip import UNLABELLED
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.evaluation import evaluate as evaluation
    from audioinceptionnext.evaluation.report_folder import check_can_report
    from audioinceptionnext.evaluation.report_pages import SEEN
    from audioinceptionnext.evaluation.seen_clips import seen_clips

    dataset = published = load_dataset(data, root, audio)
    if calibrate:
        dataset.check_one_task("calibration")
    dataset = dataset.leak_free() if leak_free else dataset
    chosen, others = dataset.select(folds, split)
    clips: Sequence[Clip] = evaluation.unseen_sources(chosen, others) if unseen_sources else chosen
    if report is not None:
        check_can_report(report)
    shared.print_problems(dataset)
    recogniser = evaluation.open_model(model, mode.value if mode else None)
    if recogniser.frame_wise and not timeline:
        of_clips |= {"report": report, "resamples": resamples != RESAMPLES and resamples}
        return _score_steps(dataset, chosen, others, recogniser, of_clips, as_json)
    seen = seen_clips(model, recogniser, published, clips)
    if timeline:
        unreadable = score_timeline(
            dataset, chosen, others, recogniser, seen, collars=collars, report=report, scores=scores,
            resamples=resamples, progress=partial(_print_progress, what="recordings"), as_json=as_json,
        )  # fmt: skip
        return _end(unreadable)
    if seen and calibrate:
        reason = f"{model} was trained on {len(seen):,} of these clips; fit it to clips that are new to the model"
        raise ParameterError("calibrate", calibrate, reason)
    if calibrate and recogniser.multi_label and not dataset.multi_label:
        reason = f"{model} is multi-label, and a temperature fits models of which one label is true at a time"
        raise ParameterError("calibrate", calibrate, reason)
    if clips and all(clip.label == UNLABELLED for clip in clips):
        if predictions is None:
            reason = "these clips have no labels to score against; give a file to write the predictions to"
            raise ParameterError("predictions", None, reason)
        reader = Reader(recogniser.sample_rate, dataset.sample_rate)
        _, clips = evaluation.map_labels(recogniser, dataset, clips)
        predicted = evaluation.predict_clips(recogniser, clips, reader, eval_clips=eval_clips, progress=_print_progress)
        _write_predictions(predictions, predicted, recogniser, dataset, eval_clips)
        return _end(predicted.unreadable)
    fitted = calibrate and dataset.multi_label  # the figures are then computed once more
    result = evaluation.evaluate(
        dataset,
        clips,
        recogniser,
        eval_clips=eval_clips,
        resamples=0 if fitted else resamples,
        progress=_print_progress,
    )
    figures = result.figures
    if seen:
        parts = "--folds" if published.folds else "--split" if published.splits else ""
        print(
            f"ainext: warning: {model} was trained on {len(seen):,} of these {counted(len(clips), 'clip')}, so the "
            f"figures are higher than those of new clips; {'choose' if parts else 'give'} clips that it has not seen"
            f"{f' with {parts}' if parts else ''}",
            file=sys.stderr,
        )
        figures[SEEN] = len(seen)
    if predictions is not None:
        _write_predictions(predictions, result.predictions, recogniser, dataset, eval_clips)
    if calibrate:
        _calibrate(Path(model), result, resamples)
    if report is not None:
        figures["report"] = str(result.report(report))
    if as_json:
        print(json.dumps(evaluation.rounded(figures), ensure_ascii=False, indent=2))
    else:
        part = f", folds {folds}" if folds else f", {split}" if split else ""
        scored = counted(figures["clips"], "clip")
        print_figures(figures, f"{figures['model']} ({figures['mode']}) on {scored} of {data}{part}")
    _end(result.predictions.unreadable)


def _score_steps(
    dataset: Dataset,
    clips: Sequence[Clip],
    others: Sequence[Clip],
    recogniser: Recogniser,
    of_clips: dict[str, object],
    as_json: bool,
) -> None:
    """Score a model that was trained on steps, as its training does. ``of_clips`` are options that have no use here."""
    from audioinceptionnext.data.annotated import check_apart
    from audioinceptionnext.evaluation.evaluate import rounded
    from audioinceptionnext.evaluation.frame_wise import evaluate_frames

    for name, value in of_clips.items():
        if value:
            reason = f"leave it out: {recogniser.name} was trained on steps and is scored on whole recordings"
            reason += " (with --timeline, there is a report)" if name == "report" else ""
            raise ParameterError(name, value, reason)
    check_apart(others, clips)
    figures = evaluate_frames(dataset, clips, recogniser, partial(_print_progress, what="recordings"))
    print_warnings(figures)
    if as_json:
        print(json.dumps(rounded(figures), ensure_ascii=False, indent=2))
    else:
        print_step_figures(figures, "recording")
    _end(figures["unreadable"])


def _end(unreadable: Sequence[str]) -> None:
    """Print what could not be read, and exit with code 1 if there is anything."""
    for message in unreadable:
        print(f"ainext: {message}", file=sys.stderr)
    if unreadable:
        raise typer.Exit(1)


def _print_progress(done: int, total: int, what: str = "clips") -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total} {what}", end="\n" if done == total else "", file=sys.stderr)


def _write_predictions(
    path: Path, predictions: ClipPredictions, recogniser: Recogniser, dataset: Dataset, eval_clips: int
) -> None:
    """Write the scores of each recording, or of each of its evenly spaced clips, over the data set's classes."""
    import numpy as np

    from audioinceptionnext.evaluation.predictions import write_predictions, write_task_predictions

    if not predictions.clips:
        raise FileError(path, f"not written, since none of the clips can be read, e.g. {predictions.unreadable[0]}")
    outputs = np.stack(predictions.outputs) if eval_clips else predictions.probabilities
    ids = [clip.id or clip.name for clip in predictions.clips]
    classes = [recogniser.labels.index(label) for label in dataset.labels]
    if tasks := dataset.tasks:
        parts = np.split(outputs[..., classes], np.cumsum([*tasks.values()])[:-1], axis=-1)
        write_task_predictions(path, ids, dict(zip(tasks, parts, strict=True)))
    else:
        write_predictions(path, ids, outputs[..., classes])
    print(f"{printable(path)}: {counted(len(predictions.clips), 'clip')}", file=sys.stderr)


def _calibrate(path: Path, evaluation: Evaluation, resamples: int) -> None:
    from audioinceptionnext.network.storage import load_model, save_model

    model, thresholds = load_model(path), None
    if evaluation.dataset.multi_label:
        factor, thresholds = evaluation.fit(resamples)
    else:
        factor = evaluation.predictions.temperature()
    if factor is None and thresholds is None:
        reason = f"{path} makes too few mistakes on these clips to fit a temperature; score more clips"
        raise ParameterError("calibrate", True, reason)
    model.temperature *= factor or 1.0  # the stored temperature is in the predictions already
    model.thresholds = tuple(thresholds) if thresholds else model.thresholds
    save_model(model, path)
    evaluation.figures["temperature"] = model.temperature
    also = " and thresholds" if thresholds else ""
    print(f"{printable(path)}: temperature {model.temperature:.3f}{also} stored", file=sys.stderr)

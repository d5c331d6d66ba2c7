"""``ainext evaluate``."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.cli.export import Run
from audioinceptionnext.errors import AinextError

if TYPE_CHECKING:
    from audioinceptionnext.data import Clip, Dataset
    from audioinceptionnext.evaluation.evaluate import Evaluation, Heard
    from audioinceptionnext.inference.recogniser import Recogniser


def evaluate(
    data: shared.Data,
    root: shared.Root,
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|FILE", help="A name, an .onnx or a .safetensors file.")
    ] = "kitchen20",
    folds: Annotated[
        str | None, typer.Option(help="The folds to score: 5, 1-4, 1,3 or all.", show_default="all")
    ] = None,
    split: Annotated[str | None, typer.Option(help="The splits to score: test, validation.")] = None,
    audio: shared.Audio = None,
    views: Annotated[
        int, typer.Option(min=0, help="Clips at even spacing to average, as the paper does (5, or 2); 0 hears all.")
    ] = 0,
    run: Annotated[
        Run | None, typer.Option(help="For a .safetensors model: how it hears long audio.", show_default="as trained")
    ] = None,
    unseen_sources: Annotated[
        bool, typer.Option("--unseen-sources", help="Leave out clips of recordings that the rest has clips of too.")
    ] = False,
    leak_free: Annotated[bool, typer.Option("--leak-free", help="--folds are those that keep sources whole.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write pages, tables and pictures here.")] = None,
    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write each clip's scores here, for ainext epic-sounds.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Store the best temperature in the model (a .safetensors file).")
    ] = False,
    resamples: Annotated[int, typer.Option(min=0, help="Of the bootstrap; 0 gives no intervals.")] = 1000,
    as_json: shared.AsJson = False,
) -> None:
    """Score a model on a dataset.

    Example: [bold]ainext evaluate --data kitchen20 --root Kitchen20 --folds 5 --model runs/a/model.safetensors[/bold]
    """
    if calibrate and not model.endswith(".safetensors"):
        raise AinextError(f"--calibrate: {model} is no .safetensors file; calibrate that and export it again")
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.data.clip import UNLABELLED
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.evaluation import evaluate as evaluation
    from audioinceptionnext.evaluation.report_folder import check_can_report

    dataset = load_dataset(data, root, audio)
    dataset = dataset.leak_free() if leak_free else dataset
    chosen, others = dataset.select(folds, split)
    clips: Sequence[Clip] = evaluation.unseen_sources(chosen, others) if unseen_sources else chosen
    if report is not None:
        check_can_report(report)
    shared.tell_of_problems(dataset)
    recogniser = evaluation.open_model(model, run.value if run else None)
    if predictions is not None and clips and all(clip.label == UNLABELLED for clip in clips):
        reader = Reader(recogniser.sample_rate, dataset.sample_rate)
        _, clips = evaluation.in_terms_of(recogniser, dataset, clips)
        heard = evaluation.hear(recogniser, clips, reader, views, _tell)
        _write_predictions(predictions, heard, recogniser, dataset, views)
        return _end(heard)
    found = evaluation.evaluate(dataset, clips, recogniser, views, resamples, _tell)
    figures = found.figures
    if predictions is not None:
        _write_predictions(predictions, found.heard, recogniser, dataset, views)
    if calibrate:
        _calibrate(Path(model), found)
    if report is not None:
        figures["report"] = str(found.report(report))
    if as_json:
        print(json.dumps(rounded(figures), ensure_ascii=False, indent=2))
    else:
        which = f", folds {folds}" if folds else f", {split}" if split else ""
        print_figures(figures, f"{figures['model']} ({figures['run']}) on {figures['clips']} clips of {data}{which}")
    _end(found.heard)


def _end(heard: Heard) -> None:
    for line in heard.unreadable:
        print(f"ainext: {line}", file=sys.stderr)
    if heard.unreadable:
        raise typer.Exit(1)


def _tell(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{of} clips", end="\n" if done == of else "", file=sys.stderr)


def _write_predictions(path: Path, heard: Heard, recogniser: Recogniser, dataset: Dataset, views: int) -> None:
    """Each clip's distribution over the dataset's classes, or that of each of its views, which the scorer sums."""
    import numpy as np

    from audioinceptionnext.evaluation.predictions import write_predictions

    if not heard.clips:
        raise AinextError(f"{path}: not written: none of the clips can be read, e.g. {heard.unreadable[0]}")
    outputs = np.stack(heard.outputs) if views else heard.probabilities
    classes = [recogniser.labels.index(label) for label in dataset.labels]
    write_predictions(path, [clip.id or clip.name for clip in heard.clips], outputs[..., classes])
    print(f"{path}: {len(heard.clips)} clips", file=sys.stderr)


def _calibrate(path: Path, found: Evaluation) -> None:
    from audioinceptionnext.network.storage import load_model, save_model

    stored, factor = load_model(path), found.heard.temperature()
    if factor is None:
        raise AinextError(f"--calibrate: {path} makes too few mistakes on these clips, or they are too few, to tell")
    stored.temperature *= factor  # what was heard had the stored one already
    save_model(stored, path)
    found.figures["temperature"] = stored.temperature
    print(f"{path}: temperature {stored.temperature:.3f} stored", file=sys.stderr)


LISTED = 50  # classes; of more, the best and the worst


def print_figures(figures: dict[str, Any], title: str) -> None:
    """The table that people read."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]{title}[/bold]", soft_wrap=True)
    intervals = figures.get("intervals", {})
    names = {"top1": "top-1", "top5": "top-5", "mca": "mean class accuracy", "map": "mAP", "mauc": "mAUC"}
    table = Table(box=None, show_header=False, padding=(0, 2))
    for key, name in names.items():
        if key == "top5" and len(figures["per_class"]) <= 5:
            continue  # always 100 %
        percent = key != "mauc"
        low, high = intervals.get(key, (math.nan, math.nan))
        between = f"({low:.1f} to {high:.1f})" if percent else f"({low:.3f} to {high:.3f})"
        value = f"{figures[key]:.1f} %" if percent else f"{figures[key]:.3f}"
        table.add_row(name, value, between if intervals else "")
    if figures.get("temperature") is not None:  # None where the clips cannot tell
        table.add_row("temperature", f"{figures['temperature']:.3f}", "")
    console.print(table)
    if "folds" in figures:
        each = "   ".join(f"{name}: {fold['top1']:.1f} %" for name, fold in figures["folds"].items())
        console.print(f"top-1 of each fold   {each}")
    if unseen := figures.get("unseen_sources"):
        low, high = unseen["intervals"]["top1"] if "intervals" in unseen else (math.nan, math.nan)
        console.print(
            f"top-1 of the {unseen['clips']} clips of sources that their network has no other clip of   "
            f"{unseen['top1']:.1f} % ({low:.1f} to {high:.1f})"
        )
    if intervals:
        console.print("in brackets: 95 % bootstrap intervals, whole sources drawn where they are known\n", style="dim")
    table = Table(box=None, show_header=False, padding=(0, 2))
    ranked = sorted(figures["per_class"].items(), key=lambda item: -item[1])
    for label, accuracy in ranked if len(ranked) <= LISTED else [*ranked[: LISTED // 2], *ranked[-LISTED // 2 :]]:
        table.add_row(label, f"{accuracy:.1f} %")
    console.print(table)
    if len(ranked) > LISTED:
        console.print(f"(of {len(ranked)} classes the best and the worst {LISTED // 2}; --json gives all)", style="dim")


def rounded(value: Any) -> Any:
    """For JSON: four places, and null for what is no number."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value

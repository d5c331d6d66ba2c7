"""``ainext epic-sounds detect`` and ``score-detection``: the detection challenge."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli.prediction_options import StepSeconds
from audioinceptionnext.cli.training_options import AsJson, Audio, Root
from audioinceptionnext.errors import FileError, MediaError, counted, printable, writing

if TYPE_CHECKING:
    from audioinceptionnext.evaluation.finished_videos import FinishedVideos


class SplitName(StrEnum):
    validation = "validation"
    test = "test"


_SCALE = "(arXiv 2008.09890)"
LevelPt = Annotated[int, typer.Option(min=0, max=5, help=f"Set the supervision level of pretraining {_SCALE}.")]
LevelTl = Annotated[int, typer.Option(min=0, max=5, help=f"Set the supervision level of the training labels {_SCALE}.")]
LevelTd = Annotated[int, typer.Option(min=0, max=5, help=f"Set the supervision level of the training data {_SCALE}.")]


def detect(
    target: Annotated[
        Path,
        typer.Argument(metavar="OUT.zip", help="Write this submission; a name that ends in .json gets only the JSON."),
    ],
    root: Root,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="FILE",
            help="Use this model with the classes of EPIC-SOUNDS: an .onnx file or a .safetensors file.",
        ),
    ],
    split: Annotated[SplitName, typer.Option(help="Take the videos of this list.")] = SplitName.test,
    audio: Audio = None,
    max_detections: Annotated[
        int, typer.Option(min=1, metavar="N", help="Keep the best this many detections of each video.")
    ] = 2000,
    step_seconds: StepSeconds = None,
    sls_pt: LevelPt = 2,
    sls_tl: LevelTl = 3,
    sls_td: LevelTd = 4,
    as_json: AsJson = False,
) -> None:
    """Detect the sounds of all videos, and write a submission for the detection challenge.

    The videos of the test set are those of EPIC_Sounds_detection_test_videos. A video whose recording is missing or
    damaged gets an empty list, and the exit code is 1.

    To continue an interrupted call, give the same command again.

    Example: [bold]ainext epic-sounds detect test.zip --root EPIC-SOUNDS --model runs/epic/model.onnx[/bold]
    """
    from audioinceptionnext.cli.progress import progress_bar
    from audioinceptionnext.data.epic_sounds import RATE, videos
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.evaluation.detect import check_labels, detect_video
    from audioinceptionnext.evaluation.detection_file import write_detections
    from audioinceptionnext.evaluation.evaluate import open_model
    from audioinceptionnext.evaluation.finished_videos import FinishedVideos
    from audioinceptionnext.results.detection import DetectionSettings

    if target.suffix.lower() not in (".zip", ".json"):
        raise FileError(target, "the name of the output must end in .zip or .json")
    clips = videos(root, split, audio)
    if not any(clips.values()):
        place = audio or root
        raise FileError(place, f"has no recording of the {counted(len(clips), 'video')} of the {split} list")
    recogniser = open_model(model)
    check_labels(recogniser)
    recogniser.check_step(step_seconds)
    settings = DetectionSettings(max_detections=max_detections)
    reader = Reader(recogniser.sample_rate, RATE)
    call = {
        "model": _digest(model),
        "recordings": str((audio or root).resolve()),
        "split": split.value,
        "step_seconds": step_seconds,
        "max_detections": max_detections,
    }
    levels = {"sls_pt": sls_pt, "sls_tl": sls_tl, "sls_td": sls_td}
    failed: list[str] = []
    damaged: dict[str, list[str]] = {}
    with _unfinished(FinishedVideos(target, call), len(clips)) as finished:
        with progress_bar(len(clips)) as bar:
            for video, clip in clips.items():
                try:
                    if video not in finished.results:
                        if clip is None:
                            raise MediaError(audio or root, f"has no recording of {printable(video)}")
                        progress = bar.of(clip.path, video)
                        found, warnings = detect_video(recogniser, clip, reader, settings, step_seconds, progress)
                        finished.add(video, found)
                        if warnings:
                            damaged[video] = warnings
                        for line in warnings:
                            bar.print(f"ainext: warning: {printable(clip.name)}: {line}")
                except MediaError as error:
                    failed.append(video)
                    bar.print(f"ainext: {error}; its list of detections is empty")
                bar.advance(clip.path if clip else None)
        results = {video: finished.results.get(video, []) for video in clips}
        with writing(target):
            write_detections(target, results, **levels)
    number = sum(map(len, results.values()))
    if as_json:
        summary = {"file": str(target), "videos": len(results), "detections": number, "without_recording": failed}
        summary |= {"damaged": damaged, "lowest_threshold": settings.lowest_threshold}
        print(json.dumps(summary | levels, ensure_ascii=False, indent=2))
    else:
        of = f"from a probability of {settings.lowest_threshold:g} on, supervision levels {sls_pt} {sls_tl} {sls_td}"
        print(f"{printable(target)}: {counted(number, 'detection')} in {counted(len(results), 'video')}, {of}")
    if failed:
        raise typer.Exit(1)


@contextmanager
def _unfinished(finished: FinishedVideos, total: int) -> Iterator[FinishedVideos]:
    """Say which videos are finished, at the beginning and if something stops the rest."""
    share = f"{len(finished.results):,} of {counted(total, 'video')}"
    if finished.results:
        print(f"ainext: {share} were finished before, in {printable(finished.path)}", file=sys.stderr)
    with finished:
        try:
            yield finished
        except BaseException:
            if finished.results:
                share = f"{len(finished.results):,} of {counted(total, 'video')}"
                what = f"{share} are finished, in {printable(finished.path)}; the same command goes on with the rest"
                print(f"ainext: {what}", file=sys.stderr)
            raise


def _digest(model: str) -> str:
    """What tells one model from another: its content, or its name if it is no file here."""
    path = Path(model)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else model


def score_detection(
    detections: Annotated[
        Path,
        typer.Argument(metavar="DETECTIONS", help="Read this JSON, or the zip of a submission that holds it."),
    ],
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="Read the published EPIC_Sounds_validation.csv or .pkl.")
    ],
    as_json: AsJson = False,
) -> None:
    """Score detections with the metrics of the detection challenge.

    Example: [bold]ainext epic-sounds score-detection test.json EPIC_Sounds_validation.csv[/bold]
    """
    from audioinceptionnext.evaluation.detection import score_detections
    from audioinceptionnext.evaluation.detection_file import read_detections

    figures = score_detections(read_detections(detections), annotations)
    name = printable(detections)
    if figures["unknown_videos"]:
        unknown = counted(figures["unknown_videos"], "video")
        print(
            f"ainext: warning: {name}: {unknown} not in the annotations, where every detection is wrong",
            file=sys.stderr,
        )
    if as_json:
        print(json.dumps(figures, ensure_ascii=False, indent=2))
    else:
        _print_figures(figures, name)


def _print_figures(figures: dict[str, Any], name: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    left_out = f"; {counted(figures['left_out'], 'detection')} of other classes left out" if figures["left_out"] else ""
    annotated = counted(figures["annotations"], "annotated segment")
    what = f"{counted(figures['detections'], 'detection')}, {annotated}{left_out}"
    console.print(f"[bold]{escape(name)}[/bold]: {what}", soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for tenths in range(1, 6):
        table.add_row(f"mAP at IoU 0.{tenths}", f"{figures[f'map_at_0{tenths}']:.2f} %")
    table.add_row("mean", f"{figures['map_avg']:.2f} %")
    console.print(table)

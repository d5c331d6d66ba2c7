"""``ainext epic-sounds``: the metrics of the two challenges, and their submission files."""

from __future__ import annotations

import json
import sys
from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.cli import epic_sounds_detection as detection
from audioinceptionnext.cli.program import Program
from audioinceptionnext.cli.training_options import AsJson
from audioinceptionnext.errors import FileError, counted, printable

SUMMARY = (
    "Score predictions for the EPIC-SOUNDS challenges (recognition and detection), and write and check submissions."
)
app = Program(
    help=f"{SUMMARY}\n\nExample: [bold]ainext epic-sounds score predictions.pkl EPIC_Sounds_validation.csv[/bold]",
    short_help=SUMMARY,
)

Predictions = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS",
        help="Read this pickle or torch.save file with interaction_output and annotation_id, as `ainext evaluate` "
        "writes it.",
    ),
]


@app.command()
def score(
    predictions: Predictions,
    annotations: Annotated[
        Path, typer.Argument(metavar="ANNOTATIONS", help="Read the published EPIC_Sounds_validation.csv or .pkl.")
    ],
    redact_background: Annotated[
        bool, typer.Option("--redact-background", help="Leave out the class 'background', as the test set does.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Score the segments that are there, if the predictions are not complete.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score predictions with the metrics of the recognition challenge.

    Example: [bold]ainext epic-sounds score predictions.pkl EPIC_Sounds_validation.csv[/bold]
    """
    from audioinceptionnext.evaluation.epic_sounds import score_predictions
    from audioinceptionnext.evaluation.predictions import read_predictions

    figures = score_predictions(read_predictions(predictions), annotations, redact_background, partial=partial)
    if missing := figures.get("missing"):
        total = counted(missing + figures["segments"], "segment")
        message = f"{missing:,} of {total} have no prediction; these figures are of the others alone"
        print(f"ainext: warning: {printable(predictions)}: {message}", file=sys.stderr)
    if as_json:
        # JSON has no NaN, which mAUC is if all segments are of one class.
        print(json.dumps({key: None if isnan(value) else value for key, value in figures.items()}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    without = ", background left out" if redact_background else ""
    console = Console(highlight=False)
    title = f"[bold]{escape(printable(predictions))}[/bold] on {counted(figures['segments'], 'segment')}{without}"
    console.print(title, soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, key in {"top-1": "top1", "top-5": "top5", "mean class accuracy": "mca", "mAP": "map"}.items():
        table.add_row(name, f"{figures[key]:.2f} %")
    table.add_row("mAUC", f"{figures['mauc']:.4f}  ")
    console.print(table)


@app.command()
def submit(
    predictions: Predictions,
    target: Annotated[Path, typer.Argument(metavar="OUT.zip", help="Write this file.")],
    sls_pt: detection.LevelPt = 2,
    sls_tl: detection.LevelTl = 3,
    sls_td: detection.LevelTd = 4,
    timestamps: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Refuse predictions that do not cover exactly this EPIC_Sounds_recognition_test_timestamps.csv.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a submission for the recognition challenge. (`detect` writes one for the detection challenge.)

    Example: [bold]ainext epic-sounds submit test.pkl submission.zip --timestamps \
EPIC_Sounds_recognition_test_timestamps.csv[/bold]
    """
    from audioinceptionnext.evaluation.epic_sounds import read_ids
    from audioinceptionnext.evaluation.predictions import mismatches, read_predictions
    from audioinceptionnext.evaluation.submission import write_submission

    if target.suffix.lower() != ".zip":
        raise FileError(target, "the name of the output must end in .zip")
    found = read_predictions(predictions)
    if timestamps is None:
        message = "the submission was not checked for missing segments; give --timestamps to check it"
        print(f"ainext: warning: {message}", file=sys.stderr)
    elif problems := mismatches(found.ids, read_ids(timestamps)):
        raise FileError(predictions, f"does not match the test set, so nothing was written: {'; '.join(problems)}")
    write_submission(found, target, sls_pt=sls_pt, sls_tl=sls_tl, sls_td=sls_td)
    summary = {
        "file": str(target),
        "segments": len(found.ids),
        "complete": None if timestamps is None else True,
        "sls_pt": sls_pt,
        "sls_tl": sls_tl,
        "sls_td": sls_td,
    }
    if as_json:
        print(json.dumps(summary, ensure_ascii=False, indent=2))
    else:
        print(
            f"{printable(target)}: {counted(len(found.ids), 'segment')}, supervision levels {sls_pt} {sls_tl} {sls_td}"
        )


@app.command()
def check(
    submission: Annotated[Path, typer.Argument(metavar="SUBMISSION", help="Check this .zip or .json file.")],
    timestamps: Annotated[
        Path,
        typer.Argument(
            metavar="LIST",
            help="Read the published EPIC_Sounds_recognition_test_timestamps.csv or .pkl, whose segments must all be "
            "there; for detections EPIC_Sounds_detection_test_videos.csv or .pkl, or annotations: their videos.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Print what the challenge's server would reject in a submission for recognition or for detection.

    The exit code is 1 if it would reject anything.

    Example: [bold]ainext epic-sounds check submission.zip EPIC_Sounds_recognition_test_timestamps.csv[/bold]

    For detections: [bold]ainext epic-sounds check test.zip EPIC_Sounds_detection_test_videos.csv[/bold]
    """
    from audioinceptionnext.evaluation.submission import inspect_submission

    challenge, problems = inspect_submission(submission, timestamps)
    name = printable(submission)
    if submission.suffix.lower() == ".json":
        message = "the server takes a zip that holds this document as test.json; `detect OUT.zip` writes one"
        print(f"ainext: warning: {name}: {message}", file=sys.stderr)
    if as_json:
        found = {"file": str(submission), "challenge": challenge, "problems": problems}
        print(json.dumps(found, ensure_ascii=False, indent=2))
    elif problems:
        print("\n".join(f"{name}: {problem}" for problem in problems))
        print(f"{name}: {counted(len(problems), 'problem')}{f' for the {challenge} challenge' if challenge else ''}")
    else:
        print(f"{name}: complete and in order for the {challenge} challenge")
    if problems:
        raise typer.Exit(1)


app.command("detect")(detection.detect)
app.command("score-detection")(detection.score_detection)

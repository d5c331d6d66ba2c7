"""``ainext epic-sounds``: the challenge's metrics and its submission file."""

from __future__ import annotations

import json
import sys
from math import isnan
from pathlib import Path
from typing import Annotated

import typer

from audioinceptionnext.errors import AinextError

app = typer.Typer(
    help="The EPIC-SOUNDS challenge: score predictions, write and check a submission.\n\n"
    "Example: [bold]ainext epic-sounds score predictions.pkl EPIC_Sounds_validation.csv[/bold]",
    short_help="The EPIC-SOUNDS challenge: score predictions, write and check a submission.",
)

Predictions = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS", help="A pickle or a torch.save file of interaction_output and annotation_id."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document.")]
LEVEL = "0 to 5 on the Supervision Levels Scale (arXiv 2008.09890)."


@app.command()
def score(
    predictions: Predictions,
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="EPIC_Sounds_validation.csv or .pkl.")],
    redact_background: Annotated[
        bool, typer.Option("--redact-background", help="Leave out the class background, as the test set does.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score predictions with the challenge's metrics.

    Example: [bold]ainext epic-sounds score predictions.pkl EPIC_Sounds_validation.csv[/bold]
    """
    from audioinceptionnext.evaluation.epic_sounds import score_predictions
    from audioinceptionnext.evaluation.predictions import read_predictions

    found = score_predictions(read_predictions(predictions), annotations, redact_background)
    if as_json:
        # JSON has no NaN, which mAUC is where all segments are of one class
        print(json.dumps({key: None if isnan(value) else value for key, value in found.items()}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    without = ", background left out" if redact_background else ""
    console = Console(highlight=False)
    console.print(f"[bold]{escape(str(predictions))}[/bold] on {found['segments']:,} segments{without}", soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2))
    table.add_column()
    table.add_column(justify="right")
    for name, key in {"top-1": "top1", "top-5": "top5", "mean class accuracy": "mca", "mAP": "map"}.items():
        table.add_row(name, f"{found[key]:.2f} %")
    table.add_row("mAUC", f"{found['mauc']:.4f}  ")
    console.print(table)


@app.command()
def submit(
    predictions: Predictions,
    target: Annotated[Path, typer.Argument(metavar="OUT.zip", help="Where to write the submission.")],
    sls_pt: Annotated[int, typer.Option(min=0, max=5, help=f"Level of the pre-training, {LEVEL}")] = 2,
    sls_tl: Annotated[int, typer.Option(min=0, max=5, help=f"Level of the training labels, {LEVEL}")] = 3,
    sls_td: Annotated[int, typer.Option(min=0, max=5, help=f"Level of the training data, {LEVEL}")] = 4,
    timestamps: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="EPIC_Sounds_recognition_test_timestamps: refuse predictions that miss any."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the file that the challenge takes.

    Example: [bold]ainext epic-sounds submit test.pkl submission.zip --timestamps \
EPIC_Sounds_recognition_test_timestamps.csv[/bold]
    """
    from audioinceptionnext.evaluation.epic_sounds import read_ids
    from audioinceptionnext.evaluation.predictions import mismatches, read_predictions
    from audioinceptionnext.evaluation.submission import write_submission

    if target.suffix.lower() != ".zip":
        raise AinextError(f"{target}: the submission's name ends in .zip")
    found = read_predictions(predictions)
    if timestamps is None:
        print("ainext: whether all test segments are there was not checked; give --timestamps", file=sys.stderr)
    elif problems := mismatches(found.ids, read_ids(timestamps)):
        raise AinextError(f"{predictions}: not the test set, nothing written: {'; '.join(problems)}")
    write_submission(found, target, sls_pt, sls_tl, sls_td)
    facts = {
        "file": str(target),
        "segments": len(found.ids),
        "complete": None if timestamps is None else True,
        "sls_pt": sls_pt,
        "sls_tl": sls_tl,
        "sls_td": sls_td,
    }
    if as_json:
        print(json.dumps(facts, ensure_ascii=False, indent=2))
    else:
        print(f"{target}: {len(found.ids):,} segments, supervision levels {sls_pt} {sls_tl} {sls_td}")


@app.command()
def check(
    submission: Annotated[Path, typer.Argument(metavar="OUT.zip", help="A submission.")],
    timestamps: Annotated[
        Path, typer.Argument(metavar="TIMESTAMPS", help="EPIC_Sounds_recognition_test_timestamps.csv or .pkl.")
    ],
    as_json: AsJson = False,
) -> None:
    """Say what the challenge would refuse, before it costs a try.

    Ends with exit code 1 if there is anything.

    Example: [bold]ainext epic-sounds check submission.zip EPIC_Sounds_recognition_test_timestamps.csv[/bold]
    """
    from audioinceptionnext.evaluation.submission import check_submission

    problems = check_submission(submission, timestamps)
    if as_json:
        print(json.dumps({"file": str(submission), "problems": problems}, ensure_ascii=False, indent=2))
    else:
        print("\n".join(f"{submission}: {problem}" for problem in problems) or f"{submission}: complete and in order")
    if problems:
        raise typer.Exit(1)

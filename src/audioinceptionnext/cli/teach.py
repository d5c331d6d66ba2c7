"""``ainext teach``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.cli import training_options as shared
from audioinceptionnext.errors import AinextError, counted, printable
from audioinceptionnext.models.names import DEFAULT_MODEL

ENOUGH = 5  # recordings of each class, or stretches of longer ones

if TYPE_CHECKING:
    from audioinceptionnext.teaching.examples import Example
    from audioinceptionnext.teaching.teach import Taught


def teach(
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="Read the recordings from this folder, with one subfolder per class.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.onnx", help="Write the model to this file.")],
    base: Annotated[
        str, typer.Option("--from", metavar="NAME|FILE", help="Use the features of this model.")
    ] = DEFAULT_MODEL,
    data: Annotated[
        str, typer.Option(metavar="NAME", help=f"Choose the kind of data set: {shared.DATA_SETS}.")
    ] = "folder",
    audio: shared.Audio = None,
    threads: shared.Threads = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that was not written by this command.")
    ] = False,
    as_json: shared.AsJson = False,
) -> None:
    """Teach a model sounds of your own in seconds, from ten or so examples of each.

    What is in a subfolder called nothing gets no label. The accuracy is that of recordings left out, in five folds.

    Example: [bold]ainext teach --root my_sounds --out mine.onnx[/bold]
    """
    from audioinceptionnext.cli.progress import progress_bar
    from audioinceptionnext.teaching.teach import check_output, teach

    check_output(out, overwrite)
    examples = _of_data_set(data, root, audio)
    with progress_bar(len(examples)) as bar:
        taught = teach(examples, out, model=base, data=data, threads=threads, overwrite=overwrite, progress=bar.count)
    print(json.dumps(taught.as_dict(), ensure_ascii=False, indent=2) if as_json else _in_words(taught, base))
    if taught.left_out:
        raise typer.Exit(1)


def _of_data_set(data: str, root: Path, audio: Path | None) -> list[Example]:
    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.teaching.examples import Example

    dataset = load_dataset(data, root, audio)
    dataset.check_one_label("teaching")
    for line in dataset.problems:
        print(f"ainext: warning: {printable(line)}", file=sys.stderr)
    clips = [clip for clip in dataset.clips if clip.label >= 0]
    if any(clip.key is not None for clip in clips):
        raise AinextError(f"{dataset.name}: recordings in HDF5 files cannot be taught from; ainext train can")
    clips.sort(key=lambda clip: clip.label)
    return [Example(dataset.labels[one.label], one.path, one.start, one.end, one.group, one.fold) for one in clips]


def _in_words(taught: Taught, base: str) -> str:
    name = printable(taught.model)
    what = f"{counted(len(taught.per_class), 'class')}, taught from {counted(taught.clips, 'clip')}"
    width = max(map(len, taught.per_class))
    fewest = min(sum(taken.values()) for taken in taught.confusions.values())
    few = [f"That figure says little: give at least {ENOUGH} recordings of each class."] if fewest < ENOUGH else []
    return "\n".join(
        [
            f"{name}: {what} on {printable(base)} in {taught.seconds:.1f} s",
            f"It recognises {taught.top1:.1f} % of recordings that it has not learnt from (cross-validated).",
            "Of each class:",
            *(f"  {printable(label):{width}}  {share:5.1f} %" for label, share in taught.per_class.items()),
            *few,
            f"Segments begin where a label has a probability of {taught.threshold:g}. "
            f"Try: ainext predict recording.wav --model {name}",
        ]
    )

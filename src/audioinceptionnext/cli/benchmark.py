"""``ainext benchmark``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli.training_options import AsJson
from audioinceptionnext.errors import AinextError

if TYPE_CHECKING:
    from audioinceptionnext.benchmark.measurement import Bench
    from audioinceptionnext.benchmark.subjects import Preparation, Subject
    from audioinceptionnext.data import Clip, Dataset


class Format(StrEnum):
    table = "table"
    markdown = "markdown"
    json = "json"


def benchmark(
    rows: Annotated[
        str | None,
        typer.Option(
            help="Rows by number or part of a name: 1,4-6,openvino; --rows ? lists them.",
            show_default="all that can run here",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE.safetensors",
            help="Measure this network in the rows of its architecture; may be repeated.",
            show_default="base, random weights",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the CPU, for every row.", show_default="all")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often all rows are gone round.")] = 10,
    batch: Annotated[str, typer.Option(help="Clips a call; the first is what ratios are of.")] = "1,16",
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Also the machine's limits, and how near each part comes.")
    ] = False,
    recording: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="From this file to segments: speed, memory, the share of each stage, and the published way. "
            "Without --rows, that alone.",
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="From one answer of --recording to the next.", show_default="the model's"),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Score trained models on it; choose clips that they were not trained on."),
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder that holds it.")] = None,
    folds: Annotated[str | None, typer.Option(help="The folds to score; int8 is calibrated on the others.")] = None,
    split: Annotated[str | None, typer.Option(help="The splits to score.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw time against size or accuracy.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.table,
    as_json: AsJson = False,
) -> None:
    """Measure speed, memory and agreement of networks and engines, side by side, on this machine.

    Each row runs in a process of its own; all are gone round again and again, so that what else happens falls on all.

    Example: [bold]ainext benchmark --rows 1,4,mobilenet --rounds 5[/bold],
    [bold]ainext benchmark --model kitchen20 --recording dinner.mp4 --hop 0.16[/bold]
    """
    import tempfile

    from audioinceptionnext.benchmark import accuracy, hardware, subjects, tables
    from audioinceptionnext.benchmark import measurement as measuring
    from audioinceptionnext.benchmark.rows import choose

    batches = _batches(batch)
    _check_plot(plot)
    cores = hardware.pinned_cores(threads)
    cuda = hardware.gpu() is not None
    _check_recording(recording, hop)
    chosen = [] if recording and rows is None else choose(rows, cuda)
    found = subjects.subjects(model or [])
    scored = _scored(data, root, folds, split, found)
    details = hardware.describe(cores)
    if details["load_before"] is not None and details["load_before"] > hardware.BUSY:
        _tell(
            f"other work is running here (load {details['load_before']:.1f}): times will be longer and not comparable"
        )
    unreadable: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ainext-benchmark-") as folder:
        calibrated = accuracy.calibration(scored[0], scored[2]) if scored and scored[2] else None
        prepared = subjects.Preparation(Path(folder), found, calibrated)
        with measuring.Bench(chosen, prepared, cores, batches, _tell) as bench:
            interrupted = bool(chosen) and _measure(bench, rounds, cuda)
            if scored and not interrupted:
                unreadable = accuracy.score(bench, scored[0], scored[1], _tell)
            document = tables.document(bench, batches, details, hardware.line(details))
        if recording and not interrupted:
            _add_recording(document, prepared, recording, hop, cores)
        if roofline and not interrupted:
            _add_roofline(document, prepared, cores)
    _print(document, Format.json if as_json else form)
    if plot is not None and document["rows"]:
        from audioinceptionnext.benchmark.plot import draw

        draw(document, plot)
        _tell(f"wrote {plot}")
    for line in unreadable:
        print(f"ainext: {line}", file=sys.stderr)
    nothing = not document["rows"] and "recording" not in document
    if interrupted or unreadable or nothing or any(skipped["failed"] for skipped in document["skipped"]):
        raise typer.Exit(1)


def _measure(bench: Bench, rounds: int, cuda: bool) -> bool:
    """Whether it was interrupted: what was measured until then is reported all the same."""
    try:
        bench.open(cuda)
        bench.run(rounds)
    except KeyboardInterrupt:
        _tell("interrupted: reporting what was measured")
        return True
    return False


def _batches(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise AinextError(f"--batch {text}: give whole numbers from 1, such as 1,16")
    return sizes


def _check_plot(path: Path | None) -> None:
    """Before minutes are spent on measuring."""
    if path is None:
        return
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise AinextError(f"--plot {path}: the name ends in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise AinextError(f"--plot {path}: no such folder")
    import matplotlib.figure  # noqa: F401 (a missing one is told of now)


def _check_recording(recording: Path | None, hop: float | None) -> None:
    if recording is None and hop is not None:
        raise AinextError("--hop: give --recording as well, the file that is heard")
    if recording is not None and not recording.is_file():
        raise AinextError(f"--recording {recording}: no such file")


def _scored(
    data: str | None, root: Path | None, folds: str | None, split: str | None, found: dict[str, Subject]
) -> tuple[Dataset, tuple[Clip, ...], tuple[Clip, ...]] | None:
    """The dataset, the clips that are scored, and the others; None without ``--data``."""
    if data is None:
        if root or folds or split:
            raise AinextError("--root, --folds and --split: give --data as well, the dataset's name")
        return None
    if root is None:
        raise AinextError(f"--data {data}: give --root as well, the folder that holds it")
    from audioinceptionnext.benchmark.accuracy import check
    from audioinceptionnext.data import load_dataset

    dataset = load_dataset(data, root)
    clips, others = dataset.select(folds, split)
    check(dataset, clips, found)
    return dataset, clips, others


def _add_recording(
    document: dict[str, Any], prepared: Preparation, recording: Path, hop: float | None, cores: list[int]
) -> None:
    from audioinceptionnext.benchmark import end_to_end
    from audioinceptionnext.benchmark.process import RowFailed

    _tell(f"{recording.name}: exporting the model")
    try:
        document["recording"] = end_to_end.measure(recording, prepared.recording_files(), hop, cores, _tell)
    except RowFailed as error:
        document["skipped"].append({"name": "recording", "reason": str(error), "failed": True})
        _tell(f"skipped the recording: {error}")


def _add_roofline(document: dict[str, Any], prepared: Preparation, cores: list[int]) -> None:
    from audioinceptionnext.benchmark import roofline
    from audioinceptionnext.benchmark.process import RowFailed
    from audioinceptionnext.benchmark.rows import OURS, Row

    _tell("roofline: the machine's limits, then each part")
    network = prepared.file(Row("", OURS, "onnxruntime"))
    try:
        limits = roofline.measure(cores, network, prepared.inputs(OURS))
    except RowFailed as error:
        document["skipped"].append({"name": "roofline", "reason": str(error), "failed": True})
        return _tell(f"skipped the roofline: {error}")
    roofline.add_shares(document, limits)
    document["roofline"] = limits


def _print(document: dict[str, Any], form: Format) -> None:
    from audioinceptionnext.benchmark import end_to_end, roofline, tables

    if form is Format.json:
        print(json.dumps(tables.rounded(document), ensure_ascii=False, indent=2))
        return
    if not document["rows"] and "recording" in document:
        print(f"Measured on {document['machine']}, {tables.threads(document)}.")
    elif form is Format.markdown:
        print(tables.markdown(document))
    else:
        tables.print_table(document)
    if "recording" in document:
        print("\n" + end_to_end.text(document["recording"]))
    if "roofline" in document:
        print("\n" + roofline.text(document["roofline"]))


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

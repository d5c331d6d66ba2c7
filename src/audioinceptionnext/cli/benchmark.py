"""``ainext benchmark``."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli.training_options import AsJson
from audioinceptionnext.errors import ParameterError, printable

if TYPE_CHECKING:
    from audioinceptionnext.benchmark.measurement import Bench
    from audioinceptionnext.benchmark.subjects import Preparation, Subject
    from audioinceptionnext.data import Clip, Dataset

CHART_SUFFIXES = (".png", ".svg", ".pdf")


class Format(StrEnum):
    table = "table"
    markdown = "markdown"
    json = "json"


def benchmark(
    rows: Annotated[
        str | None,
        typer.Option(
            help="Measure only these rows, by number or part of a name, such as 1,4-6,openvino. Give ? to list them.",
            show_default="all that can run here",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE.safetensors",
            help="Measure this model in the rows of its architecture. May be repeated.",
            show_default="base, random weights",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Use this many CPU threads for each row.", show_default="all cores")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Let each row take this many turns.")] = 10,
    batch_sizes: Annotated[
        str,
        typer.Option(metavar="N,N", help="Measure with these numbers of clips per call. Ratios refer to the first."),
    ] = "1,16",
    roofline: Annotated[
        bool,
        typer.Option(
            "--roofline",
            help="Also measure the hardware's limits, and how close each part of the network comes to them.",
        ),
    ] = False,
    recording: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Measure the whole path from this file to its segments: speed, memory, the share of each stage, and "
            "the published implementation for comparison. Without --rows, measure only that.",
        ),
    ] = None,
    step_seconds: Annotated[
        float | None,
        typer.Option(
            "--hop",
            metavar="SECONDS",
            help="Set the time from one prediction to the next in --recording.",
            show_default="the model's",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Score trained models on this data set. Choose clips that they were not trained on."
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="Read the data set from this folder.")] = None,
    folds: Annotated[str | None, typer.Option(help="Score these folds, and calibrate int8 on the others.")] = None,
    split: Annotated[str | None, typer.Option(help="Score this split, and calibrate int8 on the others.")] = None,
    chart: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Draw a chart of time against size or accuracy to this .png, .svg or .pdf file."
        ),
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="Choose the output format.")] = Format.table,
    as_json: AsJson = False,
) -> None:
    """Measure the speed, memory and agreement of networks and backends, side by side, on this computer.

    Each row runs in its own process. The rows take turns, so that other work on this computer affects all equally.

    Example: [bold]ainext benchmark --rows 1,4,mobilenet --rounds 5[/bold]

    From a file to its segments: [bold]ainext benchmark --model kitchen20 --recording dinner.mp4 --hop 0.16[/bold]
    """
    import tempfile

    from audioinceptionnext.benchmark import accuracy, hardware, tables
    from audioinceptionnext.benchmark.measurement import Bench
    from audioinceptionnext.benchmark.rows import choose_rows
    from audioinceptionnext.benchmark.subjects import Preparation, open_subjects

    sizes = _batch_sizes(batch_sizes)
    _check_chart(chart)
    cores = hardware.pinned_cores(threads)
    cuda = hardware.gpu_name() is not None
    _check_recording(recording, step_seconds)
    chosen = [] if recording and rows is None else choose_rows(rows, cuda)
    subjects = open_subjects(model or [])
    scored = _clips_to_score(data, root, folds, split, subjects)
    details = hardware.describe_hardware(cores)
    if details["load_before"] is not None and details["load_before"] > hardware.BUSY_LOAD:
        load = f"load {details['load_before']:.1f}"
        _log(f"ainext: warning: other work is running here ({load}), so times will be longer and not comparable")
    unreadable: list[str] = []
    with tempfile.TemporaryDirectory(prefix="ainext-benchmark-") as folder:
        calibration = accuracy.calibration_clips(scored[0], scored[2]) if scored and scored[2] else None
        preparation = Preparation(Path(folder), subjects, calibration)
        with Bench(chosen, preparation, cores, sizes, _log) as bench:
            interrupted = bool(chosen) and _measure(bench, rounds, cuda)
            if scored and not interrupted:
                unreadable = accuracy.score(bench, scored[0], scored[1], _log)
            document = tables.document(bench, sizes, details, hardware.summarise(details))
        if recording and not interrupted:
            _add_recording(document, preparation, recording, step_seconds, cores)
        if roofline and not interrupted:
            _add_roofline(document, preparation, cores)
    _print(document, Format.json if as_json else output_format)
    if chart is not None and document["rows"]:
        from audioinceptionnext.benchmark.plot import draw_chart

        draw_chart(document, chart)
        _log(f"wrote {printable(chart)}")
    for line in unreadable:
        _log(f"ainext: {line}")
    nothing = not document["rows"] and "recording" not in document
    if interrupted or unreadable or nothing or any(skipped["failed"] for skipped in document["skipped"]):
        raise typer.Exit(1)


def _measure(bench: Bench, rounds: int, cuda: bool) -> bool:
    """Measure, and return whether it was interrupted. What was measured until then is reported all the same."""
    try:
        bench.open(cuda)
        bench.run(rounds)
    except KeyboardInterrupt:
        _log("interrupted: reporting what was measured")
        return True
    return False


def _batch_sizes(text: str) -> tuple[int, ...]:
    try:
        sizes = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ParameterError("batch_sizes", text, "give whole numbers from 1, such as 1,16")
    return sizes


def _check_chart(path: Path | None) -> None:
    """Check that the chart can be written, before minutes are spent on measuring."""
    if path is None:
        return
    if path.suffix.lower() not in CHART_SUFFIXES:
        raise ParameterError("chart", path, "give a name that ends in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        reason = f"the folder {printable(path.parent)} does not exist; create it first"
        raise ParameterError("chart", path, reason)
    import matplotlib.figure  # noqa: F401 (if it is missing, say so now)


def _check_recording(recording: Path | None, step_seconds: float | None) -> None:
    if recording is None and step_seconds is not None:
        raise ParameterError("step_seconds", step_seconds, "give --recording as well, the file to measure")
    if recording is not None and not recording.is_file():
        raise ParameterError("recording", recording, "no such file; check the name")


def _clips_to_score(
    data: str | None, root: Path | None, folds: str | None, split: str | None, subjects: dict[str, Subject]
) -> tuple[Dataset, tuple[Clip, ...], tuple[Clip, ...]] | None:
    """The data set, the clips that are scored, and the other clips; None without ``--data``."""
    if data is None:
        for name, value in (("root", root), ("folds", folds), ("split", split)):
            if value:
                raise ParameterError(name, value, "give --data as well, the name of the data set to score")
        return None
    if root is None:
        raise ParameterError("data", data, "give --root as well, the folder of the data set")
    from audioinceptionnext.benchmark.accuracy import check_can_score
    from audioinceptionnext.data import load_dataset

    dataset = load_dataset(data, root)
    clips, others = dataset.select(folds, split)
    check_can_score(dataset, clips, subjects)
    return dataset, clips, others


def _add_recording(
    document: dict[str, Any], preparation: Preparation, recording: Path, step_seconds: float | None, cores: list[int]
) -> None:
    from audioinceptionnext.benchmark import end_to_end
    from audioinceptionnext.benchmark.process import RowFailed

    _log(f"{recording.name}: exporting the model")
    files = preparation.recording_files()
    try:
        document["recording"] = end_to_end.measure(recording, files, step_seconds, cores, _log)
    except RowFailed as error:
        document["skipped"].append({"name": "recording", "reason": str(error), "failed": True})
        _log(f"skipped the recording: {error}")


def _add_roofline(document: dict[str, Any], preparation: Preparation, cores: list[int]) -> None:
    from audioinceptionnext.benchmark import roofline
    from audioinceptionnext.benchmark.process import RowFailed
    from audioinceptionnext.benchmark.rows import OURS, Row

    _log("roofline: the hardware's limits, then each part of the network")
    network = preparation.file(Row("", OURS, "onnxruntime"))
    try:
        limits = roofline.measure(cores, network, preparation.inputs(OURS))
    except RowFailed as error:
        document["skipped"].append({"name": "roofline", "reason": str(error), "failed": True})
        return _log(f"skipped the roofline: {error}")
    roofline.add_shares(document, limits)
    document["roofline"] = limits


def _print(document: dict[str, Any], output_format: Format) -> None:
    from audioinceptionnext.benchmark import end_to_end, roofline, tables

    if output_format is Format.json:
        print(json.dumps(tables.rounded(document), ensure_ascii=False, indent=2))
        return
    if not document["rows"] and "recording" in document:
        print(f"Measured on {document['machine']}, {tables.threads(document)}.")
    elif output_format is Format.markdown:
        print(tables.markdown(document))
    else:
        tables.print_table(document)
    if "recording" in document:
        print("\n" + end_to_end.text(document["recording"]))
    if "roofline" in document:
        print("\n" + roofline.text(document["roofline"]))


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

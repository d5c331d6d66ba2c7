"""``ainext export``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli.progress import working
from audioinceptionnext.errors import FileError, MediaError, ParameterError, counted, printable

if TYPE_CHECKING:
    import numpy as np

    from audioinceptionnext.data import Clip
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.export.agreement import Agreement
    from audioinceptionnext.export.clips import ExportClips
    from audioinceptionnext.network.storage import StoredModel

MAX_CLIPS = 400  # of a data set, chosen at random: one half to calibrate on, the other to compare on
MAX_SECONDS = 10.0  # of each clip
_CHECK = "Calibration and comparison"


class Input(StrEnum):
    waveform = "waveform"
    log_mel = "log-mel"


class Precision(StrEnum):
    float32 = "float32"
    float16 = "float16"
    bf16 = "bf16"
    int8 = "int8"


class Mode(StrEnum):
    dense = "dense"
    windows = "windows"


def export(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Export this .safetensors file, from `ainext train` or `ainext convert`."),
    ],
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="Write this file: .onnx, or .xml for OpenVINO (extra: openvino)."),
    ],
    input: Annotated[Input, typer.Option("--input", help="Choose the input of the exported network.")] = Input.waveform,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision",
            help="Store the weights in 16 bits (float16, bf16), or compute the wide layers in 8 bits (int8).",
        ),
    ] = Precision.float32,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            help="Process long audio in one pass (dense) or window by window (windows).",
            show_default="as the model was trained",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME",
            help="Calibrate int8 and compare with float32 on this data set, ideally the one that the model was trained "
            "on. Needs --root.",
            show_default="rendered clips",
            rich_help_panel=_CHECK,
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", metavar="DIR", help="Read the data set from this folder.", rich_help_panel=_CHECK),
    ] = None,
    calibration_folds: Annotated[
        str | None,
        typer.Option(
            "--calibration-folds",
            metavar="FOLDS",
            help="Use only these folds of the data set, such as 5 or 1-4 or 1,3.",
            show_default="all",
            rich_help_panel=_CHECK,
        ),
    ] = None,
    calibration_split: Annotated[
        str | None,
        typer.Option(
            "--calibration-split",
            metavar="SPLIT",
            help="Use only this split of the data set, such as train.",
            show_default="all",
            rich_help_panel=_CHECK,
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            "--audio",
            metavar="PATH",
            help="Read the recordings from this folder or HDF5 file, if they are not below --root.",
            rich_help_panel=_CHECK,
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Write the file even if it agrees with float32 on fewer than 99 % of the clips (or reported labels).",
            rich_help_panel=_CHECK,
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Export a trained network, in its inference form, to a self-contained ONNX file.

    Any precision other than float32 is compared with float32, on clips that were not used for calibration.

    Example: [bold]ainext export runs/mine/model.safetensors mine.onnx --precision float16[/bold]
    """
    _check(out, precision, data, root)
    from audioinceptionnext.export.clips import rendered_clips
    from audioinceptionnext.export.onnx import export_checked, export_onnx
    from audioinceptionnext.network.storage import load_model

    stored = load_model(model)
    agreement: Agreement | None = None
    options: Any = {"mode": mode.value if mode else None, "input": input.value}
    if precision == Precision.float32 and out.suffix == ".onnx":
        with working(f"exporting {model}"):
            export_onnx(stored, out, **options)
    else:
        if data is None:
            clips = rendered_clips(stored)
        else:
            clips = _dataset_clips(stored, data, root, audio, calibration_folds, calibration_split)
        with working(f"exporting {model}, and comparing it with float32"):
            agreement = export_checked(stored, out, clips, **options, precision=precision.value, force=force)
        if not agreement.enough:
            _report_disagreement(agreement, out, precision, data, force)
    files = [out, out.with_suffix(".bin")] if out.suffix == ".xml" else [out]
    result: dict[str, Any] = {
        "file": str(out),
        "bytes": sum(file.stat().st_size for file in files),
        "classes": len(stored.labels),
        "mode": mode or stored.mode,
        "precision": precision,
    }
    if agreement is not None:
        result["agreement"] = {
            "same_labels" if agreement.of_labels else "top1": round(100 * agreement.top1, 2),
            "worst": round(agreement.worst, 5),
            "mean_difference": round(agreement.mean_difference, 6),
            "clips": agreement.clips,
            "counted": agreement.counted,
            "data": data or "rendered",
        }
    if as_json:
        print(json.dumps(result, indent=2))
        return
    classes = counted(result["classes"], "class")
    print(f"{printable(out)}: {result['bytes'] / 1e6:.1f} MB, {classes}, mode {result['mode']}")
    if agreement is not None:
        print(
            f"It {_has(agreement)} {_share(agreement, data)}. The probabilities differ by at most "
            f"{agreement.worst:.3f}, by {agreement.mean_difference:.5f} on average."
        )


def _check(out: Path, precision: Precision, data: str | None, root: Path | None) -> None:
    if out.suffix not in (".onnx", ".xml"):
        raise FileError(out, "the name of the output must end in .onnx, or in .xml for OpenVINO")
    if out.suffix == ".xml" and precision == Precision.bf16:
        reason = (
            "OpenVINO's format cannot store bf16; export float32 or float16, from which OpenVINO computes in bf16 by "
            "itself where the processor can"
        )
        raise ParameterError("precision", precision.value, reason)
    if (data is None) != (root is None):
        missing = "root" if root is None else "data"
        raise ParameterError(missing, None, "give both --data and --root, or neither to use rendered clips")


def _dataset_clips(
    model: StoredModel, data: str, root: Path | None, audio: Path | None, folds: str | None, split: str | None
) -> ExportClips:
    """Clips of a data set, whose labels need not be those of the model."""
    import numpy as np

    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.export.clips import ExportClips

    dataset = load_dataset(data, root or "", audio)
    try:
        clips, _ = dataset.select(folds, split)
    except ParameterError as error:  # of folds or split
        raise ParameterError(f"calibration_{error.name}", error.value, error.reason) from error
    if len(clips) < 2:
        reason = f"{counted(len(clips), 'clip')}; at least two are needed, one to calibrate and one to compare on"
        raise ParameterError("data", data, reason)
    chosen = [clips[i] for i in np.random.default_rng(0).permutation(len(clips))[:MAX_CLIPS]]
    reader = Reader(model.sample_rate, dataset.sample_rate)
    return ExportClips(_read(reader, chosen[::2]), _read(reader, chosen[1::2]))


def _read(reader: Reader, clips: Iterable[Clip]) -> Iterator[np.ndarray]:
    for clip in clips:
        try:
            yield reader.read(clip, 0, MAX_SECONDS)
        except MediaError as error:
            print(f"ainext: warning: left out: {error}", file=sys.stderr)


def _has(agreement: Agreement) -> str:
    return "agrees with float32 on" if agreement.of_labels else "has the same best class as float32 for"


def _share(agreement: Agreement, data: str | None) -> str:
    """``99.50 % of 200 clips of kitchen20``; of rendered clips those that count, if not all do."""
    share = f"{100 * agreement.top1:.2f} % of"
    if agreement.of_labels:
        clips = f"{counted(agreement.clips, 'clip')} of {data}" if data else f"{agreement.clips} rendered clips"
        return f"{share} the {counted(agreement.counted, 'label')} that either reports, in {clips}"
    if data is not None:
        return f"{share} {counted(agreement.clips, 'clip')} of {data}"
    if agreement.counted == agreement.clips:
        return f"{share} {agreement.clips} rendered clips"
    return f"{share} the {agreement.counted} rendered clips (of {agreement.clips}) with a clear best class"


def _report_disagreement(agreement: Agreement, out: Path, precision: Precision, data: str | None, force: bool) -> None:
    """Print that the file does not agree with float32, and exit unless ``force``."""
    line = f"{precision} {_has(agreement)} only {_share(agreement, data)}; 99 % are required"
    if force:
        print(f"ainext: warning: {printable(out)}: written, but {line}", file=sys.stderr)
        return
    hint = "--force writes it anyway"
    if data is None:
        hint = f"give recordings of the kind that it will be used on (--data and --root); {hint}"
    print(f"ainext: {printable(out)}: not written: {line}: {hint}", file=sys.stderr)
    raise typer.Exit(1)

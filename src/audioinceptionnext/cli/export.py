"""``ainext export``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audioinceptionnext.errors import AinextError

if TYPE_CHECKING:
    import numpy as np

    from audioinceptionnext.data import Clip
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.export.agreement import Agreement
    from audioinceptionnext.export.onnx import Sounds
    from audioinceptionnext.network.storage import StoredModel

CLIPS = 400  # of a dataset, drawn by chance: one half to calibrate on, one to compare on
SECONDS = 10.0  # of each, at most


class Input(StrEnum):
    waveform = "waveform"
    log_mel = "log-mel"


class Precision(StrEnum):
    float32 = "float32"
    float16 = "float16"
    bf16 = "bf16"
    int8 = "int8"


class Run(StrEnum):
    dense = "dense"
    windows = "windows"


def export(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .safetensors file of train or convert.")],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help=".onnx, or .xml for OpenVINO's own format (extra: openvino).")
    ],
    input: Annotated[Input, typer.Option("--input", help="What the file takes.")] = Input.waveform,
    precision: Annotated[
        Precision,
        typer.Option(
            "--precision", help="float16, bf16: how weights are stored. int8: how the network's wide layers compute."
        ),
    ] = Precision.float32,
    run: Annotated[
        Run | None, typer.Option("--run", help="How long audio is heard.", show_default="as the model was trained")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A dataset to calibrate int8 and compare with float32 on, best what it was trained on; with --root.",
            show_default="rendered sound",
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder that holds it.")] = None,
    folds: Annotated[str | None, typer.Option(help="Its folds: 5, 1-4, 1,3 or all.", show_default="all")] = None,
    split: Annotated[str | None, typer.Option(help="Its splits: train, validation.", show_default="all")] = None,
    audio: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Its recordings, where they lie elsewhere: a folder or HDF5.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write it even where it agrees with float32 in less than 99 % of clips.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Fold a trained network and write it as ONNX, with all that it takes to use it inside.

    Any precision but float32 is compared with float32 on clips it was not calibrated on.

    Example: [bold]ainext export runs/mine/model.safetensors mine.onnx --precision int8 --data kitchen20 --root
    Kitchen20[/bold]
    """
    _check(target, precision, data, root)
    from audioinceptionnext.export.onnx import export_checked, export_onnx, rendered_sounds
    from audioinceptionnext.network.storage import load_model

    stored = load_model(model)
    found: Agreement | None = None
    if precision == Precision.float32 and target.suffix == ".onnx":
        export_onnx(stored, target, run.value if run else None, input.value)
    else:
        sounds = rendered_sounds(stored) if data is None else _sounds(stored, data, root, folds, split, audio)
        found = export_checked(stored, target, sounds, run.value if run else None, input.value, precision.value, force)
        if not found.enough:
            _object(found, target, precision, data, force)
    files = [target, target.with_suffix(".bin")] if target.suffix == ".xml" else [target]
    size = sum(file.stat().st_size for file in files)
    facts = {
        "file": str(target),
        "bytes": size,
        "classes": len(stored.labels),
        "run": run or stored.run,
        "precision": precision,
    }
    if found is not None:
        facts["agreement"] = {
            "top1": round(100 * found.top1, 2),
            "worst": round(found.worst, 5),
            "mean_difference": round(found.mean_difference, 6),
            "clips": found.clips,
            "counted": found.counted,
            "data": data or "rendered",
        }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{target}: {size / 1e6:.1f} MB, {facts['classes']} classes, run {facts['run']}")
    if found is not None:
        print(
            f"the same best class as float32 in {_share(found, data)}; "
            f"probabilities differ by {found.worst:.3f} at most, {found.mean_difference:.5f} on average"
        )


def _check(target: Path, precision: Precision, data: str | None, root: Path | None) -> None:
    if target.suffix not in (".onnx", ".xml"):
        raise AinextError(f"{target}: the output's name ends in .onnx, or in .xml for OpenVINO")
    if target.suffix == ".xml" and precision == Precision.bf16:
        raise AinextError(
            f"{target}: OpenVINO's format stores no bf16; it computes in bf16 by itself where the processor can, from "
            "a float32 or float16 file"
        )
    if (data is None) != (root is None):
        raise AinextError("--data and --root: give both, a dataset's name and its folder, or none for rendered sound")


def _sounds(
    model: StoredModel, data: str, root: Path | None, folds: str | None, split: str | None, audio: Path | None
) -> Sounds:
    """Clips of a dataset, whose labels need not be the model's."""
    import numpy as np

    from audioinceptionnext.data import load_dataset
    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.export.onnx import Sounds

    dataset = load_dataset(data, root or "", audio)
    clips, _ = dataset.select(folds, split)
    if len(clips) < 2:
        raise AinextError(f"--data {data}: {len(clips)} clips; give two at least, to calibrate on and to compare on")
    drawn = [clips[i] for i in np.random.default_rng(0).permutation(len(clips))[:CLIPS]]
    reader = Reader(model.sample_rate, dataset.sample_rate)
    return Sounds(_read(reader, drawn[::2]), _read(reader, drawn[1::2]))


def _read(reader: Reader, clips: Iterable[Clip]) -> Iterator[np.ndarray]:
    from audioinceptionnext.audio.source import MediaError

    for clip in clips:
        try:
            yield reader.read(clip, 0, SECONDS)
        except MediaError as error:
            print(f"ainext: left out: {error}", file=sys.stderr)


def _share(found: Agreement, data: str | None) -> str:
    """``99.50 % of 200 clips of kitchen20``; of rendered clips those that float32 is sure of, if there are enough."""
    share = f"{100 * found.top1:.2f} % of"
    if data is not None:
        return f"{share} {found.clips} clips of {data}"
    if found.counted == found.clips:
        return f"{share} {found.clips} rendered clips"
    return f"{share} the {found.counted} rendered clips, of {found.clips}, that float32 is sure of"


def _object(found: Agreement, target: Path, precision: Precision, data: str | None, force: bool) -> None:
    """Says that the two disagree, and without ``force`` ends."""
    line = f"{precision} has the same best class as float32 in {_share(found, data)}, not in 99 %"
    if force:
        print(f"ainext: {target}: {line}; written all the same", file=sys.stderr)
        return
    hint = "--force writes it" if data else "give clips of the kind it is to hear (--data, --root), or --force"
    print(f"ainext: {target}: not written: {line}: {hint}", file=sys.stderr)
    raise typer.Exit(1)

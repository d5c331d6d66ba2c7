"""``ainext push``."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer


def push(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Upload this model: a shipped name, an .onnx file, a .safetensors file from `ainext train`, or a "
            "folder with both files.",
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="Upload it to this repository.")],
    private: Annotated[
        bool, typer.Option("--private", help="Create the repository as a private one, if it does not exist yet.")
    ] = False,
    to_folder: Annotated[
        Path | None,
        typer.Option("--to-folder", metavar="DIR", help="Write the files to this folder and upload nothing."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Upload a model to the Hugging Face hub, with a model card. Other commands then accept it as --model USER/NAME.

    Log in with the hub's own client first (hf auth login), or set HF_TOKEN.

    Example: [bold]ainext push runs/mine/model.safetensors me/my-sounds --private[/bold]
    """
    from audioinceptionnext.models.publish import push_to_hub, write_folder

    with _with_onnx(model, name) as source:
        if to_folder is not None:
            files = [str(file) for file in write_folder(source, name, to_folder)]
            result, lines = {"name": name, "folder": str(to_folder), "files": files}, files
        else:
            address = push_to_hub(source, name, private=private)
            result, lines = {"name": name, "url": address}, [address]
    print(json.dumps(result, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))


@contextmanager
def _with_onnx(model: str, name: str) -> Iterator[str]:
    """The model as given; for weights from training, a folder with them and the ONNX file made from them."""
    if not model.endswith(".safetensors"):
        yield model
        return
    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.models.names import MODEL_FILE, check_hub_name
    from audioinceptionnext.models.publish import WEIGHTS
    from audioinceptionnext.network.storage import load_model

    check_hub_name(name)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(load_model(model), Path(folder, MODEL_FILE), name=name.partition("/")[2])
        shutil.copyfile(model, Path(folder, WEIGHTS))
        yield folder

"""``ainext push``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def push(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A shipped name, an .onnx file, a .safetensors file of training, or a folder of both."
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="USER/NAME", help="What the hub is to call it.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository one that you alone see.")] = False,
    to_folder: Annotated[
        Path | None,
        typer.Option("--to-folder", metavar="DIR", help="Write the files here instead; nothing is uploaded."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Put a model on the Hugging Face hub, with a card; `--model user/name` then finds it.

    Who you are is the business of the hub's own client (hf auth login, HF_TOKEN).

    Example: [bold]ainext push runs/mine/model.safetensors me/my-sounds --private[/bold]
    """
    if to_folder is not None:
        from audioinceptionnext.hub_files import write_folder

        files = [str(file) for file in write_folder(model, name, to_folder)]
        found, lines = {"name": name, "folder": str(to_folder), "files": files}, files
    else:
        from audioinceptionnext.hub import push_to_hub

        address = push_to_hub(model, name, private)
        found, lines = {"name": name, "url": address}, [address]
    print(json.dumps(found, ensure_ascii=False, indent=2) if as_json else "\n".join(lines))

"""Models by name: those that come with the package, and those in the folder that ``AINEXT_MODELS`` names.

Each model has a folder with ``model.onnx``, ``model.json`` (its description, with the file's sha256), ``CARD.md``, and,
for fine-tuning, ``training.safetensors`` (its weights in training form).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import FileError, ModelError, ParameterError, suggest

# Of every command that takes a model, of `load`, and of the page, whose build reads this line.
DEFAULT_MODEL = "everyday"
MODEL_FILE = "model.onnx"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*(@[\w./-]+)?", re.ASCII)
KEYS = ("name", "sha256", "bytes", "labels", "parameters", "gmac", "licence", "measured")  # of model.json


@dataclass(frozen=True)
class ModelEntry:
    """A model that can be loaded by name.

    Attributes:
        name: of the model.
        folder: that holds its files.
        description: what its ``model.json`` says.
    """

    name: str
    folder: Path
    description: dict[str, Any]

    @property
    def path(self) -> Path:
        """The ONNX file."""
        return self.folder / MODEL_FILE

    @property
    def training_weights(self) -> Path:
        """The weights in training form, which need not exist."""
        return self.folder / "training.safetensors"

    def read(self) -> bytes:
        """The content of the ONNX file.

        Raises:
            ModelError: the file is missing, or is not the one that was shipped.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            reason = f"cannot be read ({(error.strerror or str(error)).lower()}); install the package again"
            raise ModelError(self.path, reason) from error
        if hashlib.sha256(content).hexdigest() != self.description["sha256"]:
            raise ModelError(self.path, "damaged: its sha256 is not the one in model.json; install the package again")
        return content


def model_entries() -> list[ModelEntry]:
    """The models that can be loaded by name, shipped ones first.

    Raises:
        FileError: the folder that ``AINEXT_MODELS`` names does not exist, or a description in it is not valid.
    """
    folders = [Path(__file__).parent / "zoo"]
    if own := os.environ.get("AINEXT_MODELS"):
        if not Path(own).is_dir():
            raise FileError(own, "no such folder; correct AINEXT_MODELS, which names it")
        folders.append(Path(own))
    entries = []
    for folder in folders:
        for path in sorted(folder.glob("*/model.json")):
            try:
                description = json.loads(path.read_text(encoding="utf-8"))
                if missing := [key for key in KEYS if key not in description]:
                    raise FileError(path, f"has no {missing[0]!r}; it must have {', '.join(KEYS)}")
                entries.append(ModelEntry(description["name"], path.parent, description))
            except (OSError, ValueError, TypeError) as error:
                raise FileError(path, f"not a description of a model ({error})") from error
    return entries


def package_version() -> str:
    """The version of the installed package."""
    try:
        return version("audioinceptionnext")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0+unknown"


def list_models() -> list[str]:
    """The names of the models that `load` knows, shipped ones first.

    >>> list_models()
    ['digits', 'esc10', 'everyday', 'kitchen20', 'kitchen20-small', 'rendered']
    """
    return [entry.name for entry in model_entries()]


def find_model(name: str) -> ModelEntry:
    """The model of this name.

    Raises:
        ModelError: there is none; the message suggests the nearest name.
    """
    known = {entry.name: entry for entry in model_entries()}
    if name in known:
        return known[name]
    raise ModelError(name, f"there is no such model; {suggest(name, known)} (or give a model's file)")


def is_hub_name(name: str) -> bool:
    """Whether this can be a model on the hub: ``user/name``, or ``user/name@revision`` (a branch, tag or commit)."""
    return _HUB_NAME.fullmatch(name) is not None


def check_hub_name(name: str) -> None:
    """Check that a model can have this name on the hub: ``user/name``.

    Raises:
        ParameterError: it cannot.
    """
    if not is_hub_name(name) or "@" in name:
        raise ParameterError("name", name, "give user/name, made of letters, digits, '-', '_' and '.'")

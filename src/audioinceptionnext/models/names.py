"""The models that come with the package, and any in the folder that ``AINEXT_MODELS`` names.

One folder a model: ``model.onnx``, ``model.json`` (what it is, with the file's sha256), ``CARD.md``, and for
fine-tuning ``training.safetensors``, its weights in training form.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import AinextError, suggest

DEFAULT_MODEL = "kitchen20"
MODEL_FILE = "model.onnx"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*(@[\w./-]+)?", re.ASCII)
KEYS = ("name", "sha256", "bytes", "labels", "parameters", "gmac", "licence", "measured")  # of model.json


@dataclass(frozen=True)
class Entry:
    """A model's place and description (``model.json``)."""

    name: str
    folder: Path
    facts: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def training_weights(self) -> Path:
        return self.folder / "training.safetensors"

    def read(self) -> bytes:
        """The ONNX file, whole. Raises `AinextError` when it is missing or is not the file that was shipped."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise AinextError(f"{self.path}: cannot be read ({error.strerror}); install the package again") from error
        if hashlib.sha256(content).hexdigest() != self.facts["sha256"]:
            raise AinextError(f"{self.path}: damaged: its sha256 is not the one in model.json; install it again")
        return content


def model_entries() -> list[Entry]:
    """All models that can be named, shipped ones first."""
    folders = [Path(__file__).parent / "zoo"]
    if own := os.environ.get("AINEXT_MODELS"):
        if not Path(own).is_dir():
            raise AinextError(f"AINEXT_MODELS={own}: no such folder")
        folders.append(Path(own))
    found = []
    for folder in folders:
        for description in sorted(folder.glob("*/model.json")):
            try:
                facts = json.loads(description.read_text(encoding="utf-8"))
                if absent := [key for key in KEYS if key not in facts]:
                    raise AinextError(f"{description}: lacks {absent[0]!r}; it has to have {', '.join(KEYS)}")
                found.append(Entry(facts["name"], description.parent, facts))
            except (OSError, ValueError, TypeError) as error:
                raise AinextError(f"{description}: not a model's description ({error})") from error
    return found


def list_models() -> list[str]:
    """The names that `load` takes, shipped models first.

    >>> list_models()
    ['digits', 'esc10', 'kitchen20', 'kitchen20-small', 'rendered']
    """
    return [entry.name for entry in model_entries()]


def find_model(name: str) -> Entry:
    """Raises `AinextError` for an unknown name, with the nearest known one."""
    known = {entry.name: entry for entry in model_entries()}
    if name in known:
        return known[name]
    raise AinextError(f"no model is called {name!r}; {suggest(name, known)}, or give a file (ainext models lists them)")


def is_hub_name(name: str) -> bool:
    """Whether this is how the hub calls a model: ``user/name``, or ``user/name@revision``, a branch, tag or commit."""
    return _HUB_NAME.fullmatch(name) is not None


def check_hub_name(name: str) -> None:
    """Raises `AinextError` unless it is ``user/name``."""
    if not is_hub_name(name) or "@" in name:
        raise AinextError(f"{name}: a model on the hub is called user/name, of letters, digits, '-', '_' and '.'")

"""What a run is, as it is written beside it and into its checkpoints: one that goes on has to be the same."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from audioinceptionnext.data import Clip
from audioinceptionnext.errors import AinextError
from audioinceptionnext.training.module import RECORD

LISTS = {"training_list": "other clips to train on", "held_out_list": "other clips held out"}  # their digests


def digest(clips: Sequence[Clip]) -> str:
    """Of which clips these are and in which order, wherever their folder lies."""
    lines = (repr((clip.path.name, clip.key, clip.start, clip.end, clip.label)) for clip in clips)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]


def of_checkpoint(path: Path) -> dict[str, Any]:
    """What `SoundClassifier` wrote there: ``run``, its description, and ``form``.

    Raises:
        AinextError: damaged, or no checkpoint of `train`.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return content[RECORD]
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, KeyError, TypeError) as error:
        why = "was not written by this version" if isinstance(error, KeyError | TypeError) else "is damaged"
        raise AinextError(f"{path}: {why}; leave out --resume to begin from the start") from error


def is_of(path: Path, record: dict[str, Any] | None) -> bool:
    """Whether a checkpoint is of the run with this record."""
    try:
        return record is not None and of_checkpoint(path)["run"] == record["run"]
    except AinextError:
        return False


def check_same(before: dict[str, Any], now: dict[str, Any], where: Path) -> None:
    """Raises `AinextError` with what differs between two descriptions (see `Run.describe`)."""
    before, now = _flat(before), _flat(now)
    for key, value in before.items():
        if value != now.get(key):
            what = _difference(key, value, now.get(key))
            raise AinextError(f"{where}: the run was begun with {what}; give the same, or another --out")


def _flat(description: dict[str, Any]) -> dict[str, Any]:
    """The recipe's settings among the rest."""
    return {key: value for key, value in description.items() if key != "recipe"} | description["recipe"]


def _difference(key: str, before: Any, now: Any) -> str:
    if key in LISTS:
        return LISTS[key]
    if key == "labels":
        odd = sorted(set(before) ^ set(now))
        return f"other classes ({len(before)}, not {len(now)}; e.g. {odd[0]})" if odd else "classes in another order"
    return f"{key} {before}, not {now}"

"""What a run is, as it is written into its folder and its checkpoints. A run that is resumed has to be the same."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from audioinceptionnext.data import Clip
from audioinceptionnext.errors import AinextError, FileError
from audioinceptionnext.training.module import RECORD

DIGESTS = {"training_digest": "other clips to train on", "held_out_digest": "other clips held out"}


def digest(clips: Sequence[Clip]) -> str:
    """Tells lists of clips apart by the clips and their order, wherever their folder lies."""
    lines = (repr((clip.path.name, clip.key, clip.start, clip.end, clip.label, *clip.also)) for clip in clips)
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]


def read_run_record(path: Path) -> dict[str, Any]:
    """What `SoundClassifier` wrote into a checkpoint: ``run``, see `Run.describe`, and ``implementation``.

    Raises:
        FileError: the file is damaged, or no checkpoint of `train`.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if "average.updates" in content["state_dict"]:  # the moving average of earlier versions
            raise KeyError("average.n_averaged")
        return content[RECORD]
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, KeyError, TypeError) as error:
        why = "was not written by this version" if isinstance(error, KeyError | TypeError) else "is damaged"
        raise FileError(path, f"{why}; start the run again without resuming") from error


def matches_checkpoint(path: Path, record: dict[str, Any] | None) -> bool:
    """Whether a checkpoint belongs to the run with this record."""
    try:
        return record is not None and read_run_record(path)["run"] == record["run"]
    except AinextError:
        return False


def check_same(before: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Compare the description of a run (see `Run.describe`) with the one that ``path`` holds.

    Raises:
        FileError: they differ; the first difference is named.
    """
    before, now = _flat(before), _flat(now)
    for key, value in before.items():
        if value != now.get(key):
            what = _difference(key, value, now.get(key))
            raise FileError(path, f"the run was started with {what}; give the same, or another folder for the run")


def _flat(description: dict[str, Any]) -> dict[str, Any]:
    """The settings of the recipe on one level with everything else."""
    return {key: value for key, value in description.items() if key != "recipe"} | description["recipe"]


def _difference(key: str, before: Any, now: Any) -> str:
    if key in DIGESTS:
        return DIGESTS[key]
    if key == "labels":
        odd = sorted(set(before) ^ set(now))
        return f"other classes ({len(before)}, not {len(now)}; e.g. {odd[0]})" if odd else "classes in another order"
    return f"{key} {before}, not {now}"

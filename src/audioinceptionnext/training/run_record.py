"""What a run is, as it is written into its folder and its checkpoints. A run that is resumed has to be the same."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.clip_list import digest, write_clip_list
from audioinceptionnext.errors import AinextError, FileError, replacing, writing
from audioinceptionnext.evaluation.evaluate import rounded
from audioinceptionnext.training.module import RECORD
from audioinceptionnext.training.recipe import Recipe, as_yaml
from audioinceptionnext.training.run_folder import CLIPS, FIGURES, RECIPE, RUN

DIGESTS = {"training_digest": "other clips to train on", "held_out_digest": "other clips held out"}


@dataclass(frozen=True)
class Run:
    """What to train, on which clips, and where to keep it.

    Attributes:
        dataset: its labels become those of the model.
        training, held_out: clips. The held-out ones, which may be none, are scored every ``evaluate_every`` epochs.
        out: folder for ``model.safetensors``, ``run.json``, ``recipe.yaml``, ``run-clips.csv``, ``log/``,
            ``tensorboard/``, the checkpoint ``last.ckpt`` to resume from, and ``best.ckpt`` if clips are held out.
        recipe: the settings.
        initial_weights: weights to start from, see `initial_model.open_weights`.
        details: anything else that tells this run from others; JSON values. A run can only be resumed with the same.
    """

    dataset: Dataset
    training: Sequence[Clip]
    held_out: Sequence[Clip]
    out: Path
    recipe: Recipe
    initial_weights: str | None = None
    details: dict[str, Any] | None = None

    def describe(self, processes: int = 1) -> dict[str, Any]:
        """What ``run.json`` and the checkpoints say of the run. A run that is resumed has to have the same."""
        description = {
            "data": self.dataset.name,
            "labels": list(self.dataset.labels),
            **({"tasks": self.dataset.tasks} if self.dataset.tasks else {}),
            **({"multi_label": True} if self.dataset.multi_label else {}),
            "clips": len(self.training),
            "held_out": len(self.held_out),
            "training_digest": digest(self.training),
            "held_out_digest": digest(self.held_out),
            **(self.details or {}),
            "initial_weights": self.initial_weights,
            "processes": processes,
            "recipe": self.recipe.as_dict(),
        }
        return json.loads(json.dumps(description))  # with the types that reading it back gives


def write_description(run: Run, description: dict[str, Any]) -> None:
    """Write ``run.json``, the recipe, and the list of the run's clips. The folder is created if there is none."""
    with writing(run.out / RUN):
        run.out.mkdir(parents=True, exist_ok=True)
        with replacing(run.out / RUN) as new:  # whole or not there, since it tells what a run is
            new.write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (run.out / RECIPE).write_text(as_yaml(run.recipe), encoding="utf-8")
        write_clip_list(run.out / CLIPS, run.dataset.labels, {"train": run.training, "held-out": run.held_out})


def write_figures(out: Path, figures: dict[str, Any]) -> None:
    """Write ``figures.json`` into the folder of a run."""
    with writing(out / FIGURES):
        text = json.dumps(rounded(figures), indent=2, ensure_ascii=False)
        (out / FIGURES).write_text(text, encoding="utf-8")


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

    What an older version did not describe, it did as a setting's default says.

    Raises:
        FileError: they differ; the first difference is named.
    """
    defaults = dict.fromkeys(_flat(now)) | json.loads(json.dumps(Recipe().as_dict()))
    before, now = defaults | _flat(before), _flat(now)
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
    if key == "initial_weights":
        before, now = before or "random", now or "random"
    return f"{key} {before}, not {now}"

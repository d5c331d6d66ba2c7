"""One run in a process of its own: ``python -m audioinceptionnext.studies.worker UNIT.json THREADS CACHE``.

It ends when the process that started it does: its standard input closes. What was reached is in the run's checkpoint.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import AinextError
from audioinceptionnext.studies.plan import Unit

DONE = "done.json"  # of a run that hears all


def main(path: str, threads: str, cache: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    unit = Unit.from_json(Path(path).read_text(encoding="utf-8"))
    try:
        run(unit, int(threads), Path(cache))
    except AinextError as error:
        print(f"\nfailed: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def run(unit: Unit, threads: int, cache: Path) -> None:
    """Trains the network and has it hear what it has not heard; what is done already is not done again."""
    from audioinceptionnext.training.cross_validation import CrossValidation
    from audioinceptionnext.training.fit import LAST, Run, train
    from audioinceptionnext.training.hardware import Machine

    dataset = unit.source.open()
    trained, scored = unit.source.training(dataset, unit.fold)
    start = str(unit.start) if unit.start else None
    machine = Machine(threads=threads, cache=cache, form=_form(unit, dataset.labels, start))
    if unit.fold is None:
        begun = time.monotonic()
        train(
            Run(dataset, trained, [], unit.folder, unit.recipe, start),
            resume=(unit.folder / LAST).is_file(),
            machine=machine,
        )
        (unit.folder / DONE).write_text(json.dumps({"minutes": (time.monotonic() - begun) / 60}), encoding="utf-8")
        return
    folds = CrossValidation(dataset, unit.place, unit.recipe, start, machine, unit.recipe.views)
    folds.run_fold(unit.fold, trained)
    for way, settings in unit.hear.items():
        file = unit.folder / heard_file(way)
        if not file.is_file():
            partial = file.with_suffix(".part.npz")
            np.savez(partial, probabilities=_hear(unit, settings, dataset, scored))
            partial.replace(file)


def _form(unit: Unit, labels: tuple[str, ...], start: str | None) -> str:
    """How steps are computed. Not measured, as `train` does: two runs of a study have to give the same to the bit."""
    import torch

    from audioinceptionnext.training import implementations
    from audioinceptionnext.training.initial_model import begin
    from audioinceptionnext.training.module import DTYPES

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return implementations.usual(begin(labels, unit.recipe, start).net, DTYPES[unit.recipe.precision], device)


def heard_file(way: str) -> str:
    return f"heard-{''.join(c if c.isalnum() else '-' for c in way)}.npz"


def is_done(unit: Unit) -> bool:
    from audioinceptionnext.training.cross_validation import DONE as FOLD_DONE

    if unit.fold is None:
        return (unit.folder / DONE).is_file()
    return (unit.folder / FOLD_DONE).is_file() and all((unit.folder / heard_file(way)).is_file() for way in unit.hear)


def _hear(unit: Unit, settings: dict[str, Any], dataset: Any, clips: Any) -> np.ndarray:
    """(clips, classes): of each clip as a whole; NaN for those that cannot be read."""
    import tempfile
    from dataclasses import replace

    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.evaluation.evaluate import hear
    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.models.load import load
    from audioinceptionnext.network.storage import load_model
    from audioinceptionnext.training.fit import MODEL

    model = load_model(unit.folder / MODEL)
    if (seconds := settings["clip_seconds"]) is not None:
        frames = model.front_end().frames(round(model.sample_rate * seconds) - 1)
        model.clip_seconds, model.net.config = seconds, replace(model.net.config, clip_frames=frames)
    with tempfile.TemporaryDirectory() as folder:
        recogniser = load(export_onnx(model, Path(folder, "model.onnx"), settings["run"]), threads=1)
    heard = hear(recogniser, clips, Reader(recogniser.sample_rate, dataset.sample_rate))
    found = np.full((len(clips), len(dataset.labels)), np.nan)
    index = {id(clip): number for number, clip in enumerate(clips)}
    found[[index[id(clip)] for clip in heard.clips]] = heard.probabilities
    return found


def _end_with_parent() -> None:
    while os.read(0, 1):  # nothing is ever sent: it returns when the pipe is closed
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)  # for the training to notice
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])

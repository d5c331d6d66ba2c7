"""One run in its own process: ``python -m audioinceptionnext.studies.worker UNIT.json THREADS CACHE``.

The process ends when the one that started it ends, which closes its standard input. What it reached until then is in
the run's checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioinceptionnext.errors import AinextError
from audioinceptionnext.studies.plan import Unit

if TYPE_CHECKING:
    from audioinceptionnext.training.implementations import Implementation

DONE = "done.json"  # of a run that holds out no fold
FAILURE = "failure.txt"  # why a run failed, in one line


def main(path: str, threads: str, cache: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    unit = Unit.from_json(Path(path).read_text(encoding="utf-8"))
    try:
        run(unit, int(threads), Path(cache))
    except AinextError as error:
        print(f"\n{error}", file=sys.stderr)
        with contextlib.suppress(OSError):  # then the last line of the log has to do
            (unit.folder / FAILURE).write_text(str(error), encoding="utf-8")
        raise SystemExit(1) from None


def run(unit: Unit, threads: int, cache: Path) -> None:
    """Train the network, and predict the clips that it was not trained on. What is done already is kept.

    Raises:
        AinextError: as `training.fit.train`.
    """
    from audioinceptionnext.training.cross_validation import CrossValidation
    from audioinceptionnext.training.fit import train
    from audioinceptionnext.training.hardware import Hardware
    from audioinceptionnext.training.run_folder import is_run
    from audioinceptionnext.training.run_record import Run

    dataset = unit.data.open()
    trained, scored = unit.data.split(dataset, unit.fold)
    weights = str(unit.initial_weights) if unit.initial_weights else None
    hardware = Hardware(threads=threads, cache=cache, implementation=_implementation(unit, dataset.labels, weights))
    if unit.fold is None:
        start = time.monotonic()
        train(
            Run(dataset, trained, [], unit.folder, unit.recipe, weights),
            resume=is_run(unit.folder),
            hardware=hardware,
        )
        (unit.folder / DONE).write_text(json.dumps({"minutes": (time.monotonic() - start) / 60}), encoding="utf-8")
        return
    folds = CrossValidation(
        dataset,
        unit.place,
        unit.recipe,
        initial_weights=weights,
        hardware=hardware,
        eval_clips=unit.recipe.eval_clips,
    )
    folds.run_fold(unit.fold, trained)
    for mode, settings in unit.predict.items():
        file = unit.folder / predictions_file(mode)
        if not file.is_file():
            partial = file.with_suffix(".part.npz")
            np.savez(partial, probabilities=_predict(unit, settings, dataset, scored))
            partial.replace(file)


def _implementation(unit: Unit, labels: tuple[str, ...], weights: str | None) -> Implementation:
    """How training steps are computed. `train` would measure what is fastest; here two runs must agree to the bit."""
    import torch

    from audioinceptionnext.training import implementations
    from audioinceptionnext.training.initial_model import build_initial_model
    from audioinceptionnext.training.module import DTYPES

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = build_initial_model(labels, unit.recipe, weights).net
    return implementations.usual(net, DTYPES[unit.recipe.precision], device)


def predictions_file(mode: str) -> str:
    """The name of the file with the predictions of one `PredictionMode`, given by its name."""
    return f"predictions-{''.join(c if c.isalnum() else '-' for c in mode)}.npz"


def is_done(unit: Unit) -> bool:
    """Whether a run has nothing left to do."""
    from audioinceptionnext.training.cross_validation import DONE as FOLD_DONE

    if unit.fold is None:
        return (unit.folder / DONE).is_file()
    predicted = all((unit.folder / predictions_file(mode)).is_file() for mode in unit.predict)
    return predicted and (unit.folder / FOLD_DONE).is_file()


def _predict(unit: Unit, settings: dict[str, Any], dataset: Any, clips: Any) -> np.ndarray:
    """Probabilities (clips, classes) of each clip as a whole; NaN for clips that cannot be read."""
    import tempfile
    from dataclasses import replace

    from audioinceptionnext.data.reader import Reader
    from audioinceptionnext.evaluation.clip_predictions import predict_clips
    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.models.load import load
    from audioinceptionnext.network.storage import load_model
    from audioinceptionnext.training.run_folder import MODEL

    model = load_model(unit.folder / MODEL)
    if (seconds := settings["clip_seconds"]) is not None:
        frames = model.front_end().frames(round(model.sample_rate * seconds) - 1)
        model.clip_seconds, model.net.config = seconds, replace(model.net.config, clip_frames=frames)
    with tempfile.TemporaryDirectory() as folder:
        recogniser = load(export_onnx(model, Path(folder, "model.onnx"), mode=settings["mode"]), threads=1)
    predicted = predict_clips(recogniser, clips, Reader(recogniser.sample_rate, dataset.sample_rate))
    probabilities = np.full((len(clips), len(dataset.labels)), np.nan)
    index = {id(clip): number for number, clip in enumerate(clips)}
    probabilities[[index[id(clip)] for clip in predicted.clips]] = predicted.probabilities
    return probabilities


def _end_with_parent() -> None:
    while os.read(0, 1):  # nothing is ever sent: it returns when the pipe is closed
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)  # the training needs a moment to notice
    os._exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""What a run leaves besides its weights: an exported model, and figures that say how good it is."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import writing
from audioinceptionnext.evaluation.evaluate import RESAMPLES, evaluate
from audioinceptionnext.evaluation.evaluate_timelines import evaluate_timelines
from audioinceptionnext.evaluation.frame_wise import evaluate_frames
from audioinceptionnext.export.onnx import export_onnx, recalibrate_onnx
from audioinceptionnext.models.load import load
from audioinceptionnext.network.storage import load_model, save_model
from audioinceptionnext.training import scenes
from audioinceptionnext.training.run_folder import FIGURES, ONNX, REPORT, training_logs
from audioinceptionnext.training.run_record import Run, write_figures


def finish_run(run: Run, weights: Path) -> dict[str, Any]:
    """Export a trained model, score the held-out clips with the exported file, and calibrate it on them.

    Writes ``model.onnx``, and if clips are held out ``figures.json`` and ``report/``. If the clips and the mistakes
    among them are enough to fit a temperature, it is stored in both models. With ``eval_clips`` it is not, because the
    published evaluation averages the softmax as it is, nor with several tasks, which one temperature does not fit.
    Of a multi-label data set, the onset thresholds of the labels are fitted and stored too, and the figures are those
    with both. Models that were trained on steps, or whose timeline's head was taught, are scored on whole recordings,
    without a report or a temperature. If that was on composed scenes, scenes of the held-out clips are written into the
    folder of the run.

    Args:
        run: what was trained.
        weights: the path that `train` returned.

    Returns:
        The figures (see `evaluate`, `evaluate_frames` or `evaluate_timelines`) with ``model_file``, ``weights`` and, if
        there is one, ``report``. Without held-out clips, only the first two of these.
    """
    print("exporting", file=sys.stderr, flush=True)
    model = load_model(weights)
    with writing(run.out / ONNX):
        onnx = export_onnx(model, run.out / ONNX, name=run.out.name or "model")
    found: dict[str, Any] = {"model_file": str(onnx), "weights": str(weights)}
    if not run.held_out:
        return found
    if run.recipe.targets in ("steps", "timeline"):
        dataset, clips, recogniser = run.dataset, run.held_out, load(onnx)
        if run.recipe.scenes is not None:
            dataset = scenes.write_held_out(run, recogniser.sample_rate)
            clips = dataset.clips
        if run.recipe.targets == "steps":
            figures = evaluate_frames(dataset, clips, recogniser)
        else:
            figures = evaluate_timelines(dataset, clips, recogniser).figures
        write_figures(run.out, figures)
        return found | figures
    if run.recipe.targets == "teacher":  # `train` has scored the student, since only it has the lessons
        return found | json.loads((run.out / FIGURES).read_text(encoding="utf-8"))
    eval_clips = run.recipe.eval_clips
    fits_thresholds = run.dataset.multi_label and not eval_clips  # the figures are then computed once more
    resamples = 0 if fits_thresholds else RESAMPLES
    evaluation = evaluate(run.dataset, run.held_out, load(onnx), eval_clips=eval_clips, resamples=resamples)
    temperature: float | None = None
    thresholds: list[float] | None = None
    if fits_thresholds:
        temperature, thresholds = evaluation.fit()
    elif not eval_clips and not run.dataset.tasks:
        temperature = evaluation.predictions.temperature()
    if temperature is not None or thresholds is not None:
        model.temperature = temperature or 1.0
        model.thresholds = tuple(thresholds) if thresholds else None
        with writing(run.out):
            save_model(model, weights)
            recalibrate_onnx(onnx, model)
    if temperature is not None:
        evaluation.figures["temperature"] = temperature
    page = evaluation.report(run.out / REPORT, f"{run.out.name}: {run.dataset.name}", training_logs(run.out))
    write_figures(run.out, evaluation.figures)
    return found | evaluation.figures | {"report": str(page)}

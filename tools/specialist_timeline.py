"""Teach the fine timeline of a specialist, fold by fold and for the model that ships.

    python tools/specialist_timeline.py --data kitchen20 --root Kitchen20 --whole all/model.safetensors \\
        --folds "folds/fold-{fold}/model.safetensors" --calibration folds/figures.json \\
        --as-windows stove-fan book eat peel --out timeline

The models are those of `specialise.py`; the head of each learns on scenes of the clips that its linear layer was fitted
to (`training.timeline_head`), and nothing else changes. How probabilities become segments is chosen on scenes of the
clips that were left out, without those whose source is in other folds: for the model of a fold on those of all other
folds, and for the one that ships on all. `benchmarks/timeline_scores.py` then scores the models of the folds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from audioinceptionnext.data import Clip, load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.evaluation.evaluate import unseen_sources
from audioinceptionnext.evaluation.timeline_settings import Predicted, choose_segmentation
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.models.load import load
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.network.timeline import FINE_STEP_FRAMES
from audioinceptionnext.rendering.scene_settings import SceneSettings
from audioinceptionnext.rendering.scenes import Composer
from audioinceptionnext.results.types import Segment
from audioinceptionnext.training import timeline_head

LEARNT = SceneSettings(events_per_minute=(4, 30), background_db=(-65, -40), snr_db=(8, 35), speed=(0.85, 1.18))
# As `benchmarks/timeline_scores.py` has them, with two sounds at a time; another seed makes other scenes.
CHOSEN = SceneSettings(
    events_per_minute=(10, 10), background_db=(-60, -50), snr_db=(15, 35), reverb_probability=0, overlap=2
)
SUPPORT = 2.0  # windows of single-label models share their probability among sounds that overlap
LEARN_SEED, CHOOSE_SEED, CHOOSE_SCENES = 0, 1, 40


def composer(clips: Sequence[Clip], settings: SceneSettings, seed: int, rate: int) -> Composer:
    return Composer(Waveforms(list(clips), Reader(rate)), settings, seed)


def teach(model: StoredModel, clips: Sequence[Clip], minutes: int, steps: int) -> None:
    """Give a model a head, and teach it on scenes of these clips."""
    began = time.monotonic()
    timeline_head.add_head(model)
    compose = composer(clips, LEARNT, LEARN_SEED, model.sample_rate)
    scenes = ((scene.waveform, scene.segments) for scene in map(compose, range(minutes)))
    timeline_head.teach(model, list(timeline_head.examples(model, scenes)), steps)
    print(f"taught on {minutes} minutes of {len(clips)} clips in {time.monotonic() - began:.0f} s", flush=True)


def predict(model: StoredModel, clips: Sequence[Clip]) -> list[Predicted]:
    """The fine timelines that the exported model gives of scenes of these clips, and what sounds in them."""
    compose = composer(clips, CHOSEN, CHOOSE_SEED, model.sample_rate)
    with tempfile.TemporaryDirectory() as folder:
        recogniser = load(export_onnx(model, Path(folder, "model.onnx")), threads=1)
    found = []
    for scene in map(compose, range(CHOOSE_SCENES)):
        truth = [Segment(start, end, model.labels[int(label)], 1.0) for start, end, label in scene.segments.tolist()]
        found.append(Predicted(recogniser.predict(scene.waveform).probabilities, truth))
    return found


def finish(model: StoredModel, segmentation: dict[str, Any], args: argparse.Namespace) -> None:
    """State in a model how its timeline becomes segments, and how far its windows support it."""
    run = json.loads(args.calibration.read_text(encoding="utf-8"))
    model.temperature, model.segmentation = run["temperature"], segmentation
    model.thresholds = tuple(run["thresholds"][label] for label in model.labels)
    own = zip(model.labels, segmentation["thresholds"], model.thresholds, strict=True)
    # What reaches the threshold of the timeline then reaches that of the windows, too.
    model.timeline_support = tuple(
        round(fine / window, 3) if label in args.as_windows else SUPPORT for label, fine, window in own
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument(
        "--folds", required=True, help='the models of the folds, such as "fold-{fold}/model.safetensors"'
    )
    parser.add_argument("--whole", type=Path, required=True, help="the model that was fitted to all clips")
    parser.add_argument("--calibration", type=Path, required=True, help="figures.json of the folds")
    parser.add_argument(
        "--as-windows", nargs="*", default=[], help="labels that the windows have to be sure of, which noise needs"
    )
    parser.add_argument("--minutes", type=int, default=500, help="compose this much sound to learn from")
    parser.add_argument("--steps", type=int, default=2500, help="take this many steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dataset = load_dataset(args.data, args.root)
    models, predicted = {}, {}
    for fold in dataset.folds:
        held_out, training = dataset.select(str(fold))
        models[fold] = load_model(args.folds.replace("{fold}", str(fold)))
        teach(models[fold], training, args.minutes, args.steps)
        predicted[fold] = predict(models[fold], unseen_sources(held_out, training))
    whole = load_model(args.whole)
    teach(whole, dataset.clips, args.minutes, args.steps)
    step = FINE_STEP_FRAMES * whole.hop_ms / 1000
    for fold, model in models.items():
        others = [one for other, rows in predicted.items() if other != fold for one in rows]
        finish(model, choose_segmentation(others, step, model.labels), args)
        save_model(model, args.out / f"fold-{fold}" / "model.safetensors")
    finish(whole, choose_segmentation([one for rows in predicted.values() for one in rows], step, whole.labels), args)
    save_model(whole, args.out / "model.safetensors")
    print(json.dumps(whole.segmentation))


if __name__ == "__main__":
    main()

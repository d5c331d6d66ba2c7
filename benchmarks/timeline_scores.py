"""Scores a model's timelines of kitchen scenes whose truth is known, and finds the segmentation settings that fit best.

    python benchmarks/timeline_scores.py --model "runs/folds/fold-{fold}/model.safetensors" --root Kitchen20

Scenes of a minute are composed from clips of one fold (as `ainext data render --scenes` does, here with ten events a
minute, one at a time, and without rooms) and predicted by the model that was not trained on it.
Clips whose recording is also in other folds are left out, since the model was trained on those. Scenes of the folds of
``--tune`` choose the settings (the highest mean of segment-based and event-based F1), scenes of ``--fold`` report. Each
scene is predicted once, and all settings are scored on its probabilities. The same call always has the same scenes.
The settings of one model on one data set with times are scored by ``ainext evaluate --timeline``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.evaluation.evaluate import finite, unseen_sources
from audioinceptionnext.evaluation.events import ONSETS_ONLY, RESOLUTION, STRICT, Collars, EventScores, score_events
from audioinceptionnext.evaluation.intervals import draw_weights
from audioinceptionnext.evaluation.timeline_figures import f1_of
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.network.storage import load_model
from audioinceptionnext.rendering.scene_settings import SceneSettings
from audioinceptionnext.rendering.scenes import Composer
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import find_segments, step_bounds
from audioinceptionnext.results.settings import BY_CLASS, SegmentationSettings
from audioinceptionnext.results.types import Segment

SCENES: dict[str, Any] = {
    "events_per_minute": 10,
    "overlap": 1,
    "background_db": (-60, -50),
    "snr_db": (15, 35),
    "reverb_probability": 0,
}
ONSET_THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
OFFSET_SHARES = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)  # the offset threshold as a share of the onset threshold
SMOOTHING = (0.0, 0.16, 0.32, 0.64, 0.96, 1.6)
MIN_DURATIONS = (0.0, 0.3, 0.6, 1.0)
MERGE_GAPS = (0.0, 0.3, 0.6, 1.0, 2.0)
RESAMPLES = 2000
# Figures of the table, with their widths and decimals
COLUMNS = {
    "segment_f1": (11, 1), "segment_precision": (7, 1), "segment_recall": (6, 1),
    "event_f1": (12, 1), "event_precision": (7, 1), "event_recall": (6, 1),
    "onset_median": (15, 2), "onset_mean": (7, 2), "onset_bias": (7, 2), "onset_pairs": (8, 0),
}  # fmt: skip


@dataclass(frozen=True)
class PredictedScene:
    events: list[Segment]  # the truth
    result: Recognition
    own: SegmentationSettings  # the model's
    class_thresholds: tuple[float, ...]  # the model's own, or none

    def segments(self, settings: SegmentationSettings | None) -> list[Segment]:
        """The segments with these settings, or with the model's own."""
        result = self.result
        settings = self.own if settings is None else replace(settings, class_thresholds=self.class_thresholds)
        times = result.step_seconds, result.window_seconds, result.duration
        return find_segments(result.probabilities, *times, result.labels, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--model", required=True, help="score this ONNX file, or these weights, not trained on the fold {fold}"
    )
    parser.add_argument("--root", type=Path, required=True, help="set the folder of Kitchen20")
    parser.add_argument("--fold", type=int, default=5, help="report on scenes of this fold")
    parser.add_argument(
        "--tune",
        default="1,2,3,4",
        help="choose settings by scenes of these folds; with none, the model's own hold",
    )
    parser.add_argument(
        "--calibration", type=Path, help="give all models the temperature and the thresholds of this figures.json"
    )
    parser.add_argument("--scenes", type=int, default=20, help="compose this many scenes of each fold")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="overlap=2",
        help=f"change a setting of the scenes, which are the defaults but for {SCENES}",
    )
    parser.add_argument(
        "--strict", action="store_true", help="ask for onsets within 0.2 s and for offsets within 0.2 s or 20 %%"
    )
    parser.add_argument("--seed", type=int, default=0, help="set the seed of all randomness")
    parser.add_argument(
        "--onset-threshold",
        type=float,
        nargs="+",
        help=f"try these for all classes in place of the model's own, such as {ONSET_THRESHOLDS}",
    )
    parser.add_argument(
        "--also", action="append", default=[], metavar="smoothing=0,merge_gap=1", help="score these settings too"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    also = {text: _settings(text) for text in options.also}
    changes = (change.partition("=") for change in options.set)
    scene_settings = SceneSettings.from_dict(SCENES | {name: yaml.safe_load(value) for name, _, value in changes})

    dataset = load_dataset("kitchen20", options.root)
    temperatures = set()

    def predict_scenes(fold: int) -> list[PredictedScene]:
        model = open_scored(options.model.replace("{fold}", str(fold)), options.calibration)
        temperatures.add(float(model.metadata.get("temperature", 1)))
        clips = unseen_sources(*dataset.select(str(fold)))
        compose = Composer(Waveforms(clips, Reader(model.sample_rate)), scene_settings, options.seed)
        own = model.segmentation_settings()
        class_thresholds = () if options.onset_threshold else own.class_thresholds
        predicted = []
        for scene in map(compose, range(options.scenes)):
            rows = scene.segments.tolist()
            events = [Segment(start, end, dataset.labels[int(label)], 1.0) for start, end, label in rows]
            predicted.append(PredictedScene(events, model.predict(scene.waveform), own, class_thresholds))
        return predicted

    reporting = predict_scenes(options.fold)
    tuning = [scene for fold in filter(None, options.tune.split(",")) for scene in predict_scenes(int(fold))]
    own = bool(reporting[0].class_thresholds)
    default = (SegmentationSettings().onset_threshold,) if own else ONSET_THRESHOLDS
    collars = STRICT if options.strict else ONSETS_ONLY
    chosen: dict[str, SegmentationSettings | None] = {"own": None} | also
    table = search(tuning, options.onset_threshold or default, collars) if tuning else {}
    if table:
        chosen["best"] = max(table, key=lambda settings: table[settings])
    parts = {"tuning": tuning, "reporting": reporting} if tuning else {"reporting": reporting}
    report = {
        "model": options.model,
        "temperature": sorted(temperatures),
        "thresholds": "the model's own" if own else "one for all classes",
        "fold": options.fold,
        "tune": options.tune,
        "seed": options.seed,
        "scenes": options.scenes,
        "composed": scene_settings.as_dict(),
        "collars": asdict(collars),
        "events": {part: describe(scenes) for part, scenes in parts.items()},
        **{
            part: {name: figures(scenes, settings, collars) for name, settings in chosen.items()}
            for part, scenes in parts.items()
        },
        "settings": {name: searched(settings or reporting[0].own) for name, settings in chosen.items()},
        "profile": profile(table),
    }
    print(json.dumps(finite(report), indent=2) if options.json else as_text(report))


def open_scored(file: str, calibration: Path | None) -> Recogniser:
    """Load a model by name or ONNX file, or export weights, with the temperature and thresholds of another run."""
    if not file.endswith(".safetensors"):
        if calibration:
            raise ParameterError("calibration", calibration, "give weights with it; an ONNX file has its own")
        return load(file, threads=1)
    model = load_model(Path(file))
    if calibration:
        run = json.loads(calibration.read_text(encoding="utf-8"))
        model.temperature = run["temperature"]
        model.thresholds = tuple(run["thresholds"][label] for label in model.labels)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, Path(folder, "model.onnx"))
        return load(Path(folder, "model.onnx"), threads=1)


def search(
    scenes: Sequence[PredictedScene], thresholds: Sequence[float], collars: Collars
) -> dict[SegmentationSettings, float]:
    """The mean of segment-based and event-based F1, in %, for every combination of settings."""
    table = {}
    grid = itertools.product(thresholds, OFFSET_SHARES, SMOOTHING, MIN_DURATIONS, MERGE_GAPS)
    for threshold, share, smoothing, min_duration, merge_gap in grid:
        settings = SegmentationSettings(threshold, round(threshold * share, 3), smoothing, min_duration, merge_gap)
        scores = score(scenes, settings, collars)
        table[settings] = 50 * (scores.segments.f1 + scores.events.f1)
    return table


def score(scenes: Sequence[PredictedScene], settings: SegmentationSettings | None, collars: Collars) -> EventScores:
    return score_events(((scene.events, scene.segments(settings)) for scene in scenes), RESOLUTION, collars)


def searched(settings: SegmentationSettings) -> dict[str, float]:
    """The settings that are searched: all but those by class."""
    return {name: value for name, value in asdict(settings).items() if name not in BY_CLASS.values()}


def profile(table: dict[SegmentationSettings, float]) -> dict[str, dict[float, float]]:
    """How much each setting matters: for each of its values the best score that the other settings reach with it."""
    best: dict[str, defaultdict[float, float]] = defaultdict(lambda: defaultdict(float))
    for settings, value in table.items():
        share = {"offset_threshold": round(settings.offset_threshold / settings.onset_threshold, 2)}
        for name, key in (searched(settings) | share).items():
            best[name][key] = max(best[name][key], value)
    return {name: dict(sorted(values.items())) for name, values in best.items()}


def figures(
    scenes: Sequence[PredictedScene], settings: SegmentationSettings | None, collars: Collars
) -> dict[str, Any]:
    """The figures over all scenes, and their gain over the model's own settings with a 95 % interval by resampling."""
    before, after = ([score([scene], chosen, collars) for scene in scenes] for chosen in (None, settings))
    weights = np.hstack([*draw_weights(np.arange(len(scenes)), RESAMPLES, 0, RESAMPLES)])
    gains = {}
    for name in ("segments", "events"):
        gain = np.quantile(_f1(after, name, weights) - _f1(before, name, weights), (0.025, 0.975))
        gains[f"{name[:-1]}_f1_gain"] = gain.round(2).tolist()
    return {**score(scenes, settings, collars).as_dict(), **gains}


def _f1(scores: Sequence[EventScores], name: str, weights: np.ndarray) -> np.ndarray:
    """(resamples,): F1 in % if each scene is counted as many times as its weight says."""
    counts = [getattr(one, name) for one in scores]
    return f1_of(np.array([(c.true_positives, c.false_positives, c.false_negatives) for c in counts]).T @ weights)


def describe(scenes: Sequence[PredictedScene]) -> dict[str, float]:
    """How many events there are, how long they are, and how many the model names if their bounds are known.

    The last is the share, in %, of events whose label has the highest mean probability over the steps that stand for
    them. The rest is what no segmentation settings can correct.
    """
    named, lengths = [], []
    for scene in scenes:
        result = scene.result
        bounds = step_bounds(len(result.probabilities), result.step_seconds, result.window_seconds, result.duration)
        for event in scene.events:
            first, last = np.searchsorted(bounds, (event.start, event.end), side="right") - 1
            mean = result.probabilities[first : last + 1].mean(axis=0)
            named.append(result.labels[int(mean.argmax())] == event.label)
            lengths.append(event.end - event.start)
    seconds = {"shortest": min(lengths), "median": float(np.median(lengths)), "longest": max(lengths)}
    return {"count": len(lengths), **seconds, "named": 100 * float(np.mean(named))}


def as_text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['model']}, thresholds: {report['thresholds']}, temperature {report['temperature']}, "
        f"seed {report['seed']}, up to {report['composed']['overlap']} at a time"
    ]
    for part in report["events"]:
        events = report["events"][part]
        lines.append(
            f"\n{part}: fold {report['tune' if part == 'tuning' else 'fold']}, {report['scenes']} scenes of each, "
            f"{events['count']} events of {events['shortest']:.1f} to {events['longest']:.1f} s, "
            f"median {events['median']:.1f}; {events['named']:.0f} % named if their bounds are known"
        )
        lines.append(
            "settings      segment F1   prec   rec    event F1   prec   rec    onset median   mean   bias   pairs"
        )
        for name, row in report[part].items():
            lines.append(
                f"{name[:12]:13}" + "".join(f"{row[key]:{w}.{digits}f}" for key, (w, digits) in COLUMNS.items())
            )
            if name != "own":
                segment, event = ("{:+.1f} to {:+.1f}".format(*row[f"{kind}_f1_gain"]) for kind in ("segment", "event"))
                lines.append(f"    gain, 95 %: segment F1 {segment}, event F1 {event}")
    lines.append("\nsettings")
    for name, values in report["settings"].items():
        lines.append(f"{name[:12]:13} " + "  ".join(f"{key} {value:g}" for key, value in values.items()))
    if not report["profile"]:
        return "\n".join(lines)
    lines.append(
        "\nbest mean of both F1 on the tuning scenes by value (offset_threshold: as a share of the onset threshold)"
    )
    for name, values in report["profile"].items():
        lines.append(f"{name:16} " + "   ".join(f"{key:g}: {value:.1f}" for key, value in values.items()))
    return "\n".join(lines)


def _settings(text: str) -> SegmentationSettings:
    """Settings from a text such as ``onset_threshold=0.5,merge_gap=1``; the others stay at their defaults."""
    try:
        values = {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
        onset_threshold = values.pop("onset_threshold", SegmentationSettings().onset_threshold)
        return SegmentationSettings.from_threshold(onset_threshold, **values)
    except (ValueError, TypeError) as error:
        example = "onset_threshold=0.5,offset_threshold=0.2,merge_gap=1"
        raise SystemExit(f"--also {text}: give settings such as {example} ({error})") from error


if __name__ == "__main__":
    main()

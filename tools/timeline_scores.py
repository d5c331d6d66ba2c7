"""How well a model's timeline fits kitchen scenes whose truth is known, and which timeline settings fit best.

    python tools/timeline_scores.py --model "runs/folds/fold-{fold}/model.safetensors" --root Kitchen20

Scenes of a minute (`scenes`) are rendered from clips of one fold and heard by the model that was not trained on it;
clips whose recording is also in other folds are left out, since it has heard those. Scenes of the folds of ``--tune``
choose the settings (the largest mean of segment-based and event-based F1), scenes of ``--fold`` report. Each scene is
heard once, and all settings are scored on its probabilities. The same call always renders the same scenes.
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
from scenes import Mix, render_many

from audioinceptionnext.audio import decode
from audioinceptionnext.data import load_dataset
from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.evaluate import unseen_sources
from audioinceptionnext.evaluation.events import EventScores, score_events
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.network.storage import load_model
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import TimelineSettings, find_segments, step_bounds
from audioinceptionnext.results.types import Segment

UPPER = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LOWER = (0.2, 0.4, 0.6, 0.8, 0.9, 1.0)  # of upper
SMOOTHING = (0.0, 0.32, 0.64, 0.96, 1.6)
SHORTEST = (0.0, 0.3, 0.6, 1.0)
GAP = (0.0, 0.3, 0.6, 1.0, 2.0)
RESAMPLES = 2000
# Figures of the table, with their widths and decimals
COLUMNS = {
    "segment_f1": (11, 1), "segment_precision": (7, 1), "segment_recall": (6, 1),
    "event_f1": (12, 1), "event_precision": (7, 1), "event_recall": (6, 1),
    "onset_median": (15, 2), "onset_mean": (7, 2), "onset_bias": (7, 2), "onset_pairs": (8, 0),
}  # fmt: skip


@dataclass(frozen=True)
class Heard:
    events: list[Segment]  # the truth
    answer: Recognition
    by_class: tuple[float, ...]  # the model's own thresholds, or none

    def segments(self, settings: TimelineSettings) -> list[Segment]:
        one, settings = self.answer, replace(settings, by_class=self.by_class)
        return find_segments(one.probabilities, one.hop, one.window, one.duration, one.labels, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="ONNX file or weights, not trained on the fold {fold}")
    parser.add_argument("--root", type=Path, required=True, help="folder of Kitchen20")
    parser.add_argument("--fold", type=int, default=5, help="whose scenes report")
    parser.add_argument("--tune", default="1,2,3,4", help="folds whose scenes choose the settings")
    parser.add_argument(
        "--calibration", type=Path, help="figures.json, whose temperature and thresholds all models take"
    )
    parser.add_argument("--scenes", type=int, default=20, help="of each fold")
    parser.add_argument("--events", type=int, default=10, help="in a scene")
    parser.add_argument("--overlap", action="store_true", help="up to two events at a time")
    parser.add_argument("--background", type=float, nargs=2, default=Mix.background_db, help="dBFS, between")
    parser.add_argument("--ratio", type=float, nargs=2, default=Mix.ratio_db, help="dB of events over it, between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--upper", type=float, nargs="+", help=f"for all classes, instead of the model's own, as {UPPER}"
    )
    parser.add_argument("--also", action="append", default=[], metavar="smoothing=0,gap=1", help="score these too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    also = {text: _settings(text) for text in options.also}
    mix = Mix(tuple(options.background), tuple(options.ratio), options.overlap)

    dataset = load_dataset("kitchen20", options.root)
    temperatures = set()

    def hear(fold: int) -> list[Heard]:
        model = model_of(options.model.replace("{fold}", str(fold)), options.calibration)
        temperatures.add(float(model.facts.get("temperature", 1)))
        clips = unseen_sources(*dataset.select(str(fold)))
        sounds = [(dataset.labels[clip.label], decode.read(clip.path, model.sample_rate)) for clip in clips]
        rng = np.random.default_rng((options.seed, fold))
        scenes = render_many(options.scenes, sounds, model.sample_rate, rng, options.events, mix)
        by_class = () if options.upper else model.thresholds
        return [Heard(scene.events, model.predict(scene.waveform), by_class) for scene in scenes]

    reporting = hear(options.fold)
    tuning = [one for fold in options.tune.split(",") for one in hear(int(fold))]
    own = bool(reporting[0].by_class)
    table = search(tuning, options.upper or ((TimelineSettings().upper,) if own else UPPER))
    best = max(table, key=lambda settings: table[settings])
    chosen = {"defaults": TimelineSettings(), "best": best} | also
    report = {
        "model": options.model,
        "temperature": sorted(temperatures),
        "thresholds": "the model's own" if own else "one for all classes",
        "fold": options.fold,
        "tune": options.tune,
        "seed": options.seed,
        "scenes": options.scenes,
        "mix": asdict(mix),
        "events": {"tuning": describe(tuning), "reporting": describe(reporting)},
        "tuning": {name: figures(tuning, settings) for name, settings in chosen.items()},
        "reporting": {name: figures(reporting, settings) for name, settings in chosen.items()},
        "settings": {name: shape(settings) for name, settings in chosen.items()},
        "profile": profile(table),
    }
    # JSON has no NaN, which figures are that are not defined.
    plain = json.loads(json.dumps(report), parse_constant=lambda _: None)
    print(json.dumps(plain, indent=2) if options.json else as_text(report))


def model_of(file: str, calibration: Path | None) -> Recogniser:
    """A model by name or ONNX file, or weights, exported, with another run's temperature and thresholds if given."""
    if not file.endswith(".safetensors"):
        if calibration:
            raise AinextError("--calibration is for weights; an ONNX file has its own")
        return load(file, threads=1)
    model = load_model(Path(file))
    if calibration:
        found = json.loads(calibration.read_text(encoding="utf-8"))
        model.temperature = found["temperature"]
        model.thresholds = tuple(found["thresholds"][label] for label in model.labels)
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, Path(folder, "model.onnx"))
        return load(Path(folder, "model.onnx"), threads=1)


def search(heard: Sequence[Heard], uppers: Sequence[float]) -> dict[TimelineSettings, float]:
    """Of every combination of settings the mean of segment-based and event-based F1, in %."""
    found = {}
    for upper, share, smoothing, shortest, gap in itertools.product(uppers, LOWER, SMOOTHING, SHORTEST, GAP):
        settings = TimelineSettings(upper, round(upper * share, 3), smoothing, shortest, gap)
        scores = score(heard, settings)
        found[settings] = 50 * (scores.segments.f1 + scores.events.f1)
    return found


def score(heard: Sequence[Heard], settings: TimelineSettings) -> EventScores:
    return score_events((one.events, one.segments(settings)) for one in heard)


def shape(settings: TimelineSettings) -> dict[str, float]:
    """The settings that are searched among: all but thresholds by class."""
    return {name: value for name, value in asdict(settings).items() if name != "by_class"}


def profile(table: dict[TimelineSettings, float]) -> dict[str, dict[float, float]]:
    """For each value of each setting the best that the others reach with it: how much the setting matters."""
    found: dict[str, defaultdict[float, float]] = defaultdict(lambda: defaultdict(float))
    for settings, value in table.items():
        for name, key in (shape(settings) | {"lower": round(settings.lower / settings.upper, 2)}).items():
            found[name][key] = max(found[name][key], value)
    return {name: dict(sorted(best.items())) for name, best in found.items()}


def figures(heard: Sequence[Heard], settings: TimelineSettings) -> dict[str, Any]:
    """The figures over all scenes; what they gain on the defaults, with a 95 % interval, scenes drawn again."""
    before, after = ([score([one], chosen) for one in heard] for chosen in (TimelineSettings(), settings))
    drawn = np.random.default_rng(0).multinomial(len(heard), np.full(len(heard), 1 / len(heard)), RESAMPLES)
    gains = {}
    for name in ("segments", "events"):
        gain = np.quantile(_f1(after, name, drawn) - _f1(before, name, drawn), (0.025, 0.975))
        gains[f"{name[:-1]}_f1_gain"] = gain.round(2).tolist()
    return {**score(heard, settings).as_dict(), **gains}


def _f1(scores: Sequence[EventScores], name: str, weights: np.ndarray) -> np.ndarray:
    """(resamples,) F1 in % where each scene counts as often as its weight says."""
    counts = [getattr(one, name) for one in scores]
    rows = np.array([(one.true_positives, one.false_positives, one.false_negatives) for one in counts])
    right, extra, missed = (weights @ rows).T
    return 200 * right / np.maximum(2 * right + extra + missed, 1)


def describe(heard: Sequence[Heard]) -> dict[str, float]:
    """How many events there are, how long they are, and how many the model names when told their bounds.

    The last is the share, in %, of events whose label has the greatest mean probability over the steps that speak for
    them: what no timeline settings can mend.
    """
    named, lengths = [], []
    for one in heard:
        bounds = step_bounds(len(one.answer.probabilities), one.answer.hop, one.answer.window, one.answer.duration)
        for event in one.events:
            first, last = np.searchsorted(bounds, (event.start, event.end), side="right") - 1
            mean = one.answer.probabilities[first : last + 1].mean(axis=0)
            named.append(one.answer.labels[int(mean.argmax())] == event.label)
            lengths.append(event.end - event.start)
    seconds = {"shortest": min(lengths), "median": float(np.median(lengths)), "longest": max(lengths)}
    return {"count": len(lengths), **seconds, "named": 100 * float(np.mean(named))}


def as_text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['model']}, thresholds: {report['thresholds']}, temperature {report['temperature']}, "
        f"seed {report['seed']}, {'overlapping' if report['mix']['overlap'] else 'separate'} events"
    ]
    for part in ("tuning", "reporting"):
        facts = report["events"][part]
        lines.append(
            f"\n{part}: fold {report['tune' if part == 'tuning' else 'fold']}, {report['scenes']} scenes of each, "
            f"{facts['count']} events of {facts['shortest']:.1f} to {facts['longest']:.1f} s, "
            f"median {facts['median']:.1f}; {facts['named']:.0f} % named given their bounds"
        )
        lines.append(
            "settings      segment F1   prec   rec    event F1   prec   rec    onset median   mean   bias   pairs"
        )
        for name, row in report[part].items():
            lines.append(
                f"{name[:12]:13}" + "".join(f"{row[key]:{w}.{digits}f}" for key, (w, digits) in COLUMNS.items())
            )
            if name != "defaults":
                (low, high), (least, most) = row["segment_f1_gain"], row["event_f1_gain"]
                lines.append(
                    f"    gain, 95 %: segment F1 {low:+.1f} to {high:+.1f}, event F1 {least:+.1f} to {most:+.1f}"
                )
    lines.append("\nsettings")
    for name, values in report["settings"].items():
        lines.append(f"{name[:12]:13} " + "  ".join(f"{key} {value:g}" for key, value in values.items()))
    lines.append("\nbest mean of both F1 on the tuning scenes with a value (lower: share of upper)")
    for name, values in report["profile"].items():
        lines.append(f"{name:10} " + "   ".join(f"{key:g}: {value:.1f}" for key, value in values.items()))
    return "\n".join(lines)


def _settings(text: str) -> TimelineSettings:
    """``upper=0.5,gap=1`` -> settings; what is not named stays at its default, `lower` at its share of `upper`."""
    try:
        values = {name.strip(): float(value) for name, value in (part.split("=") for part in text.split(","))}
        return TimelineSettings.from_threshold(values.pop("upper", TimelineSettings().upper), **values)
    except (ValueError, TypeError) as error:
        raise SystemExit(f"--also {text}: give settings such as upper=0.5,lower=0.2,gap=1 ({error})") from error


if __name__ == "__main__":
    main()

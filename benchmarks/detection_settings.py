"""What the settings of `DetectionSettings` are worth on invented timelines of the real EPIC-SOUNDS annotations.

    python benchmarks/detection_settings.py EPIC_Sounds_validation.csv [--every 3] [--seeds 2]
    python benchmarks/detection_settings.py EPIC_Sounds_validation.csv --size      # a submission of the real size

There is no recording here, so the probabilities of a network are invented: each annotated segment raises the log-odds
of its class (or, for one in three, of a wrong one too) in the steps that see it, by an amount of its own; noise that
changes slowly is added to all classes, and frequent classes are more likely. Once as a softmax over windows of 2.08 s,
once as a sigmoid of steps of 0.16 s, which see nothing else. The order of settings says something about real
recordings, the figures themselves do not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from scipy.signal import lfilter

from audioinceptionnext.evaluation.detection import Annotations, read_annotations, score_detections
from audioinceptionnext.evaluation.detection_file import read_detections, write_detections
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS
from audioinceptionnext.results import detection
from audioinceptionnext.results.detection import DetectionSettings, find_detections
from audioinceptionnext.results.types import Segment

STEP = 0.16  # seconds
BACKGROUND = 13
KINDS = {"windows": 2.08, "frames": STEP}  # seconds that a step sees
CHANGES: list[dict[str, float]] = [
    {},
    *({"lowest_threshold": value} for value in (0.005, 0.05, 0.1)),
    *({"threshold_ratio": value} for value in (1.2, 2.5)),
    *({"smoothing": value} for value in (0.0, 0.64)),
    *({"context": value} for value in (0.25, 1.0)),
    *({"length_power": value} for value in (0.0, 0.25, 1.0)),
    *({"max_overlap": value} for value in (0.1, 0.3, 0.5)),
    *({"max_detections": value} for value in (500, 1000)),
]
Timeline = tuple[np.ndarray, float]  # probabilities (steps, classes), and the duration in seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--every", type=int, default=3, help="take one video in this many")
    parser.add_argument("--seeds", type=int, default=2, help="number of inventions")
    parser.add_argument("--size", action="store_true", help="only measure a submission for all videos")
    options = parser.parse_args()
    if options.size:
        measure_size(options.annotations)
        return
    truth = read_annotations(options.annotations)
    for kind, window in KINDS.items():
        inventions = [dict(timelines(truth, window, seed, options.every)) for seed in range(options.seeds)]
        for change in CHANGES:
            name = ", ".join(f"{key} {value:g}" for key, value in change.items()) or "defaults"
            settings = replace(DetectionSettings(), **change)
            report(name, kind, [score(options.annotations, found(one, window, settings)) for one in inventions])
        settings = DetectionSettings(length_power=0)
        with patch.object(
            detection, "_contrast", lambda sums, first, end, _: (sums[end] - sums[first]) / (end - first)
        ):
            figures = [score(options.annotations, found(one, window, settings)) for one in inventions]
        report("mean alone as the score", kind, figures)


def report(name: str, kind: str, figures: list[dict[str, float]]) -> None:
    values = "  ".join(
        f"{np.mean([one[key] for one in figures]):6.2f}" for key in ("map_at_01", "map_at_05", "map_avg")
    )
    print(f"{kind:8} {name:23} {values}  {figures[0]['detections']:7,}", flush=True)


def found(videos: dict[str, Timeline], window: float, settings: DetectionSettings) -> dict[str, list[Segment]]:
    labels, background = EPIC_SOUNDS_LABELS, (EPIC_SOUNDS_LABELS[BACKGROUND],)
    return {
        video: find_detections(probabilities, STEP, window, duration, labels, settings, background)
        for video, (probabilities, duration) in videos.items()
    }


def score(annotations: Path, results: dict[str, list[Segment]]) -> dict[str, float]:
    """The figures of some videos; annotations of the others lower all of them alike."""
    with tempfile.TemporaryDirectory() as folder:
        write_detections(path := Path(folder, "test.json"), results, sls_pt=0, sls_tl=0, sls_td=0)
        return score_detections(read_detections(path), annotations)


def measure_size(annotations: Path) -> None:
    truth = read_annotations(annotations)
    for kind, window in KINDS.items():
        videos = dict(timelines(truth, window, 0))
        hours = sum(duration for _, duration in videos.values()) / 3600
        start = time.process_time()
        results = found(videos, window, DetectionSettings())
        detected = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            sizes = []
            for path in (Path(folder, "test.zip"), Path(folder, "test.json")):
                write_detections(path, results, sls_pt=0, sls_tl=0, sls_td=0)
                sizes.append(path.stat().st_size / 1e6)
            before = time.process_time()
            score_detections(read_detections(path), annotations)
            scored = time.process_time()
        print(
            f"{kind}: {len(videos)} videos, {hours:.1f} h, {sum(map(len, results.values())):,} detections; "
            f"{sizes[1]:.1f} MB of JSON, {sizes[0]:.1f} MB as a zip; seconds of CPU: {(detected - start) / hours:.2f} "
            f"from an hour of probabilities to detections, {scored - before:.2f} to read and score the file"
        )


def timelines(truth: Annotations, window: float, seed: int, every: int = 1) -> Iterator[tuple[str, Timeline]]:
    """Invented probabilities of every video, or of one in ``every``."""
    rng = np.random.default_rng(seed)
    classes = len(EPIC_SOUNDS_LABELS)
    share = np.bincount(truth.classes, minlength=classes) + 10.0
    videos = np.array(truth.videos)
    for video in list(dict.fromkeys(truth.videos))[::every]:
        own = videos == video
        duration = float(truth.segments[own].max()) + 1
        steps = max(1, int((duration - window) / STEP) + 1)
        starts = STEP * np.arange(steps)
        evidence = np.zeros((steps, classes))
        for (start, end), label in zip(truth.segments[own], truth.classes[own], strict=True):
            common = np.clip(np.minimum(starts + window, end) - np.maximum(starts, start), 0, None)
            # A step sees the whole sound, or is filled by it; a short sound in a long window counts for less.
            seen = common / min(window, end - start) * (0.4 + 0.6 * min(1, (end - start) / window))
            strength = max(0.0, rng.normal(4, 2))
            evidence[:, label] = np.maximum(evidence[:, label], strength * seen * (1 if rng.random() < 0.65 else 0.6))
            if rng.random() < 0.35:
                wrong = rng.choice(classes, p=share / share.sum())
                evidence[:, wrong] = np.maximum(evidence[:, wrong], strength * seen)
        noise = lfilter([0.6], [1, -0.8], rng.standard_normal((steps, classes)), axis=0)
        logits = evidence + noise + 0.5 * np.log(share / share.max())
        if window == STEP:
            probabilities = 1 / (1 + np.exp(4 - 1.5 * logits))
        else:
            logits[:, BACKGROUND] += 2
            probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        yield video, (probabilities.astype(np.float32), duration)


if __name__ == "__main__":
    main()

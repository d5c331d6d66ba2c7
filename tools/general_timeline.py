"""Teach the fine timeline of a general model: scenes of the corpus, with what the teacher says of each recording.

    python tools/general_timeline.py everyday.safetensors --corpus CORPUS.npz [MORE.npz ...] \\
        --names audioset_labels.csv --out everyday-timeline.safetensors

Scenes are composed of the corpus of the distillation, so that it is known when each recording sounds. What sounds is
what the teacher says of the recording alone (`distil_on_cpu.py weigh` has written it): a label that has the probability
0.2 there, at which `general_model.py` takes it for true, is to have 0.5 on the timeline. The head learns it as
`training.timeline_head` says, with what the windows say; the rest of the network stays as it is.

What sounds at all is decided by the windows, whose thresholds keep false alarms rare: a label has a segment only where
one of them reaches its own. The timeline decides when. Its thresholds are chosen on scenes of held-out recordings.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
from distil_on_cpu import parts_of
from distil_on_gpu import RATE as CORPUS_RATE
from distil_on_gpu import audioset_labels
from scipy.signal import resample_poly
from scipy.special import logit

from audioinceptionnext.data import Clip
from audioinceptionnext.evaluation.events import RESOLUTION, STRICT, EventScores, score_events
from audioinceptionnext.evaluation.timeline_settings import Predicted, choose_segmentation
from audioinceptionnext.evaluation.timelines import merged
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.models.load import load
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.rendering.scene_settings import SceneSettings
from audioinceptionnext.rendering.scenes import Composer
from audioinceptionnext.results.segmentation import find_segments
from audioinceptionnext.results.thresholds import settings_for
from audioinceptionnext.results.types import Segment
from audioinceptionnext.training import timeline_head

LEARNT = SceneSettings(
    events_per_minute=(4, 30),
    event_seconds=(1.0, 8.0),
    background_db=(-65, -40),
    snr_db=(8, 35),
    speed=(0.9, 1.1),
)
CHOSEN = SceneSettings(
    events_per_minute=(10, 10),
    event_seconds=(1.0, 8.0),
    background_db=(-60, -50),
    snr_db=(15, 35),
    reverb_probability=0,
)
STEP_SECONDS = 0.05
LOWER, LEAST = 0.2, 0.1  # so much lower than is best without windows, so that what these are sure of is found
SURE = 0.2  # the probability of the teacher that becomes 0.5


class SoftScene(NamedTuple):
    """A scene, what its timeline is to say (steps, labels), and what counts as true: start, end, label."""

    waveform: np.ndarray
    targets: np.ndarray
    truth: list[tuple[float, float, int]]


class Corpus:
    """Recordings of one part of a corpus, as `Composer` takes them. The label of each is its own number."""

    def __init__(self, paths: list[Path], part: int, rate: int) -> None:
        self.reader = SimpleNamespace(sample_rate=rate)
        self.clips: list[Clip] = []
        self._samples, self._places, chances = [], [], []
        for path in paths:
            stored = np.load(path)
            self._samples.append(stored["samples"])
            own = np.flatnonzero(parts_of(stored["names"].tolist(), 1) == part)
            for number in own.tolist():
                self.clips.append(Clip(path=path, label=len(self.clips), key=str(number)))
                first = int(stored["starts"][number])
                self._places.append((len(self._samples) - 1, first, int(stored["lengths"][number])))
            chances.append(np.load(path.with_suffix(".chances.npy"))[own].astype(np.float32))
        self.chances = np.concatenate(chances)

    def __len__(self) -> int:
        return len(self.clips)

    def unreadable(self) -> list[tuple[int, str]]:
        return []

    def part(self, index: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """Samples of a recording from ``first`` on, at the rate of the model."""
        corpus, start, length = self._places[index]
        rate = self.reader.sample_rate
        begin = first * CORPUS_RATE // rate
        end = length if count is None else min(length, begin + -(-count * CORPUS_RATE // rate))
        samples = self._samples[corpus][start + begin : start + end].astype(np.float32) / 2**15
        found: np.ndarray = resample_poly(samples, rate // 8000, CORPUS_RATE // 8000)
        return found if count is None else found[:count]


def wanted(chances: np.ndarray) -> np.ndarray:
    """What the timeline is to say where the teacher gives these probabilities: 0.5 where they are `SURE`."""
    odds = chances / (1 - chances).clip(1e-6) * (1 - SURE) / SURE
    return (odds / (1 + odds)).astype(np.float32)


def scenes_of(corpus: Corpus, chances: np.ndarray, settings: SceneSettings, count: int) -> Iterator[SoftScene]:
    """Composed scenes, and what is to be said of them.

    Args:
        chances: (recordings, labels), what the teacher says of each recording.
    """
    compose, hard = Composer(corpus, settings, 0), wanted(chances)  # type: ignore[arg-type]
    for scene in map(compose, range(count)):
        silent = np.ones((round(settings.seconds / STEP_SECONDS), chances.shape[1]), np.float32)
        truth = []
        for start, end, index in scene.segments.tolist():
            inside = slice(round(start / STEP_SECONDS), max(round(start / STEP_SECONDS) + 1, round(end / STEP_SECONDS)))
            silent[inside] *= 1 - hard[int(index)]
            truth += [(start, end, label) for label in np.flatnonzero(chances[int(index)] >= SURE).tolist()]
        yield SoftScene(scene.waveform, 1 - silent, truth)


def examples(model: StoredModel, scenes: Iterable[SoftScene]) -> Iterator[timeline_head.Example]:
    """What the head gets of scenes, and what it is to say."""
    first, second = itertools.tee(scenes)
    sounds = ((scene.waveform, np.zeros((0, 3))) for scene in first)
    for one, scene in zip(timeline_head.examples(model, sounds, windows=True), second, strict=True):
        yield one._replace(targets=torch.from_numpy(scene.targets[: len(one.targets)]).half())


def predict(model: StoredModel, scenes: Iterable[SoftScene]) -> list[Predicted]:
    """The fine timelines that the exported model gives of scenes, and what the teacher says that sounds in them."""
    with tempfile.TemporaryDirectory() as folder:
        recogniser = load(export_onnx(model, Path(folder, "model.onnx")), threads=1)
    found = []
    for scene in scenes:
        truth = [Segment(start, end, model.labels[label], 1.0) for start, end, label in scene.truth]
        found.append(Predicted(recogniser.predict(scene.waveform).probabilities, merged(truth)))
    return found


def score(found: list[Predicted], model: StoredModel) -> EventScores:
    settings = settings_for(
        model.labels,
        model.segmentation["thresholds"],
        stated={name: value for name, value in model.segmentation.items() if name != "thresholds"},
    )
    return score_events(
        (
            (truth, find_segments(rows, STEP_SECONDS, STEP_SECONDS, len(rows) * STEP_SECONDS, model.labels, settings))
            for rows, truth in found
        ),
        RESOLUTION,
        STRICT,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--corpus", type=Path, nargs="+", required=True)
    parser.add_argument("--names", type=Path, required=True, help="AudioSet's labels, as the teacher has them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=int, default=900)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--taught", type=Path, help="take this model with its head, and only choose how it segments")
    parser.add_argument("--scenes", type=int, default=80, help="choose and report on so many scenes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(args.model)
    identifiers, _ = audioset_labels(args.names)
    places = [identifiers.index(one) for one in model.identifiers]
    if args.taught:
        model = load_model(args.taught)
    else:
        corpus = Corpus(args.corpus, 0, model.sample_rate)
        timeline_head.add_head(model)
        began = time.monotonic()
        seen = list(examples(model, scenes_of(corpus, corpus.chances[:, places], LEARNT, args.minutes)))
        print(f"{len(seen)} minutes of {len(corpus.clips)} recordings in {time.monotonic() - began:.0f} s", flush=True)

        def progress(step: int, loss: float) -> None:
            if step % 100 == 0:
                print(f"step {step}: loss {loss:.3f}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

        timeline_head.teach(model, seen, args.steps, progress=progress)
        save_model(model, args.out)
    for part, name in ((1, "choose"), (2, "report")):
        corpus = Corpus(args.corpus, part, model.sample_rate)
        if part == 1:
            model.segmentation, model.timeline_support = {}, ()
        found = predict(model, scenes_of(corpus, corpus.chances[:, places], CHOSEN, args.scenes))
        if part == 1:
            model.segmentation = choose_segmentation(found, STEP_SECONDS, model.labels)
            own = (np.array(model.segmentation["thresholds"]) - LOWER).clip(min=LEAST).round(4)
            # As thresholds, those of the windows: the logits are moved so that both mean the same, and a step has at
            # most the probability of its windows.
            windows = np.array(model.thresholds)
            with torch.no_grad():
                model.net.timeline.classifier.bias += torch.from_numpy(logit(windows) - logit(own)).float()
            model.segmentation["thresholds"] = windows.tolist()
            model.timeline_support = (1.0,) * len(model.labels)
            save_model(model, args.out)
            print({name: value for name, value in model.segmentation.items() if name != "thresholds"})
        print(name, len(corpus.clips), score(found, model).as_dict())


if __name__ == "__main__":
    main()

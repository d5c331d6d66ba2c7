"""Teach the fine timeline of a general model: scenes of the corpus, with what the teacher says of each recording.

    python tools/general_timeline.py everyday.safetensors --corpus CORPUS.npz [MORE.npz ...] \\
        --names audioset_labels.csv --out everyday-timeline.safetensors

Scenes are composed of the corpus of the distillation, so that it is known when each recording sounds. What sounds is
what the teacher says of the recording alone (`distil_on_cpu.py weigh` has written it): a label that has the probability
0.2 there, at which `general_model.py` takes it for true, is to have 0.5 on the timeline. The head learns it as
`training.timeline_head` says; the rest of the network stays as it is.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from distil_on_cpu import parts_of
from distil_on_gpu import RATE as CORPUS_RATE
from distil_on_gpu import audioset_labels
from scipy.signal import resample_poly

from audioinceptionnext.data import Clip
from audioinceptionnext.network.storage import load_model, save_model
from audioinceptionnext.rendering.scene_settings import SceneSettings
from audioinceptionnext.rendering.scenes import Composer
from audioinceptionnext.training import timeline_head

SCENES = SceneSettings(
    events_per_minute=(4, 30),
    event_seconds=(1.0, 8.0),
    background_db=(-65, -40),
    snr_db=(8, 35),
    speed=(0.9, 1.1),
)
SURE = 0.2  # the probability of the teacher that becomes 0.5


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


def soft_examples(model, composer: Composer, corpus: Corpus, labels: list[int], numbers) -> Iterator:
    """Examples of scenes, whose targets are what the teacher says of what sounds in each step."""
    scenes = ((scene.waveform, scene.segments) for scene in map(composer, numbers))
    hard = wanted(corpus.chances[:, labels])
    for scene, one in _with_rows(model, scenes):
        silent = np.ones((one.targets.shape[0], len(labels)), np.float32)
        step = 0.05
        for start, end, index in scene:
            a, b = int(start / step), int(np.ceil(end / step))
            share = np.ones(max(0, min(b, len(silent)) - a), np.float32)
            silent[a : a + len(share)] *= 1 - share[:, None] * hard[int(index)]
        yield one._replace(targets=torch.from_numpy(1 - silent).half())


def _with_rows(model, scenes) -> Iterator:
    kept: list[np.ndarray] = []

    def sounds() -> Iterator:
        for waveform, segments in scenes:
            kept.append(segments)
            yield waveform, np.zeros((0, 3))

    for one in timeline_head.examples(model, sounds()):
        yield kept.pop(0), one


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--corpus", type=Path, nargs="+", required=True)
    parser.add_argument("--names", type=Path, required=True, help="AudioSet's labels, as the teacher has them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=int, default=900)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load_model(args.model)
    identifiers, _ = audioset_labels(args.names)
    labels = [identifiers.index(one) for one in model.identifiers]
    corpus = Corpus(args.corpus, 0, model.sample_rate)
    composer = Composer(corpus, SCENES, 0)
    timeline_head.add_head(model)
    began = time.monotonic()
    found = soft_examples(model, composer, corpus, labels, range(args.minutes))
    seen = list(itertools.islice(found, args.minutes))
    print(f"{len(seen)} minutes of {len(corpus.clips)} recordings in {time.monotonic() - began:.0f} s", flush=True)

    def progress(step: int, loss: float) -> None:
        if step % 100 == 0:
            print(f"step {step}: loss {loss:.3f}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    timeline_head.teach(model, seen, args.steps, progress=progress)
    save_model(model, args.out)


if __name__ == "__main__":
    main()

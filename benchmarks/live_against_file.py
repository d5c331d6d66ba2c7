"""Compares a live stream's segments with those of the same sound as a file, and with the truth.

    python benchmarks/live_against_file.py --root Kitchen20 --fsdd FSDD --lookahead 1.28 2.56 8.32

Clips of Kitchen20 in random order, with pauses of 0.5 to 4 s, over room noise at -60 dBFS, are recognised once as a
file, and once as a `Stream` for each lookahead, in pushes of 0.1 s. Agreement is the time that both label alike, as a
share of the time that either labels. A segment is wrong if no clip of its label sounds during it. Speech is made by
`false_alarms`; with ``--folder``, the recordings of a folder follow, in which every segment is wrong. CPU time is the
process's own. The same call makes the same sound.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from false_alarms import coloured, decibels, live_segments, sentences, spoken_digits

from audioinceptionnext.audio import decode
from audioinceptionnext.data import load_dataset
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.load import load
from audioinceptionnext.results.types import Segment

PAUSES = (0.5, 4.0)  # seconds between clips
NOISE_DB = -60.0
PER_SECOND = 100  # places at which two timelines are compared


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="kitchen20", help="use this model: a name or an ONNX file")
    parser.add_argument("--root", type=Path, required=True, help="set the folder of Kitchen20")
    parser.add_argument(
        "--fsdd", type=Path, help="also use speech: digits of this data set, and espeak-ng if installed"
    )
    parser.add_argument("--folder", type=Path, nargs="*", default=[], help="also use recordings of other sounds")
    parser.add_argument("--minutes", type=float, default=40, help="make so much, and a quarter of other sounds")
    parser.add_argument("--lookahead", type=float, nargs="*", default=[], help="try these, besides the default")
    parser.add_argument("--seed", type=int, default=0, help="set the seed of all randomness")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    model, rng = load(options.model, threads=1), np.random.default_rng(options.seed)
    kitchens, events = kitchen(options.root, options.minutes * 60, model.sample_rate, rng)
    sounds = {"kitchens": (kitchens, events)}
    if options.fsdd:
        count = round(options.minutes * 60 / 4 / 10)  # of 5 s each, in two kinds
        digits = spoken_digits(options.fsdd, None, count, model.sample_rate, rng)
        clips = [one.waveform for one in (*digits, *sentences(count, model.sample_rate, rng))]
        sounds["speech"] = np.concatenate(clips), []
    for folder in options.folder:
        parts: list[np.ndarray] = []
        for path in sorted(folder.iterdir()):
            if sum(map(len, parts)) < options.minutes / 4 * 60 * model.sample_rate:
                parts.append(decode.read(path, model.sample_rate))
        sounds[folder.name] = np.concatenate(parts), []
    rows = [row for name, sound in sounds.items() for row in compare(model, name, *sound, options.lookahead)]
    print(json.dumps(rows, indent=2) if options.json else as_text(rows))


def kitchen(root: Path, seconds: float, rate: int, rng: np.random.Generator) -> tuple[np.ndarray, list[Segment]]:
    """Clips with pauses over room noise, (samples,), and when which of them sounds."""
    dataset = load_dataset("kitchen20", root)
    parts: list[np.ndarray] = []
    events: list[Segment] = []
    samples = 0
    for index in rng.permutation(len(dataset.clips)):
        if samples > seconds * rate:
            break
        clip = dataset.clips[index]
        pause, sound = np.zeros(round(rng.uniform(*PAUSES) * rate)), decode.read(clip.path, rate)
        start, samples = samples + len(pause), samples + len(pause) + len(sound)
        events.append(Segment(start / rate, samples / rate, dataset.labels[clip.label], 1.0))
        parts += [pause, sound]
    waveform = np.concatenate(parts) + coloured(samples, 1.5, decibels(NOISE_DB), rate, rng)
    return np.clip(waveform, -1, 1).astype(np.float32), events


def compare(
    model: Recogniser, name: str, waveform: np.ndarray, events: list[Segment], lookaheads: Sequence[float]
) -> Iterator[dict[str, Any]]:
    """A row for the file, one for live with the default lookahead, and one for each other lookahead."""
    seconds = len(waveform) / model.sample_rate
    began = time.process_time()
    expected = model.predict(waveform).segments
    shared = {"sound": name, "seconds": round(seconds), "file_segments": len(expected)}
    yield {**shared, "as": "file", **described(expected, expected, events, seconds, time.process_time() - began)}
    for lookahead in (None, *lookaheads):
        delay = round(Stream(model, lookahead=lookahead).delay, 2)
        began = time.process_time()
        found = live_segments(model, waveform, lookahead)
        row = described(found, expected, events, seconds, time.process_time() - began)
        live = "live" if lookahead is None else f"live, {lookahead:g} s ahead"
        yield {**shared, "as": live, "delay": delay, **row}


def described(
    found: Sequence[Segment], expected: Sequence[Segment], events: Sequence[Segment], seconds: float, cpu: float
) -> dict[str, Any]:
    labels = sorted({segment.label for segment in (*found, *expected)})
    ours, theirs = (timeline(one, labels, seconds) for one in (found, expected))
    either = int((ours | theirs).sum())
    wrong = sum(
        not any(one.label == e.label and one.start < e.end and e.start < one.end for e in events) for one in found
    )
    times = {(one.start, one.end, one.label) for one in expected}
    return {
        "segments": len(found),
        "wrong": wrong,
        "same": sum((one.start, one.end, one.label) in times for one in found),
        "agreement": round(100 * int((ours & theirs).sum()) / either, 1) if either else 100.0,
        "labelled_seconds": round(float(ours.sum()) / PER_SECOND, 1),
        "cpu_ms_per_second": round(1000 * cpu / seconds, 1),
    }


def timeline(segments: Sequence[Segment], labels: Sequence[str], seconds: float) -> np.ndarray:
    """(labels, places), where a segment of the label is."""
    places = np.zeros((len(labels), round(seconds * PER_SECOND) + 1), bool)
    for one in segments:
        places[labels.index(one.label), round(one.start * PER_SECOND) : round(one.end * PER_SECOND)] = True
    return places


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"{'sound':10}{'':22}{'delay, s':>9}{'segments':>10}{'wrong':>7}{'same':>6}{'agrees, %':>11}{'CPU, ms/s':>11}"
    ]
    for row in rows:
        delay = f"{row['delay']:.2f}" if "delay" in row else ""
        counts = f"{row['segments']:10}{row['wrong']:7}{row['same']:6}{row['agreement']:11.1f}"
        lines.append(f"{row['sound']:10}{row['as']:22}{delay:>9}{counts}{row['cpu_ms_per_second']:11.1f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

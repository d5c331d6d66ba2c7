"""How often a model reports a segment for sounds that are none of its classes, and what a threshold would cost.

    python benchmarks/false_alarms.py --model runs/a.onnx --root Kitchen20 --fold 5 --fsdd fsdd

Clips of silence, noise and speech of 5 s are compared with real clips of a fold that the model was not trained on
(without those whose recording is also in other folds, which it was trained on). Every clip is predicted once. A
threshold does what ``ainext predict --threshold`` would do; a model's own thresholds by class are what it does without.
Intervals are Wilson's at 95 %. The same call always makes the same clips.

Silence: digital silence, and noise at -100 to -70 dBFS as from an input with nothing attached. Noise: white, pink and
brown at -60 to -10 dBFS (RMS). Speech: digits of the Free Spoken Digit Dataset (real voices, telephone bandwidth),
those of one speaker joined with pauses, and sentences by espeak-ng if it is installed (full bandwidth, synthetic
voices), at -40 to -15 dBFS over room noise at -75 to -60 dBFS.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from audioinceptionnext.audio import decode
from audioinceptionnext.data import Clip, load_dataset
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.evaluation.evaluate import unseen_sources
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.load import load
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import find_segments
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.types import Segment

SECONDS = 5.0
OWN = 0.0  # stands for the model's own settings, which `ainext predict` uses unless others are given
PUSH_S = 0.1  # of sound that reaches a stream at a time
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0}  # power falls with frequency to this power
LEVELS = (-60, -50, -40, -30, -20, -10)  # dBFS; the level of a clip is drawn between two neighbours
PAUSES = (0.05, 0.8)  # seconds between words or sentences
VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-029", "de", "fr", "it", "es")
VARIANTS = ("m1", "m3", "m7", "f1", "f2", "f4")
SENTENCES = (
    "Could you tell me when the next train to the coast is leaving?",
    "She had never seen a garden as quiet as this one.",
    "The committee will meet again on the second Thursday of March.",
    "I was going to call you, but then the telephone rang.",
    "Nobody knows how many birds pass over the island each year.",
    "Please read the first page aloud and stop where you like.",
    "It was cold and wet, and still we walked along the river.",
    "He asked for a receipt, smiled, and left without another word.",
    "What they found in the attic surprised the whole village.",
    "Seven students passed the examination; five of them were sisters.",
    "If it rains tomorrow we shall stay at home and play chess.",
    "Good evening, and welcome to the last concert of this season.",
)  # without words about kitchens: the network does not know meanings, but this way nobody needs to wonder


@dataclass(frozen=True)
class Sound:
    group: str  # silence, noise, speech or real
    kind: str
    waveform: np.ndarray  # (samples,) float32
    label: str | None = None  # of a real clip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="kitchen20", help="test this model: a name or an ONNX file")
    parser.add_argument("--root", type=Path, required=True, help="set the folder of Kitchen20")
    parser.add_argument("--fold", type=int, default=5, help="compare with clips of this fold, not used in training")
    parser.add_argument("--fsdd", type=Path, required=True, help="set the folder of the Free Spoken Digit Dataset")
    parser.add_argument("--speakers", nargs="+", metavar="NAME", help="use only these of its speakers")
    parser.add_argument(
        "--clips", type=int, default=100, help="make this many of each kind, and twice as many of speech"
    )
    parser.add_argument("--seed", type=int, default=0, help="set the seed of all randomness")
    parser.add_argument("--live", action="store_true", help="take each clip as a live stream of its own")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    model = load(options.model, threads=1)
    settings = {OWN: model.segmentation_settings()}
    if not options.live:
        settings |= {one: model.segmentation_settings(onset_threshold=one) for one in THRESHOLDS}
    by_kind = collect(model, sounds(model.sample_rate, options), settings, options.live)
    report = {
        "model": options.model,
        "temperature": float(model.metadata.get("temperature", 1)),
        "fold": options.fold,
        "seed": options.seed,
        "live": options.live,
        "kinds": [rates(group, kind, clips) for (group, kind), clips in by_kind.items()],
        "groups": [
            rates(name, "all", [clip for (group, _), clips in by_kind.items() if group == name for clip in clips])
            for name in dict.fromkeys(group for group, _ in by_kind)
        ],
    }
    print(json.dumps(report, indent=2) if options.json else as_text(report))


def sounds(rate: int, options: argparse.Namespace) -> Iterator[Sound]:
    """Yield all clips, each kind from its own random stream."""
    size, count = round(SECONDS * rate), options.clips
    for number in range(count):  # of different lengths, since nothing else could differ
        yield Sound("silence", "digital silence", np.zeros(round((number + 1) / count * 2 * size), np.float32))
    rng = np.random.default_rng((options.seed, 0))
    for _ in range(count):
        noise = coloured(size, rng.uniform(0, 2), decibels(rng.uniform(-100, -70)), rate, rng)
        yield Sound("silence", "noise -100 to -70 dBFS", noise.astype(np.float32))
    for colour, exponent in COLOURS.items():
        for low, high in pairwise(LEVELS):
            rng = np.random.default_rng((options.seed, 1, round(exponent), -low))
            for _ in range(count):
                noise = coloured(size, exponent, decibels(rng.uniform(low, high)), rate, rng)
                yield Sound("noise", f"{colour} {low} to {high} dBFS", noise.astype(np.float32))
    yield from spoken_digits(options.fsdd, options.speakers, 2 * count, rate, np.random.default_rng((options.seed, 2)))
    yield from sentences(2 * count, rate, np.random.default_rng((options.seed, 3)))
    dataset = load_dataset("kitchen20", options.root)
    for clip in unseen_sources(*dataset.select(str(options.fold))):
        kind = f"Kitchen20 fold {options.fold}"
        yield Sound("real", kind, decode.read(clip.path, rate), dataset.labels[clip.label])


def coloured(samples: int, exponent: float, rms: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """(samples,) Gaussian noise above 20 Hz with power proportional to 1 / frequency ** exponent."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    hertz = np.fft.rfftfreq(samples, 1 / rate)
    noise = np.fft.irfft(np.where(hertz >= 20, spectrum / np.maximum(hertz, 20) ** (exponent / 2), 0), samples)
    return noise * rms / np.sqrt((noise**2).mean())


def decibels(value: float) -> float:
    """The amplitude of a level in dB."""
    return float(10 ** (value / 20))


def spoken_digits(
    root: Path, speakers: Sequence[str] | None, count: int, rate: int, rng: np.random.Generator
) -> Iterator[Sound]:
    """Yield clips of one speaker each, taking turns. Raises a ParameterError if a speaker is not in the data set."""
    by_speaker: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in load_dataset("fsdd", root).clips:
        by_speaker[clip.group or "nobody"].append(clip)
    names = sorted(by_speaker)
    if unknown := sorted(set(speakers or ()) - set(names)):
        raise ParameterError("speakers", ", ".join(unknown), f"not in {root}; it has {', '.join(names)}")
    for number in range(count):
        clips = by_speaker[(speakers or names)[number % len(speakers or names)]]
        digits = (decode.read(clips[i].path, rate) for i in rng.permutation(len(clips)))
        yield Sound("speech", "spoken digits", join_with_pauses(digits, rate, rng))


def sentences(
    count: int,
    rate: int,
    rng: np.random.Generator,
    voices: Sequence[str] = VOICES,
    variants: Sequence[str] = VARIANTS,
    texts: Sequence[str] = SENTENCES,
) -> Iterator[Sound]:
    """Yield clips of one voice each, drawn from ``voices`` in ``variants``; only warn if espeak-ng is missing."""
    if not (program := shutil.which("espeak-ng")):
        print("espeak-ng is not installed: its sentences are left out (apt-get install espeak-ng)", file=sys.stderr)
        return
    for _ in range(count):
        voice = f"{rng.choice(voices)}+{rng.choice(variants)}"
        speed, pitch = str(rng.integers(120, 200)), str(rng.integers(20, 80))
        shuffled = (texts[i] for i in rng.permutation(len(texts)))
        spoken = (_speak([program, "-v", voice, "-s", speed, "-p", pitch], text, rate) for text in shuffled)
        yield Sound("speech", "espeak-ng sentences", join_with_pauses(spoken, rate, rng))


def _speak(command: list[str], text: str, rate: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run([*command, "-w", str(path), text], check=True)
        return decode.read(path, rate)


def join_with_pauses(pieces: Iterator[np.ndarray], rate: int, rng: np.random.Generator) -> np.ndarray:
    """One clip, (samples,) float32: pieces of speech with pauses between them, over faint room noise."""
    size = round(SECONDS * rate)
    parts, filled = [], 0
    for piece in pieces:
        parts += [np.zeros(round(rng.uniform(*PAUSES) * rate)), piece]
        filled += len(parts[-1]) + len(parts[-2])
        if filled >= size:
            break
    speech = np.resize(np.concatenate(parts), size).astype(np.float64)
    speech *= decibels(rng.uniform(-40, -15)) / np.sqrt((speech**2).mean() + 1e-20)
    speech += coloured(size, 1.5, decibels(rng.uniform(-75, -60)), rate, rng)
    return np.clip(speech, -1, 1).astype(np.float32)


# For one clip: the labels of its segments at each threshold, and its true label if it has one.
ReportedLabels = tuple[dict[float, set[str]], str | None]


def collect(
    model: Recogniser, clips: Iterator[Sound], settings: dict[float, SegmentationSettings], live: bool
) -> dict[tuple[str, str], list[ReportedLabels]]:
    """What the model reports for the clips, by group and kind."""
    by_kind: defaultdict[tuple[str, str], list[ReportedLabels]] = defaultdict(list)
    for clip in clips:
        if live:
            labels = {OWN: {segment.label for segment in live_segments(model, clip.waveform)}}
        else:
            result = model.predict(clip.waveform)
            labels = {threshold: reported(result, chosen) for threshold, chosen in settings.items()}
        by_kind[clip.group, clip.kind].append((labels, clip.label))
    return dict(by_kind)


def live_segments(model: Recogniser, waveform: np.ndarray, lookahead: float | None = None) -> list[Segment]:
    """The segments of a waveform that arrives bit by bit."""
    stream, size = Stream(model, lookahead=lookahead), round(PUSH_S * model.sample_rate)
    steps = [step for at in range(0, len(waveform), size) for step in stream.push(waveform[at : at + size])]
    return [segment for step in steps + stream.finish() for segment in step.segments]


def reported(result: Recognition, settings: SegmentationSettings) -> set[str]:
    """The labels of the segments that these settings give."""
    times = result.step_seconds, result.window_seconds, result.duration
    segments = find_segments(result.probabilities, *times, result.labels, settings)
    return {segment.label for segment in segments}


def rates(group: str, kind: str, clips: Sequence[ReportedLabels]) -> dict[str, Any]:
    """How many clips have a segment at each threshold, and how many real clips have one with the right label."""
    row: dict[str, Any] = {"group": group, "kind": kind, "clips": len(clips), "any": {}}
    labelled = all(label is not None for _, label in clips)
    for threshold in clips[0][0]:
        row["any"][threshold] = _share(sum(bool(labels[threshold]) for labels, _ in clips), len(clips))
        if labelled:
            right = sum(label in labels[threshold] for labels, label in clips)
            row.setdefault("correct", {})[threshold] = _share(right, len(clips))
    row["labels"] = dict(Counter(label for labels, _ in clips for label in labels[OWN]).most_common())
    return row


def _share(count: int, total: int) -> dict[str, Any]:
    low, high = binomtest(count, total).proportion_ci(method="wilson")
    return {
        "clips": count,
        "percent": round(100 * count / total, 2),
        "interval": [round(100 * low, 2), round(100 * high, 2)],
    }


def as_text(report: dict[str, Any]) -> str:
    thresholds = () if report["live"] else THRESHOLDS
    by_default = "live, by default" if report["live"] else "by default"
    lines = [
        f"{report['model']} (temperature {report['temperature']:g}); clips with at least one segment",
        "",
        f"{'':36}{'':6} {by_default}{'        % of clips at threshold' * bool(thresholds)}",
        f"{'':36} clips  with       %       95 %  " + "".join(f"{one:7g}" for one in thresholds),
    ]
    for row in report["kinds"] + [one for one in report["groups"] if one["group"] != "real"]:
        lines.append(_line(f"{row['group']}: {row['kind']}", row["clips"], row["any"], thresholds))
        if "correct" in row:
            lines.append(_line("      with a segment of its own label", row["clips"], row["correct"], thresholds))
    lines += ["", "labels by default, with the number of clips"]
    for row in report["kinds"]:
        if row["labels"] and row["group"] != "real":
            top = [f"{label} {count}" for label, count in row["labels"].items()]
            lines.append(f"{row['kind']:24} {', '.join(top[:6])}{', …' if len(top) > 6 else ''}")
    return "\n".join(lines)


def _line(name: str, clips: int, shares: dict[float, dict[str, Any]], thresholds: Sequence[float]) -> str:
    one = shares[OWN]
    low, high = one["interval"]
    rest = "".join(f"{shares[threshold]['percent']:7.1f}" for threshold in thresholds)
    return f"{name:36}{clips:6}{one['clips']:6}{one['percent']:8.1f}  {low:4.1f}-{high:5.1f}  {rest}"


if __name__ == "__main__":
    main()

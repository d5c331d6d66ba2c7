"""How often a model reports a segment for sound that is none of its classes, and what a threshold would cost.

    python tools/false_alarms.py --model runs/a.onnx --root Kitchen20 --fold 5 --fsdd fsdd

Silence, noise and speech, clips of 5 s, against real clips of a fold that the model was not trained on (without those
whose recording is also in other folds, which it has heard). Every clip is heard once; each threshold is what
``ainext predict --threshold`` would do with it, and a model's own, by class, what it does without. Intervals are
Wilson's at 95 %. The same call always makes the same clips.

Silence: digital silence, and noise at -100 to -70 dBFS as of an input with nothing attached. Noise: white, pink and
brown at -60 to -10 dBFS (RMS). Speech: digits of the Free Spoken Digit Dataset (real voices, telephone bandwidth),
those of one speaker strung together with pauses, and sentences by espeak-ng where it is installed (full bandwidth,
invented voices); at -40 to -15 dBFS over room noise at -75 to -60 dBFS.
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
from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.evaluate import unseen_sources
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.segmentation import LOWER_TO_UPPER, TimelineSettings, find_segments

SECONDS = 5.0
OWN = 0.0  # stands for the thresholds by class that a model brings, which `ainext predict` takes unless told otherwise
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
COLOURS = {"white": 0.0, "pink": 1.0, "brown": 2.0}  # power falls with frequency to this power
LEVELS = (-60, -50, -40, -30, -20, -10)  # dBFS; a clip's is drawn between two neighbours
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
)  # no words of kitchens; the network hears sound and not meaning, but so nobody need wonder


@dataclass(frozen=True)
class Sound:
    group: str  # silence, noise, speech or real
    kind: str
    waveform: np.ndarray  # (samples,) float32
    label: str | None = None  # of a real clip, its class


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="kitchen20", help="name or ONNX file")
    parser.add_argument("--root", type=Path, required=True, help="folder of Kitchen20")
    parser.add_argument("--fold", type=int, default=5, help="held out from the model's training")
    parser.add_argument("--fsdd", type=Path, required=True, help="folder of the Free Spoken Digit Dataset")
    parser.add_argument("--speakers", nargs="+", metavar="NAME", help="of it; all unless the model has heard some")
    parser.add_argument("--clips", type=int, default=100, help="of each kind; of speech twice as many")
    parser.add_argument("--seed", type=int, default=0)
    defaults = TimelineSettings()
    parser.add_argument("--lower", type=float, default=LOWER_TO_UPPER, help="lower threshold, as a share of the upper")
    for name in ("smoothing", "shortest", "gap"):
        parser.add_argument(f"--{name}", type=float, default=getattr(defaults, name), help="seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    others = {name: getattr(options, name) for name in ("smoothing", "shortest", "gap")}
    settings = {one: TimelineSettings(one, one * options.lower, **others) for one in THRESHOLDS}

    model = load(options.model, threads=1)
    default = OWN if model.thresholds else defaults.upper
    if model.thresholds:
        upper = defaults.upper
        settings[OWN] = TimelineSettings(upper, upper * options.lower, by_class=model.thresholds, **others)
    rows = collect(model, sounds(model.sample_rate, options), settings)
    report = {
        "model": options.model,
        "temperature": float(model.facts.get("temperature", 1)),
        "fold": options.fold,
        "seed": options.seed,
        "default": default,
        "settings": {"lower": options.lower, **others},
        "kinds": [rates(group, kind, found, default) for (group, kind), found in rows.items()],
        "groups": [
            rates(group, "all", [one for (of, _), found in rows.items() if of == group for one in found], default)
            for group in dict.fromkeys(group for group, _ in rows)
        ],
    }
    print(json.dumps(report, indent=2) if options.json else as_text(report))


def sounds(rate: int, options: argparse.Namespace) -> Iterator[Sound]:
    """All clips, each kind from its own random stream."""
    size, count = round(SECONDS * rate), options.clips
    for number in range(count):  # of all lengths, since nothing else differs
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
    """Amplitude of a level in dB."""
    return float(10 ** (value / 20))


def spoken_digits(
    root: Path, wanted: Sequence[str] | None, count: int, rate: int, rng: np.random.Generator
) -> Iterator[Sound]:
    """Clips of one speaker each, the speakers in turn. Raises `AinextError`: a speaker that is not there."""
    speakers: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in load_dataset("fsdd", root).clips:
        speakers[clip.group or "nobody"].append(clip)
    names = sorted(speakers)
    if unknown := set(wanted or ()) - set(names):
        raise AinextError(f"--speakers {', '.join(sorted(unknown))}: not in {root}; it has {', '.join(names)}")
    for number in range(count):
        clips = speakers[(wanted or names)[number % len(wanted or names)]]
        words = (decode.read(clips[i].path, rate) for i in rng.permutation(len(clips)))
        yield Sound("speech", "spoken digits", strung(words, rate, rng))


def sentences(
    count: int,
    rate: int,
    rng: np.random.Generator,
    voices: Sequence[str] = VOICES,
    variants: Sequence[str] = VARIANTS,
    texts: Sequence[str] = SENTENCES,
) -> Iterator[Sound]:
    """Clips of one voice each, drawn from ``voices`` in ``variants``; none, with a warning, without espeak-ng."""
    if not (program := shutil.which("espeak-ng")):
        print("espeak-ng is not installed: its sentences are left out (apt-get install espeak-ng)", file=sys.stderr)
        return
    for _ in range(count):
        voice = f"{rng.choice(voices)}+{rng.choice(variants)}"
        speed, pitch = str(rng.integers(120, 200)), str(rng.integers(20, 80))
        drawn = (texts[i] for i in rng.permutation(len(texts)))
        spoken = (_speak([program, "-v", voice, "-s", speed, "-p", pitch], text, rate) for text in drawn)
        yield Sound("speech", "espeak-ng sentences", strung(spoken, rate, rng))


def _speak(command: list[str], text: str, rate: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run([*command, "-w", str(path), text], check=True)
        return decode.read(path, rate)


def strung(pieces: Iterator[np.ndarray], rate: int, rng: np.random.Generator) -> np.ndarray:
    """(samples,) float32, one clip: pieces of speech with pauses, over faint room noise."""
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


# Of a clip: for each threshold the labels of its segments, and its true label where it has one.
Found = tuple[dict[float, set[str]], str | None]


def collect(
    model: Recogniser, clips: Iterator[Sound], settings: dict[float, TimelineSettings]
) -> dict[tuple[str, str], list[Found]]:
    rows: defaultdict[tuple[str, str], list[Found]] = defaultdict(list)
    for clip in clips:
        answer = model.predict(clip.waveform)
        labels = {threshold: reported(answer, chosen) for threshold, chosen in settings.items()}
        rows[clip.group, clip.kind].append((labels, clip.label))
    return dict(rows)


def reported(answer: Recognition, settings: TimelineSettings) -> set[str]:
    one = answer
    found = find_segments(one.probabilities, one.hop, one.window, one.duration, one.labels, settings)
    return {segment.label for segment in found}


def rates(group: str, kind: str, clips: Sequence[Found], default: float) -> dict[str, Any]:
    """How many clips have a segment at each threshold; of real clips also, how many have one of the right label."""
    row: dict[str, Any] = {"group": group, "kind": kind, "clips": len(clips), "any": {}}
    judged = all(label is not None for _, label in clips)
    for threshold in dict.fromkeys((*THRESHOLDS, default)):
        row["any"][threshold] = _share(sum(bool(found[threshold]) for found, _ in clips), len(clips))
        if judged:
            right = sum(label in found[threshold] for found, label in clips)
            row.setdefault("correct", {})[threshold] = _share(right, len(clips))
    row["labels"] = dict(Counter(label for found, _ in clips for label in found[default]).most_common())
    return row


def _share(count: int, of: int) -> dict[str, Any]:
    low, high = binomtest(count, of).proportion_ci(method="wilson")
    return {
        "clips": count,
        "percent": round(100 * count / of, 2),
        "interval": [round(100 * low, 2), round(100 * high, 2)],
    }


def as_text(report: dict[str, Any]) -> str:
    default = report["default"]
    called = "at its own thresholds" if default == OWN else f" at {default:g}, the default"
    lines = [
        f"{report['model']} (temperature {report['temperature']:g}); clips with at least one segment",
        "",
        f"{'':36}{'':6} {called}        % of clips at threshold",
        f"{'':36} clips  with       %       95 %  " + "".join(f"{one:7g}" for one in THRESHOLDS),
    ]
    for row in report["kinds"] + [one for one in report["groups"] if one["group"] != "real"]:
        lines.append(_line(f"{row['group']}: {row['kind']}", row["clips"], row["any"], default))
        if "correct" in row:
            lines.append(_line("      with a segment of its own label", row["clips"], row["correct"], default))
    lines += ["", f"labels {called.strip()}, with the number of clips"]
    for row in report["kinds"]:
        if row["labels"] and row["group"] != "real":
            top = [f"{label} {count}" for label, count in row["labels"].items()]
            lines.append(f"{row['kind']:24} {', '.join(top[:6])}{', …' if len(top) > 6 else ''}")
    return "\n".join(lines)


def _line(name: str, clips: int, shares: dict[float, dict[str, Any]], default: float) -> str:
    one = shares[default]
    low, high = one["interval"]
    rest = "".join(f"{shares[threshold]['percent']:7.1f}" for threshold in THRESHOLDS)
    return f"{name:36}{clips:6}{one['clips']:6}{one['percent']:8.1f}  {low:4.1f}-{high:5.1f}  {rest}"


if __name__ == "__main__":
    main()

"""How well a model's timeline fits kitchen scenes whose truth is known, and which timeline settings fit best.

    python tools/timeline_scores.py --model runs/a.onnx --root Kitchen20 --fold 5

Scenes of a minute are rendered from clips of the one fold given, which the model must not have been trained on; clips
whose recording is also in other folds are left out, since it has heard those. The recordings are divided in two halves:
scenes of one half choose the settings (the largest mean of segment-based and event-based F1), scenes of the other
report. Each scene is heard once, and all settings are scored on its probabilities. The same call always renders the
same scenes.

What the truth is: an event is an excerpt of a clip, drawn from between the first and the last 20 ms that lie at most
30 dB below its loudest, scaled to a signal-to-noise ratio, and cut again where it begins and ends below the level of
the background. It is placed whole, so that the true onset and end are where sound above the background begins and
ends. Pauses within an event, as between two chops, belong to it.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from false_alarms import coloured, decibels

from audioinceptionnext import media
from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.evaluate import unseen_sources
from audioinceptionnext.evaluation.events import EventScores, score_events
from audioinceptionnext.recogniser import load
from audioinceptionnext.recognition import Recognition, Segment
from audioinceptionnext.timeline import TimelineSettings, find_segments, step_bounds

SECONDS = 60.0  # a scene
EVENT_SECONDS = (1.0, 5.0)
COLOURS = (1.0, 2.0)  # exponents of the background's noise, from pink to brown, as rooms have it
QUIET_DB = 30.0  # below a clip's loudest moment
FRAME_SECONDS = FADE_SECONDS = 0.02
TRIES = 50  # of finding an excerpt that is long enough; twenty times as many of finding a place

UPPER = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LOWER = (0.2, 0.4, 0.6, 0.8, 1.0)  # of upper
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
class Mix:
    """How loud a scene's parts are, drawn between two bounds, and whether two events may sound at a time."""

    background_db: tuple[float, float] = (-60.0, -50.0)  # dBFS, RMS; one a scene
    ratio_db: tuple[float, float] = (15.0, 35.0)  # RMS of an event over that of the background; one an event
    overlap: bool = False


@dataclass(frozen=True)
class Scene:
    waveform: np.ndarray  # (samples,) float32
    events: list[Segment]  # the truth, by start


@dataclass(frozen=True)
class Heard:
    events: list[Segment]  # the truth
    answer: Recognition

    def segments(self, settings: TimelineSettings) -> list[Segment]:
        one = self.answer
        return find_segments(one.probabilities, one.hop, one.window, one.duration, one.labels, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True, help="name or ONNX file; not trained on the fold")
    parser.add_argument("--root", type=Path, required=True, help="folder of Kitchen20")
    parser.add_argument("--fold", type=int, default=5, help="held out from the model's training")
    parser.add_argument("--scenes", type=int, default=20, help="for tuning, and as many for reporting")
    parser.add_argument("--events", type=int, default=10, help="in a scene")
    parser.add_argument("--overlap", action="store_true", help="up to two events at a time")
    parser.add_argument("--background", type=float, nargs=2, default=Mix.background_db, help="dBFS, between")
    parser.add_argument("--ratio", type=float, nargs=2, default=Mix.ratio_db, help="dB of events over it, between")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--upper", type=float, nargs="+", default=UPPER, help="upper thresholds to search among")
    parser.add_argument("--also", action="append", default=[], metavar="upper=0.5,gap=1", help="score these too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    also = {text: _settings(text) for text in options.also}
    mix = Mix(tuple(options.background), tuple(options.ratio), options.overlap)

    model = load(options.model, threads=1)
    dataset = load_dataset("kitchen20", options.root)
    heard = []
    for number, clips in enumerate(halves(dataset, options.fold, options.seed)):
        rng = np.random.default_rng((options.seed, number))
        sounds = [(dataset.labels[clip.label], media.read(clip.path, model.sample_rate)) for clip in clips]
        scenes = render_many(options.scenes, sounds, model.sample_rate, rng, options.events, mix)
        heard.append([Heard(scene.events, model.predict(scene.waveform)) for scene in scenes])
    tuning, reporting = heard
    table = search(tuning, options.upper)
    best = max(table, key=lambda settings: table[settings])
    chosen = {"defaults": TimelineSettings(), "best": best} | also
    report = {
        "model": options.model,
        "temperature": float(model.facts.get("temperature", 1)),
        "fold": options.fold,
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


def halves(dataset: Dataset, fold: int, seed: int) -> tuple[list[Clip], list[Clip]]:
    """The fold's clips in two halves that share no recording, each class divided as evenly as its recordings allow.

    Raises:
        AinextError: no such fold.
    """
    sources: defaultdict[str | None, list[Clip]] = defaultdict(list)
    for clip in unseen_sources(*dataset.select(str(fold))):
        sources[clip.group].append(clip)
    groups = list(sources.values())
    shuffled = [groups[i] for i in np.random.default_rng((seed, 2)).permutation(len(groups))]
    parts: tuple[list[Clip], list[Clip]] = ([], [])
    for group in sorted(shuffled, key=lambda group: (group[0].label, -len(group))):
        # To where the class has fewer clips yet, or, with as many, all classes together.
        of_class = [sum(clip.label == group[0].label for clip in part) for part in parts]
        parts[min((0, 1), key=lambda i: (of_class[i], len(parts[i])))].extend(group)
    return parts


def render_many(
    count: int, sounds: Sequence[tuple[str, np.ndarray]], rate: int, rng: np.random.Generator, events: int, mix: Mix
) -> Iterator[Scene]:
    """Scenes whose events take every sound once before any a second time."""
    deck: list[int] = []
    for _ in range(count):
        while len(deck) < events:
            deck += rng.permutation(len(sounds)).tolist()
        yield render([sounds[deck.pop(0)] for _ in range(events)], rate, rng, mix)


def render(
    sounds: Sequence[tuple[str, np.ndarray]], rate: int, rng: np.random.Generator, mix: Mix, seconds: float = SECONDS
) -> Scene:
    """One scene with an event of each sound over coloured noise.

    Args:
        sounds: (label, (samples,) at ``rate``) of each event.
        mix: with its ``overlap`` at most two events sound at a time, and of different labels; otherwise one.

    Raises:
        AinextError: the events do not fit into the scene, or a sound is silent.
    """
    background = decibels(rng.uniform(*mix.background_db))
    scene = coloured(round(seconds * rate), rng.uniform(*COLOURS), background, rate, rng)
    pieces = [(label, _event(sound, background, mix, rate, rng)) for label, sound in sounds]
    place = _overlapping if mix.overlap else _apart
    events = []
    for (label, piece), start in zip(pieces, place(pieces, len(scene), rng), strict=True):
        scene[start : start + len(piece)] += piece
        events.append(Segment(start / rate, (start + len(piece)) / rate, label, 1.0))
    return Scene(scene.astype(np.float32), sorted(events, key=lambda event: event.start))


def trimmed(sound: np.ndarray, level: float, rate: int) -> np.ndarray:
    """Without what precedes the first and follows the last 20 ms whose RMS reaches ``level``; empty if none does."""
    size = round(FRAME_SECONDS * rate)
    loud = np.flatnonzero(_frames(sound, size) >= level)
    return sound[loud[0] * size : (loud[-1] + 1) * size] if len(loud) else sound[:0]


def _frames(sound: np.ndarray, size: int) -> np.ndarray:
    """RMS of each frame; the last, shorter one is filled with zeros."""
    padded = np.pad(sound.astype(np.float64), (0, -len(sound) % size)).reshape(-1, size)
    return np.sqrt((padded**2).mean(axis=1))


def _event(sound: np.ndarray, background: float, mix: Mix, rate: int, rng: np.random.Generator) -> np.ndarray:
    """An excerpt of 1 to 5 s, shorter only where the clip holds no longer sound, at its level in the scene."""
    loudest = _frames(sound, round(FRAME_SECONDS * rate)).max(initial=0)
    if not loudest > 0:
        raise AinextError("a clip is silent: leave it out of the list")
    whole = trimmed(sound, loudest * decibels(-QUIET_DB), rate)
    level, best = background * decibels(rng.uniform(*mix.ratio_db)), np.zeros(0)
    for _ in range(TRIES):
        size = round(rng.uniform(*EVENT_SECONDS) * rate)
        start = rng.integers(max(1, len(whole) - size + 1))
        piece = whole[start : start + size].astype(np.float64)
        piece *= min(level / np.sqrt((piece**2).mean() + 1e-20), 1 / (np.abs(piece).max() + 1e-10))  # within full scale
        best = max(best, trimmed(piece, background, rate), key=len)
        if len(best) >= EVENT_SECONDS[0] * rate:
            break
    fade = np.sin(np.linspace(0, np.pi / 2, min(round(FADE_SECONDS * rate), len(best) // 2))) ** 2
    best[: len(fade)] *= fade
    best[len(best) - len(fade) :] *= fade[::-1]
    return best


def _apart(pieces: Sequence[tuple[str, np.ndarray]], samples: int, rng: np.random.Generator) -> list[int]:
    """Starts in the order given, the free time dealt out at random before, between and after."""
    lengths = [len(piece) for _, piece in pieces]
    free = samples - sum(lengths)
    if free < 0:
        raise AinextError("the events do not fit into a scene: give fewer --events, or --overlap")
    return [int(pause + sum(lengths[:i])) for i, pause in enumerate(np.sort(rng.integers(0, free + 1, len(lengths))))]


def _overlapping(pieces: Sequence[tuple[str, np.ndarray]], samples: int, rng: np.random.Generator) -> list[int]:
    """Starts anywhere, drawn again while three events would sound at once, or two of one label."""
    starts: list[int] = []
    for number, (label, piece) in enumerate(pieces):
        for _ in range(20 * TRIES):
            start = int(rng.integers(max(1, samples - len(piece) + 1)))
            taken = np.zeros(samples, np.int8)
            for (other, sound), at in zip(pieces[:number], starts, strict=True):
                taken[at : at + len(sound)] += 2 if other == label else 1
            if taken[start : start + len(piece)].max(initial=0) < 2 and start + len(piece) <= samples:
                starts.append(start)
                break
        else:
            raise AinextError("the events do not fit into a scene: give fewer --events")
    return starts


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
        f"{report['model']} (temperature {report['temperature']:g}), fold {report['fold']}, seed {report['seed']}, "
        f"{'overlapping' if report['mix']['overlap'] else 'separate'} events"
    ]
    for part in ("tuning", "reporting"):
        facts = report["events"][part]
        lines.append(
            f"\n{part}: {report['scenes']} scenes, {facts['count']} events of {facts['shortest']:.1f} to "
            f"{facts['longest']:.1f} s, median {facts['median']:.1f}; {facts['named']:.0f} % named given their bounds"
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

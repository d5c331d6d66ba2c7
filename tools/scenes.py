"""Scenes whose truth is known: events from recordings over a background of coloured noise.

An event is an excerpt of a clip, drawn from between the first and the last 20 ms that lie at most 30 dB below its
loudest, scaled to a signal-to-noise ratio, and cut again where it begins and ends below the level of the background. It
is placed whole, so that the true onset and end are where sound above the background begins and ends. Pauses within an
event, as between two chops, belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from false_alarms import coloured, decibels

from audioinceptionnext.errors import AinextError
from audioinceptionnext.results.types import Segment

SECONDS = 60.0  # a scene
EVENT_SECONDS = (1.0, 5.0)
COLOURS = (1.0, 2.0)  # exponents of the background's noise, from pink to brown, as rooms have it
QUIET_DB = 30.0  # below a clip's loudest moment
FRAME_SECONDS = FADE_SECONDS = 0.02
TRIES = 50  # of finding an excerpt that is long enough; twenty times as many of finding a place


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

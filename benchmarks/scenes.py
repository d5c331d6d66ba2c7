"""Renders scenes whose events are known: excerpts of recordings over a background of coloured noise.

An event is a random excerpt of a clip, without the parts at both ends that are more than 30 dB below its loudest 20 ms.
It is scaled to a signal-to-noise ratio, and what lies below the level of the background at its ends is cut off. The
whole excerpt is placed in the scene, so that the true onset and offset are where sound above the background begins and
ends. Pauses within an event, as between two chops, belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from false_alarms import coloured, decibels

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.results.types import Segment

SECONDS = 60.0  # of a scene
EVENT_SECONDS = (1.0, 5.0)
COLOURS = (1.0, 2.0)  # exponents of the background noise, from pink to brown, as in rooms
QUIET_DB = 30.0  # below a clip's loudest moment
FRAME_SECONDS = FADE_SECONDS = 0.02
MAX_TRIES = 50  # to find an excerpt that is long enough; twenty times as many to find a place


@dataclass(frozen=True)
class Mix:
    """The levels of a scene, each drawn between two bounds, and whether two events may overlap."""

    background_db: tuple[float, float] = (-60.0, -50.0)  # dBFS, RMS; one per scene
    ratio_db: tuple[float, float] = (15.0, 35.0)  # RMS of an event relative to the background; one per event
    overlap: bool = False


@dataclass(frozen=True)
class Scene:
    waveform: np.ndarray  # (samples,) float32
    events: list[Segment]  # the true ones, by start


def render_many(
    count: int, sounds: Sequence[tuple[str, np.ndarray]], rate: int, rng: np.random.Generator, events: int, mix: Mix
) -> Iterator[Scene]:
    """Render scenes that use every sound once before any is used a second time."""
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
        mix: its ``overlap`` allows up to two events at a time, of different labels; otherwise there is one at most.

    Raises:
        ParameterError: the events do not fit into the scene, or a sound is silent.
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
    """Cut off what is before the first and after the last 20 ms whose RMS reaches ``level``; empty if none does."""
    size = round(FRAME_SECONDS * rate)
    loud = np.flatnonzero(_frames(sound, size) >= level)
    return sound[loud[0] * size : (loud[-1] + 1) * size] if len(loud) else sound[:0]


def _frames(sound: np.ndarray, size: int) -> np.ndarray:
    """The RMS of each frame. The last one is filled up with zeros."""
    padded = np.pad(sound.astype(np.float64), (0, -len(sound) % size)).reshape(-1, size)
    return np.sqrt((padded**2).mean(axis=1))


def _event(sound: np.ndarray, background: float, mix: Mix, rate: int, rng: np.random.Generator) -> np.ndarray:
    """An excerpt of 1 to 5 s at its level in the scene; shorter only if the clip has no longer sound."""
    loudest = _frames(sound, round(FRAME_SECONDS * rate)).max(initial=0)
    if not loudest > 0:
        raise ParameterError("sounds", None, "a clip is silent; leave it out of the list")
    whole = trimmed(sound, loudest * decibels(-QUIET_DB), rate)
    level, best = background * decibels(rng.uniform(*mix.ratio_db)), np.zeros(0)
    for _ in range(MAX_TRIES):
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
    """Starts in the given order, with random pauses before, between and after the events."""
    lengths = [len(piece) for _, piece in pieces]
    free = samples - sum(lengths)
    if free < 0:
        raise ParameterError("events", len(pieces), "they do not fit into a scene; use fewer, or let them overlap")
    return [int(pause + sum(lengths[:i])) for i, pause in enumerate(np.sort(rng.integers(0, free + 1, len(lengths))))]


def _overlapping(pieces: Sequence[tuple[str, np.ndarray]], samples: int, rng: np.random.Generator) -> list[int]:
    """Random starts, drawn again if three events, or two of one label, would overlap."""
    starts: list[int] = []
    for number, (label, piece) in enumerate(pieces):
        for _ in range(20 * MAX_TRIES):
            start = int(rng.integers(max(1, samples - len(piece) + 1)))
            taken = np.zeros(samples, np.int8)
            for (other, sound), at in zip(pieces[:number], starts, strict=True):
                taken[at : at + len(sound)] += 2 if other == label else 1
            if taken[start : start + len(piece)].max(initial=0) < 2 and start + len(piece) <= samples:
                starts.append(start)
                break
        else:
            raise ParameterError("events", len(pieces), "they do not fit into a scene; use fewer")
    return starts

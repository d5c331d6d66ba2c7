"""Families of sounds and how each is synthesised. A label names a family and its choices (pitch, pace, …); everything
else about a sound is random.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from scipy.signal import lfilter

from audioinceptionnext.rendering import signals as s
from audioinceptionnext.rendering.signals import Rng, in_octaves, unit


@dataclass(frozen=True)
class Family:
    """A family of sounds.

    Attributes:
        name: first word of its labels.
        make: renders a sound. Takes a random generator, the number of samples, the sample rate in Hz, and one index per
            choice; returns (samples,) float64 of any loudness.
        choices: the names of the values of each choice.
    """

    name: str
    make: Callable[..., np.ndarray]
    choices: tuple[tuple[str, ...], ...]

    def labels(self) -> list[str]:
        """The labels of all combinations of choices."""
        return [" ".join((self.name, *values)) for values in product(*self.choices)]


FAMILIES: list[Family] = []


def family(*choices: str) -> Callable[[Callable[..., np.ndarray]], Callable[..., np.ndarray]]:
    """Register a function as `Family.make`. Each choice is given as the names of its values, separated by spaces."""

    def register(make: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        FAMILIES.append(Family(make.__name__, make, tuple(tuple(values.split()) for values in choices)))
        return make

    return register


@family("dull short ringing", "low middle high", "once regular clatter")
def impact(rng: Rng, n: int, rate: int, decay: int, pitch: int, pattern: int) -> np.ndarray:
    """Struck bodies with a click at each stroke: a knock, a dropped spoon, a clock."""
    decay_seconds = in_octaves(rng, *[(0.008, 0.03), (0.03, 0.12), (0.12, 0.6)][decay])
    lowest = in_octaves(rng, *[(80, 350), (350, 1400), (1400, 4500)][pitch])
    clatter = pattern == 2
    length = min(n, int(decay_seconds * 6 * rate) + 400)
    bodies = []
    for _ in range(4 if clatter else 1):
        mode = lowest * (rng.uniform(0.7, 1.4) if clatter else 1)
        bodies.append(s.struck(rng, length, rate, mode, decay_seconds, int(rng.integers(3, 10))))
    click = s.white(rng, int(rng.integers(20, 200)))
    click *= rng.uniform(0, 1.5) * np.exp(-4 * np.arange(len(click)) / len(click))
    if pattern == 0:
        times = [int(rng.uniform(0, 0.6) * n)]
    else:
        times = s.onsets(rng, n, rate, rng.uniform(1.5, 7) if pattern == 1 else rng.uniform(5, 20), pattern == 1)
    out = np.zeros(n)
    for at in times:
        loud = np.exp(rng.normal(0, 0.5))
        s.place(out, loud * bodies[rng.integers(len(bodies))], at)
        s.place(out, loud * click, at)
    return out


@family("soft crisp", "slow fast")
def chop(rng: Rng, n: int, rate: int, hardness: int, pace: int) -> np.ndarray:
    """A knife that chops: each time a burst of noise as it cuts through, and a thud as it lands."""
    centre = in_octaves(rng, *[(400, 1800), (1800, 7000)][hardness])
    cut = int(rate * rng.uniform(0.015, 0.12))
    thud = s.struck(rng, int(0.2 * rate), rate, in_octaves(rng, 90, 500), in_octaves(rng, 0.008, 0.04), 5)
    out = np.zeros(n)
    for at in s.onsets(rng, n, rate, [rng.uniform(0.7, 2), rng.uniform(2.5, 7)][pace], True):
        burst = s.band(s.white(rng, cut), 0.5 * centre, 2 * centre, rate) * np.hanning(cut) ** 0.7
        loud = np.exp(rng.normal(0, 0.3))
        s.place(out, loud * unit(burst), at)
        s.place(out, loud * rng.uniform(0.5, 2) * thud / (np.abs(thud).max() + 1e-9), at + int(0.8 * cut))
    return out


@family("low middle high", "slow middle fast")
def scrape(rng: Rng, n: int, rate: int, pitch: int, pace: int) -> np.ndarray:
    """Friction back and forth: brushing, sawing, wiping, peeling."""
    centre = in_octaves(rng, *[(200, 900), (900, 3000), (3000, 8000)][pitch])
    noise = s.band(s.white(rng, n), 0.6 * centre, rng.uniform(1.5, 2.5) * centre, rate)
    hand = s.strokes(rng, n, rate, [rng.uniform(0.4, 1), rng.uniform(1, 2.5), rng.uniform(2.5, 6)][pace])
    return noise * hand * np.abs(1 + rng.uniform(0, 0.9) * s.drift(rng, n, 80, rate))


@family("low high", "held strokes")
def squeal(rng: Rng, n: int, rate: int, pitch: int, course: int) -> np.ndarray:
    """Sticking and slipping: a hinge, a wet glass, brakes."""
    lowest = in_octaves(rng, *[(250, 900), (900, 3500)][pitch])
    moving = lowest * np.exp(0.08 * s.drift(rng, n, rng.uniform(1, 8), rate))
    sound = s.harmonics(rng, moving, rate, rng.uniform(0.3, 1.3)) * np.abs(1 + 0.6 * s.drift(rng, n, 30, rate))
    if course == 1:
        sound *= s.strokes(rng, n, rate, rng.uniform(0.5, 4))
    return sound + rng.uniform(0.02, 0.4) * np.std(sound) * s.band(s.white(rng, n), lowest, 6 * lowest, rate)


@family("bright even dark", "plain resonant")
def hiss(rng: Rng, n: int, rate: int, colour: int, body: int) -> np.ndarray:
    """Steady noise: a fan, rain, a distant tap."""
    sound = s.coloured(rng, n, [rng.uniform(-0.3, 0.5), rng.uniform(0.5, 1.5), rng.uniform(1.5, 2.6)][colour])
    if body == 1:
        centre = in_octaves(rng, 150, 5000)
        sound = unit(sound) + rng.uniform(0.7, 2) * unit(s.band(s.white(rng, n), 0.85 * centre, 1.15 * centre, rate))
    return sound


@family("few some many", "large small")
def bubbles(rng: Rng, n: int, rate: int, density: int, size: int) -> np.ndarray:
    """Drops and boiling: sines that rise a little in pitch as they die away (Minnaert's bubbles)."""
    low, high = [(250, 900), (900, 3500)][size]
    bank = []
    for _ in range(24):
        pitch = in_octaves(rng, low, high)
        t = s.seconds(int(rate * rng.uniform(15, 40) / pitch) + 200, rate)
        rising = pitch * t * (1 + rng.uniform(0, 4) * t)
        bank.append(np.sin(2 * np.pi * rising) * np.exp(-t * pitch / rng.uniform(4, 12)) * (1 - np.exp(-t * pitch)))
    out = np.zeros(n)
    for at in s.onsets(rng, n, rate, in_octaves(rng, *[(4, 15), (15, 60), (60, 250)][density]), False):
        s.place(out, np.exp(rng.normal(0, 0.7)) * bank[rng.integers(24)], at)
    return out + rng.uniform(0, 0.2) * np.std(out) * unit(s.coloured(rng, n, 1))


@family("dark bright", "even surging filling")
def flow(rng: Rng, n: int, rate: int, colour: int, course: int) -> np.ndarray:
    """Running water: noise with bubbles in it. A vessel that is being filled resonates at a rising pitch."""
    centre = in_octaves(rng, *[(400, 1500), (1500, 5000)][colour])
    drops = bubbles(rng, n, rate, int(rng.integers(3)), int(rng.integers(2)))
    noise = s.band(s.coloured(rng, n, rng.uniform(0, 0.8)), 0.4 * centre, 2.2 * centre, rate, 1)
    if course == 1:
        noise *= 1 + 0.8 * s.tone(rng.uniform(0.3, 3), n, rate, rng.uniform(0, 6))
    if course == 2:
        first = in_octaves(rng, 200, 900)
        noise = unit(noise) + rng.uniform(0.5, 2) * _swept(rng, n, rate, first, first * rng.uniform(2, 5), 0.3)
    return unit(noise) + rng.uniform(0.2, 1) * unit(drops)


def _swept(rng: Rng, n: int, rate: int, first: float, last: float, width: float) -> np.ndarray:
    """A band of noise that moves from ``first`` to ``last`` Hz; its width is ``width`` times the lower of the two."""
    moving = first * (last / first) ** np.linspace(0, 1, n)
    low = s.smooth(s.white(rng, n), width * min(first, last), rate)
    return unit(low * s.tone(moving, n, rate))


@family("few some many", "middle high")
def crackle(rng: Rng, n: int, rate: int, density: int, pitch: int) -> np.ndarray:
    """Clicks of all strengths: frying, fire, crumpled foil."""
    clicks = rng.poisson(in_octaves(rng, *[(5, 30), (30, 150), (150, 900)][density]) * n / rate)
    train = np.zeros(n)
    train[rng.integers(0, n, clicks)] = np.exp(rng.normal(0, 1, clicks)) * rng.choice([-1, 1], clicks)
    low = [rng.uniform(500, 2000), rng.uniform(2000, 5000)][pitch]
    noise = unit(s.band(s.white(rng, n), low, 11_000, rate, 1))
    return unit(s.band(train, low, rng.uniform(2, 4) * low, rate, 1)) + rng.uniform(0, 0.6) * noise


@family("low middle high", "steady wavering starting", "clean noisy")
def motor(rng: Rng, n: int, rate: int, pitch: int, course: int, noise: int) -> np.ndarray:
    """Engines, mixers, drills: harmonics of their speed, and the noise of the air that they move."""
    speed = np.full(n, in_octaves(rng, *[(40, 110), (110, 300), (300, 900)][pitch]))
    t = s.seconds(n, rate)
    if course == 1:
        speed *= 1 + rng.uniform(0.02, 0.1) * s.tone(rng.uniform(0.3, 6), n, rate)
    elif course == 2 and rng.random() < 0.5:
        speed *= 0.3 + 0.7 * (1 - np.exp(-t / rng.uniform(0.2, 1.2)))
    elif course == 2:
        speed *= 0.25 + 0.75 * np.exp(-np.maximum(0, t - rng.uniform(0.3, 2)) / rng.uniform(0.3, 1.5))
    speed *= 1 + 0.005 * s.drift(rng, n, 4, rate)
    sound = unit(s.harmonics(rng, speed, rate, rng.uniform(0.2, 1.6), in_octaves(rng, 300, 5000)))
    throb = 1 + 0.5 * np.sin(2 * np.pi * np.cumsum(speed) / rate)
    level = [rng.uniform(0.02, 0.3), rng.uniform(0.5, 2)][noise]
    return sound + level * throb * unit(s.coloured(rng, n, rng.uniform(0, 1.5)))


@family("slow fast", "dark bright")
def rotor(rng: Rng, n: int, rate: int, pace: int, colour: int) -> np.ndarray:
    """Puffs of noise at a regular pace: blades, a printer, an old engine."""
    turns = [rng.uniform(3, 9), rng.uniform(9, 30)][pace] * s.seconds(n, rate) * (1 + rng.uniform(-0.03, 0.03))
    puff = np.exp(-rng.uniform(2, 10) * ((turns + rng.uniform()) % 1))
    centre = in_octaves(rng, *[(80, 700), (700, 5000)][colour])
    return puff * s.band(s.white(rng, n), 0.5 * centre, rng.uniform(1.5, 4) * centre, rate, 1)


@family("clean noisy", "pure rich")
def hum(rng: Rng, n: int, rate: int, noise: int, partials: int) -> np.ndarray:
    """Mains hum: a refrigerator, a transformer, a microwave oven."""
    mains = float(rng.choice([50, 60]) * rng.choice([1, 2]))
    fall = rng.uniform(0.5, 1.5)
    sound = sum(
        h**-fall * rng.uniform(0.2, 1) * s.tone(mains * h, n, rate, rng.uniform(0, 2 * np.pi))
        for h in range(1, [5, 25][partials])
    )
    sound = unit(np.asarray(sound)) * (1 + 0.2 * s.tone(rng.uniform(0.2, 8), n, rate))
    level = [rng.uniform(0.02, 0.2), rng.uniform(0.5, 2)][noise]
    return sound + level * unit(s.coloured(rng, n, rng.uniform(0.8, 2.2)))


@family("low high", "held repeated")
def beep(rng: Rng, n: int, rate: int, pitch: int, course: int) -> np.ndarray:
    """Timers and alarms."""
    tone = in_octaves(rng, *[(300, 1200), (1200, 3800)][pitch])
    sound = sum(level * s.tone(tone * (h + 1), n, rate) for h, level in enumerate((1, rng.uniform(0, 0.5), 0.2)))
    if course == 1:
        on = (s.seconds(n, rate) * rng.uniform(0.8, 6) + rng.uniform()) % 1 < rng.uniform(0.2, 0.7)
        sound = sound * s.smooth(on.astype(float), 100, rate)
    return np.asarray(sound) + 1e-3 * s.white(rng, n)


@family("rising falling", "short long")
def chirp(rng: Rng, n: int, rate: int, course: int, length: int) -> np.ndarray:
    """Tones that slide: birds, crickets, sirens."""
    out = np.zeros(n)
    for at in s.onsets(rng, n, rate, rng.uniform(1, 6), True):
        size = int(rate * [rng.uniform(0.03, 0.12), rng.uniform(0.12, 0.5)][length])
        low = in_octaves(rng, 300, 3000)
        ends = (low, low * rng.uniform(1.4, 3))
        first, last = ends if course == 0 else ends[::-1]
        s.place(out, s.tone(first * (last / first) ** np.linspace(0, 1, size), size, rate) * np.hanning(size), at)
    return out + 1e-3 * s.white(rng, n)


@family("low high", "voiced mixed")
def voice(rng: Rng, n: int, rate: int, pitch: int, voicing: int) -> np.ndarray:
    """Speech without words: syllables of a buzz, or of breath, filtered by three formants."""
    course = [rng.uniform(80, 150), rng.uniform(160, 320)][pitch] * np.exp(0.12 * s.drift(rng, n, 2, rate))
    turns = (np.cumsum(course) / rate) % 1
    buzz = lfilter([1], [1, -0.9], (np.diff(turns, prepend=0) < -0.5).astype(float)) + 0.02 * s.white(rng, n)
    out, size = np.zeros(n), int(rate / rng.uniform(2.5, 6))
    for at in range(0, n - 1, size):
        part = buzz[at : at + size]
        if voicing == 1 and rng.random() < 0.25:
            part = 0.1 * s.white(rng, len(part))
        for formant, width in (
            (rng.uniform(250, 900), 80),
            (rng.uniform(800, 2500), 120),
            (rng.uniform(2200, 3500), 200),
        ):
            r = np.exp(-np.pi * width / rate)
            part = lfilter([1 - r], [1, -2 * r * np.cos(2 * np.pi * formant / rate), r * r], part)
        out[at : at + size] = unit(part) * np.hanning(len(part) + 2)[1:-1] * (rng.random() > 0.15)
    return out


@family("low high", "short long", "rising falling")
def call(rng: Rng, n: int, rate: int, pitch: int, length: int, course: int) -> np.ndarray:
    """Similar voiced bursts, rough and sliding: an animal, a baby, a horn."""
    lowest = in_octaves(rng, *[(120, 400), (400, 1400)][pitch])
    size = int(rate * [rng.uniform(0.08, 0.3), rng.uniform(0.4, 1.4)][length])
    slide = rng.uniform(1.15, 2) ** (1 if course == 0 else -1)
    tilt, resonance = rng.uniform(0.2, 1.2), in_octaves(rng, 500, 4000)
    out = np.zeros(n)
    for at in s.onsets(rng, n, rate, min(rng.uniform(0.5, 3), 0.8 * rate / size), True):
        moving = lowest * slide ** np.linspace(0, 1, size) * (1 + 0.03 * s.drift(rng, size, 20, rate))
        burst = unit(s.harmonics(rng, moving, rate, tilt, resonance))
        burst += rng.uniform(0.05, 0.6) * unit(s.band(s.white(rng, size), lowest, 8 * lowest, rate, 1))
        s.place(out, burst * np.hanning(size) ** rng.uniform(0.3, 1), at)
    return out + 1e-3 * s.white(rng, n)


@family("rising falling swelling", "slow fast")
def whoosh(rng: Rng, n: int, rate: int, course: int, pace: int) -> np.ndarray:
    """Noise whose colour or strength changes: breath, waves, a sneeze, something swung."""
    size = int(rate * [rng.uniform(0.8, 2.5), rng.uniform(0.15, 0.6)][pace])
    low, high = in_octaves(rng, 200, 1500), in_octaves(rng, 1500, 6000)
    out = np.zeros(n)
    for at in s.onsets(rng, n, rate, rng.uniform(0.7, 1.2) * rate / size, True):
        first, last = [(low, high), (high, low), (low, low)][course]
        noise = _swept(rng, size, rate, first, last, rng.uniform(0.3, 0.9))
        s.place(out, np.exp(rng.normal(0, 0.3)) * noise * np.hanning(size) ** rng.uniform(0.6, 2), at)
    return out + 1e-3 * s.white(rng, n)


@family("few many", "dark bright")
def rustle(rng: Rng, n: int, rate: int, density: int, colour: int) -> np.ndarray:
    """Bursts of grainy noise: bags, leaves, clothes."""
    envelope = np.zeros(n)
    for at in s.onsets(rng, n, rate, [rng.uniform(0.6, 2), rng.uniform(3, 12)][density], False):
        size = int(rate * rng.uniform(0.05, [0.7, 0.2][density]))
        s.place(envelope, rng.uniform(0.3, 1) * np.hanning(size) ** rng.uniform(0.5, 3), at)
    grain = s.smooth(np.abs(s.white(rng, n)) ** 3, 40, rate)
    return envelope * grain * s.band(s.white(rng, n), *[(600, 4000), (2500, 11_000)][colour], rate, 1)


def draw(rng: Rng) -> tuple[Family, tuple[int, ...], str]:
    """Draw a family, its choices and their label. The weight of a family is the square root of its number of labels."""
    weights = np.sqrt([prod(map(len, f.choices)) for f in FAMILIES])
    one = FAMILIES[rng.choice(len(FAMILIES), p=weights / weights.sum())]
    chosen: tuple[Any, ...] = tuple(int(rng.integers(len(values))) for values in one.choices)
    label = " ".join((one.name, *(values[i] for values, i in zip(one.choices, chosen, strict=True))))
    return one, chosen, label

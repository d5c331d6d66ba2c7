"""Render sounds that a teacher takes for what a corpus of recordings lacks: more to distil from, without a download.

    python tools/render_missing_sounds.py --teachers FOLDER --coverage coverage.csv --out rendered.npz --seconds 1800
    python tools/render_missing_sounds.py ... --labels "Vacuum cleaner;Blender"   # these alone

``coverage.csv`` has the columns ``label`` and ``at_least_0.2``: the number of recordings for which the teacher gives
the label a probability of at least 0.2. Labels with fewer than ``--goal`` recordings are wanted. Each clip of 4 seconds
comes from a physical model of one of a dozen families, whose parameters lie in a list of numbers from 0 to 1. Lists are
drawn at random, and those which came closest to a wanted label are altered a little and tried again. The teacher alone
is the judge: a clip is kept where it gives a wanted label at least 0.2, for its answer is all that a student learns.

The file has the format of `distil_on_gpu.py --corpus`; the folder in the name of a clip is the label it was kept for.
Beside it, a .json file remembers the best lists, from which a later run with the same ``--out`` begins. Such a run
writes new clips alone, so rename the file of the earlier one first.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import fftconvolve, lfilter

from audioinceptionnext.rendering import signals as s

RATE = 32_000  # Hz, of the teacher and of the corpus
LENGTH = 4 * RATE
ACCEPTED = 0.2  # a probability
BATCH = 8
MOST_OF_A_LINE = 12  # clips of a label that descend from the same random list
Rng = np.random.Generator


class Genes:
    """Numbers from 0 to 1 that decide about a sound; as many as it asks for."""

    def __init__(self, rng: Rng, values: list[float] | None = None) -> None:
        self.rng, self.values, self.at = rng, values or [], 0

    def __call__(self, low: float, high: float) -> float:
        if self.at == len(self.values):
            self.values.append(float(self.rng.random()))
        self.at += 1
        return low + (high - low) * self.values[self.at - 1]

    def octaves(self, low: float, high: float) -> float:
        return float(low * (high / low) ** self(0, 1))

    def chance(self, probability: float) -> bool:
        return self(0, 1) < probability

    def pick(self, *options: float) -> float:
        return options[min(int(self(0, len(options))), len(options) - 1)]

    def altered(self, rng: Rng) -> list[float]:
        """A copy in which a third of the numbers moved by about a tenth."""
        values = np.array(self.values)
        moved = values + rng.normal(0, 0.12, len(values)) * (rng.random(len(values)) < 0.35)
        return [float(v) for v in np.where((moved >= 0) & (moved < 1), moved, values)]


# Parts of sounds ----------------------------------------------------------------------------------------------------


def course(g: Genes, rng: Rng) -> np.ndarray:
    """A slow curve of about -1 to 1: steady, drifting, up and down, rising or falling."""
    t = np.linspace(0, 1, LENGTH)
    kind, pace = int(g(0, 6)), g.octaves(0.15, 4)
    if kind <= 1:
        return np.zeros(LENGTH)
    if kind == 2:
        return 0.7 * s.drift(rng, LENGTH, pace, RATE)
    if kind == 3:
        return 2 * np.abs(np.sin(np.pi * pace * 5 * t / 2 + g(0, 3))) ** g(0.5, 3) - 1
    return np.tanh(4 * (t - g(0.1, 0.9))) * (1 if kind == 4 else -1)


def pulses(pitch: np.ndarray, sharp: float) -> np.ndarray:
    """Decaying pulses, ``pitch`` of them per second, from 0 to 1."""
    return np.exp(-sharp * ((np.cumsum(pitch) / RATE) % 1))


def resonant(g: Genes, x: np.ndarray, number: int, low: float = 80, high: float = 9000) -> np.ndarray:
    """``x`` with a number of resonances."""
    out = g(0, 1) * s.unit(x)
    for _ in range(number):
        centre, width = g.octaves(low, high), g.octaves(1.05, 1.8)
        out = out + g(0, 2) * s.unit(s.band(x, centre / width, centre * width, RATE, 1))
    return out


def times(g: Genes, rng: Rng, slowest: float, fastest: float) -> list[int]:
    """First samples of events, regular or not, perhaps in groups with pauses."""
    pace = g.octaves(slowest, fastest)
    starts = s.onsets(rng, LENGTH, RATE, pace, g.chance(0.6))
    size, pause = int(g(1, 7)), g.octaves(0.2, 2)
    if g.chance(0.4):
        starts = [int(at + (i // size) * pause * RATE) for i, at in enumerate(starts)]
    return [at for at in starts if at < LENGTH]


def narrow(g: Genes, rng: Rng, centre: np.ndarray) -> np.ndarray:
    """Noise in a narrow band around a moving centre, as wind in a gap."""
    width = g.octaves(5, 400)
    real, imaginary = s.drift(rng, LENGTH, width, RATE), s.drift(rng, LENGTH, width, RATE)
    phase = 2 * np.pi * np.cumsum(centre) / RATE
    return real * np.cos(phase) + imaginary * np.sin(phase)


# Families -----------------------------------------------------------------------------------------------------------


def engine(g: Genes, rng: Rng) -> np.ndarray:
    """Combustion: pulses with load changes through resonances, perhaps passing by."""
    pitch = g.octaves(12, 450) * 2 ** (g(0, 1.2) * course(g, rng))
    pitch = pitch * (1 + g(0, 0.08) * s.drift(rng, LENGTH, 20, RATE))
    passing = np.ones(LENGTH)
    if g.chance(0.3):
        place = g.octaves(0.5, 8) * (s.seconds(LENGTH, RATE) - g(1, 4))
        passing, pitch = 1 / (1 + place**2), pitch * (1 - g(0, 0.12) * place / np.sqrt(1 + place**2))
    beat = pulses(pitch, g.octaves(0.5, 30))
    turns = np.cumsum(pitch) / RATE
    beat = beat * (1 + g(0, 1) * np.cos(2 * np.pi * turns / g.pick(1, 2, 3, 4, 6)))
    share = g(0, 1)
    noise = s.coloured(rng, LENGTH, g(0, 2)) * (1 - share + share * beat)
    sound = g(0, 1) * s.unit(beat - beat.mean()) + g(0, 1) * s.unit(noise)
    return resonant(g, sound, 3) * passing


def texture(g: Genes, rng: Rng) -> np.ndarray:
    """Noise in two bands that swell on their own: surf, wind, rain, steam, static."""
    edge = g.octaves(200, 4000)
    out = np.zeros(LENGTH)
    for low, high in ((30, edge), (edge, 15_000)):
        part = s.band(s.coloured(rng, LENGTH, g(-0.5, 2)), low, high, RATE, 1)
        swell = np.exp(g(0, 1.2) * s.drift(rng, LENGTH, g.octaves(0.05, 2), RATE))
        swell = swell * np.exp(g(0, 0.8) * s.drift(rng, LENGTH, g.octaves(2, 60), RATE))
        out += g(0, 1) * s.unit(part) * swell * np.exp(g(0, 1.5) * course(g, rng))
    if g.chance(0.4):
        out += g(0, 2) * narrow(g, rng, g.octaves(80, 3000) * np.exp(g(0, 0.6) * s.drift(rng, LENGTH, 0.6, RATE)))
    return out


def grains(g: Genes, rng: Rng) -> np.ndarray:
    """Many short events: drops, crackling, clapping, keys, typing, shards, boiling."""
    pace, kind = g.octaves(0.5, 3000), int(g(0, 3))
    low, spread, decay = g.octaves(80, 8000), g.octaves(1.05, 8), g.octaves(0.001, 0.4)
    loud, size = g(0, 1.2), int(RATE * min(1.0, 6 * decay + 0.01))
    number = max(1, rng.poisson(pace * LENGTH / RATE))
    at, strength = rng.integers(0, LENGTH, number), np.exp(loud * rng.normal(size=number))
    if g.chance(0.3):  # in clusters
        keep = np.exp(2 * s.drift(rng, LENGTH, g.octaves(0.3, 6), RATE))[at]
        strength = strength * keep
    out, t = np.zeros(LENGTH), s.seconds(size, RATE)
    for prototype in range(6):
        pitch = min(low * spread ** rng.uniform(), 15_000)
        if kind == 0:
            grain = s.struck(rng, size, RATE, pitch, decay, int(1 + 5 * rng.random()))
        elif kind == 1:
            grain = s.band(s.white(rng, size), pitch, pitch * 2.5, RATE, 1) * np.exp(-t / decay)
        else:
            grain = np.sin(2 * np.pi * pitch * t * (1 + g(-0.5, 1) * t / (6 * decay))) * np.exp(-t / decay)
        track = np.zeros(LENGTH)
        mine = np.arange(number) % 6 == prototype
        np.add.at(track, at[mine], strength[mine])
        out += fftconvolve(track, grain)[:LENGTH]
    return s.unit(out) + g.octaves(0.001, 0.7) * s.unit(s.coloured(rng, LENGTH, g(0, 2)))


def tones(g: Genes, rng: Rng) -> np.ndarray:
    """Electric sounds in patterns: alarms, sirens, ringing, dialling, reversing, buzzers."""
    pitch, sweep, depth = g.octaves(60, 6000), g.octaves(0.08, 20), g(0, 1.3) * g.pick(0, 1)
    phase = (sweep * s.seconds(LENGTH, RATE) + g(0, 1)) % 1
    shape = [np.sin(2 * np.pi * phase), 2 * phase - 1, 1 - 2 * phase, np.sign(phase - 0.5)][int(g(0, 4))]
    moving = pitch * 2 ** (depth * s.smooth(shape, 200, RATE))
    on, number, pause = g.octaves(0.03, 1.5), int(g(1, 7)), g.octaves(0.1, 3)
    period = on * g(1.05, 3)
    t = (s.seconds(LENGTH, RATE) + g(0, 2)) % (number * period + pause)
    gate = (t % period < on) & (t < number * period) if g.chance(0.7) else np.ones(LENGTH, bool)
    second = g.pick(0, 0, 1) * g(1.1, 2.2)
    if g.chance(0.15):  # a new pair of tones each time, as on a telephone's keys
        key = np.cumsum(np.diff(gate.astype(int), prepend=0) > 0) % 16
        moving = np.array([697.0, 770, 852, 941])[rng.integers(0, 4, 16)][key]
        second = np.array([1209.0, 1336, 1477])[rng.integers(0, 3, 16)][key] / moving
    out = s.harmonics(rng, moving, RATE, g(0.3, 4), None if g.chance(0.5) else g.octaves(800, 5000))
    if np.any(second):
        out = out + g(0.2, 1) * np.sin(2 * np.pi * np.cumsum(moving * second) / RATE)
    if g.chance(0.3):  # the clapper of a bell, or the burble of a telephone
        out = out * (1 + np.sin(2 * np.pi * g.octaves(8, 120) * s.seconds(LENGTH, RATE)))
    return out * s.smooth(gate.astype(float), g.octaves(5, 300), RATE)


MODES = (
    (0.5, 1, 1.2, 1.5, 2, 2.67, 3, 4.2),  # a church bell
    (1, 2.76, 5.4, 8.93),  # a bar
    (1, 2.32, 4.25, 6.63, 9.4),  # a glass
    (1, 1.59, 2.14, 2.3, 2.65, 2.92),  # a drum
    (1, 2, 3, 4, 5, 6, 7, 8),  # a string
)


def bells(g: Genes, rng: Rng) -> np.ndarray:
    """Struck bodies in patterns: bells, chimes, doorbells, clocks, glasses, pots, knocks."""
    ratios = MODES[int(g(0, len(MODES)))]
    pitch, decay, steep, noise = g.octaves(60, 5000), g.octaves(0.01, 4), g(0.2, 2), g(0, 1) * g.pick(0, 1)
    notes = [1.0, g(0.6, 0.95), g(0.5, 2), g(0.5, 2)][: int(g(1, 5))]
    random, levels = g.chance(0.4), g(0, 2)
    size = int(RATE * min(4, 5 * decay + 0.05))
    t, out = s.seconds(size, RATE), np.zeros(LENGTH)
    weights = [g(0.1, 1) for _ in ratios]
    for i, at in enumerate(times(g, rng, 0.2, 14)[:80]):
        base = pitch * notes[int(rng.integers(len(notes))) if random else i % len(notes)]
        hit = noise * s.band(s.white(rng, size), base, 6 * base, RATE, 1) * np.exp(-t / (0.005 + decay / 30))
        for ratio, weight in zip(ratios, weights, strict=True):
            if base * ratio < 15_000:
                hit = hit + weight * np.sin(2 * np.pi * base * ratio * t) * np.exp(-t / decay * ratio**steep)
        s.place(out, hit * np.exp(levels * rng.normal() * 0.4), at)
    return out + 1e-3 * s.white(rng, LENGTH)


def voice(g: Genes, rng: Rng) -> np.ndarray:
    """Throats: singing, shouting, crying, laughing, animals, crowds."""
    out = np.zeros(LENGTH)
    number = int(g.octaves(1, 9))
    base, tract, glide = g.octaves(60, 1000), g.octaves(0.7, 2.2), g(0, 0.8)
    vibrato, depth, rough = g(3, 9), g(0, 0.06), g(0, 1) * g.pick(0, 1)
    pace, duty, breath, sharp = g.octaves(0.3, 9), g(0.3, 1), g(0, 1.5) * g.pick(0, 1), g.octaves(1, 12)
    formants = [(g(250, 1000), g(700, 2600), g(2200, 3600)) for _ in range(3)]
    for one in range(number):
        t = s.seconds(LENGTH, RATE) * rng.uniform(0.85, 1.15) + rng.uniform(0, 3) * (one > 0)
        syllable = (t * pace) % 1
        pitch = base * rng.uniform(0.7, 1.4) ** (one > 0) * 2 ** (glide * (g(-1, 1) * syllable + course(g, rng)))
        pitch = pitch * (1 + depth * np.sin(2 * np.pi * vibrato * t)) * (1 + 0.01 * s.drift(rng, LENGTH, 30, RATE))
        source = pulses(pitch, sharp)
        source = s.unit(source - source.mean()) * (1 + rough * np.sin(2 * np.pi * np.cumsum(pitch) / RATE / 2))
        source = source + breath * s.white(rng, LENGTH)
        mouth = np.zeros(LENGTH)
        weights = np.exp(1.5 * np.stack([s.drift(rng, LENGTH, pace, RATE) for _ in formants]))
        for weight, places in zip(weights / weights.sum(0), formants, strict=True):
            part = source
            for formant, width in zip(places, (90, 130, 220), strict=True):
                r = np.exp(-np.pi * width / RATE)
                angle = 2 * np.pi * min(formant * tract, 14_000) / RATE
                part = lfilter([1 - r], [1, -2 * r * np.cos(angle), r * r], part)
            mouth += weight * s.unit(part)
        gate = np.clip(np.sin(np.pi * np.clip(syllable / duty, 0, 1)), 0, 1) ** g(0.2, 1.5)
        if g.chance(0.4):
            gate = gate * ((t % 2.5) < g(0.4, 2))
        out += mouth * s.smooth(gate, 60, RATE)
    return out


def rotor(g: Genes, rng: Rng) -> np.ndarray:
    """Beats of noise: helicopters, trains on joints, washing machines, sewing machines, printers, hearts."""
    pitch = np.full(LENGTH, g.octaves(0.8, 60)) * 2 ** (g(0, 0.5) * course(g, rng))
    beat, turns = pulses(pitch, g.octaves(1, 40)), np.cumsum(pitch) / RATE
    beat = beat + g(0, 1) * pulses(pitch, g.octaves(1, 40))[np.arange(LENGTH) - int(RATE / pitch[0] * g(0.1, 0.5))]
    beat = beat * (1 + g(0, 1) * np.cos(2 * np.pi * turns / g.pick(2, 3, 4)))
    share = g(0, 1)
    low = s.band(s.coloured(rng, LENGTH, g(0, 2)), g.octaves(30, 800), g.octaves(200, 12_000), RATE, 1)
    sound = s.unit(low) * (1 - share + share * beat) + g(0, 1) * g.pick(0, 1) * s.unit(beat - beat.mean())
    whine = s.tone(g.octaves(150, 7000) * (1 + g(0, 0.02) * s.drift(rng, LENGTH, 3, RATE)), LENGTH, RATE)
    return resonant(g, sound, 2) + g(0, 0.4) * g.pick(0, 1) * whine


def calls(g: Genes, rng: Rng) -> np.ndarray:
    """Gliding tones in groups: birds, crickets, frogs, mice, whistles, squeaks, creaks."""
    pitch, slide, size = g.octaves(150, 9000), g(-1.5, 1.5), int(RATE * g.octaves(0.01, 2))
    partials, rough, rate = g(0.5, 5), g(0, 1) * g.pick(0, 1), g.octaves(15, 250)
    air, varied, bend = g(0, 0.6) * g.pick(0, 1), g(0, 0.5), g.octaves(0.3, 3)
    out = np.zeros(LENGTH)
    for at in times(g, rng, 0.3, 25)[:120]:
        x = np.linspace(0, 1, size)
        moving = np.minimum(pitch * 2 ** (slide * x**bend + varied * rng.normal()), 14_000)
        note = s.harmonics(rng, moving, RATE, partials) * (1 + rough * np.sin(2 * np.pi * rate * s.seconds(size, RATE)))
        note = s.unit(note) + air * s.unit(s.band(s.white(rng, size), pitch, 2 * pitch, RATE, 1))
        s.place(out, note * np.sin(np.pi * x) ** 0.5, at)
    return out + 1e-3 * s.white(rng, LENGTH)


def strokes(g: Genes, rng: Rng) -> np.ndarray:
    """Noise in strokes, perhaps with teeth: sawing, filing, zips, brushing, breathing, snoring, scratching."""
    out = np.zeros(LENGTH)
    size = int(RATE * g.octaves(0.03, 2))
    centre, width, slide = g.octaves(100, 7000), g.octaves(1.2, 5), g(-1, 1)
    teeth, deep, sharp, form = g.octaves(15, 900), g(0, 1) * g.pick(0, 1), g.octaves(1, 20), g.octaves(0.3, 3)
    for i, at in enumerate(times(g, rng, 0.25, 8)[:60]):
        length = max(64, int(size * rng.uniform(0.8, 1.2)))
        x = np.linspace(0, 1, length)
        noise = s.band(s.white(rng, length), centre / width, centre * width, RATE, 1)
        high = s.band(s.white(rng, length), centre, centre * width * 2, RATE, 1)
        mix = x if (slide > 0) == (i % 2 == 0) else 1 - x
        noise = s.unit(noise) + abs(slide) * mix * s.unit(high)
        noise = noise * (1 - deep + deep * pulses(teeth * (0.7 + 0.6 * mix), sharp))
        s.place(out, noise * np.sin(np.pi * x) ** form, at)
    return out + g.octaves(0.001, 0.1) * s.white(rng, LENGTH)


def machine(g: Genes, rng: Rng) -> np.ndarray:
    """Electric motors and blowers: vacuum cleaners, hair dryers, blenders, drills, fans, hum."""
    pitch = g.octaves(20, 1500) * 2 ** (g(0, 1.5) * course(g, rng)) * (1 + g(0, 0.02) * s.drift(rng, LENGTH, 8, RATE))
    whine = s.harmonics(rng, pitch, RATE, g(0, 2), g.octaves(200, 8000))
    rough = 1 + g(0, 1) * s.tone(g.octaves(3, 120), LENGTH, RATE)
    air = s.band(s.coloured(rng, LENGTH, g(-0.5, 2)), g.octaves(30, 800), g.octaves(1500, 15_000), RATE, 1)
    sound = g(0, 1) * s.unit(whine) * rough + g(0, 1.5) * s.unit(air)
    return resonant(g, sound, 3) * (1 + g(0, 0.5) * s.drift(rng, LENGTH, g.octaves(0.3, 30), RATE))


def layers(g: Genes, rng: Rng) -> np.ndarray:
    """Two families at once."""
    first, second = (SIMPLE[int(g(0, len(SIMPLE)))] for _ in range(2))
    return s.unit(first(g, rng)) + 10 ** (g(-25, 5) / 20) * s.unit(second(g, rng))


SIMPLE: tuple[Callable[[Genes, Rng], np.ndarray], ...] = (
    engine, texture, grains, tones, bells, voice, rotor, calls, strokes, machine,
)  # fmt: skip
FAMILIES = (*SIMPLE, layers, layers)
# Where a search for these labels had better begin; other labels take any family.
LIKELY = {
    engine: "Chainsaw;Motorcycle;Lawn mower;Idling;Accelerating, revving, vroom;Truck;Bus;Race car, auto racing;"
    "Car passing by;Light engine (high frequency);Medium engine (mid frequency);Heavy engine (low frequency);"
    "Engine knocking;Engine starting;Motor vehicle (road);Tire squeal;Propeller, airscrew;Aircraft engine",
    machine: "Vacuum cleaner;Blender;Hair dryer;Mechanical fan;Air conditioning;Microwave oven;Drill;Power tool;"
    "Electric shaver, electric razor;Electric toothbrush;Sewing machine;Dental drill, dentist's drill;Mains hum;"
    "Power windows, electric windows;Subway, metro, underground;Traffic noise, roadway noise;Buzz;Whir;Vibration",
    texture: "Wind;Rustling leaves;Steam;Waterfall;Frying (food);Sizzle;Boiling;Water tap, faucet;Toilet flush;"
    "Bathtub (filling or washing);Sink (filling or washing);Spray;Hiss;Static;White noise;Fire;Air brake;Gush",
    grains: "Keys jangling;Cutlery, silverware;Dishes, pots, and pans;Shatter;Glass;Crackle;Patter;Rain;Clapping;"
    "Gurgling;Drip;Pour;Fill (with liquid);Typing;Shuffling cards;Jingle, tinkle;Tambourine;Maraca;Walk, footsteps",
    tones: "Smoke detector, smoke alarm;Doorbell;Alarm clock;Busy signal;Dial tone;Telephone dialing, DTMF;Buzzer;"
    "Car alarm;Reversing beeps;Beep, bleep;Ping;Alarm;Telephone bell ringing;Air horn, truck horn;Train horn;"
    "Fire engine, fire truck (siren);Ambulance (siren);Foghorn;Toot;Ice cream truck, ice cream van",
    bells: "Ding-dong;Church bell;Jingle bell;Tubular bells;Change ringing (campanology);Tuning fork;Clock;Tick-tock;"
    "Knock;Tap;Thump, thud;Bang;Chop;Chopping (food);Basketball bounce;Slam;Cupboard open or close;Cash register",
    voice: "Laughter;Baby laughter;Giggle;Shout;Yell;Children shouting;Singing;Female singing;Male singing;Choir;"
    "Cheering;Crowd;Hubbub, speech noise, speech babble;Children playing;Squawk;Wail, moan;Yodeling;Bellow",
    rotor: "Printer;Clickety-clack;Jackhammer;Train wheels squealing;Heart murmur;Throbbing;Pump (liquid);Gears",
    calls: "Mouse;Rodents, rats, mice;Squeak;Creak;Squeal;Train whistle;Steam whistle;Chirp tone;Whoop;Bagpipes",
    strokes: "Sniff;Breathing;Pant;Snort;Sneeze;Throat clearing;Sawing;Sanding;Filing (rasp);Scrape;Scissors;"
    "Toothbrush;Zipper (clothing);Tearing;Crumpling, crinkling;Shuffle;Scratch;Writing;Run;Camera;Whip",
}


def render(family: int, g: Genes, rng: Rng) -> np.ndarray:
    """A clip, (LENGTH,) float32: a sound of the family, coloured, perhaps in a room, perhaps only for a part of it."""
    sound = s.unit(FAMILIES[family](g, rng))
    if g.chance(0.5):
        sound = s.unit(resonant(g, sound, 2))
    if g.chance(0.4):
        sound = s.unit(s.band(sound, g.octaves(30, 500), g.octaves(2000, 15_000), RATE, 1))
    if g.chance(0.3):
        first, last = sorted((g(0, 1), g(0, 1)))
        t = np.linspace(0, 1, LENGTH)
        sound = sound * s.smooth(((t >= first) & (t <= last + 0.05)).astype(float), g.octaves(1, 80), RATE)
    if g.chance(0.4):
        sound = s.room(rng, sound, RATE)
    if g.chance(0.2):
        sound = np.tanh(g.octaves(0.5, 8) * s.unit(sound))
    peak = np.abs(sound).max()
    if not np.isfinite(peak) or peak < 1e-6:
        return np.zeros(LENGTH, np.float32)
    return (sound / peak * 10 ** (g(-30, -1) / 20)).astype(np.float32)


# The search ---------------------------------------------------------------------------------------------------------


class Teacher:
    def __init__(self, folder: Path) -> None:
        import onnxruntime

        found = importlib.util.spec_from_file_location("front_ends", folder / "front_ends.py")
        assert found and found.loader
        self.front_end = importlib.util.module_from_spec(found)
        found.loader.exec_module(self.front_end)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(folder / "mn04_as.onnx", options)
        with (folder / "audioset_labels.csv").open(newline="") as file:
            self.labels = [row["display_name"] for row in csv.DictReader(file)]

    def __call__(self, clips: list[np.ndarray]) -> np.ndarray:
        """The probability of each label for each clip, (clips, labels)."""
        spec = np.concatenate([self.front_end.mn04_input(clip) for clip in clips])
        return np.asarray(1 / (1 + np.exp(-self.session.run(["logits"], {"spec": spec})[0])))


class Search:
    def __init__(self, teacher: Teacher, wanted: dict[int, int], seed: int) -> None:
        """``wanted``: for the number of a label, the clips that are asked for."""
        self.teacher, self.wanted, self.rng = teacher, wanted, np.random.default_rng(seed)
        self.best: dict[int, list[tuple[float, int, int, list[float]]]] = {label: [] for label in wanted}
        self.lines: dict[tuple[int, int], int] = {}
        self.kept: list[tuple[int, float, np.ndarray]] = []
        self.tried = 0

    def family(self) -> int:
        """One that is likely for a label which is still wanted."""
        open_ = [label for label, left in self.wanted.items() if left > 0]
        name = self.teacher.labels[int(self.rng.choice(open_))] if open_ else ""
        likely = [SIMPLE.index(family) for family, names in LIKELY.items() if name in names.split(";")]
        return likely[0] if likely and self.rng.random() < 0.7 else int(self.rng.integers(len(FAMILIES)))

    def parent(self) -> tuple[int, int, list[float]] | None:
        """Something that came close to a label which is still wanted; None: begin anew."""
        open_ = [label for label, left in self.wanted.items() if left > 0 and self.best[label]]
        if not open_ or self.rng.random() < 0.3:
            return None
        near = np.array([min(self.best[label][0][0], ACCEPTED) for label in open_])
        label = open_[self.rng.choice(len(open_), p=(near + 0.01) / (near + 0.01).sum())]
        _, family, line, values = self.best[label][min(int(self.rng.exponential(2)), len(self.best[label]) - 1)]
        return family, line, values

    def step(self) -> None:
        drawn, clips = [], []
        for _ in range(BATCH):
            parent = self.parent()
            self.tried += 1
            family = parent[0] if parent else self.family()
            g = Genes(self.rng, Genes(self.rng, list(parent[2])).altered(self.rng) if parent else None)
            clips.append(render(family, g, self.rng))
            drawn.append((family, parent[1] if parent else self.tried, g.values[: g.at]))
        for clip, said, (family, line, values) in zip(clips, self.teacher(clips), drawn, strict=True):
            if not clip.any():
                continue
            for label, best in self.best.items():
                if len(best) < 6 or said[label] > best[-1][0]:
                    # One list of a line for each label, so that the best are not all the same sound.
                    others = [b for b in best if b[2] != line or b[0] > said[label]]
                    if not any(b[2] == line for b in others):
                        others.append((float(said[label]), family, line, values))
                    self.best[label] = sorted(others, key=lambda b: -b[0])[:6]
            fits = [
                label
                for label, left in self.wanted.items()
                if left > 0 and said[label] >= ACCEPTED and self.lines.get((label, line), 0) < MOST_OF_A_LINE
            ]
            if fits:
                for label in fits:
                    self.wanted[label] -= 1
                    self.lines[label, line] = self.lines.get((label, line), 0) + 1
                rarest = max(fits, key=lambda label: self.wanted[label])
                self.kept.append((rarest, float(said[rarest]), np.round(clip * 32_767).astype(np.int16)))


def save(path: Path, kept: list[tuple[int, float, np.ndarray]], labels: list[str]) -> None:
    names = [
        f"rendered/{''.join(c if c.isalnum() else '-' for c in labels[label])}/{i:05d}-{chance:.2f}"
        for i, (label, chance, _) in enumerate(kept)
    ]
    gap = np.zeros(4, np.int16)  # of the corpus: silence between recordings, for the interpolation
    samples = np.concatenate([part for _, _, clip in kept for part in (gap, clip)] + [gap])
    starts = np.arange(len(kept)) * (LENGTH + 4) + 4
    new = path.with_name("new." + path.name)  # a reader never meets half a file
    np.savez(new, samples=samples, starts=starts, lengths=np.full(len(kept), LENGTH), names=np.array(names))
    new.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teachers", type=Path, required=True)
    parser.add_argument("--coverage", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--goal", type=int, default=30, help="clips of a label, with those of the corpus (default: 30)")
    parser.add_argument("--labels", default="", help="the only labels that are wanted, separated by semicolons")
    parser.add_argument("--ignore", default="", help="labels that are not wanted, separated by semicolons")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    teacher = Teacher(args.teachers)
    ignored = {name.strip() for name in args.ignore.split(";")}
    only = {name.strip() for name in args.labels.split(";") if name.strip()} or set(teacher.labels)
    if unknown := only - set(teacher.labels):
        raise SystemExit(f"the teacher has no label {sorted(unknown)[0]}")
    with args.coverage.open(newline="") as file:
        there = {row["label"]: int(row["at_least_0.2"]) for row in csv.DictReader(file)}
    wanted = {
        i: args.goal - there.get(label, 0)
        for i, label in enumerate(teacher.labels)
        if there.get(label, 0) < args.goal and label in only - ignored
    }
    search, began, said = Search(teacher, wanted, args.seed), time.time(), 0.0
    memory = args.out.with_suffix(".json")
    if memory.exists():
        for name, best in json.loads(memory.read_text()).items():
            if (label := teacher.labels.index(name)) in search.best:
                search.best[label] = [(chance, family, -line, values) for chance, family, line, values in best]

    def store() -> None:
        save(args.out, search.kept, teacher.labels)
        memory.write_text(json.dumps({teacher.labels[label]: best for label, best in search.best.items()}))

    while time.time() - began < args.seconds and any(left > 0 for left in wanted.values()):
        search.step()
        if time.time() - said > 60 and search.kept:
            said = time.time()
            store()
            found = len({label for label, _, _ in search.kept})
            print(f"{said - began:.0f} s: {search.tried} tried, {len(search.kept)} kept, {found} labels", flush=True)
    if search.kept:
        store()


if __name__ == "__main__":
    main()

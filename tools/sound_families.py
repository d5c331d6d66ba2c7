"""Families of sounds, each a physical model whose parameters lie in a list of numbers: `render_missing_sounds.py`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import fftconvolve, lfilter

from audioinceptionnext.rendering import signals as s

RATE = 32_000  # Hz
LENGTH = 4 * RATE
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

"""Render a kitchen scene from noise, decaying sinusoids and a seed.

Five sounds follow one another, with room tone between them: water running into a sink, chopping on a board, a blender,
dishes being washed, and a microwave oven. The scene contains no recording, so it may be shared freely, and the exact
start and end of each sound are known. They are written to a CSV file beside the audio, as `start,end,label` rows.

    python examples/render_kitchen.py [--out examples/kitchen-scene.flac] [--seed 35]

Amplitudes are relative to full scale (1.0), and levels are in dBFS. The spectrum of a broad-band sound is given as a
curve of (Hz, dB) points. The level of a curve at a frequency is the RMS level that white noise of the same spectral
density would have, so that curves can be compared directly with the spectra of real recordings.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]
Curve = tuple[tuple[float, float], ...]

RATE = 24_000  # Hz
LENGTH_S = 29.0
SEED = 35


@dataclass(frozen=True)
class Event:
    """One sound of the scene: its start and its length in seconds, and its label."""

    start: float
    seconds: float
    label: str


EVENTS = (
    Event(0.8, 4.4, "water-flowing"),
    Event(6.1, 4.8, "chopping"),
    Event(11.8, 4.2, "blender"),
    Event(16.9, 5.6, "clean-dishes"),
    Event(23.3, 5.0, "microwave"),
)

# The parameters of the sounds. Curves are (Hz, dBFS of white noise of the same density).
ROOM_TONE: Curve = ((30, -48), (100, -52), (300, -60), (1000, -68), (4000, -74), (12000, -78))
ROOM_DECAY_S = 0.35  # time for the reverberation to fall by 60 dB
ROOM_MIX = 0.35  # reverberant energy relative to the direct sound

WATER_JET: Curve = ((40, -42), (150, -38), (400, -38), (800, -42), (2000, -42), (6000, -40), (12000, -41))
WATER_BUBBLES_PER_S = 400.0
WATER_BUBBLES_DB = -34.0
WATER_SPRAY_DB = -36.0
WATER_DRAIN_DB = -27.0
WATER_POT_HZ = (480.0, 760.0)  # the pot's air column, at the start and at the end
WATER_POT_DB = -45.0

CHOPS_PER_S = 1.5
CHOP_JITTER = 0.3  # how uneven the pace is; 0 would be a machine
CHOP_UNEVEN = 0.35  # how uneven the force is
CHOP_PEAK = 0.62
CHOP_CONTACT: Curve = ((60, -27), (150, -16), (700, -18), (2000, -18), (4000, -21), (6000, -22), (12000, -36))
CHOP_CONTACT_S = 0.008
CHOP_BOARD_HZ = (250.0, 1900.0)
CHOP_SLICE: Curve = ((300, -80), (1500, -39), (5000, -48), (12000, -48))
CHOPPING_RUSTLE: Curve = ((40, -52), (150, -54), (1000, -78), (4000, -79), (12000, -78))

BLENDER_NOISE: Curve = ((40, -35), (150, -27), (400, -26), (1500, -26), (3000, -29), (6000, -36), (12000, -41))
BLENDER_HZ = 190.0  # shaft speed at full power: about 11 500 turns a minute
BLENDER_TONES_DB = -30.0
BLENDER_LOAD = 0.06  # how much the load slows the shaft, as a share of its speed

DISHES_WATER: Curve = ((40, -51), (200, -41), (800, -46), (3000, -46), (12000, -41))
DISHES_DROPS_DB = -54.0
DISHES_SCRUB: Curve = ((300, -70), (1000, -55), (2500, -60), (6000, -30), (12000, -62))  # a wet sponge squeaks
DISHES_SCRUBS_PER_S = 7.0  # two per stroke back and forth
DISHES_CLINKS_PER_S = 1.0
DISHES_CLINK_PEAK = 0.43
DISHES_LOWEST_HZ = (325.0, 1450.0)  # the lowest mode of a piece of crockery
DISHES_RING_S = 0.006  # short, because wet hands hold the piece
DISHES_KNOCK: Curve = ((60, -45), (300, -31), (1500, -30), (4000, -29), (12000, -45))

MICROWAVE_FAN: Curve = ((40, -34), (150, -31), (400, -35), (1000, -37), (3000, -65), (6000, -72), (12000, -74))
MICROWAVE_FLUTTER = 0.2  # of the fan's flow, by the stirrer and by turbulence
MICROWAVE_BUZZ: Curve = ((200, -59), (600, -48), (2000, -54), (12000, -80))
MICROWAVE_HUM_DB = -38.0
MICROWAVE_BEEP_HZ = 1950.0
MICROWAVE_BEEP_DB = -42.0


def gain(db: float) -> float:
    """Amplitude factor of a level in dB."""
    return float(10 ** (db / 20))


def samples(seconds: float) -> int:
    """Number of samples in `seconds`."""
    return round(seconds * RATE)


def noise(n: int, curve: Curve, rng: np.random.Generator) -> Signal:
    """`n` samples of Gaussian noise whose spectrum follows `curve`, interpolated in dB over log frequency."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    log_hz = np.log(np.maximum(np.fft.rfftfreq(n, 1 / RATE), 10.0))
    points = np.array(curve)
    return np.fft.irfft(spectrum * 10 ** (np.interp(log_hz, np.log(points[:, 0]), points[:, 1]) / 20), n)


def wander(n: int, hz: float, rng: np.random.Generator) -> Signal:
    """A smooth random signal of unit variance that changes about `hz` times per second, as real sounds do."""
    knots = rng.standard_normal(max(4, int(n / RATE * hz * 2) + 4))
    slow = np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)
    return slow / (slow.std() + 1e-9)


def fade(n: int, rise_s: float, fall_s: float) -> Signal:
    """An envelope of `n` samples that rises from 0 to 1 and falls back as half cosines of the given lengths."""
    t = np.arange(n) / RATE
    ends = np.minimum(np.clip(t / rise_s, 0, 1), np.clip((n / RATE - t) / fall_s, 0, 1))
    return 0.5 - 0.5 * np.cos(np.pi * ends)


def struck(modes: Signal, decays_s: Signal, amplitudes: Signal, rng: np.random.Generator) -> Signal:
    """A struck body: each of its modes (Hz) is a sinusoid that falls by a factor of e in its decay time (s)."""
    t = np.arange(samples(float(min(6 * decays_s.max(), 1.5)))) / RATE
    phases = rng.uniform(0, 2 * np.pi, len(modes))
    rings = np.exp(-t / decays_s[:, None]) * np.sin(2 * np.pi * modes[:, None] * t + phases[:, None])
    return amplitudes @ rings


def burst(seconds: float, curve: Curve, rng: np.random.Generator) -> Signal:
    """Noise that starts at once and falls by a factor of e in `seconds`: friction, fracture or the contact itself."""
    n = samples(6 * seconds)
    return noise(n, curve, rng) * np.exp(-np.arange(n) / RATE / seconds)


def mix(track: Signal, at: int, sound: Signal, level: float = 1.0) -> None:
    """Add `sound` to `track` from sample `at` on; what is beyond the end of the track is cut off."""
    end = min(len(track), at + len(sound))
    if at < end:
        track[at:end] += level * sound[: end - at]


def bubbles(n: int, per_s: float, radii_mm: tuple[float, float], rng: np.random.Generator) -> Signal:
    """Air bubbles closing under a water surface, at unit RMS.

    A bubble rings at Minnaert's frequency, 3.26 m/s divided by its radius. The ring dies away within about ten periods,
    and its pitch rises a little as the bubble nears the surface. Small bubbles are many and faint, large ones are few
    and loud.
    """
    out = np.zeros(n)
    for at in rng.integers(0, n, rng.poisson(per_s * n / RATE)):
        radius = np.exp(rng.uniform(*np.log(radii_mm)))
        hz = 3260 / radius
        t = np.arange(samples(60 / hz / 2)) / RATE
        pitch = hz * (t + rng.uniform(0, 0.3) * hz / 20 * t**2)
        mix(out, int(at), np.exp(-t * hz / 7) * np.sin(2 * np.pi * pitch), radius * rng.exponential())
    return out / (out.std() + 1e-9)


def water_flowing(n: int, rng: np.random.Generator) -> Signal:
    """A tap that is opened over a pot in a steel sink, and closed again.

    The turbulent jet makes broad-band noise that flutters. Where it lands, it drags air under the surface, which makes
    bubbles, and throws up fine spray. The steel of the sink resonates at its own modes, and the drain gulps below
    100 Hz. The air column of the pot, open at the top, resonates at odd multiples of a pitch that rises with the water.
    """
    jet = noise(n, WATER_JET, rng) * (1 + 0.25 * wander(n, 120, rng) + 0.08 * wander(n, 2, rng))
    sheet_hz = rng.uniform((280, 700), (420, 1000))
    sheet = sum(noise(n, ((hz * 0.93, -90), (hz, -34), (hz * 1.07, -90)), rng) for hz in sheet_hz)
    splash = gain(WATER_BUBBLES_DB) * bubbles(n, WATER_BUBBLES_PER_S, (1.5, 12), rng) * (1 + 0.3 * wander(n, 8, rng))
    spray = gain(WATER_SPRAY_DB) * bubbles(n, 400, (0.3, 0.9), rng)
    drain = noise(n, ((20, 0), (60, -2), (110, -45)), rng) * np.maximum(0, 0.6 + 0.7 * wander(n, 6, rng))
    pot = np.zeros(n)
    turns = 2 * np.pi * np.cumsum(np.linspace(*WATER_POT_HZ, n)) / RATE
    for multiple in (1, 3, 5, 7):
        in_phase, quadrature = (noise(n, ((40, 16), (80, -40)), rng) for _ in range(2))
        pot += (in_phase * np.cos(multiple * turns) - quadrature * np.sin(multiple * turns)) * multiple**-0.7
    out = jet + sheet + splash + spray + gain(WATER_DRAIN_DB) * drain + gain(WATER_POT_DB) * pot
    out *= fade(n, 0.25, 0.35)
    mix(out, 0, struck(np.array([900.0, 2300, 4100]), np.full(3, 0.01), np.array([0.05, 0.04, 0.03]), rng))  # the valve
    return out


def chopping(n: int, rng: np.random.Generator) -> Signal:
    """A knife that chops a vegetable on a wooden board.

    The edge cuts through the flesh (faint bright friction that grows for 0.1 s) and hits the board. The contact lasts
    some milliseconds, has all frequencies, and excites the board's modes, which are low and damped by the wood. Then
    crumbs and the slice drop. No two chops have the same force or distance.
    """
    out = noise(n, CHOPPING_RUSTLE, rng) * np.exp(0.5 * wander(n, 4, rng)) * fade(n, 0.2, 0.2)
    board = np.exp(rng.uniform(*np.log(CHOP_BOARD_HZ), 9))
    through = samples(0.1)
    pauses = np.exp(CHOP_JITTER * rng.standard_normal(round(CHOPS_PER_S * n / RATE)))
    times = 0.12 + (n / RATE - 0.42) * (np.cumsum(pauses) - pauses[0]) / pauses[1:].sum()
    for at in times:
        hit, force = samples(at), CHOP_PEAK * min(1.6, np.exp(CHOP_UNEVEN * rng.standard_normal()))
        friction = noise(through, CHOP_SLICE, rng) * fade(through, 0.08, 0.02) * np.abs(wander(through, 150, rng))
        mix(out, hit - through, friction, force)
        mix(out, hit, burst(CHOP_CONTACT_S * rng.uniform(0.6, 1.5), CHOP_CONTACT, rng), force)
        decays = 0.017 * rng.uniform(0.5, 1.5, 9) * (500 / board) ** 0.3
        mix(out, hit, struck(board, decays, 0.054 * rng.uniform(0.3, 1, 9), rng), force)
        for _ in range(rng.poisson(4)):
            crumb = burst(0.006, ((300, -71), (1500, -35), (4000, -33), (12000, -39)), rng)
            mix(out, hit + samples(rng.uniform(0.03, 0.25)), crumb, force * rng.exponential())
    return out


def blender(n: int, rng: np.random.Generator) -> Signal:
    """A blender that is switched on, runs under an uneven load, and is switched off.

    The motor spins up within half a second and coasts down when it is switched off. Its shaft, its four blades and its
    commutator produce harmonics of its speed, which the load reduces now and then. Blades and liquid produce noise,
    which grows with about the square of the speed. The modes of the jug have fixed frequencies.
    """
    t = np.arange(n) / RATE
    off = n / RATE - 0.6
    speed = np.where(t < off, 1 - np.exp(-t / 0.12), np.exp(-np.maximum(t - off, 0) / 0.16))
    load = wander(n, 3, rng)
    speed *= (1 - 0.05 * np.exp(-t / 1.2)) * (1 - BLENDER_LOAD * load + 0.003 * wander(n, 12, rng))
    turns = 2 * np.pi * np.cumsum(BLENDER_HZ * speed) / RATE
    orders = ((1, 0.5), (2, 0.7), (4, 1.0), (8, 0.6), (12, 0.5), (16, 0.3), (22, 0.45), (44, 0.25))
    tones = sum(a * np.sin(k * turns + rng.uniform(0, 6.28)) * (1 + 0.3 * wander(n, 15, rng)) for k, a in orders)
    jug_hz = rng.uniform((350, 1200), (550, 1700))
    jug = sum(noise(n, ((hz * 0.9, -80), (hz, -17), (hz * 1.1, -80)), rng) for hz in jug_hz)
    churn = 1 + 0.15 * np.sin(turns * 4) + 0.06 * load + 0.05 * wander(n, 14, rng)
    roar = (noise(n, BLENDER_NOISE, rng) + jug) * churn
    out = roar * speed**2 + gain(BLENDER_TONES_DB) * tones * speed**1.5
    mix(out, 0, burst(0.006, ((100, -20), (3000, -22), (12000, -30)), rng))  # the switch
    return out * fade(n, 0.02, 0.15)


def clean_dishes(n: int, rng: np.random.Generator) -> Signal:
    """Crockery that is washed by hand under a running tap.

    The water runs all the time, and drops fall from it. The sponge squeaks back and forth with changing force. About
    once per second a piece hits others or the sink, once or in a short rattle: modes of glazed clay from 300 Hz up,
    which wet hands damp within some milliseconds, and the dull knock itself.
    """
    t = np.arange(n) / RATE
    water = noise(n, DISHES_WATER, rng) * (1 + 0.05 * wander(n, 9, rng))
    drops = gain(DISHES_DROPS_DB) * bubbles(n, 60, (0.6, 5.0), rng) * np.exp(0.5 * wander(n, 2, rng))
    strokes = np.abs(np.sin(np.pi * (DISHES_SCRUBS_PER_S * t + 0.25 * wander(n, 1.5, rng)))) ** 1.5
    scrub = noise(n, DISHES_SCRUB, rng) * strokes * np.clip(1 + 0.3 * wander(n, 0.8, rng), 0.2, 1.2)
    out = (water + drops + scrub) * fade(n, 0.15, 0.3)
    bodies = [rng.uniform(*DISHES_LOWEST_HZ) * np.cumsum(rng.uniform(0.5, 1.3, 10)) for _ in range(4)]
    for start in np.arange(0.1, n / RATE - 0.6, 1 / DISHES_CLINKS_PER_S):
        at = start + rng.uniform(0, 0.75) / DISHES_CLINKS_PER_S
        force = DISHES_CLINK_PEAK * np.exp(0.1 * rng.standard_normal())
        for _ in range(rng.integers(1, 5)):
            body = bodies[rng.integers(4)]
            body = body[body < 0.45 * RATE]
            decays = DISHES_RING_S * rng.uniform(0.4, 1.6, len(body)) * (1500 / body) ** 0.3
            levels = 0.33 * rng.uniform(0.2, 1, len(body)) * (1500 / body) ** 0.5
            mix(out, samples(at), struck(body, decays, levels, rng), force)
            mix(out, samples(at), burst(rng.uniform(0.007, 0.021), DISHES_KNOCK, rng), force)
            at += rng.uniform(0.035, 0.11)
            force *= rng.uniform(0.5, 1.0)
    return out


def microwave(n: int, rng: np.random.Generator) -> Signal:
    """A microwave oven: the beep of a key, the running oven, and the beeps at the end.

    The transformer runs at 50 Hz; its core and the cavity hum at the even harmonics, from 100 Hz up. The magnetron
    fires every other half wave, which makes a buzz of 50 Hz. The fan makes noise that falls towards high frequencies,
    and turns the stirrer, which modulates the flow seven times per second. The piezo sounder produces the odd harmonics
    of a square wave, the first at 2 kHz.
    """
    t = np.arange(n) / RATE
    out = np.zeros(n)
    beep_t = np.arange(samples(0.14)) / RATE
    piezo = sum(np.sin(2 * np.pi * k * MICROWAVE_BEEP_HZ * beep_t) / k for k in (1, 3, 5))
    piezo *= fade(len(beep_t), 0.004, 0.01)
    on, off = samples(0.22), n - samples(0.5)
    run = np.zeros(n)
    run[on:off] = fade(off - on, 0.12, 0.1)
    hum = sum(
        a * np.sin(2 * np.pi * hz * t + rng.uniform(0, 6.28))
        for hz, a in ((50, 0.5), (100, 1.0), (150, 0.1), (200, 0.9), (300, 0.9), (400, 0.25), (500, 0.15), (600, 0.1))
    )
    buzz = noise(n, MICROWAVE_BUZZ, rng) * np.maximum(0, np.sin(2 * np.pi * 50 * t))
    flutter = np.sin(2 * np.pi * 7 * t) + wander(n, 9, rng)
    fan = noise(n, MICROWAVE_FAN, rng) * (1 + MICROWAVE_FLUTTER * flutter)
    out += (gain(MICROWAVE_HUM_DB) * hum * (1 + 0.05 * wander(n, 4, rng)) + buzz + fan) * run
    mix(out, on, burst(0.01, ((60, -20), (400, -28), (3000, -40), (12000, -50)), rng))  # the relay
    for at in (0.0, n / RATE - 0.42, n / RATE - 0.2):
        mix(out, samples(at), piezo, gain(MICROWAVE_BEEP_DB))
    return out


SOUNDS = {
    "water-flowing": water_flowing,
    "chopping": chopping,
    "blender": blender,
    "clean-dishes": clean_dishes,
    "microwave": microwave,
}


def room_response(rng: np.random.Generator) -> Signal:
    """The impulse response of a small kitchen: direct sound, early echoes, and a tail whose treble decays first."""
    n = samples(ROOM_DECAY_S)
    t = np.arange(n) / RATE
    tail = sum(
        noise(n, curve, rng) * 10 ** (-3 * t / (ROOM_DECAY_S * share))
        for curve, share in (
            (((60, -10), (1500, -10), (3000, -60)), 1.0),
            (((1500, -60), (3000, -12), (12000, -18)), 0.6),
        )
    )
    tail *= np.clip(t / 0.01, 0, 1)
    for at in rng.uniform(0.002, 0.02, 12):
        tail[samples(float(at))] += rng.choice([-1, 1]) * 0.5 * np.exp(-at / 0.01)
    tail *= ROOM_MIX**0.5 / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return tail


def convolve(x: Signal, response: Signal) -> Signal:
    """The convolution of `x` with `response`, cut to the length of `x`."""
    n = len(x) + len(response)
    return np.fft.irfft(np.fft.rfft(x, n) * np.fft.rfft(response, n), n)[: len(x)]


def render(seed: int = SEED) -> Signal:
    """The whole scene, `LENGTH_S` seconds at `RATE` Hz; the same seed gives the same scene."""
    scene = np.zeros(samples(LENGTH_S))
    for index, event in enumerate(EVENTS):
        rng = np.random.default_rng(
            [seed, index]
        )  # one generator per sound, so that changing one leaves the others as they are
        mix(scene, samples(event.start), SOUNDS[event.label](samples(event.seconds), rng))
    rng = np.random.default_rng([seed, len(EVENTS)])
    scene = convolve(scene, room_response(rng))
    scene += noise(len(scene), ROOM_TONE, rng)
    return np.clip(scene, -0.999, 0.999)


def write_audio(path: Path, scene: Signal) -> None:
    """Write mono FLAC with 14 bits in 16: rounding is far below the room tone, and FLAC does not store zero bits."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=RATE, layout="mono", options={"compression_level": "12"})
        stream.format = "s16"
        levels = (np.round(scene * 8191) * 4).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(levels[None], format="s16", layout="mono")
        frame.rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_timeline(path: Path) -> None:
    """Write the true start and end of each event in seconds."""
    with path.open("w", newline="") as handle:
        rows = csv.writer(handle, lineterminator="\n")
        rows.writerow(("start", "end", "label"))
        rows.writerows((f"{e.start:.2f}", f"{e.start + e.seconds:.2f}", e.label) for e in EVENTS)


def main() -> None:
    """Render the scene, and write it with its timeline beside it."""
    parser = argparse.ArgumentParser(description="Render the kitchen scene and its true timeline.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_name("kitchen-scene.flac"), help="write to this file"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="set the seed of all randomness")
    args = parser.parse_args()
    write_audio(args.out, render(args.seed))
    write_timeline(args.out.with_suffix(".csv"))
    print(f"{args.out}: {LENGTH_S:g} s, {args.out.stat().st_size / 1000:.0f} kB, {len(EVENTS)} events")


if __name__ == "__main__":
    main()

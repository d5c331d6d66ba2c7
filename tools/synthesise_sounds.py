"""Instruments and voices to distil from: MIDI phrases by soundfonts, and sentences by speech synthesisers of Debian.

    apt-get install fluidsynth fluid-soundfont-gm timgm6mb-soundfont espeak-ng flite
    python tools/synthesise_sounds.py --out synthesised

Each instrument of General MIDI plays a few random phrases (single notes, melodies, chords, and grooves on the drums),
with two soundfonts; the voices say nonsense in several languages. The files are mono Ogg Opus, in a folder for each
soundfont and synthesiser.
"""

from __future__ import annotations

import argparse
import random
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from collect_sounds import read, write

SOUNDFONTS = {
    "fluid-gm": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "timgm6mb": Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),
}
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))
TICKS = 480  # of a beat
LONGEST = 8.0  # seconds
VOICES = {
    "espeak-ng": ["en", "en-us", "en-gb-scotland", "de", "fr", "es", "it", "pl", "ru", "tr", "hi", "sw", "el"],
    "flite": ["kal", "awb", "rms", "slt", "kal16"],
}
VARIANTS = ["", "+m1", "+m3", "+m7", "+f1", "+f2", "+f4", "+f5", "+croak", "+whisper", "+whisperf", "+klatt2"]
VOWELS, CONSONANTS = (
    ("a", "e", "i", "o", "u", "oo", "ai"),
    ("b", "d", "f", "k", "l", "m", "n", "p", "r", "s", "t", "tr", "sh"),
)

Event = tuple[int, bytes]  # at a tick


def phrase(rng: random.Random, program: int | None) -> bytes:
    """A MIDI file of 3 to 8 s: of an instrument, or of the drums."""
    events: list[Event] = []
    channel = 9 if program is None else 0
    if program is not None:
        events.append((0, bytes([0xC0, program])))
    beat = rng.choice([0.25, 0.35, 0.5, 0.7])  # seconds
    beats = int(rng.uniform(3, LONGEST) / beat)
    if program is None:
        for instrument in rng.sample(range(35, 82), rng.randint(1, 5)):
            step = rng.choice([TICKS // 4, TICKS // 2, TICKS, TICKS * 2])
            for tick in range(rng.randrange(step), beats * TICKS, step):
                if rng.random() < 0.8:
                    events += note(channel, instrument, tick, TICKS // 4, rng.randint(60, 127))
    else:
        root, scale = rng.randint(36, 72), rng.choice(SCALES)
        kind = rng.choice(["notes", "melody", "melody", "chords", "fast"])
        tick = 0
        while tick < beats * TICKS:
            length = {"notes": 4, "melody": rng.choice([0.5, 1, 2]), "chords": 2, "fast": 0.25}[kind] * TICKS
            degrees = rng.sample(range(len(scale) * 2), 3 if kind == "chords" else 1)
            for degree in degrees:
                pitch = root + scale[degree % len(scale)] + 12 * (degree // len(scale))
                events += note(channel, pitch, tick, int(length * rng.uniform(0.4, 1)), rng.randint(50, 120))
            tick += int(length)
    track = b"\x00\xff\x51\x03" + struct.pack(">I", int(beat * 1e6))[1:]
    at = 0
    for tick, message in sorted(events):
        track += variable(tick - at) + message
        at = tick
    track += variable(TICKS) + b"\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def note(channel: int, pitch: int, tick: int, length: int, loudness: int) -> list[Event]:
    on, off = bytes([0x90 | channel, pitch, loudness]), bytes([0x80 | channel, pitch, 0])
    return [(tick, on), (tick + max(length, 1), off)]


def variable(value: int) -> bytes:
    """A number in groups of seven bits, as MIDI files have them."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


def sentence(rng: random.Random) -> str:
    def word() -> str:
        return "".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(rng.randint(1, 3)))

    words = [word() for _ in range(rng.randint(3, 10))]
    return " ".join(words) + rng.choice([".", "?", "!"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--phrases", type=int, default=3, help="of each instrument and soundfont")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as name:
        sound, midi = Path(name) / "sound.wav", Path(name) / "phrase.mid"
        for font, path in SOUNDFONTS.items():
            if (args.out / font).is_dir():
                continue
            for program in [None] * 40 + [p for p in range(128) for _ in range(args.phrases)]:
                midi.write_bytes(phrase(rng, program))
                command = ["fluidsynth", "-niq", "-g", "0.6", "-r", "48000", "-F", str(sound), str(path), str(midi)]
                subprocess.run(command, check=True, capture_output=True)
                keep(sound, args.out / font)
            print(font, len(list((args.out / font).iterdir())), flush=True)
        for program in ("espeak-ng", "flite"):
            for _ in range(160):
                voice, text = rng.choice(VOICES[program]), sentence(rng)
                if program == "espeak-ng":
                    voice += rng.choice(VARIANTS)
                    pitch, pace = str(rng.randint(20, 80)), str(rng.randint(110, 220))
                    command = [program, "-v", voice, "-p", pitch, "-s", pace, "-w", str(sound), text]
                else:
                    command = [program, "-voice", voice, "-t", text, "-o", str(sound)]
                subprocess.run(command, check=True, capture_output=True)
                keep(sound, args.out / program)
            print(program, len(list((args.out / program).iterdir())), flush=True)


def keep(path: Path, folder: Path) -> None:
    """The loud part of a file as the next recording of a folder."""
    x = read(path)
    loud = np.flatnonzero(np.abs(x) > 1e-3)
    if not len(loud):
        return
    folder.mkdir(parents=True, exist_ok=True)
    write(x[: min(loud[-1] + 4800, int(LONGEST * 48_000))], folder / f"{len(list(folder.iterdir())):05d}.opus")


if __name__ == "__main__":
    main()

"""Render the scene of the README: five everyday sounds, by the models of sounds in `sound_families.py` and a seed each.

    python tools/render_scene.py

writes examples/everyday-scene.flac, examples/everyday-scene.csv and the example of the web page, page/example.mp3. The
scene contains no recording, so it may be shared freely, and it is known when each sound starts and ends; the CSV file
says so. It shows what `everyday` prints, and measures nothing: of 700 sounds of each family, these are among those
that `everyday` and its teacher (EfficientAT mn04) name alike, and they are arranged so that `everyday` finds all five.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from scipy.signal import resample_poly
from sound_families import RATE, SIMPLE, Genes, render

from audioinceptionnext.data.flac import flac
from audioinceptionnext.rendering import signals as s

ROOT = Path(__file__).parents[1]
SCENE = ROOT / "examples" / "everyday-scene.flac"
PAGE = ROOT / "src" / "audioinceptionnext" / "page" / "example.mp3"
OUT_RATE = 24_000  # Hz
SECONDS = 26.5
SEED = 0  # of the noise in the background
NOISE_DB = -64.0  # dBFS, as all levels here
AUDIBLE_DB = -30.0  # below the loudest tenth of a second of a sound; what is softer at its ends is cut off
STEPS = 1 << 12  # of amplitude; FLAC stores no zero bits, and the rounding is far below the noise


@dataclass(frozen=True)
class Sound:
    """One sound: its label, its start and the length of its fades in seconds, its level, and how it is rendered."""

    label: str
    start: float
    level: float
    family: str
    seed: int
    fade: float = 0.01


SOUNDS = (
    Sound("Ringtone", 1.0, -27, "tones", 1074),
    Sound("Vehicle", 6.0, -24, "engine", 1522, fade=0.6),
    Sound("Smoke detector, smoke alarm", 12.3, -26, "tones", 1227),
    Sound("Music", 16.1, -28, "bells", 1569),
    Sound("Whistle", 22.2, -30, "calls", 1209),
)


def audible(sound: Sound) -> np.ndarray:
    """The audible part of a sound, (samples,) at `OUT_RATE`, with a root mean square of its level."""
    family = [one.__name__ for one in SIMPLE].index(sound.family)
    rng = np.random.default_rng([sound.seed, family])
    x = resample_poly(render(family, Genes(rng), rng).astype(float), OUT_RATE, RATE)
    tenth = OUT_RATE // 10
    power = np.convolve(x**2, np.ones(tenth) / tenth, "same")
    loud = np.flatnonzero(power > power.max() * 10 ** (AUDIBLE_DB / 10))
    x = x[loud[0] : loud[-1] + 1]
    fade = np.minimum(1, np.arange(len(x)) / (sound.fade * OUT_RATE))
    return s.unit(x * fade * fade[::-1]) * 10 ** (sound.level / 20)


def write_mp3(path: Path, samples: np.ndarray) -> None:
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mp3", rate=OUT_RATE, layout="mono", bit_rate=64_000)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], "fltp", "mono")
        frame.sample_rate = OUT_RATE
        file.mux([*stream.encode(frame), *stream.encode(None)])


def main() -> None:
    noise = s.coloured(np.random.default_rng(SEED), round(SECONDS * OUT_RATE), 1)
    scene = s.unit(noise) * 10 ** (NOISE_DB / 20)
    with SCENE.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("start", "end", "label"))
        for sound in SOUNDS:
            x = audible(sound)
            s.place(scene, x, round(sound.start * OUT_RATE))
            rows.writerow((f"{sound.start:.2f}", f"{sound.start + len(x) / OUT_RATE:.2f}", sound.label))
    scene = np.round(scene * STEPS) / STEPS
    SCENE.write_bytes(flac(scene, OUT_RATE))
    write_mp3(PAGE, scene)
    for path in (SCENE, PAGE):
        print(f"{path.relative_to(ROOT)}: {SECONDS:g} s, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

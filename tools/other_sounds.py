"""Makes the sounds that belong to no class, for `ainext teach`: `src/audioinceptionnext/teaching/other_sounds.opus`.

    python tools/other_sounds.py

Rendered noise and hum, and then rendered sounds of the families of `audioinceptionnext.rendering`, one after the other,
each as long as `SOUND_SECONDS` of `teaching/others.py`. Nothing in it was recorded. Opus, since a browser decodes it.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from audioinceptionnext.rendering import render
from audioinceptionnext.teaching.others import FILE, NOISES, SOUND_SECONDS

RATE = 24_000
BITS_PER_SECOND = 16_000
RENDERED = 60
LEVEL_DB = (-60.0, -12.0)  # of noise: root mean square, relative to full scale


def main() -> None:
    samples = round(SOUND_SECONDS * RATE)
    sounds = [noise(np.random.default_rng(number), samples, number % 3) for number in range(NOISES)]
    sounds += [render(number, SOUND_SECONDS, RATE)[0][:samples] for number in range(RENDERED)]
    write(FILE, np.concatenate(sounds))
    print(f"{FILE}: {len(sounds)} sounds, {FILE.stat().st_size / 1000:.0f} kB")


def noise(rng: np.random.Generator, samples: int, kind: int) -> np.ndarray:
    """Noise of a random colour, a band of it, or a hum above it, (samples,) float32, for the kinds 0, 1 and 2."""
    frequency = np.fft.rfftfreq(samples, 1 / RATE)
    frequency[0] = frequency[1]
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * frequency ** rng.uniform(-1, 0.5)
    if kind == 1:
        centre, half_width = 2 ** rng.uniform(np.log2(100), np.log2(RATE / 4)), 2 ** (rng.uniform(1 / 3, 3) / 2)
        spectrum[(frequency < centre / half_width) | (frequency > centre * half_width)] = 0
    wave = unit(np.fft.irfft(spectrum, samples))
    if kind == 2:
        first, fall, time = 2 ** rng.uniform(np.log2(40), np.log2(1000)), rng.uniform(0.5, 4), np.arange(samples) / RATE
        harmonics = range(1, min(16, int(RATE / 2 / first)) + 1)
        parts = [
            n**-fall * rng.uniform(0.5, 1.5) * np.sin(2 * np.pi * (first * n * time + rng.random())) for n in harmonics
        ]
        wave = unit(unit(np.sum(parts, axis=0)) + 10 ** (rng.uniform(-60, 0) / 20) * wave)
    return (wave * 10 ** (rng.uniform(*LEVEL_DB) / 20)).astype(np.float32)


def unit(wave: np.ndarray) -> np.ndarray:
    return wave / wave.std()


def write(path: Path, waveform: np.ndarray) -> None:
    with av.open(str(path), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono", bit_rate=BITS_PER_SECOND)
        frame = av.AudioFrame.from_ndarray(waveform.clip(-1, 1)[None].astype(np.float32), format="fltp", layout="mono")
        frame.rate = RATE
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE, frame_size=480)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()

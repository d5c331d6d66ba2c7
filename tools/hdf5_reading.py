"""Measures what it saves to read only the samples of a clip: clips per second from HDF5, published loader and ours.

    python tools/hdf5_reading.py [--minutes 30] [--videos 2] [--folder /tmp]

The published loader reads the whole recording for each clip, and then slices it. In both cases the file is open already
and in the page cache (a disk would make the difference larger). The lengths of the clips are drawn as in the validation
list of EPIC-SOUNDS (8,035 segments), where they are nearly log-normal: median 1.0 s, mean of the logarithm 0.27,
standard deviation 1.24.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import h5py
import numpy as np

from audioinceptionnext.data.clip import Clip
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.sampling import Draw
from audioinceptionnext.data.waveforms import Waveforms

RATE = 24_000
CLIP_SECONDS = 2.08


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="set the length of each recording")
    parser.add_argument("--videos", type=int, default=2, help="set the number of recordings")
    parser.add_argument(
        "--clips", type=int, default=2000, help="read this many clips per pass; the published loader reads 20"
    )
    parser.add_argument("--passes", type=int, default=7, help="repeat the measurement this many times")
    parser.add_argument("--folder", type=Path, help="write the file to this folder; its disk is not measured")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder, "audio.hdf5")
        clips = write(path, options.minutes * 60, options.videos, options.clips)
        reader = Reader(RATE)
        stretches = Waveforms(clips, reader, CLIP_SECONDS, keep="nothing")
        with h5py.File(path, "r") as file:
            check(file, clips[:5], reader)
            few = range(min(20, len(clips)))
            loaders: dict[str, tuple[Sequence[int], Callable[[int], object]]] = {
                "published: the whole recording, then the segment": (few, lambda i: published(file, clips[i])),
                "ours: the segment": (range(len(clips)), lambda i: reader.read(clips[i])),
                f"ours, training: at most {CLIP_SECONDS} s of it": (
                    range(len(clips)),
                    lambda i: stretches[Draw(0, i)],
                ),
            }
            print(f"{options.videos} x {options.minutes:g} min at {RATE} Hz, {path.stat().st_size / 1e6:.0f} MB")
            speeds = {
                name: [speed(load, indices) for _ in range(options.passes)] for name, (indices, load) in loaders.items()
            }
    base = median(speeds["published: the whole recording, then the segment"])
    print(f"{'clips per second, median of ' + str(options.passes):50} median  lowest highest   ratio")
    for name, passes in speeds.items():
        middle = median(passes)
        print(f"{name:50} {middle:6.0f}  {min(passes):6.0f}  {max(passes):6.0f}  {middle / base:6.0f}")


def write(path: Path, seconds: float, videos: int, count: int) -> list[Clip]:
    """Write recordings of noise as float32, and return clips of them."""
    rng = np.random.default_rng(0)
    samples = round(seconds * RATE)
    with h5py.File(path, "w") as file:
        for number in range(videos):
            file[f"P01_{number:02}"] = rng.standard_normal(samples, np.float32) * 0.1
    clips = []
    for _ in range(count):
        length = min(samples, max(1, round(RATE * rng.lognormal(0.27, 1.24))))
        start = int(rng.integers(samples - length + 1))
        key = f"P01_{rng.integers(videos):02}"
        clips.append(Clip(path, 0, start / RATE, (start + length) / RATE, key=key))
    return clips


def published(file: h5py.File, clip: Clip) -> np.ndarray:
    """Read a clip as the published loader does."""
    assert clip.end is not None
    return file[clip.key][()][round(clip.start * RATE) : round(clip.end * RATE)]


def check(file: h5py.File, clips: list[Clip], reader: Reader) -> None:
    """Exit if the two loaders give different samples."""
    for clip in clips:
        if not np.array_equal(published(file, clip), reader.read(clip)):
            raise SystemExit(f"{clip.name}: the two loaders differ")


def speed(load: Callable[[int], object], indices: Sequence[int]) -> float:
    """Clips per second of one pass."""
    start = time.perf_counter()
    for index in indices:
        load(index)
    return len(indices) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()

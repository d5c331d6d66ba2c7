"""What does reading only a clip's samples save? Clips a second from HDF5: the published loader's way against ours.

python tools/hdf5_reading.py [--minutes 30] [--videos 2] [--folder /tmp]

The published way reads the whole recording for each clip, then slices. Both have the file open already and in memory
(the disk would make the difference larger). Clips are drawn as in EPIC-SOUNDS' validation list, whose lengths are
near log-normal: median 1.0 s, mean of their logarithm 0.27, standard deviation 1.24 (8,035 segments).
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
    parser.add_argument("--minutes", type=float, default=30.0, help="of each recording")
    parser.add_argument("--videos", type=int, default=2, help="recordings in the file")
    parser.add_argument("--clips", type=int, default=2000, help="a pass of ours; the published way hears the first 20")
    parser.add_argument("--passes", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where the file is written; its disk is not measured")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder, "audio.hdf5")
        clips = write(path, options.minutes * 60, options.videos, options.clips)
        reader = Reader(RATE)
        stretches = Waveforms(clips, reader, CLIP_SECONDS, keep="nothing")
        with h5py.File(path, "r") as file:
            check(file, clips[:5], reader)
            few = range(min(20, len(clips)))
            ways: dict[str, tuple[Sequence[int], Callable[[int], object]]] = {
                "published: the whole recording, then the segment": (few, lambda i: published(file, clips[i])),
                "ours: the segment": (range(len(clips)), lambda i: reader.read(clips[i])),
                f"ours, training: at most {CLIP_SECONDS} s of it": (
                    range(len(clips)),
                    lambda i: stretches[Draw(0, i)],
                ),
            }
            print(f"{options.videos} x {options.minutes:g} min at {RATE} Hz, {path.stat().st_size / 1e6:.0f} MB")
            speeds = {name: [speed(way, which) for _ in range(options.passes)] for name, (which, way) in ways.items()}
    base = median(speeds["published: the whole recording, then the segment"])
    print(f"{'clips a second, median of ' + str(options.passes):50} median  lowest highest   ratio")
    for name, found in speeds.items():
        middle = median(found)
        print(f"{name:50} {middle:6.0f}  {min(found):6.0f}  {max(found):6.0f}  {middle / base:6.0f}")


def write(path: Path, seconds: float, videos: int, count: int) -> list[Clip]:
    """Noise as float32, one row of numbers a video, and clips of them."""
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
    assert clip.end is not None
    return file[clip.key][()][round(clip.start * RATE) : round(clip.end * RATE)]


def check(file: h5py.File, clips: list[Clip], reader: Reader) -> None:
    for clip in clips:
        if not np.array_equal(published(file, clip), reader.read(clip)):
            raise SystemExit(f"{clip.name}: the two ways differ")


def speed(way: Callable[[int], object], which: Sequence[int]) -> float:
    """Clips a second of one pass."""
    begun = time.perf_counter()
    for index in which:
        way(index)
    return len(which) / (time.perf_counter() - begun)


if __name__ == "__main__":
    main()

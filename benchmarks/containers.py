"""The demo scene in every container and situation: when its sounds are found, and what the warning says.

    python benchmarks/containers.py
    python benchmarks/containers.py mkv webm --decode-only

A cell is the largest error of time of the scene's sounds, in ms, found by correlation with the scene itself. ``w`` says
that there is a warning, ``-`` that the container cannot be in the situation, ``?`` that a sound is not found. Below,
each warning is printed once. A cell fails if, without a warning, a sound is not found or more than 150 ms from its
place, or if the segments' labels are not those of the container's plain file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from audioinceptionnext import load
from audioinceptionnext.audio.decode import read, read_blocks
from audioinceptionnext.errors import MediaError
from tests.containers import CONTAINERS, SITUATIONS

SCENE = Path(__file__).parents[1] / "examples" / "kitchen-scene.flac"
RATE = 8_000
SOUNDS = ((1.5, 4.5), (7.0, 9.5), (12.5, 15.5), (18.0, 21.0), (24.0, 27.0))  # s: parts of the scene's five sounds
TOLERANCE_S = 0.15


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("containers", nargs="*", default=list(CONTAINERS), help=f"of {', '.join(CONTAINERS)}")
    parser.add_argument("--decode-only", action="store_true", help="do not compare the segments' labels")
    parser.add_argument("--model", default="kitchen20")
    options = parser.parse_args()
    recogniser = None if options.decode_only else load(options.model, threads=1)
    scene = read(SCENE, RATE)
    print(f"{'':6}", *(f"{name:>18}" for name in SITUATIONS))
    notes: dict[str, int] = {}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in options.containers:
            kind, row = CONTAINERS[name], []
            sound = read(SCENE, kind.rate)
            expected: list[str] = []
            for how in SITUATIONS.values():
                if not how.fits(kind):
                    row.append("-")
                    continue
                try:
                    path = how.write(Path(folder) / f"scene{kind.suffix}", kind, sound)
                except ValueError as error:
                    row.append("not written")
                    notes[f"cannot be written: {error}"] = len(notes) + 1
                    continue
                warnings: list[str] = []
                try:
                    waveform = np.concatenate(list(read_blocks(path, RATE, on_warning=warnings.append)))
                except MediaError as error:
                    row.append("refused w")
                    notes.setdefault(str(error).partition(": ")[2], len(notes) + 1)
                    continue
                length = len(scene) / RATE
                errors = [error_of(part, how.time, scene, waveform, length) for part in SOUNDS]
                found = [one for one in errors if one is not None]
                right = len(found) == len(errors) and max(map(abs, found)) <= TOLERANCE_S
                cell = f"{1000 * max(map(abs, found), default=0):.0f}{'?' if len(found) < len(errors) else ''}"
                if right and recogniser is not None:
                    # A pause divides a segment in two.
                    found_labels = [
                        label for label, _ in groupby(one.label for one in recogniser.predict(path).segments)
                    ]
                    expected = expected or found_labels  # those of the first situation, which is plain
                    if found_labels != expected:
                        right, cell = False, f"{cell} labels"
                for warning in warnings:
                    notes.setdefault(warning, len(notes) + 1)
                failed += not right and not warnings
                row.append(cell + (" w" if warnings else "") + ("" if right or warnings else " FAILS"))
            print(f"{name:6}", *(f"{cell:>18}" for cell in row), flush=True)
    for warning in notes:
        print(f"  w: {warning}")
    print(f"{failed} cells fail")


def error_of(
    part: tuple[float, float],
    time: Callable[[float, float], float],
    scene: np.ndarray,
    waveform: np.ndarray,
    length: float,
) -> float | None:
    """How late a part of the scene is in the waveform, in s; None if it is not within a second of its place."""
    start, end = part
    pattern = scene[round(start * RATE) : round(end * RATE)].astype(np.float64)
    place = time(start, length)
    first = round((place - 1) * RATE)
    window = np.zeros(len(pattern) + 2 * RATE)
    there = waveform[max(0, first) : max(0, first + len(window))]
    window[max(0, -first) : max(0, -first) + len(there)] = there - (there.mean() if len(there) else 0)
    size = 2 ** int(np.ceil(np.log2(2 * len(window))))
    correlation = np.fft.irfft(np.fft.rfft(window, size) * np.conj(np.fft.rfft(pattern, size)), size)[: 2 * RATE + 1]
    best = int(np.argmax(correlation))
    found = window[best : best + len(pattern)]
    strength = correlation[best] / (np.linalg.norm(pattern) * np.linalg.norm(found) + 1e-9)
    return best / RATE - 1 if strength > 0.2 else None


if __name__ == "__main__":
    main()

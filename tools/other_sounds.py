"""Make a folder of sound that is none of a kitchen's, to train with `--set background=DIR` (outlier exposure).

    python tools/other_sounds.py --fsdd fsdd --speakers jackson nicolas theo yweweler --out others

Digits of the Free Spoken Digit Dataset (CC BY-SA 4.0) strung together as `tools/false_alarms.py` does it, and rendered
voices and calls, clips of 5 s, as many of each. What false alarms are measured with later are other speakers.
"""

from __future__ import annotations

import argparse
from itertools import count, islice
from pathlib import Path

import numpy as np
from false_alarms import SECONDS, spoken_digits

from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.rendering import draw, render

RATE = 24_000
FAMILIES = ("voice", "call")
FIRST = 1_000_000  # numbers that no rendered training clip has


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fsdd", type=Path, required=True, help="folder of the Free Spoken Digit Dataset")
    parser.add_argument("--speakers", nargs="+", required=True, metavar="NAME", help="of it, to train on")
    parser.add_argument("--clips", type=int, default=240, help="of each kind")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    digits = spoken_digits(options.fsdd, options.speakers, options.clips, RATE, np.random.default_rng(FIRST))
    for number, sound in enumerate(digits):
        write_wav(options.out / f"digits-{number:03}.wav", sound.waveform, RATE)
    alike = (n for n in count(FIRST) if draw(np.random.default_rng(n))[0].name in FAMILIES)
    for number in islice(alike, options.clips):
        write_wav(options.out / f"rendered-{number}.wav", render(number, SECONDS, RATE)[0], RATE)
    print(f"{options.out}: {2 * options.clips} clips of {SECONDS:g} s")


if __name__ == "__main__":
    main()

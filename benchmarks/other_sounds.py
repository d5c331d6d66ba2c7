"""Makes a folder of sounds that do not belong to a kitchen, to train with `--set background=DIR` (outlier exposure).

    python benchmarks/other_sounds.py --fsdd fsdd --speakers jackson nicolas theo yweweler --out others

It writes clips of 5 s, the same number of each kind: digits of the Free Spoken Digit Dataset (CC BY-SA 4.0), joined as
in `false_alarms.py`; speech by espeak-ng, if it is installed; and rendered voices and calls. `false_alarms.py` measures
with other speakers, other languages and other sentences.
"""

from __future__ import annotations

import argparse
from itertools import count, islice
from pathlib import Path

import numpy as np
from false_alarms import SECONDS, sentences, spoken_digits

from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.rendering import draw, render

RATE = 24_000
FAMILIES = ("voice", "call")
LANGUAGES = ("af", "cs", "da", "el", "fi", "hu", "nl", "pl", "pt", "ro", "sv", "tr")
VARIANTS = ("m2", "m4", "m5", "m6", "f3", "f5")
SENTENCES = (
    "Nobody knows why the old lighthouse was painted yellow.",
    "My brother wants to learn the cello before he is forty.",
    "Seven tall ships lay in the harbour this morning.",
    "The museum opens at ten, but the library opens earlier.",
    "What a pity that you could not come with us!",
    "He wrote three long letters and sent none of them.",
    "Do you remember the name of that small village?",
    "Snow fell all night, and in the morning the road was gone.",
)
FIRST = 1_000_000  # seed of the first clip, beyond those of rendered training clips


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fsdd", type=Path, required=True, help="set the folder of the Free Spoken Digit Dataset")
    parser.add_argument("--speakers", nargs="+", required=True, metavar="NAME", help="use these of its speakers")
    parser.add_argument("--clips", type=int, default=240, help="write this many clips of each kind")
    parser.add_argument("--out", type=Path, required=True, help="write to this folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    digits = spoken_digits(options.fsdd, options.speakers, options.clips, RATE, np.random.default_rng(FIRST))
    for number, sound in enumerate(digits):
        write_wav(options.out / f"digits-{number:03}.wav", sound.waveform, RATE)
    rng = np.random.default_rng(FIRST + 1)
    spoken = sentences(options.clips, RATE, rng, LANGUAGES, VARIANTS, SENTENCES)
    for number, sound in enumerate(spoken):
        write_wav(options.out / f"speech-{number:03}.wav", sound.waveform, RATE)
    numbers = (n for n in count(FIRST) if draw(np.random.default_rng(n))[0].name in FAMILIES)
    for number in islice(numbers, options.clips):
        write_wav(options.out / f"rendered-{number}.wav", render(number, SECONDS, RATE)[0], RATE)
    print(f"{options.out}: {len(list(options.out.glob('*.wav')))} clips of {SECONDS:g} s")


if __name__ == "__main__":
    main()

"""Measure how much margin blocks need to join without a seam, as the largest difference from one pass over all.

python benchmarks/joins.py recording.wav [--model NAME|FILE]

Predicts the first two minutes of the recording, in one block and in short blocks with margins of different lengths, and
prints how far the probabilities differ.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from audioinceptionnext.audio.decode import read
from audioinceptionnext.inference import steps
from audioinceptionnext.models.load import load


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--model", default="kitchen20", metavar="NAME|FILE", help="predict with this model")
    options = parser.parse_args()

    model = load(options.model)
    waveform = read(options.recording, model.sample_rate, 0, 120)
    steps.BLOCK_FRAMES[model.mode] = 10**7
    whole = model.predict(waveform).probabilities
    steps.BLOCK_FRAMES[model.mode] = 2000
    print("frames     largest   mean   steps with another top-1")
    for margin in (32, 208, 416, 832, 1248, 1664, 2496):
        model._predictor.margin_frames = margin
        joined = model.predict(waveform).probabilities
        difference = np.abs(joined - whole)
        other = (joined.argmax(1) != whole.argmax(1)).mean()
        print(f"{margin:8d}   {difference.max():.4f}   {difference.mean():.6f}   {other:.1%}")


if __name__ == "__main__":
    main()

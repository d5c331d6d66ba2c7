"""How much of a margin do blocks need to join without a seam? Largest difference in probability against one whole pass.

python tools/joins.py recording.wav [--model NAME|FILE]      # 2 minutes of it are heard
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from audioinceptionnext.audio.decode import read
from audioinceptionnext.inference import windows as module
from audioinceptionnext.models.load import load


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording", type=Path)
    parser.add_argument("--model", default="kitchen20")
    options = parser.parse_args()

    model = load(options.model)
    waveform = read(options.recording, model.sample_rate, 0, 120)
    module.BLOCK_FRAMES[model.run] = 10**7
    whole = model.predict(waveform).probabilities
    module.BLOCK_FRAMES[model.run] = 2000
    print("frames     largest   mean   steps with another top-1")
    for margin in (32, 208, 416, 832, 1248, 1664, 2496):
        module.MARGIN_FRAMES[model.run] = margin
        found = model.predict(waveform).probabilities
        difference = np.abs(found - whole)
        other = (found.argmax(1) != whole.argmax(1)).mean()
        print(f"{margin:8d}   {difference.max():.4f}   {difference.mean():.6f}   {other:.1%}")


if __name__ == "__main__":
    main()

"""Writes a made-up month of a kitchen and a garden, for the picture of the history page in the documentation.

python tools/sample_history.py sample
ainext serve --port 8123 --history sample/history.db --keep sample/clips &
python tools/page_pictures.py http://127.0.0.1:8123 docs page-history
"""

from __future__ import annotations

import argparse
import random
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from audioinceptionnext.history.clip_file import encode_clip, new_name
from audioinceptionnext.history.database import History

LAST = datetime(2026, 11, 28)  # the last day
DAYS = 32
RATE = 16_000
# Of a label: the input, the mean length in seconds, and at which hours it occurs how often in the mean.
HABITS: dict[str, tuple[str, float, dict[int, float]]] = {
    "Speech": ("kitchen", 6, {7: 2, 8: 4, 12: 3, 13: 2, 18: 5, 19: 6, 20: 4, 21: 2}),
    "Water tap, faucet": ("kitchen", 9, {7: 2, 8: 1, 13: 2, 19: 3, 22: 1}),
    "Frying (food)": ("kitchen", 300, {8: 0.4, 13: 1, 19: 3}),
    "Beep, bleep": ("kitchen", 3, {8: 0.5, 13: 0.8, 19: 0.3}),
    "Knock": ("kitchen", 2, {10: 0.2, 11: 0.3, 17: 0.4}),
    "Music": ("kitchen", 900, {10: 0.4, 18: 1, 20: 1}),
    "Dog": ("garden", 3, {9: 2, 15: 1, 16: 3, 17: 2}),
    "Bird": ("garden", 8, {6: 4, 7: 6, 8: 3, 9: 1}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    (clips := folder / "clips").mkdir(parents=True)
    tone = (6_000 * np.sin(np.arange(2 * RATE) * 2 * np.pi * 440 / RATE)).astype(np.int16)
    chance, noise = random.Random(8), np.random.default_rng(8)
    with History(folder / "history.db") as history:
        for back in range(DAYS, -1, -1):
            day = LAST - timedelta(days=back)
            for label, (source, length, hours) in HABITS.items():
                for hour, mean in hours.items():
                    for _ in range(noise.poisson(mean)):
                        start = (day + timedelta(hours=hour, seconds=chance.uniform(0, 3600))).timestamp()
                        clip = new_name(source, start, label, "flac") if back == 0 and chance.random() < 0.9 else None
                        if clip is not None:
                            (clips / clip).write_bytes(encode_clip(tone, RATE, "flac", {}))
                        history.add(
                            source,
                            start,
                            start + 0.4 + chance.expovariate(1 / length),
                            label,
                            min(0.99, max(0.22, chance.gauss(0.7, 0.18))),
                            "everyday",
                            clip=clip,
                            clip_start=start - 1 if clip else None,
                            corrected=chance.random() < 0.04,
                        )


if __name__ == "__main__":
    main()

"""A part of fixtures.py: channels in every relation, and what Python mixes them to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from audioinceptionnext.audio.mixdown import Mixdown

RATE = 8000
GAINS = [[1, 1], [1, -1], [1, 0], [0, 0.1], [1, -0.97], [0, 0]]  # of two channels; the others are silent


def mixing(folder: Path) -> None:
    """Each relation for half a second, of one sound or of two, loud or soft, with and without an offset."""
    random = np.random.default_rng(3)
    cases = []
    for count in (2, 4, 6, 8):
        for offset in (0, 0.1):
            parts = []
            for _ in range(12):
                sound = 0.1 * random.standard_normal((2, RATE // 2)) * random.choice([1, 0.03])
                channels = np.zeros((count, RATE // 2))
                gains = GAINS[random.integers(len(GAINS))]
                channels[random.permutation(count)[:2]] = [gains[0] * sound[0], gains[1] * sound[random.integers(2)]]
                parts.append(channels + offset)
            whole = np.concatenate(parts, axis=1).astype("<f4")
            mixdown = Mixdown()
            name = f"{count}-{offset}"
            whole.tofile(folder / f"{name}.in")
            mixdown.mix(list(whole), RATE).tofile(folder / f"{name}.out")
            about = {"warning": mixdown.warning(), "replaced": mixdown.replaced}
            cases.append({"name": name, "count": count, "rate": RATE, **about})
    (folder / "cases.json").write_text(json.dumps(cases))

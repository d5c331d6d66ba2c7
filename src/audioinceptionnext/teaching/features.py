"""What the last layer of a model gets of a recording: one vector for every five seconds.

A recording is cut into stretches of `STRETCH_SECONDS`, the last of which may be shorter, unless it is shorter than half
of that and not the only one. The vector of a stretch is the mean of those of its steps that are not digital silence. A
stretch of digital silence has none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import MediaError
from audioinceptionnext.inference.recogniser import Recogniser

STRETCH_SECONDS = 5.0
MAX_SECONDS = 300.0  # of a recording; what follows is left out


def features_of(model: Recogniser, waveform: np.ndarray) -> np.ndarray:
    """The vectors of a waveform, (stretches, channels) float64; without rows if all of it is digital silence.

    Args:
        model: whose last layer is to be replaced.
        waveform: (samples,) at the model's rate.

    >>> features_of(audioinceptionnext.load(), np.zeros(24_000, np.float32)).shape
    (0, 1120)
    """
    size = round(STRETCH_SECONDS * model.sample_rate)
    starts = range(0, max(1, len(waveform) - size // 2), size)
    steps = [model.embed_steps(waveform[start : start + size]).astype(np.float64) for start in starts]
    means = [loud.mean(axis=0) for own in steps if len(loud := own[own.any(axis=1)])]
    return np.array(means).reshape(-1, steps[0].shape[1])


def features_of_file(model: Recogniser, path: str | Path, start: float = 0.0, end: float | None = None) -> np.ndarray:
    """`features_of` a recording, or of a part of it.

    Args:
        start, end: in seconds; up to the end of the recording unless given, but at most `MAX_SECONDS`.

    Raises:
        MediaError: the file cannot be read, or has no sound.
    """
    seconds = MAX_SECONDS if end is None else min(MAX_SECONDS, end - start)
    waveform = decode.read(path, model.sample_rate, start, seconds)
    if not len(waveform):
        raise MediaError(path, f"has no sound from {start:g} s on")
    return features_of(model, waveform)

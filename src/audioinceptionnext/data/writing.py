"""Writes clips to files."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from audioinceptionnext.data.reader import to_int16


def write_wav(path: Path, waveform: np.ndarray, sample_rate: int) -> None:
    """Write a mono WAV file with 16 bits. A file that exists is replaced.

    Args:
        path: of the file.
        waveform: (samples,) of -1…1; samples beyond that are clipped.
        sample_rate: in Hz.

    Raises:
        OSError: the file cannot be written.
    """
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(sample_rate)
        out.writeframes(to_int16(waveform).astype("<i2").tobytes())

"""Clips to files."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from audioinceptionnext.data.reader import to_int16


def write_wav(path: Path, waveform: np.ndarray, rate: int) -> None:
    """Mono WAV of 16 bits; waveform (samples,), full scale 1. A file that exists is replaced; OSError as it comes."""
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(to_int16(waveform).astype("<i2").tobytes())

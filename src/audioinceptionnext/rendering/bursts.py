"""Where a recording of one sound has that sound: its energy in short frames, against the recording's own floor."""

from __future__ import annotations

import numpy as np

FRAME_SECONDS = 0.01  # bursts begin and end with a frame
FLOOR_SHARE = 0.1  # of the frames: those as soft as the softest tenth are the floor
SILENCE_DB = -90.0  # softer frames are digital silence, which an editor filled in: it says nothing of the floor
SUSTAINED_FRAMES = 5  # the loudest moment is the loudest mean over so many, so that one click does not decide
STEADY_DB = 20.0  # with less from the floor to the loudest moment, the sound never pauses
EDGE = 1 / 3  # of the way, in dB, from the floor to the loudest moment, where a burst begins and ends
HEIGHT = 1 / 2  # of the way, which a burst reaches somewhere


def frame_levels(waveform: np.ndarray, rate: int) -> np.ndarray:
    """The root mean square of each whole frame of `FRAME_SECONDS`.

    Args:
        waveform: (samples,).
        rate: in Hz.

    Returns:
        (frames,), relative to full scale.
    """
    size = frame_samples(rate)
    frames = waveform[: len(waveform) // size * size].reshape(-1, size)
    squares: np.ndarray = np.einsum("fs,fs->f", frames, frames)
    return np.sqrt(squares / size)


def frame_samples(rate: int) -> int:
    """Samples of a frame."""
    return max(1, round(FRAME_SECONDS * rate))


def find_bursts(waveform: np.ndarray, rate: int, gap_seconds: float = 0.5) -> list[tuple[int, int]]:
    """Find the parts of a recording in which its sound is present.

    The floor is the level of the softest tenth of the frames, those of digital silence aside. A recording whose loudest
    moment is less than `STEADY_DB` above it is steady: it sounds everywhere but in digital silence. Otherwise a frame
    belongs to the sound if its level is at least a third of the way from the floor to the loudest moment, in dB. Frames
    with a pause of at most ``gap_seconds`` between them are one burst, with the pause. Bursts that stay below half of
    the way are left out.

    Args:
        waveform: (samples,) of -1…1.
        rate: in Hz.
        gap_seconds: a longer pause divides two bursts.

    Returns:
        The first sample of each burst and the one after its last, by time; none in a silent recording.

    >>> tone = np.sin(np.arange(8_000))
    >>> find_bursts(np.concatenate([0 * tone, tone, 0 * tone]), 8_000)
    [(8000, 16000)]
    """
    levels = 20 * np.log10(np.maximum(frame_levels(waveform, rate), 1e-9))
    there = np.flatnonzero(levels > SILENCE_DB)
    if not len(there):
        return []
    floor = float(np.quantile(levels[there], FLOOR_SHARE))
    way = _loudest(levels) - floor
    sounding = there if way < STEADY_DB else np.flatnonzero(levels >= floor + EDGE * way)
    size = frame_samples(rate)
    apart = 1 + np.flatnonzero(np.diff(sounding) > gap_seconds * rate / size)
    bursts = [(int(part[0]), int(part[-1]) + 1) for part in np.split(sounding, apart)]
    high = [burst for burst in bursts if levels[slice(*burst)].max() >= floor + HEIGHT * way or way < STEADY_DB]
    return [(first * size, last * size) for first, last in high]


def _loudest(levels: np.ndarray) -> float:
    """The highest mean power over `SUSTAINED_FRAMES` frames, in dB."""
    power = 10 ** (levels / 10)
    count = min(SUSTAINED_FRAMES, len(power))
    return float(10 * np.log10(np.convolve(power, np.full(count, 1 / count), "valid").max()))

"""Decodes any audio or video file to a mono float32 waveform, with PyAV (FFmpeg) and NumPy.

Full scale is -1 to 1, but values are not clipped: a float file may exceed it. NaN, infinity and absurd values become 0.
Channels are mixed down to one, see `mixdown`.

>>> waveform = read("dinner.mp4", sample_rate=24_000, start=60, duration=2)
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

import av
import numpy as np

from audioinceptionnext.audio.soundtrack import SoundTrack
from audioinceptionnext.errors import MediaError


def read_blocks(
    path: str | Path,
    sample_rate: int,
    block_seconds: float = 30.0,
    on_warning: Callable[[str], None] | None = None,
) -> Generator[np.ndarray]:
    """Decode a file as consecutive blocks, in the memory of one block.

    Args:
        sample_rate: of the blocks, in Hz.
        block_seconds: length of a block.
        on_warning: called at the end, at most once, if the file ends early or packets were skipped. Its argument is
            one line, which does not name the file.

    Yields:
        (round(block_seconds * sample_rate),) float32; the last block may be shorter. Sample 0 is the start of the
        file: a sound track that starts after the picture gets silence first.

    Raises:
        MediaError: the file cannot be opened, has no sound, or cannot be decoded: at the first block. If the file
            turns out to be damaged beyond use only later, the error comes with a later block.
    """
    size = round(block_seconds * sample_rate)
    if size < 1:
        raise ValueError(f"a block of {block_seconds} s has no sample at {sample_rate} Hz")
    block, filled = np.empty(size, np.float32), 0
    with closing(SoundTrack(path)) as track:
        for samples in track.waveform(sample_rate):
            while len(samples):
                part, samples = samples[: size - filled], samples[size - filled :]
                block[filled : filled + len(part)] = part
                filled += len(part)
                if filled == size:
                    track.check_plausible()
                    yield block
                    block, filled = np.empty(size, np.float32), 0
        track.check_plausible()
        warning = track.warning()
    if filled:
        yield block[:filled].copy()
    if warning and on_warning:
        on_warning(warning)


def read(path: str | Path, sample_rate: int, start: float = 0.0, duration: float | None = None) -> np.ndarray:
    """Decode a part of a file, or all of it.

    Args:
        sample_rate: of the waveform, in Hz.
        start, duration: the part, in seconds; up to the end unless a duration is given. A late start is reached by
            seeking, to within a millisecond.

    Returns:
        (n,) float32, where n is round((start + duration) * sample_rate) - round(start * sample_rate), or less if the
        file ends before.

    Raises:
        MediaError: the file cannot be opened, has no sound, or cannot be decoded.
    """
    if start < 0 or (duration is not None and duration < 0):
        raise ValueError("start and duration must not be negative")
    first = round(start * sample_rate)
    stop = None if duration is None else round((start + duration) * sample_rate)
    with closing(SoundTrack(path)) as track:
        position = round(track.seek(start, sample_rate) * sample_rate)
        parts = []
        for samples in track.waveform(sample_rate):
            end = len(samples) if stop is None else max(0, stop - position)
            parts.append(samples[max(0, first - position) : end])
            position += len(samples)
            if stop is not None and position >= stop:
                break
        else:
            track.check_plausible()
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def duration_of(path: str | Path) -> float | None:
    """The duration in seconds that the header claims, without decoding; None if it is unknown. For progress only."""
    try:
        with closing(SoundTrack(path)) as track:
            if track.container.duration:
                return float(track.container.duration / av.time_base)
            return float(track.stream.duration * track.stream.time_base) if track.stream.duration else None
    except MediaError:
        return None

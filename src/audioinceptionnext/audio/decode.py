"""Between any audio or video file and a mono float32 waveform: PyAV (FFmpeg) and numpy only, no torch.

Values are not clipped: a float file may go above 1 and stays as it is. Only NaN, infinity and the absurd become 0.
Channels are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import av
import numpy as np

from audioinceptionnext.audio.source import MediaError, Source


def read_blocks(
    path: str | Path,
    sample_rate: int,
    block_seconds: float = 30.0,
    on_warning: Callable[[str], None] | None = None,
) -> Iterator[np.ndarray]:
    """Yield the sound of a file as consecutive mono float32 blocks, in memory bounded by one block.

    Each block has shape (round(block_seconds * sample_rate),), the last one may be shorter; full scale is -1..1 and
    is not clipped. Sample 0 is the start of the file: a sound track that starts after the picture gets silence first.

    ``on_warning`` is called at the end, at most once, with one line when the file ends early or packets were skipped.
    Raises MediaError, at the first ``next``, if the file cannot be opened, has no sound or decodes to nothing; at a
    later one if what follows is damaged beyond use.
    """
    size = round(block_seconds * sample_rate)
    if size < 1:
        raise ValueError(f"a block of {block_seconds} s has no sample at {sample_rate} Hz")
    block, filled = np.empty(size, np.float32), 0
    with closing(Source(path)) as source:
        for chunk in source.waveform(sample_rate):
            while len(chunk):
                part, chunk = chunk[: size - filled], chunk[size - filled :]
                block[filled : filled + len(part)] = part
                filled += len(part)
                if filled == size:
                    source.check_sense()
                    yield block
                    block, filled = np.empty(size, np.float32), 0
        source.check_sense()
        warning = source.warning()
    if filled:
        yield block[:filled].copy()
    if warning and on_warning:
        on_warning(warning)


def read(path: str | Path, sample_rate: int, start: float = 0.0, duration: float | None = None) -> np.ndarray:
    """Return the sound of [start, start + duration) seconds: mono float32, shape (n,), as in ``read_blocks``.

    n is round((start + duration) * sample_rate) - round(start * sample_rate), less where the file ends before.
    Positions are right within a millisecond, also where a late start is reached by seeking. Raises MediaError.
    """
    if start < 0 or (duration is not None and duration < 0):
        raise ValueError("start and duration must not be negative")
    first = round(start * sample_rate)
    stop = None if duration is None else round((start + duration) * sample_rate)
    with closing(Source(path)) as source:
        position = round(source.seek(start, sample_rate) * sample_rate)
        parts = []
        for chunk in source.waveform(sample_rate):
            end = len(chunk) if stop is None else max(0, stop - position)
            parts.append(chunk[max(0, first - position) : end])
            position += len(chunk)
            if stop is not None and position >= stop:
                break
        else:
            source.check_sense()
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def duration_of(path: str | Path) -> float | None:
    """Return the seconds that the header claims, without decoding; None if unknown or unreadable. For progress only."""
    try:
        with closing(Source(path)) as source:
            if source.container.duration:
                return float(source.container.duration / av.time_base)
            return float(source.stream.duration * source.stream.time_base) if source.stream.duration else None
    except MediaError:
        return None

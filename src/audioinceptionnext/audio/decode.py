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

from audioinceptionnext.audio.resample import missing_band
from audioinceptionnext.audio.soundtrack import SoundTrack
from audioinceptionnext.errors import MediaError


def read_blocks(
    path: str | Path,
    sample_rate: int,
    block_seconds: float = 30.0,
    on_warning: Callable[[str], None] | None = None,
    track: int | None = None,
    on_packet: Callable[[], None] | None = None,
    for_model: bool = False,
) -> Generator[np.ndarray]:
    """Decode a file as consecutive blocks, in the memory of one block.

    Args:
        sample_rate: of the blocks, in Hz.
        block_seconds: length of a block.
        on_warning: called at the end, at most once, if the file ends early, packets were skipped, the sound starts
            late or is one track of several. Its argument is one line, which does not name the file.
        track: number of the sound track, from 1 on; the first that can be decoded and is not silent unless given.
        on_packet: called for each packet of the file, of which there may be many before anything can be decoded. What
            it raises ends the decoding.
        for_model: whether ``sample_rate`` is a model's, so that a file with a rate that is too low gets a warning, too.

    Yields:
        (round(block_seconds * sample_rate),) float32; the last block may be shorter. Sample 0 is the start of the
        file: a sound track that starts later than the picture, or than the file's own time 0, gets silence first.

    Raises:
        MediaError: the file cannot be opened, has no sound or not so many tracks, or cannot be decoded: at the first
            block. If the file turns out to be damaged beyond use only later, the error comes with a later block.
        ParameterError: ``track`` is no whole number, or less than 1.
    """
    size = round(block_seconds * sample_rate)
    if size < 1:
        raise ValueError(f"a block of {block_seconds} s has no sample at {sample_rate} Hz")
    block, filled = np.empty(size, np.float32), 0
    with closing(SoundTrack(path, track, on_packet)) as sound:
        for samples in sound.waveform(sample_rate):
            while len(samples):
                part, samples = samples[: size - filled], samples[size - filled :]
                block[filled : filled + len(part)] = part
                filled += len(part)
                if filled == size:
                    if sound.seconds > block_seconds / 2:  # silence before the sound says nothing about it
                        sound.check_plausible()
                    yield block
                    block, filled = np.empty(size, np.float32), 0
        sound.check_plausible()
        rate = int(sound.stream.codec_context.sample_rate)  # HE-AAC's is known once it is decoded
        lacks = missing_band(rate, sample_rate) if for_model else None
        warning = "; ".join(filter(None, (sound.warning(), lacks)))
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
            whole = float((track.container.duration or 0) / av.time_base)
            sound = float((track.stream.duration or 0) * track.stream.time_base)
            return max(whole, track.start.lead + sound if sound else 0.0) or None
    except MediaError:
        return None

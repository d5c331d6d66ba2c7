"""Which of several sound tracks of a file is the recording."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from audioinceptionnext.audio.container import open_container

_DISCARD_ALL = 48  # AV_DISCARD_ALL
_PROBE_S = 20.0  # a track that is silent for so long is taken for a silent one
_PROBE_PACKETS = 20_000  # bounds the work where packets hold next to nothing
_MOST_TRACKS = 8  # are looked at
_SILENT = 1e-4  # full scale is 1: 80 dB below it, which is three steps of 16 bits


def keep_only(container: Any, kept: list[Any]) -> None:
    """Let FFmpeg drop the packets of all other streams while it reads."""
    for stream in container.streams:
        if stream not in kept:
            try:
                stream.discard = _DISCARD_ALL
            except AttributeError:  # PyAV below 14 reads pictures and drops them, which is only slower
                return


def find_audible(path: str | Path) -> tuple[int, str | None]:
    """The first sound track of a file that can be decoded and is not silent, judged by the file's first seconds.

    Returns:
        The track's index among the sound tracks, and why those before it were not taken. If all are silent, it is the
        first that can be decoded.

    Raises:
        MediaError: the file cannot be opened.
    """
    found = Path(path).stat()  # a data set reads many clips of a file
    return _find_audible(str(Path(path).absolute()), found.st_mtime_ns, found.st_size)


@lru_cache(256)
def _find_audible(path: str, changed: int, size: int) -> tuple[int, str | None]:
    container, source = open_container(path)
    try:
        return _first_audible(container)
    finally:
        container.close()
        if source is not None:
            source.close()


def _first_audible(container: Any) -> tuple[int, str | None]:
    tracks = list(container.streams.audio)[:_MOST_TRACKS]
    candidates = [track for track in tracks if track.codec_context is not None]
    if not candidates:
        return 0, None
    keep_only(container, candidates)
    seconds = dict.fromkeys((track.index for track in candidates), 0.0)
    loud: set[int] = set()
    try:
        for number, packet in enumerate(container.demux(candidates)):
            try:
                frames = packet.decode()
            except (FFmpegError, EOFError):
                frames = []
            index = packet.stream.index
            for frame in frames:
                seconds[index] += frame.samples / max(1, frame.sample_rate)
                if index not in loud and not _is_silent(frame):
                    loud.add(index)
            if candidates[0].index in loud:
                break
            if max(seconds.values()) > _PROBE_S or number > _PROBE_PACKETS:
                break
    except (FFmpegError, EOFError, IndexError):
        pass
    chosen = next((track for track in candidates if track.index in loud), None)
    chosen = chosen or next((track for track in candidates if seconds[track.index]), None)
    number = tracks.index(chosen or candidates[0])
    mute = [track for track in tracks[:number] if seconds.get(track.index)]
    reasons = []
    if mute:
        reasons.append("silent")
    if len(mute) < number:
        reasons.append("not decodable")
    return number, " or ".join(reasons) or None


def _is_silent(frame: av.AudioFrame) -> bool:
    frame.pts = None
    for packed in av.AudioResampler(format="flt").resample(frame):
        count = packed.layout.nb_channels
        samples = np.frombuffer(memoryview(packed.planes[0]), np.float32)[: packed.samples * count].reshape(-1, count)
        if len(samples) and np.ptp(samples, axis=0).max() / 2 > _SILENT:  # an offset is no sound
            return False
    return True

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
_WAIT_S = 120.0  # of other tracks, while a track has no packet yet: its sound may start late
_PROBE_PACKETS = 20_000  # bounds the work where packets hold next to nothing
_FAILED = 100  # a track of which so many packets and nothing else came cannot be decoded
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
        first whose sound may still start, and otherwise the first that can be decoded.

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
    failed = dict.fromkeys(seconds, 0)  # packets
    loud: set[int] = set()
    ended = False
    try:
        for number, packet in enumerate(container.demux(candidates)):
            index = packet.stream.index
            try:
                frames = packet.decode()
            except (FFmpegError, EOFError):
                frames = []
                failed[index] += packet.size > 0
            for frame in frames:
                seconds[index] += frame.samples / max(1, frame.sample_rate)
                if index not in loud and not _is_silent(frame):
                    loud.add(index)
            if _is_decided(seconds, failed, loud) or max(seconds.values()) > _WAIT_S or number > _PROBE_PACKETS:
                break
        else:
            ended = True
    except (FFmpegError, EOFError, IndexError):
        ended = True
    waits = [one for one in candidates if not (ended or seconds[one.index] or failed[one.index])]
    decoded = [one for one in candidates if seconds[one.index]]
    chosen = next((one for one in candidates if one.index in loud), None) or next(iter(waits + decoded), candidates[0])
    number = tracks.index(chosen)
    broken = [one for one in candidates if failed[one.index] and not seconds[one.index]]
    mute = [one for one in tracks[:number] if one in candidates and one not in broken]
    reasons = []
    if mute:
        reasons.append("silent")
    if len(mute) < number:
        reasons.append("not decodable")
    return number, " or ".join(reasons) or None


def _is_decided(seconds: dict[int, float], failed: dict[int, int], loud: set[int]) -> bool:
    """Whether no further packet can change which track is taken: the first that is loud, after those that are not."""
    for index, decoded in seconds.items():
        if index in loud:
            return True
        if decoded <= _PROBE_S and (decoded or failed[index] <= _FAILED):
            return False
    return True


def _is_silent(frame: av.AudioFrame) -> bool:
    frame.pts = None
    for packed in av.AudioResampler(format="flt").resample(frame):
        count = packed.layout.nb_channels
        samples = np.frombuffer(memoryview(packed.planes[0]), np.float32)[: packed.samples * count].reshape(-1, count)
        if len(samples) and np.ptp(samples, axis=0).max() / 2 > _SILENT:  # an offset is no sound
            return False
    return True

"""Streams from a network, and files that are still being written: decoded packet by packet, as FFmpeg gets them."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.logging
import numpy as np
from av.error import (
    ExitError,
    FFmpegError,
    HTTPUnauthorizedError,
    InvalidDataError,
    OptionNotFoundError,
    ProtocolNotFoundError,
)

from audioinceptionnext.audio.capture import LiveInput, public_name
from audioinceptionnext.audio.container import FORMATS
from audioinceptionnext.audio.mixdown import Mixdown
from audioinceptionnext.audio.reconnect import Connection, Reconnecting
from audioinceptionnext.audio.resample import Resampler, missing_band, mono_blocks, silence
from audioinceptionnext.audio.soundtrack import MAX_RATE, MIN_RATE
from audioinceptionnext.audio.time_stamps import Clock, start_of
from audioinceptionnext.audio.tracks import keep_only
from audioinceptionnext.errors import MediaError, printable

_POLL_S = 0.1  # from one look at a growing file to the next
_OPEN_TIMEOUT_S, _READ_TIMEOUT_S = 15.0, 30.0  # for a server's first response, and for each packet after it
_MAX_GAP_S = 10.0  # a longer gap between two packets means that the server's clock was set anew
# A stream may fetch from the network only, and not from this computer's files, whatever a playlist says.
_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtmp,rtmps,rtmpt,rtmpts,srt,hls,crypto,data,ftp"
# Another attempt would fail the same way: a typing error in the address, a page in place of sound, a wrong password.
_HOPELESS = (ValueError, InvalidDataError, ProtocolNotFoundError, OptionNotFoundError, HTTPUnauthorizedError)
_WAITING = ("http", "https", "ftp")  # servers of these protocols stop sending while nobody reads


def growing_input(path: str, target_rate: int, warn: Callable[[str], None]) -> LiveInput:
    """A file that is still being written. At its end, it waits for more until it is closed.

    Args:
        target_rate, warn: as for `network_input`.

    Its blocks raise OSError if there is no such file.
    """
    name = printable(path)
    growing = _GrowingFile()

    def blocks() -> Iterator[np.ndarray]:
        # A header written at the start of a recording cannot say how long it will be.
        options = {"format_whitelist": FORMATS, "ignore_length": "1"}

        def connect() -> Any:
            return av.open(growing, options=options, metadata_errors="replace")

        with Path(path).open("rb") as growing.file:
            yield from _decode(connect, name, target_rate, warn, Connection(), grows=True)

    return LiveInput(name, blocks(), waits=True, close=growing.close)


class _GrowingFile:
    """What PyAV reads in place of a file: ``read`` waits at the end of the file for more."""

    file: BinaryIO
    closed = False

    def read(self, size: int) -> bytes:
        while not (data := self.file.read(size)) and not self.closed:
            time.sleep(_POLL_S)
        return data

    def close(self) -> None:
        self.closed = True


def network_input(
    url: str,
    target_rate: int,
    warn: Callable[[str], None],
    *,
    name: str | None = None,
    note: Callable[[str], None] | None = None,
    from_the_start: bool = False,
) -> LiveInput:
    """A stream that FFmpeg can fetch: http, https (also HLS), rtsp, rtmp, rtp or udp.

    Args:
        target_rate: of the blocks, in Hz.
        warn: called with one line if some of the sound is missing, or the channels cancel each other; once for each.
        name: what messages call it; the URL without a password unless given.
        note: called with one line when a live stream breaks off, and when it is back: it is then opened again, however
            long that takes. It ends where it breaks off unless given.
        from_the_start: with ``note``, whether it is tried again even if it cannot be opened at first.

    Raises:
        MediaError: ``url`` is the URL of a file.
    """
    name = name or public_name(url)
    scheme = url.partition("://")[0].lower()
    if scheme == "file":
        raise MediaError(name, "is a file; give its path alone, without file://")
    options = {"protocol_whitelist": _PROTOCOLS, "format_whitelist": f"{FORMATS},hls,rtsp,rtp,sdp"}

    def connect() -> Any:
        timeout = (_OPEN_TIMEOUT_S, _READ_TIMEOUT_S)
        return av.open(url, options=options, timeout=timeout, metadata_errors="replace")

    def blocks(connection: Connection) -> Iterator[np.ndarray]:
        return _decode(connect, name, target_rate, warn, connection)

    waits = scheme in _WAITING
    if note is None:
        return LiveInput(name, blocks(Connection()), waits)
    again = Reconnecting(blocks, name, note, from_the_start)
    return LiveInput(name, iter(again), waits, close=again.closed.set)


def _decode(
    connect: Callable[[], Any],
    name: str,
    target_rate: int,
    warn: Callable[[str], None],
    connection: Connection,
    grows: bool = False,
) -> Iterator[np.ndarray]:
    """Yield a container's sound as mono blocks, packet by packet.

    Args:
        connect: opens the container.
        connection: is told what is known of it.
        grows: whether it is a file, in which times are those that it has when it is whole: the sound may start late,
            and pauses are as long as in `SoundTrack`. The time stamps of a network stream start anywhere.
    """
    try:
        container = connect()
    except (FFmpegError, OSError, ValueError, RuntimeError) as error:
        connection.hopeless = isinstance(error, _HOPELESS)
        reason = f"cannot be opened: {_reason(error)}; check the address and try to play it"
        raise MediaError(name, reason) from None
    with container:
        connection.hopeless = True  # until there is sound
        connection.length_stated = _states_length(container)
        if not container.streams.audio:
            raise MediaError(name, "has no sound; give a stream with a sound track")
        tracks = container.streams.audio
        stream = container.streams.best("audio") or tracks[0]
        if len(tracks) > 1:
            warn(f"{name}: this is sound track {list(tracks).index(stream) + 1} of {len(tracks)}")
        if stream.codec_context is None:
            raise MediaError(name, "its sound is in a codec that FFmpeg lacks; give a stream in another codec")
        keep_only(container, [stream])
        connection.hopeless = False
        resampler: Resampler | None = None
        mixdown = Mixdown(lambda line: warn(f"{name}: {line}"))
        try:
            frames: Iterator[Any] = _frames(container, stream, name, warn, grows)
            first = next(frames, None)
            if grows and first is not None and first.pts is not None:
                start = start_of(container, stream, float(first.pts * stream.time_base))
                if start.note:
                    warn(f"{name}: {start.note}")
                yield from silence(start.lead, target_rate)
            for block, rate in mono_blocks(frames if first is None else chain([first], frames), mixdown):
                if resampler is None or resampler.sample_rate != rate:
                    if not MIN_RATE <= rate <= MAX_RATE:
                        reason = f"claims a sample rate of {rate} Hz; it must lie between {MIN_RATE} and {MAX_RATE}"
                        raise MediaError(name, reason)
                    if resampler is not None:
                        yield resampler.finish()
                    elif line := missing_band(rate, target_rate):
                        warn(f"{name}: {line}")
                    resampler = Resampler(rate, target_rate)
                connection.seconds += len(block) / rate
                yield resampler.push(block)
        except (FFmpegError, OSError) as error:
            # FFmpeg takes the end of an HTTP stream that never stated its length for a failure.
            ended = error.errno == errno.EIO and container.size <= 0
            reason = f"nothing arrived for {_READ_TIMEOUT_S:g} s" if isinstance(error, ExitError) else _reason(error)
            if not ended:
                raise MediaError(name, f"broke off: {reason}") from None
        if resampler is None:
            raise MediaError(name, "ended before any sound arrived")
        yield resampler.finish()


def _frames(
    container: Any, stream: Any, name: str, warn: Callable[[str], None], grows: bool
) -> Iterator[av.AudioFrame | float]:
    """Yield the frames, and a number of seconds wherever some are missing.

    Damaged packets are left out; the time stamps then show what is missing. After each packet comes a gap of 0 s, at
    which `mono_blocks` gives out what it has.
    """
    clock = Clock(stream) if grows else Clock(stream, left=math.inf, longest=_MAX_GAP_S, drifts=True)
    begun = damaged = warned = ignored = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except EOFError:
            continue
        except FFmpegError:
            damaged = True
            continue
        for frame in frames:
            gap = clock.gap_before(frame, damaged)
            if gap and not warned:
                warned = True
                warn(f"{name}: some sound is missing or damaged and was replaced by silence")
            if (line := clock.ignored()) is not None and not ignored:
                ignored = True
                warn(f"{name}: {line}")
            begun, damaged = True, False
            if gap:
                yield gap
            yield frame
        if begun:
            yield 0.0


def _states_length(container: Any) -> bool:
    """Whether a server has said how much there is: it has a recording, not a live stream."""
    if container.format.name == "hls":  # whose playlist says when it is complete
        return container.duration is not None
    return container.size > 0


def _reason(error: Exception) -> str:
    if isinstance(error, ExitError):  # FFmpeg's name for a time limit that has passed
        return "no response"
    if isinstance(error, (InvalidDataError, EOFError)):
        return "no sound that FFmpeg can read"
    return " ".join((getattr(error, "strerror", None) or str(error)).lower().split())

"""Sound that comes over a network, or grows in a file: decoded packet by packet, as FFmpeg gets it."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.logging
import numpy as np
from av.error import ExitError, FFmpegError, InvalidDataError

from audioinceptionnext.audio.capture import Input, check_rate, named
from audioinceptionnext.audio.resample import Resampler, mono_pieces
from audioinceptionnext.audio.source import DISCARD_ALL, FORMATS, HOLE_S, PACKET_S
from audioinceptionnext.errors import AinextError, printable

_POLL_S = 0.1  # from one look at a growing file to the next
_OPEN_S, _SILENT_S = 15.0, 30.0  # how long a server may take to answer, and between two packets
_MOST_HOLE_S = 10.0  # time missing between two packets: more is a clock set anew
# What a stream may fetch: nothing from this machine's files, whatever a playlist says.
_PROTOCOLS = "http,https,httpproxy,tcp,tls,udp,rtp,rtmp,rtmps,rtmpt,rtmpts,srt,hls,crypto,data,ftp"
_WAITING = ("http", "https", "ftp")  # servers of these stop sending while nobody reads


def growing_input(path: str, rate: int, warn: Callable[[str], None]) -> Input:
    """A file that is still being written: at its end it waits for more, until closed. ``warn`` as in `network_input`.

    Its pieces raise OSError if there is no such file.
    """
    name = printable(path)
    growing = _Growing()

    def pieces() -> Iterator[np.ndarray]:
        # A header written at the start of a recording cannot say how long it will be.
        options = {"format_whitelist": FORMATS, "ignore_length": "1"}
        with Path(path).open("rb") as growing.file:
            yield from _decoded(lambda: av.open(growing, options=options, metadata_errors="replace"), name, rate, warn)

    return Input(name, pieces(), waits=True, close=growing.close)


class _Growing:
    """A file whose end is not its end, as PyAV reads it."""

    file: BinaryIO
    closed = False

    def read(self, size: int) -> bytes:
        while not (data := self.file.read(size)) and not self.closed:
            time.sleep(_POLL_S)
        return data

    def close(self) -> None:
        self.closed = True


def network_input(url: str, rate: int, warn: Callable[[str], None]) -> Input:
    """What FFmpeg can fetch: http, https (also HLS), rtsp, rtmp, rtp, udp. ``warn`` is told once if sound is missing.

    Raises AinextError: a `file:` URL.
    """
    name = named(url)
    scheme = url.partition("://")[0].lower()
    if scheme == "file":
        raise AinextError(f"{name}: give the file's path alone, without file://")
    options = {"protocol_whitelist": _PROTOCOLS, "format_whitelist": f"{FORMATS},hls,rtsp,rtp,sdp"}

    def pieces() -> Iterator[np.ndarray]:
        def connect() -> Any:
            return av.open(url, options=options, timeout=(_OPEN_S, _SILENT_S), metadata_errors="replace")

        yield from _decoded(connect, name, rate, warn)

    return Input(name, pieces(), waits=scheme in _WAITING)


def _decoded(connect: Callable[[], Any], name: str, rate: int, warn: Callable[[str], None]) -> Iterator[np.ndarray]:
    """A container's sound, packet by packet."""
    try:
        container = connect()
    except (FFmpegError, OSError, ValueError, RuntimeError) as error:
        raise AinextError(f"{name}: cannot be opened: {_reason(error)}; check the address and try to play it") from None
    with container:
        if not container.streams.audio:
            raise AinextError(f"{name}: has no sound; give a stream with a sound track")
        stream = container.streams.best("audio") or container.streams.audio[0]
        if stream.codec_context is None:
            raise AinextError(f"{name}: its sound is in a codec that FFmpeg lacks")
        for other in container.streams:
            if other is not stream:
                other.discard = DISCARD_ALL
        resampler: Resampler | None = None
        try:
            for piece, found in mono_pieces(_frames(container, stream, name, warn)):
                if resampler is None or resampler.rate != found:
                    check_rate(found, f"{name}: a rate of")
                    if resampler is not None:
                        yield resampler.finish()
                    resampler = Resampler(found, rate)
                yield resampler.push(piece)
        except (FFmpegError, OSError) as error:
            # FFmpeg takes the end of an HTTP stream that never stated its length for a failure.
            ended = error.errno == errno.EIO and container.size <= 0
            reason = f"nothing came for {_SILENT_S:g} s" if isinstance(error, ExitError) else _reason(error)
            if not ended:
                raise AinextError(f"{name}: broke off: {reason}") from None
        if resampler is None:
            raise AinextError(f"{name}: ended before any sound came")
        yield resampler.finish()


def _frames(container: Any, stream: Any, name: str, warn: Callable[[str], None]) -> Iterator[av.AudioFrame | float]:
    """The frames, and seconds where some are missing; after each packet 0 s, at which `mono_pieces` gives what it has.

    Damaged packets are left out: what is missing then shows in the time stamps.
    """
    clock: float | None = None  # where the next frame should begin
    begun = damaged = told = False
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except EOFError:
            continue
        except FFmpegError:
            damaged = True
            continue
        for frame in frames:
            if frame.pts is not None:
                begins = float(frame.pts * stream.time_base)
                if clock is not None and (PACKET_S if damaged else HOLE_S) < begins - clock <= _MOST_HOLE_S:
                    if not told:
                        told = True
                        warn(f"{name}: some sound is missing or damaged; silence stands for it")
                    yield begins - clock
                clock = begins
            if clock is not None:
                clock += frame.samples / max(1, frame.sample_rate)
            begun, damaged = True, False
            yield frame
        if begun:
            yield 0.0


def _reason(error: Exception) -> str:
    if isinstance(error, ExitError):  # how FFmpeg calls our time limit
        return "no answer"
    if isinstance(error, (InvalidDataError, EOFError)):
        return "no sound that FFmpeg can read"
    return " ".join((getattr(error, "strerror", None) or str(error)).lower().split())

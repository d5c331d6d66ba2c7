"""Recordings in every container, each in the situations in which time stamps, tracks and lengths go wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from audioinceptionnext.audio.decode import read_blocks
from tests.audio_files import Pipe

RATE = 16_000  # of what is decoded
LEAD_S, PAUSE_S = 3.0, 10.0
LONG_LEAD_S = 12.0  # FFmpeg looks at the first seconds only
_INDEXED = ("mp4", "mov", "ipod", "3gp")  # to a pipe they are written in fragments, each with its own index


@dataclass(frozen=True)
class Container:
    """A container with the codec that it is tried with.

    Attributes:
        suffix: of its files.
        format, codec: FFmpeg's names.
        rate: of the sound, in Hz.
        stamped: whether it holds the time of a packet apart from the packets before it.
        zero: whether its time stamps count from the beginning of the recording; in others they start anywhere.
        tracks: whether it holds several sound tracks.
        picture: FFmpeg's name of a codec for a picture beside the sound; None if it holds none.
        options: of the muxer.
    """

    suffix: str
    format: str
    codec: str
    rate: int = 48_000
    stamped: bool = False
    zero: bool = False
    tracks: bool = False
    picture: str | None = None
    options: tuple[tuple[str, str], ...] = ()


def _film(suffix: str, format: str, codec: str = "aac", picture: str = "mpeg4", **more: Any) -> Container:
    return Container(suffix, format, codec, stamped=True, zero=format != "mpegts", tracks=True, picture=picture, **more)


CONTAINERS: dict[str, Container] = {
    "mp4": _film(".mp4", "mp4"),
    "mov": _film(".mov", "mov"),
    "mkv": _film(".mkv", "matroska"),
    "mka": Container(".mka", "matroska", "pcm_s16le", stamped=True, zero=True, tracks=True),
    "webm": _film(".webm", "webm", "libopus", "libvpx"),
    "ts": _film(".ts", "mpegts", picture="libx264"),
    "flv": Container(".flv", "flv", "aac", 44_100, stamped=True, zero=True, picture="flv1"),
    "avi": Container(".avi", "avi", "pcm_s16le", tracks=True, picture="mpeg4"),
    "m4a": Container(".m4a", "ipod", "aac", stamped=True, zero=True, tracks=True),
    "3gp": Container(".3gp", "3gp", "aac", stamped=True, zero=True, picture="mpeg4"),
    "wma": Container(".wma", "asf", "wmav2", 44_100, stamped=True, zero=True, tracks=True, picture="wmv2"),
    "nut": _film(".nut", "nut"),
    "mpg": Container(".mpg", "mpeg", "mp2", stamped=True, tracks=True, picture="mpeg4"),
    "ogg": Container(".ogg", "ogg", "vorbis", stamped=True, zero=True),
    "opus": Container(".opus", "opus", "libopus", stamped=True, zero=True),
    "wav": Container(".wav", "wav", "pcm_s16le"),
    "rf64": Container(".rf64", "wav", "pcm_s16le", options=(("rf64", "always"),)),
    "w64": Container(".w64", "w64", "pcm_s16le"),
    "aiff": Container(".aiff", "aiff", "pcm_s16be"),
    "caf": Container(".caf", "caf", "pcm_s16le"),
    "au": Container(".au", "au", "pcm_s16be"),
    "flac": Container(".flac", "flac", "flac"),
    "mp3": Container(".mp3", "mp3", "libmp3lame"),
    "aac": Container(".aac", "adts", "aac"),
    "ac3": Container(".ac3", "ac3", "ac3"),
    "amr": Container(".amr", "amr", "libopencore_amrnb", 8_000),
    "wv": Container(".wv", "wv", "wavpack"),
    "tta": Container(".tta", "tta", "tta"),
}


_FORMATS = {"wavpack": "s16p", "tta": "s16"}  # the first that these have is of 8 bits


def mux(
    path: Path,
    kind: Container,
    tracks: list[np.ndarray],
    *,
    time_of: Callable[[float], float] = lambda seconds: seconds,
    picture_seconds: float = 0.0,
    piped: bool = False,
) -> Path:
    """Write sound tracks, with a picture before them if it is to have a length.

    Args:
        tracks: each (samples,) or (samples, channels) float32 at the container's rate.
        time_of: the time that a packet gets, from the time that it would have.
        picture_seconds: how long the picture is, from 0 on.
        piped: write as to a pipe, so that the header does not state the length.
    """
    pipe = Pipe()
    target: Any = pipe if piped else str(path)
    fragments = {"movflags": "frag_keyframe+empty_moov"} if piped and kind.format in _INDEXED else {}
    with av.open(target, "w", format=kind.format, options={**dict(kind.options), **fragments}) as output:
        pictures = output.add_stream(kind.picture, rate=25) if picture_seconds else None
        if pictures is not None:
            pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sounds = []
        for track in tracks:
            layout = "stereo" if track.ndim == 2 or kind.codec == "vorbis" else "mono"
            strict = {"strict": "-2"} if kind.codec == "vorbis" else {}
            sounds.append(output.add_stream(kind.codec, rate=kind.rate, layout=layout, options=strict))
            if kind.codec == "wmav2":
                sounds[-1].bit_rate = 64_000
            if kind.codec in _FORMATS:
                sounds[-1].codec_context.format = _FORMATS[kind.codec]
        packets: list[tuple[float, Any]] = []
        if pictures is not None:
            for number in range(round(picture_seconds * 25)):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number * 10 % 256, np.uint8), format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                packets += [(_time(packet), packet) for packet in pictures.encode(frame)]
            packets += [(_time(packet), packet) for packet in pictures.encode(None)]
        for stream, track in zip(sounds, tracks, strict=True):
            for packet in _encoded(stream, track, kind.rate):
                time = _time(packet)
                shift = round((time_of(time) - time) / packet.time_base)
                if shift:
                    packet.pts = packet.dts = packet.pts + shift
                packets.append((_time(packet), packet))
        for _, packet in sorted(packets, key=lambda item: item[0]):
            output.mux(packet)
    if piped:
        path.write_bytes(pipe.content)
    return path


def _time(packet: Any) -> float:
    return float((packet.dts or 0) * packet.time_base)


def _encoded(stream: Any, track: np.ndarray, rate: int) -> Iterator[Any]:
    channels = track[:, None] if track.ndim == 1 else track
    wanted = stream.codec_context.layout.nb_channels
    if channels.shape[1] != wanted:
        channels = np.repeat(channels, wanted, axis=1)
    layout = "mono" if wanted == 1 else "stereo"
    step = rate // 10
    for start in range(0, len(channels), step):
        part = np.ascontiguousarray(channels[start : start + step], np.float32)
        frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), start
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _plain(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [sound])


def _lead(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [sound], time_of=lambda time: time + LEAD_S)


def _lead_piped(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [sound], time_of=lambda time: time + LEAD_S, piped=True)


def _after_picture(path: Path, kind: Container, sound: np.ndarray) -> Path:
    seconds = len(sound) / kind.rate + LEAD_S
    return mux(path, kind, [sound], time_of=lambda time: time + LEAD_S, picture_seconds=seconds)


def _long_after_picture(path: Path, kind: Container, sound: np.ndarray) -> Path:
    seconds = len(sound) / kind.rate + LONG_LEAD_S
    return mux(path, kind, [sound], time_of=lambda time: time + LONG_LEAD_S, picture_seconds=seconds)


def _paused(half: float) -> Callable[[float], float]:
    return lambda time: time + PAUSE_S * (time >= half)


def _pause(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [sound], time_of=_paused(len(sound) / kind.rate / 2))


def _pause_piped(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [sound], time_of=_paused(len(sound) / kind.rate / 2), piped=True)


def _unstated(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [sound], piped=True)


def _second_track(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [np.zeros_like(sound), sound])


def _opposite(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [np.stack([sound, -sound], axis=1)])


def _offset(path: Path, kind: Container, sound: np.ndarray) -> Path:
    return mux(path, kind, [sound * np.float32(0.9) + np.float32(0.05)])


def _cut(path: Path, kind: Container, sound: np.ndarray) -> Path:
    mux(path, kind, [sound])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 + 37])  # within a packet of MPEG-TS
    return path


@dataclass(frozen=True)
class Situation:
    """What happened to a recording.

    Attributes:
        write: writes the recording.
        time: where a sound at this time of the original, and of so many seconds in all, is to be found.
        fits: whether a container can be in the situation.
    """

    write: Callable[[Path, Container, np.ndarray], Path]
    time: Callable[[float, float], float] = lambda time, length: time
    fits: Callable[[Container], bool] = lambda kind: True


def _late(time: float, length: float) -> float:
    return time + LEAD_S


def _after_pause(time: float, length: float) -> float:
    return time + PAUSE_S * (time >= length / 2)


SITUATIONS: dict[str, Situation] = {
    "plain": Situation(_plain),
    "lead": Situation(_lead, _late, lambda kind: kind.zero),
    "lead, no length": Situation(_lead_piped, _late, lambda kind: kind.zero and kind.format not in _INDEXED),
    "after picture": Situation(_after_picture, _late, lambda kind: kind.picture is not None and kind.stamped),
    "long after picture": Situation(
        _long_after_picture,
        lambda time, length: time + LONG_LEAD_S,
        lambda kind: kind.picture is not None and kind.stamped,
    ),
    "pause": Situation(_pause, _after_pause, lambda kind: kind.stamped),
    "pause, no length": Situation(_pause_piped, _after_pause, lambda kind: kind.stamped),
    "no length": Situation(_unstated),
    "silent track first": Situation(_second_track, fits=lambda kind: kind.tracks),
    "opposite phase": Situation(_opposite, fits=lambda kind: kind.suffix != ".amr"),
    "DC offset": Situation(_offset),
    "cut": Situation(_cut),
}


def decoded(path: Path, track: int | None = None) -> tuple[np.ndarray, str]:
    """The waveform at RATE, and the warning, or nothing."""
    warnings: list[str] = []
    blocks = list(read_blocks(path, RATE, on_warning=warnings.append, track=track))
    return np.concatenate(blocks), "".join(warnings)


def piped(path: Path, content: bytes) -> Path:
    """A named pipe into which a thread writes."""
    os.mkfifo(path)

    def feed() -> None:
        with path.open("wb") as pipe:
            pipe.write(content)

    threading.Thread(target=feed, daemon=True).start()
    return path

"""Audio and video files for the tests, made with PyAV's encoders and the standard library."""

from __future__ import annotations

import io
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

CODECS = {
    ".wav": "pcm_s16le",
    ".flac": "flac",
    ".mp3": "libmp3lame",
    ".ogg": "vorbis",
    ".opus": "libopus",
    ".m4a": "aac",
    ".aac": "aac",
    ".mp4": "aac",
    ".mka": "flac",
    ".mkv": "flac",
    ".webm": "libopus",
    ".avi": "pcm_s16le",
    ".ts": "aac",
}
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def sine(frequency: float, seconds: float, rate: int, amplitude: float = 0.5) -> np.ndarray:
    """Mono float32, shape (round(seconds * rate),)."""
    times = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * frequency * times)).astype(np.float32)


def chirp(seconds: float, rate: int, low: float = 200.0, high: float = 3000.0) -> np.ndarray:
    """Mono float32, shape (round(seconds * rate),), half scale. No two places are alike: a delay can be found."""
    times = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (low + (high - low) * times / (2 * seconds)) * times)).astype(np.float32)


def write_wav(path: str | Path, samples: np.ndarray, rate: int) -> Path:
    """Write 16-bit PCM. samples: float, shape (n,) or (n, channels), full scale -1..1."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes())
    return Path(path)


def encode(
    path: str | Path,
    samples: np.ndarray,
    rate: int,
    codec: str | None = None,
    container_format: str | None = None,
    cover: bool = False,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Encode with PyAV. The suffix chooses codec and container unless they are given; samples as in write_wav.

    ``cover`` adds a picture, as music files have.
    """
    codec = codec or CODECS[Path(path).suffix]
    with av.open(str(path), "w", format=container_format) as output:
        output.metadata.update(metadata or {})
        sound = _sound_stream(output, samples, rate, codec)
        picture = _cover_stream(output) if cover else None
        if picture is not None:
            image = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 200, np.uint8), format="rgb24")
            for packet in [*picture.encode(image.reformat(format="yuvj420p")), *picture.encode(None)]:
                output.mux(packet)
        for packet in _sound_packets(sound, samples, rate):
            output.mux(packet)
    return Path(path)


def write_video(
    path: str | Path,
    with_audio: bool = True,
    samples: np.ndarray | None = None,
    rate: int = 48000,
    seconds: float = 2.0,
    delay: float = 0.0,
    codec: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a small moving picture at 10 frames a second, with a sound track that starts ``delay`` seconds late.

    samples: as in write_wav; a 1 kHz tone by default. options: the container's, such as movflags.
    """
    samples = sine(1000, seconds - delay, rate) if samples is None else samples
    with av.open(str(path), "w", options=options or {}) as output:
        picture = output.add_stream("libvpx" if Path(path).suffix == ".webm" else "mpeg4", rate=10)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        sound = _sound_stream(output, samples, rate, codec or CODECS[Path(path).suffix]) if with_audio else None
        packets = []
        for number in range(round(seconds * 10)):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), number * 10 % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            packets += picture.encode(frame)
        packets += picture.encode(None)
        if sound is not None:
            packets += _sound_packets(sound, samples, rate, delay)
        # Interleaved by time, as a camera writes them; the muxer does not sort packets that come minutes late.
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            output.mux(packet)
    return Path(path)


def write_with_pause(path: str | Path, samples: np.ndarray, rate: int, start: float, seconds: float) -> Path:
    """Write a sound track that pauses at ``start`` for ``seconds``: its time stamps leave a gap."""
    with av.open(str(path), "w") as output:
        sound = _sound_stream(output, samples, rate, CODECS[Path(path).suffix])
        for packet in _sound_packets(sound, samples, rate):
            if packet.pts * packet.time_base >= start:
                packet.pts = packet.dts = packet.pts + round(seconds / packet.time_base)
            output.mux(packet)
    return Path(path)


class Pipe(io.RawIOBase):
    """Takes bytes and cannot go back, as a pipe."""

    def __init__(self) -> None:
        self.content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.content += data
        return len(data)


def write_piped(path: str | Path, source: str | Path) -> Path:
    """Write a copy of a Matroska or WebM file as to a pipe, so that its header does not state its length."""
    pipe = Pipe()
    with av.open(str(source)) as whole, av.open(pipe, "w", format="matroska") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    Path(path).write_bytes(pipe.content)
    return Path(path)


def _sound_stream(output: av.container.OutputContainer, samples: np.ndarray, rate: int, codec: str) -> av.AudioStream:
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    options = {"strict": "-2"} if codec in ("vorbis", "opus") else {}
    stream = output.add_stream(codec, rate=rate, layout=LAYOUTS[channels], options=options)
    if codec != "flac" and not codec.startswith("pcm"):
        stream.bit_rate = 96000 * channels
    return stream


def _cover_stream(output: av.container.OutputContainer) -> av.VideoStream:
    stream = output.add_stream("mjpeg", rate=1)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _sound_packets(stream: av.AudioStream, samples: np.ndarray, rate: int, delay: float = 0.0) -> list[av.Packet]:
    channels = samples[:, None] if samples.ndim == 1 else samples
    packets = []
    for start in range(0, len(channels), rate):  # a second at a time
        part = channels[start : start + rate].astype(np.float32)
        # Interleaved: PyAV fails on eight separate planes.
        frame = av.AudioFrame.from_ndarray(part.reshape(1, -1), "flt", LAYOUTS[part.shape[1]])
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = start + round(delay * rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def pink(samples: int, rate: int, seed: int = 0) -> np.ndarray:
    """Noise that falls with frequency, as in recordings, with a click, a tone and a silence."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(samples)) / np.sqrt(1 + np.arange(samples // 2 + 1))
    noise = np.fft.irfft(spectrum, samples)
    noise *= 0.1 / np.abs(noise).max()
    noise += 0.3 * np.sin(2 * np.pi * 1234.5 * np.arange(samples) / rate)
    noise[samples // 3] = 0.9
    noise[samples // 2 : samples // 2 + rate // 10] = 0
    return noise.astype(np.float32)


def kitchen(seconds: float) -> np.ndarray:
    """A waveform that changes: noise of varying loudness, with tones that come and go."""
    samples = round(seconds * 24_000)
    time = np.arange(samples) / 24_000
    loudness = 0.3 + 0.7 * np.abs(np.sin(time * 0.7))
    tone = 0.2 * np.sin(2 * np.pi * 700 * time) * (np.sin(time * 1.3) > 0.4)
    return (pink(samples + samples % 2, 24_000)[:samples] * loudness + tone).astype(np.float32)

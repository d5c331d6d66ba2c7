"""Decoded frames of any format to mono float32, and from one rate to another.

Channels are averaged here and not by FFmpeg, whose float downmix of stereo is 3 dB too loud and whose matrices know
nothing of files without a channel layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np

LOUDEST = 1e6  # 120 dB above full scale: like NaN and infinity, a damaged number and not a sound
# Sample format (without the p of planar) -> dtype, value of full scale, value of silence
_SAMPLES: dict[str, tuple[str, float, float]] = {
    "u8": ("u1", 2.0**7, 2.0**7),
    "s16": ("i2", 2.0**15, 0.0),
    "s32": ("i4", 2.0**31, 0.0),
    "s64": ("i8", 2.0**63, 0.0),
    "flt": ("f4", 1.0, 0.0),
    "dbl": ("f8", 1.0, 0.0),
}


def mono_pieces(frames: Iterable[av.AudioFrame | float]) -> Iterator[tuple[np.ndarray, int]]:
    """Yield (mono float32 of shape (n,), its rate in Hz) for frames whose format may change on the way.

    A number among the frames stands for so many seconds of silence; the first is a frame.

    A piece is about a second: numpy's cost per call is then paid per second and not per frame (of 47 samples in MP3).
    """
    key: tuple[str, int, int] | None = None
    planes: list[list[memoryview]] = []
    samples = 0
    packer: av.AudioResampler | None = None
    for frame in frames:
        if not isinstance(frame, av.AudioFrame):
            assert key is not None
            if samples:
                yield _mean(planes, samples, *key[:2]), key[2]
            planes, samples = [], 0
            yield from ((zeros, key[2]) for zeros in silence(frame, key[2]))
            continue
        found = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
        if found != key or samples >= frame.sample_rate:
            if key and samples:
                yield _mean(planes, samples, *key[:2]), key[2]
            if found != key:
                packer = None
            key, planes, samples = found, [], 0
        if frame.format.is_planar and frame.layout.nb_channels >= 8:
            # PyAV counts planes up to a null pointer, which FFmpeg does not promise after the eighth.
            packer = packer or av.AudioResampler(format="flt")
            frame.pts = None
            for packed in packer.resample(frame):
                samples += _keep(planes, packed)
        else:
            samples += _keep(planes, frame)
    if key and samples:
        yield _mean(planes, samples, *key[:2]), key[2]


def silence(seconds: float, rate: int) -> Iterator[np.ndarray]:
    """Yield zeros for round(seconds * rate) samples, a second at a time: float32, shape (n,)."""
    left = round(seconds * rate)
    while left > 0:
        yield np.zeros(min(left, rate), np.float32)
        left -= rate


def _keep(planes: list[list[memoryview]], frame: av.AudioFrame) -> int:
    """Append a frame's bytes (which keep the frame alive) to the list of each of its planes; return its samples."""
    packed = not frame.format.is_planar
    size = frame.samples * frame.format.bytes * (frame.layout.nb_channels if packed else 1)
    parts = frame.planes[:1] if packed else frame.planes[: frame.layout.nb_channels]
    if not planes:
        planes.extend([] for _ in parts)
    for kept, plane in zip(planes, parts, strict=True):
        kept.append(memoryview(plane)[:size])  # a plane may be padded
    return int(frame.samples)


def _mean(planes: list[list[memoryview]], samples: int, name: str, count: int) -> np.ndarray:
    """The mean of ``count`` channels: float32, shape (samples,). NaN, infinity and absurd values count as 0."""
    if name.endswith("p") and len(planes) != count:
        name = "flt"  # repacked by mono_pieces
    kind, full, silence = _SAMPLES[name.removesuffix("p")]
    arrays = [np.frombuffer(b"".join(plane), kind) for plane in planes]
    channels = arrays if len(arrays) == count else [arrays[0][i::count] for i in range(count)]
    total = np.zeros(samples, np.float32)
    for channel in channels:
        if kind[0] == "f":
            total += np.where(np.abs(channel) <= LOUDEST, channel, 0).astype(np.float32)
        else:
            total += channel.astype(np.float32)
    return (total - np.float32(silence * count)) / np.float32(full * count)


class Resampler:
    """Mono float32 from one rate to another: in the end, exactly round(n * target / rate) samples for n."""

    def __init__(self, rate: int, target: int) -> None:
        self.rate, self.target = rate, target
        self._taken = self._given = 0
        self._filter = None if rate == target else av.AudioResampler(format="flt", layout="mono", rate=target)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Return what can be said after these samples: float32, shape (m,), m may be 0."""
        self._taken += len(samples)
        result = samples if self._filter is None else self._run(samples)
        self._given += len(result)
        return result

    def finish(self) -> np.ndarray:
        """Return the rest: float32, shape (m,)."""
        left = round(self._taken * self.target / self.rate) - self._given
        if self._filter is None or left <= 0:
            return np.zeros(0, np.float32)
        # FFmpeg keeps back what its filter has not seen the right side of, and drops a sound shorter than the filter:
        # push it all out with silence, then cut at the length that the input had.
        tail = self._run(np.zeros(max(1000, self.rate // 5), np.float32))
        return np.concatenate([tail, self._run(None)])[:left]

    def _run(self, samples: np.ndarray | None) -> np.ndarray:
        assert self._filter is not None
        frame = None
        if samples is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "flt", "mono")
            frame.sample_rate = self.rate
        parts = [out.to_ndarray()[0] for out in self._filter.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

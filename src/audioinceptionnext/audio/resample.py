"""Mixing decoded frames of any format down to mono float32, and resampling.

Channels are mixed here (see `mixdown`) and not by FFmpeg: its float downmix of stereo is 3 dB too loud, and its
matrices need a channel layout, which some files lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import av
import numpy as np

from audioinceptionnext.audio.mixdown import Mixdown
from audioinceptionnext.audio.samples import as_float

_NEARLY = 0.9  # of the model's rate: what is missing above half of that hardly counts
_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}  # without the p of planar


def mono_blocks(frames: Iterable[av.AudioFrame | float], mixdown: Mixdown) -> Iterator[tuple[np.ndarray, int]]:
    """Mix frames down to mono. Their format may change on the way.

    Args:
        frames: decoded frames. A number among them stands for that many seconds of silence; the first is a frame.
        mixdown: mixes the channels, and knows afterwards what it did.

    Yields:
        (n,) float32 and its rate in Hz. A block is about a second long, so that the cost of a call of NumPy is paid
        once a second and not once a frame.
    """
    key: tuple[str, int, int] | None = None
    planes: list[list[memoryview]] = []
    samples = 0
    packer: av.AudioResampler | None = None
    for frame in frames:
        if not isinstance(frame, av.AudioFrame):
            assert key is not None
            if samples:
                yield mixdown.mix(_channels(planes, *key[:2]), key[2]), key[2]
            planes, samples = [], 0
            yield from ((zeros, key[2]) for zeros in silence(frame, key[2]))
            continue
        found = (frame.format.name, frame.layout.nb_channels, frame.sample_rate)
        if found != key or samples >= frame.sample_rate:
            if key and samples:
                yield mixdown.mix(_channels(planes, *key[:2]), key[2]), key[2]
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
        yield mixdown.mix(_channels(planes, *key[:2]), key[2]), key[2]


def silence(seconds: float, rate: int) -> Iterator[np.ndarray]:
    """Yield round(seconds * rate) zeros in blocks of at most a second, (n,) float32 each."""
    left = round(seconds * rate)
    while left > 0:
        yield np.zeros(min(left, rate), np.float32)
        left -= rate


def _keep(planes: list[list[memoryview]], frame: av.AudioFrame) -> int:
    """Append a frame's bytes, which keep the frame alive, to the list of each plane. Returns its number of samples."""
    packed = not frame.format.is_planar
    size = frame.samples * frame.format.bytes * (frame.layout.nb_channels if packed else 1)
    parts = frame.planes[:1] if packed else frame.planes[: frame.layout.nb_channels]
    if not planes:
        planes.extend([] for _ in parts)
    for kept, plane in zip(planes, parts, strict=True):
        kept.append(memoryview(plane)[:size])  # a plane may be padded
    return int(frame.samples)


def _channels(planes: list[list[memoryview]], name: str, count: int) -> list[np.ndarray]:
    """The ``count`` channels in the planes, (samples,) float32 each."""
    if name.endswith("p") and len(planes) != count:
        name = "flt"  # `mono_blocks` has packed the planes
    arrays = [np.frombuffer(b"".join(plane), _DTYPES[name.removesuffix("p")]) for plane in planes]
    channels = arrays if len(arrays) == count else [arrays[0][i::count] for i in range(count)]
    return [np.ascontiguousarray(as_float(channel)) for channel in channels]


def missing_band(sample_rate: int, target_rate: int) -> str | None:
    """One line if a recording's own rate is clearly below the model's, in Hz: resampling cannot add what it lacks.

    >>> missing_band(16_000, 24_000)
    'sampled at 16,000 Hz: the model expects sound up to 12 kHz, and may miss some without it'
    """
    if sample_rate >= _NEARLY * target_rate:
        return None
    expected = f"the model expects sound up to {target_rate / 2000:g} kHz"
    return f"sampled at {sample_rate:,} Hz: {expected}, and may miss some without it"


class Resampler:
    """Resamples mono float32. From n samples it makes exactly round(n * target_rate / sample_rate).

    Args:
        sample_rate, target_rate: before and after, in Hz.

    >>> resampler = Resampler(44_100, 24_000)
    >>> waveform = np.concatenate([resampler.push(samples), resampler.finish()])
    """

    def __init__(self, sample_rate: int, target_rate: int) -> None:
        self.sample_rate, self.target_rate = sample_rate, target_rate
        self._taken = self._given = 0
        same = sample_rate == target_rate
        self._filter = None if same else av.AudioResampler(format="flt", layout="mono", rate=target_rate)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take samples and return what is complete so far: (m,) float32; m may be 0."""
        self._taken += len(samples)
        result = samples if self._filter is None else self._run(samples)
        self._given += len(result)
        return result

    def finish(self) -> np.ndarray:
        """Return the rest, (m,) float32."""
        left = round(self._taken * self.target_rate / self.sample_rate) - self._given
        if self._filter is None or left <= 0:
            return np.zeros(0, np.float32)
        # FFmpeg holds back the samples whose right-hand neighbours its filter has not seen, and drops a waveform that
        # is shorter than the filter. Silence pushes them all out; the result is then cut to the input's length.
        tail = self._run(np.zeros(max(1000, self.sample_rate // 5), np.float32))
        return np.concatenate([tail, self._run(None)])[:left]

    def _run(self, samples: np.ndarray | None) -> np.ndarray:
        assert self._filter is not None
        frame = None
        if samples is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "flt", "mono")
            frame.sample_rate = self.sample_rate
        parts = [out.to_ndarray()[0] for out in self._filter.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

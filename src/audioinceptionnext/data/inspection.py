"""What one recording says of its clips: how long they are, whether they are silent, what they sound like to the bit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from audioinceptionnext.audio.source import MediaError, Source
from audioinceptionnext.data.clip import Clip
from audioinceptionnext.data.reader import Reader, to_int16
from audioinceptionnext.errors import printable

_RATE = 24_000  # Hz, for a file whose header states none


@dataclass
class Heard:
    """What was found of one clip.

    Attributes:
        seconds: those of the clip that the recording has; None where it cannot be read.
        beyond: seconds by which the clip's end lies beyond the recording's.
        peak: largest magnitude, full scale 1; None where it was not decoded.
        digest: of its samples, in 16 bits; None where it was not decoded.
    """

    clip: Clip
    seconds: float | None = None
    beyond: float = 0.0
    peak: float | None = None
    digest: str | None = None


@dataclass
class Recording:
    """What was found of one recording: its rate in Hz, why it cannot be read, what of it was lost, and its clips."""

    rate: int | None = None
    unreadable: str | None = None
    damage: str | None = None
    clips: list[Heard] = field(default_factory=list)


def listen(clips: Sequence[Clip], hdf5_rate: int, fast: bool = False) -> Recording:
    """Read the one recording that all these clips are of. Memory is bounded by a second of it, in HDF5 by a clip.

    Args:
        hdf5_rate: Hz, of recordings in HDF5 files.
        fast: no sound is decoded: lengths are those that headers state.
    """
    found = Recording(clips=[Heard(clip) for clip in clips])
    try:
        if clips[0].key is not None:
            _listen_in_hdf5(found, hdf5_rate, fast)
        elif fast:
            _look(found)
        else:
            _listen(found)
    except MediaError as error:
        found.unreadable = str(error)
        for heard in found.clips:
            heard.seconds, heard.peak, heard.digest = None, None, None
    return found


class _Tracker:
    """One clip while its recording passes."""

    def __init__(self, heard: Heard, rate: int) -> None:
        clip = heard.clip
        self.heard, self.rate = heard, rate
        self.first = round(clip.start * rate)
        self.stop = None if clip.end is None else round(clip.end * rate)
        self.samples, self.peak = 0, 0.0
        self.hash = hashlib.blake2b(digest_size=16)

    def hear(self, position: int, chunk: np.ndarray) -> None:
        """chunk: mono float32, shape (n,), whose first sample is the recording's ``position``."""
        stop = len(chunk) if self.stop is None else max(0, self.stop - position)
        part = chunk[max(0, self.first - position) : stop]
        if len(part):
            self.samples += len(part)
            self.peak = max(self.peak, float(np.abs(part).max()))
            self.hash.update(to_int16(part).tobytes())

    def finish(self, total: int) -> None:
        """total: samples of the recording."""
        self.heard.seconds, self.heard.peak = self.samples / self.rate, self.peak
        self.heard.digest = self.hash.hexdigest() if self.samples else None
        self.heard.beyond = max(0.0, (self.stop or 0) - total, self.first - total) / self.rate


def _listen(found: Recording) -> None:
    with closing(Source(found.clips[0].clip.path)) as source:
        rate = found.rate = source.stream.rate or _RATE
        trackers = [_Tracker(heard, rate) for heard in found.clips]
        position = 0
        for chunk in source.waveform(rate):
            for tracker in trackers:
                tracker.hear(position, chunk)
            position += len(chunk)
        source.check_sense()
        found.damage = source.warning()
    for tracker in trackers:
        tracker.finish(position)


def _look(found: Recording) -> None:
    path = found.clips[0].clip.path
    with closing(Source(path)) as source:
        found.rate = source.stream.rate
    reader = Reader(found.rate or _RATE)
    whole = reader.seconds(Clip(path, 0))
    for heard in found.clips:
        _measure(heard, whole)


def _listen_in_hdf5(found: Recording, rate: int, fast: bool) -> None:
    reader = Reader(rate, rate)
    found.rate = rate
    first = found.clips[0].clip
    whole = reader.seconds(Clip(first.path, 0, key=first.key))
    for heard in found.clips:
        _measure(heard, whole)
        if not fast and heard.seconds:
            tracker = _Tracker(heard, rate)
            tracker.hear(tracker.first, reader.read(heard.clip))
            tracker.finish(round(whole * rate))


def _measure(heard: Heard, whole: float) -> None:
    """whole: seconds of the recording."""
    clip = heard.clip
    heard.seconds = max(0.0, min(whole if clip.end is None else clip.end, whole) - clip.start)
    heard.beyond = max(0.0, (clip.end or 0.0) - whole, clip.start - whole)


def reason(heard: Heard) -> str:
    """A line about a clip whose end its recording does not reach."""
    what = f"ends {heard.beyond:.1f} s beyond the recording's end"
    return f"{printable(heard.clip.name)}: {what}" + ("" if heard.seconds else ", with nothing before it")

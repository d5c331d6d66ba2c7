"""Reads one recording and measures its clips: their length, their peak, and a hash of their samples."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from audioinceptionnext.audio.soundtrack import SoundTrack
from audioinceptionnext.data.clip import Clip
from audioinceptionnext.data.reader import Reader, to_int16
from audioinceptionnext.errors import MediaError, printable

_DEFAULT_RATE = 24_000  # Hz, for a file whose header does not state its sample rate


@dataclass
class ClipInspection:
    """What was measured of one clip.

    Attributes:
        clip: the clip.
        seconds: length of the part that its recording has; None if it cannot be read.
        beyond: seconds by which the end of the clip lies beyond the end of its recording.
        peak: largest magnitude of its samples, with a full scale of 1; None if it was not decoded.
        digest: hash of its samples at 16 bits; None if it was not decoded.
    """

    clip: Clip
    seconds: float | None = None
    beyond: float = 0.0
    peak: float | None = None
    digest: str | None = None


@dataclass
class RecordingInspection:
    """What was measured of one recording.

    Attributes:
        sample_rate: in Hz; None if the header does not state it.
        unreadable: why it cannot be read, in one line; None if it can.
        damage: what of it is lost, in one line; None if it is whole.
        clips: what was measured of its clips.
    """

    sample_rate: int | None = None
    unreadable: str | None = None
    damage: str | None = None
    clips: list[ClipInspection] = field(default_factory=list)


def inspect_clips(clips: Sequence[Clip], *, hdf5_rate: int, fast: bool = False) -> RecordingInspection:
    """Read a recording once and measure its clips, in the memory of one second of it (in HDF5, of one clip).

    Args:
        clips: clips of one and the same recording, at least one.
        hdf5_rate: sample rate of recordings in HDF5 files, in Hz.
        fast: decode nothing, and take lengths from headers.
    """
    recording = RecordingInspection(clips=[ClipInspection(clip) for clip in clips])
    try:
        if clips[0].key is not None:
            _inspect_hdf5(recording, hdf5_rate, fast)
        elif fast:
            _inspect_header(recording)
        else:
            _inspect_samples(recording)
    except MediaError as error:
        recording.unreadable = str(error)
        for inspected in recording.clips:
            inspected.seconds, inspected.peak, inspected.digest = None, None, None
    return recording


class _Measurement:
    """Measures one clip while the blocks of its recording pass."""

    def __init__(self, inspected: ClipInspection, rate: int) -> None:
        clip = inspected.clip
        self.inspected, self.rate = inspected, rate
        self.first = round(clip.start * rate)
        self.stop = None if clip.end is None else round(clip.end * rate)
        self.samples, self.peak = 0, 0.0
        self.hash = hashlib.blake2b(digest_size=16)

    def push(self, position: int, block: np.ndarray) -> None:
        """Take a block (samples,) of mono float32 whose first sample is sample ``position`` of the recording."""
        stop = len(block) if self.stop is None else max(0, self.stop - position)
        part = block[max(0, self.first - position) : stop]
        if len(part):
            self.samples += len(part)
            self.peak = max(self.peak, float(np.abs(part).max()))
            self.hash.update(to_int16(part).tobytes())

    def finish(self, total: int) -> None:
        """Write down what was measured, after the last block of a recording of ``total`` samples."""
        self.inspected.seconds, self.inspected.peak = self.samples / self.rate, self.peak
        self.inspected.digest = self.hash.hexdigest() if self.samples else None
        self.inspected.beyond = max(0.0, (self.stop or 0) - total, self.first - total) / self.rate


def _inspect_samples(recording: RecordingInspection) -> None:
    with closing(SoundTrack(recording.clips[0].clip.path)) as track:
        rate = recording.sample_rate = track.stream.rate or _DEFAULT_RATE
        measurements = [_Measurement(inspected, rate) for inspected in recording.clips]
        position = 0
        for block in track.waveform(rate):
            for measurement in measurements:
                measurement.push(position, block)
            position += len(block)
        track.check_plausible()
        if warning := track.warning():
            recording.damage = f"{printable(track.path)}: {warning}"
    for measurement in measurements:
        measurement.finish(position)


def _inspect_header(recording: RecordingInspection) -> None:
    path = recording.clips[0].clip.path
    with closing(SoundTrack(path)) as track:
        recording.sample_rate = track.stream.rate
    duration = Reader(recording.sample_rate or _DEFAULT_RATE).seconds(Clip(path, 0))
    for inspected in recording.clips:
        _set_bounds(inspected, duration)


def _inspect_hdf5(recording: RecordingInspection, rate: int, fast: bool) -> None:
    reader = Reader(rate, rate)
    recording.sample_rate = rate
    first = recording.clips[0].clip
    duration = reader.seconds(Clip(first.path, 0, key=first.key))
    for inspected in recording.clips:
        _set_bounds(inspected, duration)
        if not fast and inspected.seconds:
            measurement = _Measurement(inspected, rate)
            measurement.push(measurement.first, reader.read(inspected.clip))
            measurement.finish(round(duration * rate))


def _set_bounds(inspected: ClipInspection, duration: float) -> None:
    """Set ``seconds`` and ``beyond`` of a clip from the duration of its recording."""
    clip = inspected.clip
    inspected.seconds = max(0.0, min(duration if clip.end is None else clip.end, duration) - clip.start)
    inspected.beyond = max(0.0, (clip.end or 0.0) - duration, clip.start - duration)


def describe_overrun(inspected: ClipInspection) -> str:
    """One line about a clip that ends beyond the end of its recording."""
    overrun = f"ends {inspected.beyond:.1f} s beyond the recording's end"
    return f"{printable(inspected.clip.name)}: {overrun}" + ("" if inspected.seconds else ", with nothing before it")

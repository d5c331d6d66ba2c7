"""Clips as waveforms, from audio and video files and from HDF5, of which only the requested samples are read.

Nothing here needs torch.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Generator
from functools import lru_cache
from typing import Any

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.resample import Resampler
from audioinceptionnext.audio.samples import as_float
from audioinceptionnext.audio.soundtrack import SoundTrack
from audioinceptionnext.data.clip import Clip
from audioinceptionnext.errors import MediaError, printable

FULL_SCALE = 32_768  # of int16 samples: float 1.0, as FFmpeg and libsndfile have it
_MARGIN = 100  # samples at the lower rate, more than the resampler's filter reaches to one side
_MAX_OPEN_FILES = 64  # HDF5 files that a process keeps open


class Reader:
    """Reads clips at one sample rate. Readers can be pickled; each process opens its own files.

    Args:
        sample_rate: of the waveforms that are returned, in Hz.
        hdf5_rate: of recordings in HDF5 files, which do not state it, in Hz; see `Dataset.sample_rate`.

    >>> reader = Reader(24_000)
    >>> reader.read(Clip(Path("dinner.mp4"), 0, start=1.0, end=3.0)).shape
    (48000,)
    """

    def __init__(self, sample_rate: int, hdf5_rate: int = 24_000) -> None:
        self.sample_rate, self.hdf5_rate = sample_rate, hdf5_rate
        self._totals: dict[tuple[str, str | None], int] = {}

    def why_unreadable(self, clip: Clip) -> str | None:
        """Open the recording of a clip, and say in one line why it cannot be read; None if it can, as far as seen."""
        try:
            if clip.key is not None:
                _recording(clip)
            else:
                SoundTrack(clip.path).close()
        except MediaError as error:
            return str(error)
        return None

    def samples(self, clip: Clip) -> int:
        """Return the length of a clip in samples at `sample_rate`, without decoding it if possible.

        The length follows from the clip's start and end, the shape of the HDF5 recording, or the header of the file.
        Headers can be wrong, and so can an ``end`` that lies beyond the file's: `read` may find fewer samples.

        Raises:
            MediaError: the recording cannot be read.
        """
        first, last = self._bounds(clip)
        if last is None or clip.key is not None:
            total = self._total(clip)
            last = total if last is None else min(last, total)
        return max(0, last - first)

    def full_length(self, clip: Clip, found: int) -> int:
        """Return the length in samples that counts for a clip of which ``found`` samples are there.

        It is that number; or for a `Clip.padded`, the length that its list states, if that is more.
        """
        first, last = self._bounds(clip)
        return found if last is None or not clip.padded else max(found, last - first)

    def seconds(self, clip: Clip) -> float:
        """Return the length of a clip in seconds, see `samples`."""
        return self.samples(clip) / self.sample_rate

    def read(self, clip: Clip, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
        """Read a clip or a part of it.

        Args:
            clip: to read.
            start: seconds after the start of the clip. Positions are rounded to the nearest sample, so that
                i / sample_rate is exactly sample i.
            seconds: length of the part; up to the end of the clip by default.

        Returns:
            (samples,) mono float32: round(seconds * sample_rate) samples, or fewer if the clip or its recording ends
            before that.

        Raises:
            MediaError: the recording cannot be read, or ends before the clip begins.
            ValueError: ``start`` or ``seconds`` is negative.
        """
        if start < 0 or (seconds is not None and seconds < 0):
            raise ValueError("start and seconds must not be negative")
        rate = self.sample_rate
        first, last = self._bounds(clip)
        begin = first + round(start * rate)
        if seconds is not None:
            stop = begin + round(seconds * rate)
            last = stop if last is None else min(stop, last)
        if last is not None and last <= begin:
            found = np.zeros(0, np.float32)
        elif clip.key is not None:
            found = self._slice(clip, begin, last)
        else:
            found = decode.read(clip.path, rate, begin / rate, None if last is None else (last - begin) / rate)
        if not len(found) and begin == first and seconds != 0:
            raise MediaError(clip.name, "the recording has no sound there; correct the start and end in the list")
        return found

    def read_blocks(
        self, clip: Clip, block_seconds: float = 30.0, on_warning: Callable[[str], None] | None = None
    ) -> Generator[np.ndarray]:
        """Read a clip as consecutive blocks, in the memory of one block where the clip is a whole recording.

        Args:
            clip: to read.
            block_seconds: length of a block; the last one may be shorter.
            on_warning: called at the end with what was wrong with the file, see `decode.read_blocks`.

        Yields:
            (samples,) mono float32, which together are what `read` returns.

        Raises:
            MediaError: as `read`; with a later block where only a later part of the recording is damaged.
        """
        if clip.key is None and clip.start == 0 and clip.end is None:
            yield from decode.read_blocks(clip.path, self.sample_rate, block_seconds, on_warning)
            return
        size = round(block_seconds * self.sample_rate)
        for number in itertools.count():
            block = self.read(clip, number * size / self.sample_rate, size / self.sample_rate)
            if len(block):
                yield block
            if len(block) < size:
                return

    def _bounds(self, clip: Clip) -> tuple[int, int | None]:
        """The first sample of the clip, and the one after its last; None for the end of the recording."""
        return round(clip.start * self.sample_rate), None if clip.end is None else round(clip.end * self.sample_rate)

    def _total(self, clip: Clip) -> int:
        """Number of samples of the whole recording, at `sample_rate`."""
        key = (str(clip.path), clip.key)
        if key not in self._totals:
            if clip.key is not None:
                self._totals[key] = round(len(_recording(clip)) * self.sample_rate / self.hdf5_rate)
            elif (seconds := decode.duration_of(clip.path)) is not None:
                self._totals[key] = round(seconds * self.sample_rate)
            else:
                self._totals[key] = sum(len(block) for block in decode.read_blocks(clip.path, self.sample_rate))
        return self._totals[key]

    def _slice(self, clip: Clip, first: int, last: int | None) -> np.ndarray:
        """Samples [first, last) of an HDF5 recording, both counted at `sample_rate`."""
        recording = _recording(clip)
        rate, target, total = self.hdf5_rate, self.sample_rate, len(recording)
        end = round(total * target / rate)
        last = end if last is None else min(last, end)
        if last <= first:
            return np.zeros(0, np.float32)
        if rate == target:
            return as_float(_values(recording, clip, first, last))
        # The resampler gets some samples more on both sides, so that the slice is the same as that of the whole
        # recording resampled. It begins where a sample of the new rate falls on one of the old rate. (At every second
        # such place, because round() rounds to even numbers.)
        divisor = math.gcd(rate, target)
        old, new = 2 * rate // divisor, 2 * target // divisor
        margin = math.ceil(_MARGIN * max(1.0, rate / target))
        blocks = max(0, first * rate // target - margin) // old
        stop = min(total, math.ceil(last * rate / target) + margin)
        resampler = Resampler(rate, target)
        resampled = resampler.push(as_float(_values(recording, clip, blocks * old, stop)))
        resampled = np.concatenate([resampled, resampler.finish()])
        return resampled[first - blocks * new : last - blocks * new]


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Convert float samples of -1…1 to int16 of the same shape; samples beyond that are clipped.

    16-bit recordings come through unchanged.
    """
    return np.clip(np.rint(samples * np.float32(FULL_SCALE)), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Convert samples of `to_int16` back to float32."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


@lru_cache(_MAX_OPEN_FILES)
def _opened(path: str) -> Any:
    """The h5py.File of a path, opened once per process."""
    import h5py  # comes with the extra [train]

    try:
        try:
            return h5py.File(path, "r", locking=False)  # network folders often cannot lock, and nothing is written
        except OSError:
            return h5py.File(path, "r")  # this process may have it open already, with a lock
    except FileNotFoundError:
        raise MediaError(path, "no such file; check the name") from None
    except PermissionError:
        raise MediaError(path, "no permission to read it; change its permissions") from None
    except OSError as error:
        raise MediaError(path, f"not a complete HDF5 file: {_line(error)}; get a complete copy") from None


# A forked worker must not use the files that its parent opened; it opens its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_opened.cache_clear)


def _recording(clip: Clip) -> Any:
    """The h5py.Dataset of a clip's recording."""
    import h5py

    file = _opened(str(clip.path))
    name = f"{printable(clip.path)}:{printable(str(clip.key))}"
    try:
        found = file.get(clip.key)
    except (OSError, RuntimeError, ValueError) as error:
        raise MediaError(name, f"damaged: {_line(error)}; get a complete copy") from None
    if found is None:
        raise MediaError(name, f"no such recording among the {len(file)} there; correct the list, or get the rest")
    if not isinstance(found, h5py.Dataset) or found.ndim != 1 or found.dtype.kind not in "fiu":
        raise MediaError(name, "not a recording: a recording is one row of numbers, mono")
    return found


def _values(recording: Any, clip: Clip, first: int, last: int) -> np.ndarray:
    try:
        return recording[first:last]
    except (OSError, RuntimeError, ValueError) as error:
        raise MediaError(clip.name, f"damaged: {_line(error)}; get a complete copy") from None


def _line(error: Exception) -> str:
    """An error's message as one line."""
    return " ".join(str(error).split())

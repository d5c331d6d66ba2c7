"""Clips as waveforms, from audio and video files and from HDF5: only what is asked for is read. No torch."""

from __future__ import annotations

import math
import os
from functools import lru_cache
from typing import Any

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.resample import LOUDEST, Resampler
from audioinceptionnext.audio.source import MediaError
from audioinceptionnext.data.clip import Clip
from audioinceptionnext.errors import printable

FULL_SCALE = 32_767  # of int16 samples
_MARGIN = 100  # samples at the lower rate: more than the resampler's filter reaches to one side
_OPEN_FILES = 64  # HDF5 files that a process keeps open


class Reader:
    """Reads clips at one rate. Can be pickled; what it opens belongs to the process that opened it.

    Args:
        sample_rate: Hz, of what is returned.
        hdf5_rate: Hz, of recordings in HDF5 files, which do not say; see `Dataset.sample_rate`.
    """

    def __init__(self, sample_rate: int, hdf5_rate: int = 24_000) -> None:
        self.sample_rate, self.hdf5_rate = sample_rate, hdf5_rate
        self._totals: dict[tuple[str, str | None], int] = {}

    def samples(self, clip: Clip) -> int:
        """How long a clip is, in samples at `sample_rate`, without decoding it where that can be known.

        By the list's start and end, the HDF5 recording's shape, or the file's header. A file's header, and a list that
        names an end beyond the file's, may promise more than `read` then finds. Raises `MediaError`.
        """
        first, last = self._bounds(clip)
        if last is None or clip.key is not None:
            total = self._total(clip)
            last = total if last is None else min(last, total)
        return max(0, last - first)

    def seconds(self, clip: Clip) -> float:
        """How long a clip is, as `samples` has it."""
        return self.samples(clip) / self.sample_rate

    def read(self, clip: Clip, start: float = 0.0, seconds: float | None = None) -> np.ndarray:
        """Return ``seconds`` of a clip from ``start`` seconds after its own start: mono float32, shape (n,).

        n is round(seconds * sample_rate), less where the clip or its recording ends before; all the rest with
        ``seconds`` None. Positions are rounded to the nearest sample: a start of i / sample_rate is sample i exactly.

        Raises `MediaError`: a recording that cannot be read, or that ends before the clip begins.
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
            raise MediaError(
                f"{printable(clip.name)}: the recording has no sound there: correct the list's start and end"
            )
        return found

    def _bounds(self, clip: Clip) -> tuple[int, int | None]:
        """First sample, and the one after the last; None is the recording's end."""
        return round(clip.start * self.sample_rate), None if clip.end is None else round(clip.end * self.sample_rate)

    def _total(self, clip: Clip) -> int:
        """Samples of the clip's whole recording."""
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
        """Samples [first, last) of an HDF5 recording, counted at `sample_rate`."""
        recording = _recording(clip)
        rate, target, total = self.hdf5_rate, self.sample_rate, len(recording)
        end = round(total * target / rate)
        last = end if last is None else min(last, end)
        if last <= first:
            return np.zeros(0, np.float32)
        if rate == target:
            return _floats(_values(recording, clip, first, last))
        # The resampler hears a little on both sides, as if it had come from the recording's start; and it begins where
        # a sample at the new rate falls on one at the old. (Every second such place: round() goes to even numbers.)
        divisor = math.gcd(rate, target)
        old, new = 2 * rate // divisor, 2 * target // divisor
        margin = math.ceil(_MARGIN * max(1.0, rate / target))
        blocks = max(0, first * rate // target - margin) // old
        stop = min(total, math.ceil(last * rate / target) + margin)
        resampler = Resampler(rate, target)
        heard = resampler.push(_floats(_values(recording, clip, blocks * old, stop)))
        heard = np.concatenate([heard, resampler.finish()])
        return heard[first - blocks * new : last - blocks * new]


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Float samples, full scale -1..1, to int16 of the same shape; what is beyond full scale is clamped to it."""
    return np.rint(np.clip(samples, -1, 1) * np.float32(FULL_SCALE)).astype(np.int16)


def to_float(samples: np.ndarray) -> np.ndarray:
    """What `to_int16` gave, to float32 again."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


@lru_cache(_OPEN_FILES)
def _opened(path: str) -> Any:
    """The h5py.File, opened once a process."""
    import h5py  # of the extra [train]

    try:
        try:
            return h5py.File(path, "r", locking=False)  # network folders often cannot lock, and nobody writes here
        except OSError:
            return h5py.File(path, "r")  # this process may have it open already, with a lock
    except FileNotFoundError:
        raise MediaError(f"{printable(path)}: no such file: check the name") from None
    except PermissionError:
        raise MediaError(f"{printable(path)}: no permission to read it: change its rights") from None
    except OSError as error:
        raise MediaError(f"{printable(path)}: not a whole HDF5 file: {_line(error)}; get a whole copy") from None


# A forked worker must not share its parent's open files: it drops them and opens its own.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_opened.cache_clear)


def _recording(clip: Clip) -> Any:
    """The h5py.Dataset of a clip."""
    import h5py

    file = _opened(str(clip.path))
    name = f"{printable(clip.path)}:{printable(str(clip.key))}"
    try:
        found = file.get(clip.key)
    except (OSError, RuntimeError, ValueError) as error:
        raise MediaError(f"{name}: damaged: {_line(error)}; get a whole copy") from None
    if found is None:
        raise MediaError(f"{name}: no such recording among the {len(file)} there: check the list, or get the rest")
    if not isinstance(found, h5py.Dataset) or found.ndim != 1 or found.dtype.kind not in "fiu":
        raise MediaError(f"{name}: not a recording: that is one row of numbers, mono")
    return found


def _values(recording: Any, clip: Clip, first: int, last: int) -> np.ndarray:
    try:
        return recording[first:last]
    except (OSError, RuntimeError, ValueError) as error:
        raise MediaError(f"{printable(clip.name)}: damaged: {_line(error)}; get a whole copy") from None


def _floats(values: np.ndarray) -> np.ndarray:
    """To float32, full scale -1..1, whatever the type."""
    if values.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            samples = values.astype(np.float32)
        return np.where(np.abs(samples) <= LOUDEST, samples, np.float32(0))
    full = np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    silence = full if values.dtype.kind == "u" else np.float32(0)
    return (values.astype(np.float32) - silence) / full


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

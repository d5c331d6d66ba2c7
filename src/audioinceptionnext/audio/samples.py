"""Arrays of samples, as callers give them, to float32 with a full scale of -1…1. Every array takes this way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from audioinceptionnext.errors import ParameterError, counted

LOUDEST = 1e6  # 120 dB above full scale: a larger number is damaged, as NaN and infinity are
MAX_CHANNELS = 64  # of an array; with more, its axes are likely to be swapped
_FAR_BEYOND = 4.0  # 12 dB above full scale
_FAINT = 2.0**-8  # of full scale: the loudest that 24 bits in an int32 can be unless they are shifted
_ALL_BUT_SILENT = 2.0**-16  # the same for 16 bits; a part of a recording may well be as soft as the former
# How files begin that hold more than samples.
_BEGINNINGS = {
    b"RIFF": "a WAV file",
    b"RF64": "a WAV file",
    b"riff": "a W64 file",
    b"fLaC": "a FLAC file",
    b"OggS": "an Ogg file",
    b"ID3": "an MP3 file",
    b"\x1aE\xdf\xa3": "a WebM or Matroska file",
    b"FORM": "an AIFF file",
    b"caff": "a CAF file",
    b".snd": "an AU file",
    b"0&\xb2u": "a WMA file",
    b"#!AMR": "an AMR file",
}


def kind_of_bytes(data: bytes) -> str | None:
    """What bytes are if they begin like a file and not like raw samples, to be read after "like".

    >>> kind_of_bytes(Path("dinner.flac").read_bytes())
    'a FLAC file'
    """
    if data[4:8] == b"ftyp":
        return "an MP4 or M4A file"
    if data[:1] == b"\xff" and any(mark in data[4:256] for mark in (b"Xing", b"Info", b"LAME", b"Lavc")):
        return "an MP3 file"  # without tags; its first frame names the encoder
    if data[:2] in (b"\xff\xf1", b"\xff\xf9") and len(data) > 7:  # ADTS: another frame follows the first
        length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        return "an AAC file" if length > 7 and data[length : length + 2] == data[:2] else None
    return next((kind for start, kind in _BEGINNINGS.items() if data.startswith(start)), None)


def as_float(values: np.ndarray, damaged: bool | None = None) -> np.ndarray:
    """Samples of any type of number as float32 of the same shape, not copied where nothing changes.

    Integers are divided by the full scale of their type; unsigned ones are silent in the middle of it. NaN, infinite
    and absurdly large values become 0; ``damaged`` says whether there are any, if that is known.

    >>> as_float(np.array([-32768, 16384], np.int16))
    array([-1. ,  0.5], dtype=float32)
    """
    if values.dtype.kind == "f":
        if damaged or (damaged is None and not _peak(values) <= LOUDEST):
            values = np.where(_fine(values), values, 0)
        return values.astype(np.float32, copy=False)
    full_scale = np.float32(2.0 ** (8 * values.dtype.itemsize - 1))
    floats = values.astype(np.float32)
    if values.dtype.kind == "u":
        floats -= full_scale
    floats /= full_scale
    return floats


def check_array(samples: Any, name: str, whole: bool = False) -> np.ndarray:
    """What a caller gives as samples as an array of the right shape and type; nothing is converted yet.

    Args:
        samples: an array or something that NumPy takes for one, (n,) or (n, channels): floats between -1 and 1, or
            signed integers with the full scale of their type.
        name: of the parameter, for errors.
        whole: whether this is all of a recording, which cannot be empty. Then axes that look swapped are refused.

    Raises:
        ParameterError: it is no array, or one of another shape or type.
    """
    array = as_array(samples, name)
    shape = f"{'a waveform of shape' if whole else 'the shape is'} {array.shape}"
    if array.ndim not in (1, 2) or 0 in array.shape[1:]:
        raise ParameterError(name, None, f"{shape}; give (samples,) or (samples, channels)")
    if whole and not array.size:
        raise ParameterError(name, None, f"{shape}; give at least one sample")
    if array.ndim == 2 and (array.shape[1] > MAX_CHANNELS or (whole and array.shape[0] < array.shape[1])):
        raise ParameterError(name, None, f"{shape}, but channels come last: give its transpose, (samples, channels)")
    if array.dtype.kind not in "fi":
        reason = f"the type is {array.dtype}; give floats between -1 and 1, or signed integers"
        raise ParameterError(name, None, reason)
    return array


class Scale:
    """What samples are like, block by block, and whether their scale can be right. Nothing is converted for that.

    Args:
        faint: integers of more than 16 bits are suspect if none is larger, as a share of full scale.

    Attributes:
        damaged: how many samples are NaN, infinite or absurdly large.
    """

    def __init__(self, faint: float = _FAINT) -> None:
        self.damaged = 0
        self._limit, self._peak, self._dtype = faint, 0.0, np.dtype(np.float32)
        self._audible = self._beyond = 0  # samples that are not 0, and those at full scale or above it

    def add(self, array: np.ndarray) -> bool:
        """Take a block that `check_array` gave into account. Returns whether some of it is damaged."""
        self._dtype = array.dtype
        if not array.size or (array.dtype.kind == "i" and array.dtype.itemsize <= 2):
            return False  # nothing can be wrong
        peak, damaged = _peak(array), 0
        if array.dtype.kind == "i":
            self._peak = max(self._peak, peak)
            return False
        if not peak <= LOUDEST:
            damaged = array.size - int(np.count_nonzero(_fine(array)))
            array = as_float(array, damaged=True)
            peak = _peak(array)
        self._peak = max(self._peak, peak)
        self._audible += int(np.count_nonzero(array))
        if peak >= 1:
            self._beyond += int(np.count_nonzero(np.abs(array) >= 1))
        self.damaged += damaged
        return damaged > 0

    def problem(self) -> str | None:
        """What is wrong with the scale of the samples, if anything looks wrong."""
        if self._dtype.kind == "f":
            if self._peak <= _FAR_BEYOND or self._beyond * 2 <= self._audible:
                return None
            found = f"floats up to {self._peak:g}, where full scale is 1"
            return f"{found}; if they were 16-bit integers, divide them by 32768"
        bits = 8 * self._dtype.itemsize
        if not 0 < self._peak <= self._limit * 2.0 ** (bits - 1):
            return None
        found = f"{self._dtype} with values up to {self._peak:.0f} is {'all but silent' if bits > 32 else 'very soft'}"
        if self._peak <= 2**15:
            return f"{found}; if they have 16 bits, give int16"
        fits = 24 if self._peak <= 2**23 else 32
        return f"{found}; if they have {fits} bits, multiply them by 2**{bits - fits}"


def read_array(samples: Any, name: str, warn: Callable[[str], None]) -> np.ndarray:
    """Some of the samples of a recording, checked.

    Args:
        samples, name: as for `check_array`.
        warn: called with one line for each thing that is wrong but can be used.

    Returns:
        (n,) or (n, channels) float32. NaN, infinite and absurdly large values are 0.

    Raises:
        ParameterError: as `check_array`.
    """
    array = check_array(samples, name)
    scale = Scale(_ALL_BUT_SILENT)
    converted = as_float(array, scale.add(array))
    if scale.damaged:
        warn(damage(scale.damaged))
    if (problem := scale.problem()) is not None:
        warn(problem)
    return converted


def damage(samples: int) -> str:
    """The line about so many damaged samples."""
    return f"NaN, infinities or values beyond {LOUDEST:g} count as 0: {counted(samples, 'sample')}"


def as_array(samples: Any, name: str) -> np.ndarray:
    """What NumPy takes for an array, as one.

    Args:
        samples: an array, or an object of another library that gives one.
        name: of the parameter, for errors.

    Raises:
        ParameterError: it is none; the reason says what to give instead of bytes, lists and anything else.
    """
    if isinstance(samples, np.ma.MaskedArray):
        reason = "a masked array does not say what its masked samples are; give samples.filled(0)"
        raise ParameterError(name, None, reason)
    if isinstance(samples, np.ndarray):
        return samples
    if isinstance(samples, bytes | bytearray | memoryview):
        if kind := kind_of_bytes(bytes(samples)):
            raise ParameterError(name, None, f"bytes that start like {kind}; save them to a file and give its name")
        reason = "bytes do not say what they are; give numpy.frombuffer(data, numpy.int16), or the name of a file"
        raise ParameterError(name, None, reason)
    if isinstance(samples, list | tuple):
        reason = f"a {type(samples).__name__} is no array; give numpy.array(samples), and recordings one at a time"
        raise ParameterError(name, None, reason)
    if not hasattr(samples, "__array__"):
        instead = "the name of the file, after saving it if need be" if hasattr(samples, "read") else "a NumPy array"
        raise ParameterError(name, None, f"{type(samples).__name__} is no array of samples; give {instead}")
    try:
        return np.asarray(samples)
    except Exception as error:  # other libraries raise what they like: a tensor on a GPU, or one with gradients
        reason = f"{type(samples).__name__} cannot become a NumPy array: {' '.join(str(error).split())}"
        raise ParameterError(name, None, reason) from error


def _peak(values: np.ndarray) -> float:
    # Two reductions are cheaper than an array of booleans. NaN propagates through both, and compares as false.
    return max(-float(values.min()), float(values.max())) if values.size else 0.0


def _fine(values: np.ndarray) -> np.ndarray:
    """Which floats are not damaged."""
    return np.isfinite(values) if values.dtype == np.float16 else np.abs(values) <= LOUDEST  # half precision ends below

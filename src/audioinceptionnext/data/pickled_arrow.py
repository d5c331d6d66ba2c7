"""Reads text columns that pandas 3 pickled with pyarrow, without pyarrow.

The layout is https://arrow.apache.org/docs/format/Columnar.html, "Variable-size Binary Layout": one bit per value that
says whether it is there, offsets, and UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from audioinceptionnext.data.pickled_tables import Damaged

_OFFSETS: dict[str, np.dtype[Any]] = {"string": np.dtype("<i4"), "large_string": np.dtype("<i8")}


def _type(name: Any) -> str:
    """Stand-in for ``pyarrow.lib.type_for_alias``."""
    if name not in _OFFSETS:
        raise Damaged(f"a column of {name!r:.20}")
    return str(name)


def _buffer(content: Any) -> bytes:
    """Stand-in for ``pyarrow.lib.py_buffer``."""
    if not isinstance(content, bytes | bytearray):
        raise Damaged("buffer")
    return bytes(content)


def _array(parts: Any) -> np.ndarray:
    """Stand-in for ``pyarrow.lib._restore_array``: (n,) of `str` and None."""
    kind, length, _, first, buffers, *_ = parts
    present, offsets, text = buffers
    if kind not in _OFFSETS or type(length) is not int or type(first) is not int or min(length, first) < 0:
        raise Damaged("array")
    ends: Any = (
        np.frombuffer(offsets or b"", _OFFSETS[kind], length + 1, first * _OFFSETS[kind].itemsize) if length else []
    )
    there = np.ones(length, bool)
    if present is not None:
        bits = np.unpackbits(np.frombuffer(present, np.uint8), bitorder="little")[first : first + length]
        there = bits.astype(bool)
    if len(there) != length or (length and (ends[0] < 0 or np.any(np.diff(ends) < 0) or ends[-1] > len(text or b""))):
        raise Damaged("array")
    values = np.empty(length, object)
    for i in np.flatnonzero(there):
        values[i] = text[ends[i] : ends[i + 1]].decode()
    return values


#: The names of ``pyarrow.lib`` that a pickle may contain.
ARROW: dict[str, Callable[..., Any]] = {"type_for_alias": _type, "py_buffer": _buffer, "_restore_array": _array}

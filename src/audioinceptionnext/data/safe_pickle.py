"""Pickles of tables and arrays, read without running what they ask for, and without pandas's and numpy's own ways to
rebuild their objects, which trust what they are given and crash with what is damaged."""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data.pickled_arrow import ARROW
from audioinceptionnext.data.pickled_tables import PARTS, Damaged, Part, resolve
from audioinceptionnext.errors import AinextError, printable

_OTHERS = {
    "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
    "collections": {"OrderedDict"},
    "datetime": {"date", "datetime", "time", "timedelta"},
    "functools": {"partial"},  # pandas 1.3 makes blocks through it
}
_DTYPE = re.compile(r"[<>=|]?(\?|[biufcSUOMm]\d*)")  # no structures


class _Refused(Exception):
    pass


def _latin1(text: str, encoding: str) -> bytes:
    """Stands for ``_codecs.encode``, by which protocols below 3 hold bytes, and which could look up any codec."""
    if encoding not in ("latin1", "latin-1"):
        raise Damaged(encoding)
    return text.encode("latin-1")


def _dtype(name: Any, *_: Any) -> np.dtype[Any]:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise Damaged(f"dtype {name!r:.20}")
    return np.dtype(name).newbyteorder("<")  # a copy, which `_set_dtype` may change


def _set_dtype(dtype: np.dtype[Any], state: Any) -> None:
    """Of its state the byte order, and the unit of times, count; all else follows from its name."""
    order = state[1]
    if dtype.kind in "mM" and len(state) > 8:
        unit, count, *_ = state[8][1]
        unit = unit.decode("ascii") if isinstance(unit, bytes) else unit
        _restore(dtype, np.dtype(f"{dtype.kind}8[{int(count)}{unit}]").newbyteorder(order).__reduce__()[2])
    elif order in "<>" and dtype.kind != "O":
        _restore(dtype, dtype.newbyteorder(order).__reduce__()[2])


def _restore(value: Any, state: Any) -> None:
    value.__setstate__(state)


def _array(*_: Any) -> np.ndarray:
    return np.ndarray((0,), "b")


def _set_array(array: np.ndarray, state: Any) -> None:
    _, shape, dtype, fortran, data = state
    if array.size or array.base is not None:
        raise Damaged("array")  # set before: something may look at its memory
    _check(dtype, shape, data)
    _restore(array, (1, tuple(shape), dtype, bool(fortran), data))


def _check(dtype: Any, shape: Any, data: Any) -> None:
    """Raises `Damaged` unless the data are as many as dtype and shape say."""
    if not isinstance(dtype, np.dtype) or not all(type(length) is int and length >= 0 for length in shape):
        raise Damaged("array")
    kinds, length = (list, 1) if dtype.kind == "O" else ((bytes, bytearray), dtype.itemsize)
    if not isinstance(data, kinds) or len(data) != math.prod(shape) * length:
        raise Damaged("array")


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Protocol 5's way."""
    shape = shape if isinstance(shape, tuple) else (shape,)
    _check(dtype, shape, data)
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any) -> Any:
    _check(dtype, (), data)
    return np.frombuffer(data, dtype)[0]


def _storage(content: Any) -> Any:
    """Stands for ``torch.storage._load_from_bytes``, by which a tensor in a plain pickle holds its values."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """Stands for ``torch._utils._rebuild_tensor_v2``, which checks that size and stride stay within the storage."""
    from torch._utils import _rebuild_tensor

    return _rebuild_tensor(storage, offset, size, stride).numpy().copy()


class _Ndarray:
    """Stands for the class, which is named as an argument and need not be called."""


_NUMPY: dict[str, Callable[..., Any]] = {
    "dtype": _dtype,
    "ndarray": _Ndarray,
    "_reconstruct": _array,
    "_frombuffer": _frombuffer,
    "scalar": _scalar,
}
_TORCH: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}
_InPython: Any = pickle._Unpickler  # as pandas does: the one in C does not let one see what an object is set to


class _Unpickler(_InPython):
    tables = False  # pandas was named
    dispatch = _InPython.dispatch.copy()

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("__builtin__", "builtins")
        package = module.partition(".")[0]
        if package == "pandas" and name in PARTS:
            self.tables = True
            return PARTS[name]
        if package == "numpy" and name in _NUMPY:
            return _NUMPY[name]
        if module == "pyarrow.lib" and name in ARROW:
            return ARROW[name]
        if (module, name) in _TORCH:
            return _TORCH[module, name]
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        if name in _OTHERS.get(module, ()):
            return getattr(import_module(module), name)
        raise _Refused(f"{module}.{name}")

    def load_build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if isinstance(value, np.ndarray):
            _set_array(value, state)
        elif isinstance(value, np.dtype):
            _set_dtype(value, state)
        elif isinstance(value, Part | partial):
            _restore(value, state)
        else:
            raise Damaged("state of what has none")

    dispatch[pickle.BUILD[0]] = load_build


def read_pickle(path: Path) -> Any:
    """What a pickle holds: built-in values and containers, numpy arrays and scalars, pandas tables (1.0 to 3).

    A `pandas.DataFrame` of numbers and text comes as one; a Series, an Index or a torch tensor as an array. Anything
    else that the file names is refused before it is imported or called, so that a forged file cannot run code. Like any
    file of a binary format it could still ask for more memory than there is.

    Raises:
        AinextError: a file that cannot be opened, is no pickle, is damaged, or asks for something else.
        ModuleNotFoundError: a table, and pandas is not installed.
    """
    try:
        reader = _Unpickler(io.BytesIO(path.read_bytes()))
        found = reader.load()
        return resolve(found) if reader.tables else found
    except ModuleNotFoundError:
        raise
    except _Refused as error:
        raise AinextError(
            f"{printable(path)}: asks to run {printable(str(error))}, which a table or an array does not need, and was not "
            "read; if you trust it, open it with what wrote it and save it as CSV or as plain numpy arrays"
        ) from None
    except OSError as error:
        raise AinextError(f"{printable(path)}: cannot be opened: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle fails anywhere
        what = f"is no pickle, or a damaged one ({type(error).__name__})"
        raise AinextError(f"{printable(path)}: {what}: get it again, or the CSV") from None

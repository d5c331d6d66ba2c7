"""Reads pickles of tables and arrays without running any code that they name.

The functions by which pandas and numpy rebuild their objects are not used either: they trust their input, and crash on
damaged files.
"""

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
from audioinceptionnext.errors import FileError, printable

_OTHERS = {
    "builtins": {"bytearray", "complex", "frozenset", "range", "set", "slice"},
    "collections": {"OrderedDict"},
    "datetime": {"date", "datetime", "time", "timedelta"},
    "functools": {"partial"},  # pandas 1.3 makes blocks with it
}
_DTYPE = re.compile(r"[<>=|]?(\?|[biufcSUOMm]\d*)")  # no structured types


class _Refused(Exception):
    """The pickle names something that is not allowed."""


def _latin1(text: str, encoding: str) -> bytes:
    """Stand-in for ``_codecs.encode``, which protocols below 3 use for bytes, and which could load any codec."""
    if encoding not in ("latin1", "latin-1"):
        raise Damaged(encoding)
    return text.encode("latin-1")


def _dtype(name: Any, *_: Any) -> np.dtype[Any]:
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise Damaged(f"dtype {name!r:.20}")
    return np.dtype(name).newbyteorder("<")  # a copy, so that `_set_dtype` may change it


def _set_dtype(dtype: np.dtype[Any], state: Any) -> None:
    """Set the byte order, and the unit of times. Everything else in the state follows from the name of the type."""
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
        raise Damaged("array")  # already set: another object may use its memory
    _check(dtype, shape, data)
    _restore(array, (1, tuple(shape), dtype, bool(fortran), data))


def _check(dtype: Any, shape: Any, data: Any) -> None:
    """Raise `Damaged` unless the data have the length that the type and the shape require."""
    if not isinstance(dtype, np.dtype) or not all(type(length) is int and length >= 0 for length in shape):
        raise Damaged("array")
    kinds, length = (list, 1) if dtype.kind == "O" else ((bytes, bytearray), dtype.itemsize)
    if not isinstance(data, kinds) or len(data) != math.prod(shape) * length:
        raise Damaged("array")


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """Stand-in for the function that makes arrays in protocol 5."""
    shape = shape if isinstance(shape, tuple) else (shape,)
    _check(dtype, shape, data)
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any) -> Any:
    _check(dtype, (), data)
    return np.frombuffer(data, dtype)[0]


def _storage(content: Any) -> Any:
    """Stand-in for ``torch.storage._load_from_bytes``, which holds the values of a tensor in a plain pickle."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    """Stand-in for ``torch._utils._rebuild_tensor_v2``. torch checks that size and stride stay within the storage."""
    from torch._utils import _rebuild_tensor

    return _rebuild_tensor(storage, offset, size, stride).numpy().copy()


class _Ndarray:
    """Stand-in for the class, which pickles only name as an argument."""


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
_PythonUnpickler: Any = pickle._Unpickler  # as in pandas: the one in C has no hook for the state of an object


class _Unpickler(_PythonUnpickler):
    has_tables = False  # whether the pickle names anything of pandas
    dispatch = _PythonUnpickler.dispatch.copy()

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("__builtin__", "builtins")
        package = module.partition(".")[0]
        if package == "pandas" and name in PARTS:
            self.has_tables = True
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
            raise Damaged("state of an object that has none")

    dispatch[pickle.BUILD[0]] = load_build


def read_pickle(path: Path) -> Any:
    """Read a pickle of built-in values and containers, numpy arrays and scalars, and tables of pandas 1.0 to 3.

    Anything else that the file names is refused before it is imported or called, so that a forged file cannot run
    code. As with any binary format, it could still ask for more memory than there is.

    Returns:
        The object. A `pandas.DataFrame` of numbers and text stays one; a Series, an Index and a torch tensor become
        arrays.

    Raises:
        FileError: the file cannot be opened, is not a pickle, is damaged, or names anything else.
        ModuleNotFoundError: the pickle holds a table and pandas is not installed.
    """
    try:
        reader = _Unpickler(io.BytesIO(path.read_bytes()))
        content = reader.load()
        return resolve(content) if reader.has_tables else content
    except ModuleNotFoundError:
        raise
    except _Refused as error:
        what = f"asks to run {printable(str(error))}, which a table or an array does not need, and was not read"
        advice = "if you trust it, open it with the program that wrote it and save it as CSV or as plain numpy arrays"
        raise FileError(path, f"{what}; {advice}") from None
    except OSError as error:
        raise FileError(path, f"cannot be opened: {error.strerror or error}") from None
    except Exception as error:  # a damaged pickle can fail anywhere
        raise FileError(path, "not a pickle, or damaged; get it again, or get the CSV file") from error

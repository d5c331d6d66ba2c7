"""Rebuilds tables from pickles of pandas 1.0 to 3.

The parts that a pickle names are recorded first. The table is then made of its columns by the public constructor of
pandas, so that no function of the pickle's choice is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


class Damaged(Exception):
    """The pickle contradicts itself."""


class Part:
    """One pandas object of a pickle: the arguments it was to be made with, and its state. Nothing is made yet."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **_: Any) -> Part:
        part = super().__new__(cls)
        part.args, part.state = args, None
        return part

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Frame(Part):
    """A DataFrame."""


class Series(Part):
    """A Series."""


class Manager(Part):
    """The manager of the blocks: args are (blocks, axes); before pandas 1.3, the state has both."""


class Block(Part):
    """Columns of one type: args are (values, placement, …)."""


class Index(Part):
    """An index: args are (class, {"data", "name"}), or for a range (class, {"start", "stop", "step", "name"})."""


class Strings(Part):
    """An extension array of text: its only numpy array is somewhere in args or state."""


class Other(Part):
    """An object that is only used as an argument of others."""


#: The names of pandas that a pickle may contain, in any module: classes move between versions.
PARTS: dict[str, Any] = {
    "DataFrame": Frame,
    "Series": Series,
    "BlockManager": Manager,
    "SingleBlockManager": Manager,
    "_unpickle_block": Block,
    "new_block": Block,
    "_new_Index": Index,
    **dict.fromkeys(("StringArray", "ArrowStringArray", "ArrowStringArrayNumpySemantics"), Strings),
    "__pyx_unpickle_NDArrayBacked": Strings,
    "NA": None,
    **dict.fromkeys(("StringDtype", "Index", "RangeIndex", "Int64Index", "UInt64Index", "Float64Index"), Other),
}


def resolve(found: Any) -> Any:
    """Replace the parts in a pickle's content by tables and arrays. Raises `Damaged`."""
    if isinstance(found, dict):
        return {key: resolve(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(map(resolve, found))
    if isinstance(found, Frame):
        return _frame(found)
    if isinstance(found, Series):
        blocks, _ = _blocks_and_axes(found)
        return _values(blocks[0][0])
    if isinstance(found, Index):
        return _index(found)[1]
    if isinstance(found, Strings):
        return _values(found)
    if isinstance(found, Part):
        raise Damaged("a part without its table")
    return found


def _frame(part: Frame) -> Any:
    import pandas

    blocks, (columns, rows) = _blocks_and_axes(part)
    (_, names), (index_name, index) = _index(columns), _index(rows)
    found: dict[int, Any] = {}
    for values, placement in blocks:
        places = range(len(names))[placement] if isinstance(placement, slice) else [int(i) for i in placement]
        parts = [_values(values)] if isinstance(values, Part) else list(np.atleast_2d(values))
        if len(parts) != len(places):
            raise Damaged("block")
        found |= dict(zip(places, parts, strict=True))
    if sorted(found) != list(range(len(names))) or any(np.shape(column) != (len(index),) for column in found.values()):
        raise Damaged("table")
    table = {name: found[i] for i, name in enumerate(names)}
    if len(table) < len(names):
        raise Damaged("two columns of one name")
    return pandas.DataFrame(table, index=pandas.Index(index, name=index_name))


def _blocks_and_axes(part: Part) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """(values, placement) of each block, and the axes."""
    manager = next(value for value in part.state.values() if isinstance(value, Manager))
    if manager.args:
        blocks, axes = manager.args
        blocks = [blocks] if isinstance(blocks, Block) else blocks  # a Series has one block and one axis
        return [(block.args[0], block.args[1]) for block in blocks], [axes] if isinstance(axes, Part) else axes
    state = manager.state[3]["0.14.1"]
    return [(block["values"], block["mgr_locs"]) for block in state["blocks"]], state["axes"]


def _index(part: Index) -> tuple[Any, np.ndarray]:
    """The name of an index and its values."""
    _, state = part.args
    name = state.get("name")
    if "data" in state:
        return name, _values(state["data"])
    return name, np.arange(int(state["start"]), int(state["stop"]), int(state["step"]))


def _values(found: Any) -> np.ndarray:
    """The one numpy array of an extension array, or the array itself: (n,)."""
    if isinstance(found, np.ndarray):
        return found
    arrays = list(_arrays_in(found))
    if not isinstance(found, Strings) or len(arrays) != 1:
        raise Damaged("a column of neither numbers nor text")
    return arrays[0].reshape(-1)


def _arrays_in(found: Any) -> Iterator[np.ndarray]:
    if isinstance(found, np.ndarray):
        yield found
    elif isinstance(found, Strings):
        yield from _arrays_in((found.args, found.state))
    elif isinstance(found, tuple | dict):
        for value in found.values() if isinstance(found, dict) else found:
            yield from _arrays_in(value)

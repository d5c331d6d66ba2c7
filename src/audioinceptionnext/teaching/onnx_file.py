"""A model's ONNX file with another last layer, written field by field, without a package for ONNX.

What the file has
    A message `ModelProto` (fields: 7 the graph, 14 the metadata, each with 1 key and 2 value). A graph (1 the nodes, 5
    the constants, 11 the inputs, 12 the outputs, 13 types of values in between). A node (1 names of its inputs, 2 names
    of its outputs, 4 its operator, 5 its attributes). Nodes are in the order in which they can be computed.

What is changed
    1. The node that makes `probabilities` multiplies what a softmax or a sigmoid gives with 0 where a step is digital
       silence, and 1 elsewhere. Of its two inputs, this mask is the one that does not depend on `features`.
    2. New nodes come after all others: `features` times the weights, plus the biases; the softmax of that; its columns
       of the labels, times the mask, are the new `probabilities`. The new `logits` are the sums of the labels, less the
       logarithm of the summed powers of the other columns. So the probability of a label is its share in the powers of
       all `logits` and of one more, which is 0.
    3. The outputs are `probabilities`, `logits`, `features` and `log_mel`. Nodes and constants that none of these needs
       are left out: the old layer and the fine timeline.
    4. The metadata say what is new. What was said of the old labels is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from audioinceptionnext.errors import ModelError
from audioinceptionnext.teaching.head import Head
from audioinceptionnext.teaching.protobuf import VARINT, Field, read_fields, texts, write_fields

GRAPH, METADATA, KEY, VALUE = 7, 14, 1, 2  # fields of a model, and of an entry of its metadata
NODE, CONSTANT, OUTPUT, VALUE_INFO = 1, 5, 12, 13  # fields of a graph
NODE_INPUT, NODE_OUTPUT, OPERATOR = 1, 2, 4  # fields of a node
DIMS, DATA_TYPE, TENSOR_NAME, RAW_DATA = 1, 2, 8, 9  # fields of a constant
FLOAT, INT64 = 1, 7  # types of numbers
KEPT_OUTPUTS = ("features", "log_mel")
PREFIX = "taught."  # of all new names in the graph
# What a file states of labels that it no longer has.
OLD_METADATA = ("labels", "tasks", "thresholds", "segmentation", "timeline_step_frames", "temperature", "identifiers",
                "groups")  # fmt: skip


def with_new_head(
    content: bytes, source: str, head: Head, labels: Sequence[str], name: str, info: Mapping[str, Any]
) -> bytes:
    """An ONNX file of this package with another last layer.

    Args:
        content: the file.
        source: what errors call it.
        head: the layer; its first columns are for the labels, the others for none of them.
        labels: the new ones.
        name: of the new model.
        info: what to say of it in the metadata, such as how many clips it was taught from.

    Raises:
        ModelError: the file is not such a file, or its features do not fit the layer.

    >>> Path("mine.onnx").write_bytes(with_new_head(content, "everyday", head, ["doorbell", "kettle"], "mine", {}))
    """
    try:
        model = list(read_fields(content))
        metadata = metadata_of(content)
        (place,) = [number for number, field in enumerate(model) if field.number == GRAPH]
        if (channels := metadata.get("features")) != str(len(head.weight)):
            raise ModelError(source, f"its features have {channels} channels; those of the examples {len(head.weight)}")
        graph, fewer = _edited(list(read_fields(_bytes(model[place]))), head, len(labels))
    except ValueError as error:
        raise ModelError(source, f"cannot be taught, since `ainext export` writes other files: {error}") from error
    metadata = {key: value for key, value in metadata.items() if key not in OLD_METADATA}
    parameters = int(metadata.get("parameters", 0)) - fewer + head.weight.size + head.bias.size
    metadata |= {
        "name": name,
        "kind": "single-label",
        "labels": json.dumps(list(labels), ensure_ascii=False),
        "thresholds": json.dumps([head.threshold] * len(labels)),
        "parameters": str(parameters),
        "info": json.dumps({**info, "name": name}, ensure_ascii=False),
    }
    model[place] = Field(GRAPH, write_fields(graph))
    new = [Field(METADATA, write_fields([_text(KEY, key), _text(VALUE, value)])) for key, value in metadata.items()]
    return write_fields([*(field for field in model if field.number != METADATA), *new])


def metadata_of(content: bytes) -> dict[str, str]:
    """What a model's ONNX file states about itself; empty if it is no such file."""
    try:
        entries = [list(read_fields(_bytes(field))) for field in read_fields(content) if field.number == METADATA]
        return {"".join(texts(entry, KEY)): "".join(texts(entry, VALUE)) for entry in entries}
    except ValueError:
        return {}


def _edited(graph: list[Field], head: Head, labels: int) -> tuple[list[Field], int]:
    """The fields of the new graph, and how many parameters of the old one are not in it."""
    nodes = [list(read_fields(_bytes(field))) for field in graph if field.number == NODE]
    mask = _mask(nodes)
    # A file that was taught before has nodes and constants of the new names.
    kept = [node for node in nodes if not any(map(_is_replaced, texts(node, NODE_OUTPUT)))]
    if (rest := head.weight.shape[1] - labels) < 1:
        raise ValueError("the new layer has no column for none of the labels")
    kept += _new_nodes(mask)
    outputs = {texts(read_fields(_bytes(field)), 1)[0]: field for field in graph if field.number == OUTPUT}
    if missing := [name for name in KEPT_OUTPUTS if name not in outputs]:
        raise ValueError(f"it has no output {missing[0]}")
    needed = {"probabilities", "logits", *KEPT_OUTPUTS}
    alive: list[Field] = []
    for node in reversed(kept):
        if needed & {*texts(node, NODE_OUTPUT)}:
            needed |= {*texts(node, NODE_INPUT)}
            alive.append(Field(NODE, write_fields(node)))
    constants, fewer = [], 0
    for field in graph:
        if field.number == CONSTANT:
            constant = list(read_fields(_bytes(field)))
            (called,) = texts(constant, TENSOR_NAME)
            if called in needed and not called.startswith(PREFIX):
                constants.append(field)
            elif any(one.number == DATA_TYPE and one.value != INT64 for one in constant):
                fewer += math.prod(one.value for one in constant if one.number == DIMS and isinstance(one.value, int))
    constants += [
        _constant("weight", head.weight.astype("<f4")),
        _constant("bias", head.bias.astype("<f4")),
        _constant("sizes", np.array([labels, rest], "<i8")),
        _constant("axis", np.array([2], "<i8")),
    ]
    other = [field for field in graph if field.number not in (NODE, CONSTANT, OUTPUT, VALUE_INFO)]
    described = [_output("probabilities", labels), _output("logits", labels), *(outputs[name] for name in KEPT_OUTPUTS)]
    return [*reversed(alive), *other, *constants, *described], fewer


def _is_replaced(name: str) -> bool:
    return name in ("probabilities", "logits") or name.startswith(PREFIX)


def _mask(nodes: Sequence[list[Field]]) -> str:
    """The name of what is 0 in digital silence and 1 elsewhere."""
    found = {"features"}  # and what depends on it
    for node in nodes:
        inputs = texts(node, NODE_INPUT)
        if "probabilities" in texts(node, NODE_OUTPUT):
            masks = [name for name in inputs if name not in found]
            if texts(node, OPERATOR) == ["Mul"] and len(masks) == 1 and len(inputs) == 2:
                return masks[0]
            break
        if found & {*inputs}:
            found |= {*texts(node, NODE_OUTPUT)}
    raise ValueError("its probabilities are no product of a layer on its features and a mask")


def _new_nodes(mask: str) -> list[list[Field]]:
    """From the features to probabilities and logits."""
    new = PREFIX
    return [
        _node("MatMul", ["features", f"{new}weight"], [f"{new}products"]),
        _node("Add", [f"{new}products", f"{new}bias"], [f"{new}sums"]),
        _node("Softmax", [f"{new}sums"], [f"{new}shares"]),
        _node("Split", [f"{new}shares", f"{new}sizes"], [f"{new}labels", f"{new}none"], _integer("axis", 2)),
        _node("Mul", [f"{new}labels", mask], ["probabilities"]),
        _node("Split", [f"{new}sums", f"{new}sizes"], [f"{new}own", f"{new}rest"], _integer("axis", 2)),
        _node("ReduceLogSumExp", [f"{new}rest", f"{new}axis"], [f"{new}other"]),  # keeps the axis by default
        _node("Sub", [f"{new}own", f"{new}other"], ["logits"]),
    ]


def _node(operator: str, inputs: Sequence[str], outputs: Sequence[str], *attributes: Field) -> list[Field]:
    named = [_text(NODE_INPUT, name) for name in inputs] + [_text(NODE_OUTPUT, name) for name in outputs]
    return [*named, _text(3, f"{PREFIX}{operator}-{outputs[0]}"), _text(OPERATOR, operator), *attributes]


def _integer(name: str, value: int) -> Field:
    """An attribute (1 name, 3 the integer, 20 the type, of which 2 is an integer)."""
    return Field(5, write_fields([_text(1, name), Field(3, value, VARINT), Field(20, 2, VARINT)]))


def _constant(name: str, values: np.ndarray) -> Field:
    kind = FLOAT if values.dtype.kind == "f" else INT64
    dims = [Field(DIMS, size, VARINT) for size in values.shape]
    end = [_text(TENSOR_NAME, PREFIX + name), Field(RAW_DATA, values.tobytes())]
    return Field(CONSTANT, write_fields([*dims, Field(DATA_TYPE, kind, VARINT), *end]))


def _output(name: str, labels: int) -> Field:
    """(batch, steps, labels): 1 name, 2 type with 1 tensor with 1 type of its numbers, 2 shape with 1 dimensions."""
    dims = [_text(2, "batch"), _text(2, "steps"), Field(1, labels, VARINT)]  # a name or a size
    shape = Field(2, write_fields([Field(1, write_fields([dim])) for dim in dims]))
    tensor = Field(1, write_fields([Field(1, FLOAT, VARINT), shape]))
    return Field(OUTPUT, write_fields([_text(1, name), Field(2, write_fields([tensor]))]))


def _text(number: int, text: str) -> Field:
    return Field(number, text.encode())


def _bytes(field: Field) -> bytes:
    if isinstance(field.value, bytes):
        return field.value
    raise ValueError(f"field {field.number} is no message")

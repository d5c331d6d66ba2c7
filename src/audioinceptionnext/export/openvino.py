"""Converts an ONNX file to OpenVINO's own format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from audioinceptionnext.errors import MissingDependencyError
from audioinceptionnext.export.quantise import MIN_ELEMENTS, read_metadata


def convert_to_openvino(source: Path, target: Path) -> None:
    """Write an ONNX file as OpenVINO's ``.xml``, and ``.bin`` beside it. Its metadata go into the model's ``rt_info``.

    Whatever the precision of the file, OpenVINO computes in the one that suits the processor.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
    """
    try:
        import openvino
    except ModuleNotFoundError:
        raise MissingDependencyError("the format .xml", "audioinceptionnext[openvino]") from None
    metadata = read_metadata(onnx.load(source))
    model = openvino.convert_model(source)
    for key, value in metadata.items():
        model.set_rt_info(value, ["audioinceptionnext", key])
    if metadata["precision"] == "float16":
        _halve_constants(model)
    # Its own compression would include the front end's tables, and change a clip's probabilities by up to 0.14.
    openvino.save_model(model, target, compress_to_fp16=False)


def _halve_constants(model: Any) -> None:
    """Store constants as float16 if that is exact, as for the weights of a float16 file. The tables are not."""
    from openvino import opset8

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.data.dtype != np.float32 or node.data.size < MIN_ELEMENTS:
            continue
        users, half = node.output(0).get_target_inputs(), node.data.astype(np.float16)
        if np.array_equal(half, node.data):
            stored = opset8.convert(opset8.constant(half), "f32")
            for user in users:
                user.replace_source_output(stored.output(0))

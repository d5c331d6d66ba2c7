"""Every Python that the tests start reads this first: its exports use the graphs that are remembered too.

Nothing is imported before the process itself imports the exporter.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


class Exporter:
    """Puts `tests.exports.remembered` in the place of torch's exporter, just before the package's own is imported."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name != "audioinceptionnext.export.onnx":
            return
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        sys.path.insert(0, str(Path(__file__).parents[2]))
        import torch.onnx

        from tests import exports

        torch.onnx.export = exports.remembered(Path(os.environ["AINEXT_GRAPHS"]))  # type: ignore[assignment]
        sys.path.pop(0)


if "AINEXT_GRAPHS" in os.environ:
    sys.meta_path.insert(0, Exporter())  # type: ignore[arg-type]

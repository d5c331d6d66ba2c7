"""Explains why a model gives a label: where in time and frequency, and with which of its kernels. Extra: ``[train]``.

>>> from audioinceptionnext.explain import explain_file, faithfulness, open_model
>>> model = open_model("kitchen20")
>>> explanation = explain_file(model, "examples/kitchen-scene.flac")
>>> explanation.label, explanation.map.shape, explanation.branches.shape
('microwave', (500, 64), (4, 3))
>>> explanation.plot("scene.png")
>>> faithfulness(model, explanation)  # does deleting what the map points at cost the label?
"""

from audioinceptionnext.explain.excerpt import explain_file
from audioinceptionnext.explain.explanation import Explanation, explain
from audioinceptionnext.explain.faithfulness import Faithfulness, faithfulness
from audioinceptionnext.explain.probe import open_model
from audioinceptionnext.explain.types import Region

__all__ = ["Explanation", "Faithfulness", "Region", "explain", "explain_file", "faithfulness", "open_model"]

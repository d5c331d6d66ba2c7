"""Seeing what a network hears: where in time and frequency, and with which of its kernels. Extra ``[train]``.

from audioinceptionnext.explain import explain_file, faithfulness, open_model
model = open_model("kitchen20")
found = explain_file(model, "dinner.mp4")
found.label, found.map, found.branches            # arrays; found.plot("dinner.png")
faithfulness(model, found)                        # is the picture true?
"""

from audioinceptionnext.explain.check import Faithfulness, faithfulness
from audioinceptionnext.explain.explanation import Explanation, Region, explain
from audioinceptionnext.explain.probe import open_model
from audioinceptionnext.explain.stretch import explain_file

__all__ = ["Explanation", "Faithfulness", "Region", "explain", "explain_file", "faithfulness", "open_model"]

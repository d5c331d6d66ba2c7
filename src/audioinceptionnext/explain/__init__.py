"""Seeing what a network hears: where in time and frequency, and with which of its kernels. Extra ``[train]``.

from audioinceptionnext.explain import explain_file, faithfulness, open_model
model = open_model("kitchen20")
found = explain_file(model, "dinner.mp4")
found.label, found.map, found.branches            # arrays; found.plot("dinner.png")
faithfulness(model, found)                        # is the picture true?
"""

from audioinceptionnext.explain.excerpt import explain_file
from audioinceptionnext.explain.explanation import Explanation, explain
from audioinceptionnext.explain.faithfulness import Faithfulness, faithfulness
from audioinceptionnext.explain.probe import open_model
from audioinceptionnext.explain.types import Region

__all__ = ["Explanation", "Faithfulness", "Region", "explain", "explain_file", "faithfulness", "open_model"]

"""A log-mel as bytes that a page can draw."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

LIVE = (-11.5, 2.5)  # of a stream, whose loudest and quietest are not known yet


def drawn(log_mel: np.ndarray, sample_rate: int, span: tuple[float, float] | None = None) -> dict[str, Any]:
    """(columns, bands) as a JSON object: a byte a value, 0 at ``low``, 255 at ``high``, column after column, in base64.

    Args:
        span: low and high; from a little under the quiet parts to just under the loudest unless given.
    """
    low, high = span or (float(value) for value in np.percentile(log_mel, (8, 99.7)))
    high = max(high, low + 1e-3)
    levels = np.clip(np.rint((log_mel - low) * (255 / (high - low))), 0, 255).astype(np.uint8)
    return {
        "columns": len(log_mel),
        "bands": log_mel.shape[1],
        "low": round(low, 3),
        "high": round(high, 3),
        "sample_rate": sample_rate,
        "data": base64.b64encode(levels.tobytes()).decode("ascii"),
    }

"""A log-mel small enough to draw, of a recording of any length, gathered as it is heard."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

LIVE = (-11.5, 2.5)  # of a stream, whose loudest and quietest are not known yet
MOST_COLUMNS = 4000  # more than a picture has pixels across


class Overview:
    """Collects frames; whenever they pass twice `MOST_COLUMNS` columns, two neighbours become one (their mean)."""

    def __init__(self) -> None:
        self._columns: list[np.ndarray] = []  # (n, bands) each
        self._count = 0
        self._frames_each = 1
        self._rest: np.ndarray | None = None  # frames that do not fill a column yet

    def add(self, frames: np.ndarray) -> None:
        """Frames (n, bands) that follow those added before."""
        if self._rest is not None and len(self._rest):
            frames = np.concatenate([self._rest, frames])
        whole = len(frames) // self._frames_each * self._frames_each
        self._rest = frames[whole:].copy()
        self._keep(_mean_of(frames[:whole], self._frames_each))
        while self._count > 2 * MOST_COLUMNS:
            columns = np.concatenate(self._columns)
            even = len(columns) // 2 * 2
            if even < len(columns):  # an odd column goes back to be filled by what follows
                odd = np.repeat(columns[even:], self._frames_each, axis=0)
                self._rest = np.concatenate([odd, self._rest])
            self._columns, self._count, self._frames_each = [], 0, self._frames_each * 2
            self._keep(_mean_of(columns[:even], 2))

    def _keep(self, columns: np.ndarray) -> None:
        if len(columns):
            self._columns.append(columns)
            self._count += len(columns)

    def picture(self) -> np.ndarray | None:
        """(columns, bands) float32 over the whole duration; None before any frame came."""
        parts = list(self._columns)
        if self._rest is not None and len(self._rest) and (not parts or 2 * len(self._rest) >= self._frames_each):
            parts.append(self._rest.mean(axis=0, keepdims=True))
        return np.concatenate(parts) if parts else None


def _mean_of(frames: np.ndarray, each: int) -> np.ndarray:
    """(n * each, bands) to (n, bands)."""
    if each == 1:
        return frames.copy()
    return frames.reshape(-1, each, frames.shape[1]).mean(axis=1, dtype=np.float32)


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

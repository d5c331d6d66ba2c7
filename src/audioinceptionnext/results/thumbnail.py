"""A log-mel that is small enough to draw, collected while a recording of any length is processed."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

LIVE_RANGE = (-11.5, 2.5)  # for a stream, whose loudest and quietest parts are not known yet
MAX_COLUMNS = 4000  # more than the pixels across a picture


class LogMelThumbnail:
    """Collects frames into at most twice `MAX_COLUMNS` columns.

    Whenever there are more, each two neighbouring columns are replaced by their mean.

    >>> thumbnail = LogMelThumbnail()
    >>> for frames in log_mel_blocks:
    ...     thumbnail.add(frames)
    >>> picture = thumbnail.picture()  # (columns, bands)
    """

    def __init__(self) -> None:
        self._columns: list[np.ndarray] = []  # (n, bands) each
        self._count = 0
        self._frames_per_column = 1
        self._rest: np.ndarray | None = None  # frames that do not fill a column yet

    def add(self, frames: np.ndarray) -> None:
        """Add the next frames, (n, bands)."""
        if self._rest is not None and len(self._rest):
            frames = np.concatenate([self._rest, frames])
        whole = len(frames) // self._frames_per_column * self._frames_per_column
        self._rest = frames[whole:].copy()
        self._keep(_group_means(frames[:whole], self._frames_per_column))
        while self._count > 2 * MAX_COLUMNS:
            columns = np.concatenate(self._columns)
            even = len(columns) // 2 * 2
            if even < len(columns):  # an odd column goes back to be filled by what follows
                odd = np.repeat(columns[even:], self._frames_per_column, axis=0)
                self._rest = np.concatenate([odd, self._rest])
            self._columns, self._count, self._frames_per_column = [], 0, self._frames_per_column * 2
            self._keep(_group_means(columns[:even], 2))

    def _keep(self, columns: np.ndarray) -> None:
        if len(columns):
            self._columns.append(columns)
            self._count += len(columns)

    def picture(self) -> np.ndarray | None:
        """(columns, bands) float32 over the whole duration; None if no frame was added."""
        parts = list(self._columns)
        rest = 0 if self._rest is None else len(self._rest)
        if self._rest is not None and rest and (not parts or 2 * rest >= self._frames_per_column):
            parts.append(self._rest.mean(axis=0, keepdims=True))
        return np.concatenate(parts) if parts else None


def _group_means(frames: np.ndarray, size: int) -> np.ndarray:
    """(n * size, bands) to (n, bands): the mean of each ``size`` neighbours."""
    if size == 1:
        return frames.copy()
    return frames.reshape(-1, size, frames.shape[1]).mean(axis=1, dtype=np.float32)


def encode_log_mel(log_mel: np.ndarray, sample_rate: int, limits: tuple[float, float] | None = None) -> dict[str, Any]:
    """A log-mel as a JSON object.

    Args:
        log_mel: (columns, bands).
        sample_rate: of the model, in Hz; the bands reach up to half of it.
        limits: the values that become black and white. Unless given, they are chosen so that a little of the quiet
            parts is black and a little of the loudest is white.

    Returns:
        ``columns``, ``bands``, ``low``, ``high`` (the limits), ``sample_rate``, and ``data``: one byte per value, 0 at
        ``low`` and 255 at ``high``, column after column, in base64.
    """
    low, high = limits or (float(value) for value in np.percentile(log_mel, (8, 99.7)))
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

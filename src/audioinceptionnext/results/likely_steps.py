"""The probabilities from which segments can be found at any onset threshold, in a fraction of their size.

Most labels are improbable most of the time. Such steps are part of no segment at any threshold that somebody would try,
and are left out, so that a page can hold the others of an hour and find its segments anew while somebody chooses a
threshold.
"""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np

from audioinceptionnext.results.segmentation import EPSILON_S
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.types import RecognitionData

LOWEST = 0.05  # onset threshold for which all that matters is kept
MAX_VALUES = 4_000_000  # 16 MB; if more would be kept, the lowest threshold is higher
# Steps that are kept or left out together, at least: enough that what a segment's ends, its pauses and its moving
# average depend on lies in the block or in the ones beside it.
BLOCK = 64


def encode_likely_steps(result: RecognitionData, settings: SegmentationSettings) -> dict[str, Any] | None:
    """A JSON object from which `find_segments` can be repeated with another onset threshold for all labels.

    Args:
        result: with its probabilities.
        settings: with which its segments were found; all but the onset thresholds also hold for those at another one.

    Returns:
        ``labels``, and ``tasks`` of these if the model has several; ``steps`` (their number), ``block`` (steps that are
        kept or left out together); ``places``, where the blocks that are kept belong: the label's place times the
        number of blocks, plus the block's place; ``data``, their probabilities as float32 (little-endian) in base64,
        one block after another. All others count as 0. ``lowest`` is the onset threshold from which on the segments
        are exact, but for the rounding of sums. ``step_seconds``, ``window_seconds``, ``duration``, ``merge_gap`` and,
        with one value per label, ``smoothing`` and ``min_duration`` are in seconds; ``offset_share`` is the offset
        threshold as a share of the onset threshold. None if too much would have to be kept at any threshold, as of a
        day of loud sound.

    >>> encode_likely_steps(result, model.segmentation_settings())["lowest"]
    0.05
    """
    share = settings.offset_threshold / settings.onset_threshold
    smoothing, shortest = (settings.by_class(name, len(result.labels)) for name in ("smoothing", "min_duration"))
    around = float(smoothing.max(initial=0.0)) + settings.merge_gap
    block = max(BLOCK, math.ceil(around / result.step_seconds + EPSILON_S) + 1)
    lowest = LOWEST
    while (kept := _kept(result.probabilities, block, lowest, share)).sum() * block > MAX_VALUES:
        if lowest >= 1:
            return None
        lowest = min(1.0, 1.2 * lowest)
    columns = np.flatnonzero(kept.any(axis=0))
    probabilities = _in_blocks(result.probabilities[:, columns], block)
    kept = kept[:, columns]
    tasks = _tasks(result)
    return {
        "labels": [result.labels[column] for column in columns],
        **({"tasks": [tasks[column] for column in columns]} if tasks else {}),
        "steps": len(result.probabilities),
        "block": block,
        "step_seconds": result.step_seconds,
        "window_seconds": result.window_seconds,
        "duration": result.duration,
        "lowest": lowest,
        "offset_share": share,
        "smoothing": smoothing[columns].tolist(),
        "min_duration": shortest[columns].tolist(),
        "merge_gap": settings.merge_gap,
        "places": np.flatnonzero(kept.T).tolist(),
        "data": base64.b64encode(probabilities.transpose(2, 0, 1)[kept.T].astype("<f4").tobytes()).decode("ascii"),
    }


def _kept(probabilities: np.ndarray, block: int, lowest: float, share: float) -> np.ndarray:
    """(steps, classes) to (blocks, classes): which blocks matter, and the ones beside them."""
    highest = _in_blocks(probabilities, block).max(axis=1)
    likely: np.ndarray = (highest >= lowest * share) & (highest.max(axis=0) >= lowest)
    kept = likely.copy()
    kept[1:] |= likely[:-1]
    kept[:-1] |= likely[1:]
    return kept


def _in_blocks(probabilities: np.ndarray, block: int) -> np.ndarray:
    """(steps, classes) to (blocks, block, classes), with 0 after the last step."""
    steps, classes = probabilities.shape
    blocks = math.ceil(steps / block)
    return np.pad(probabilities, ((0, blocks * block - steps), (0, 0))).reshape(blocks, block, classes)


def _tasks(result: RecognitionData) -> list[str]:
    """The task of each label; empty if there are none."""
    return [name for name, size in result.tasks.items() for _ in range(size)]

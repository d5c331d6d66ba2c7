"""Where the clips lie over which an evaluation averages."""

from __future__ import annotations

import numpy as np


def clip_starts(length: int, samples: int, count: int) -> list[int]:
    """The first samples of ``count`` clips, evenly spaced from a recording's start to its end less a clip.

    As published, a clip counts as one sample longer here than it is, and places are cut off to whole samples. A single
    clip lies in the middle. In a recording that is shorter than a clip, all clips begin at 0.

    Args:
        length: number of samples of the recording.
        samples: number of samples of a clip.
        count: number of clips.

    >>> clip_starts(100, 19, 3), clip_starts(5, 19, 3)
    ([0, 40, 80], [0, 0, 0])
    """
    spare = max(0, length - samples - 1)
    starts: list[int] = np.linspace(0, spare, count).astype(int).tolist()
    return [spare // 2] if count == 1 else starts

"""FLAC files of sound that is in memory: for the pages of a report, and for data sets that are written."""

from __future__ import annotations

import io

import av
import numpy as np


def flac(samples: np.ndarray, rate: int) -> bytes:
    """The content of a FLAC file with 16 bits per sample.

    Args:
        samples: (samples,), mono floats of -1…1; values beyond are clipped.
        rate: the sample rate in Hz.
    """
    integers = (np.clip(np.nan_to_num(samples), -1, 1) * 32767).round().astype(np.int16)
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as output:
        stream = output.add_stream("flac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(integers[None], "s16", "mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()

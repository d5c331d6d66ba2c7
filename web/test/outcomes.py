"""What Python makes of recordings and streams, as the tests compare it. For fixtures.py."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.stream import Stream


def write(folder: Path, name: str, samples: np.ndarray) -> None:
    (folder / name).write_bytes(np.ascontiguousarray(samples, "<f4").tobytes())


def result_of(recogniser: Recogniser, recording: Path | np.ndarray) -> dict[str, Any]:
    result = recogniser.predict(recording)
    percentiles = np.percentile(result.log_mel, (8, 99.7)).tolist()
    return {
        **result.as_dict(),
        "probabilities": result.probabilities.tolist(),
        "step_seconds": result.step_seconds,
        "window_seconds": result.window_seconds,
        "thumbnail": {"shape": result.log_mel.shape, "percentiles": percentiles},
    }


def steps_of(stream: Stream, waveform: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "start": one.start,
            "end": one.end,
            "label": one.label,
            "probabilities": one.probabilities.tolist(),
            "log_mel": one.log_mel.tolist(),
            "segments": [asdict(segment) for segment in one.segments],
            "open": [asdict(segment) for segment in one.open],
        }
        for one in [*stream.push(waveform), *stream.finish()]
    ]

"""Measures what the parts of a request to the server take, and whether clips take less time in a batch.

    python benchmarks/request_parts.py clip.ogg

Uses one thread, as a worker of `ainext serve` does. Prints medians in milliseconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np

from audioinceptionnext import load
from audioinceptionnext.audio import decode

REPEATS = 30
BATCH_SIZE = 8


def milliseconds(work: Callable[[], object]) -> float:
    """The median time of a call, after one call that is not counted."""
    work()
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        work()
        times.append(1000 * (perf_counter() - start))
    return median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording")
    parser.add_argument("--model", default="kitchen20")
    options = parser.parse_args()
    model = load(options.model, threads=1)
    waveform = decode.read(options.recording, model.sample_rate)
    batch = np.stack([waveform] * BATCH_SIZE)

    def network(waveforms: np.ndarray) -> float:
        run = model._session.run
        return milliseconds(lambda: run(["probabilities", "log_mel"], {"waveform": waveforms})) / len(waveforms)

    decoding = milliseconds(lambda: decode.read(options.recording, model.sample_rate))
    whole = milliseconds(lambda: model.predict(options.recording))
    print(f"decoding                             {decoding:6.1f}")
    print(f"recording to segments                {whole:6.1f}")
    print(f"front end and network                {network(waveform[None]):6.1f}")
    print(f"the same per clip, in a batch of {BATCH_SIZE}   {network(batch):6.1f}")


if __name__ == "__main__":
    main()

"""What a request to the server costs by part, and whether clips heard together cost less each.

    python tools/request_parts.py clip.ogg

One thread, as a worker of `ainext serve` has. Prints medians in milliseconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np

from audioinceptionnext import load
from audioinceptionnext.audio import decode

TIMES = 30
TOGETHER = 8


def milliseconds(work: Callable[[], object]) -> float:
    work()
    spent = []
    for _ in range(TIMES):
        begin = perf_counter()
        work()
        spent.append(1000 * (perf_counter() - begin))
    return median(spent)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recording")
    parser.add_argument("--model", default="kitchen20")
    options = parser.parse_args()
    model = load(options.model, threads=1)
    waveform = decode.read(options.recording, model.sample_rate)
    batch = np.stack([waveform] * TOGETHER)

    def network(sounds: np.ndarray) -> float:
        return milliseconds(lambda: model._session.run(["logits", "log_mel"], {"waveform": sounds})) / len(sounds)

    print(
        f"decoding                        {milliseconds(lambda: decode.read(options.recording, model.sample_rate)):6.1f}"
    )
    print(f"recording to segments           {milliseconds(lambda: model.predict(options.recording)):6.1f}")
    print(f"front end and network, alone    {network(waveform[None]):6.1f}")
    print(f"the same, {TOGETHER} together, each     {network(batch):6.1f}")


if __name__ == "__main__":
    main()

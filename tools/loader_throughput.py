"""How many clips a second does the loader give? With nothing kept, from the disk cache, and from memory.

python tools/loader_throughput.py --data kitchen20 --root Kitchen20 [--workers 0 2] [--seconds 4.8]

Training needs its batch divided by its seconds a step. Of the disk cache, `first` is the pass that decodes and writes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.sampling import EpochOrder
from audioinceptionnext.data.waveforms import Keep, Waveforms, loader


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    parser.add_argument("--rate", type=int, default=24_000, help="Hz")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=4.8, help="the longest stretch")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--cache", type=Path, help="folder in which the disk cache is made, and removed")
    options = parser.parse_args()

    dataset = load_dataset(options.data, options.root)
    reader = Reader(options.rate, dataset.sample_rate)
    keeps: tuple[Keep, ...] = ("nothing", "disk", "memory")
    print(f"{len(dataset.clips)} clips, load of this machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"keep     workers    first   later (median of {options.passes}), clips a second")
    for keep in keeps:
        for workers in options.workers:
            with tempfile.TemporaryDirectory(dir=options.cache) as folder:
                begun = time.perf_counter()
                waveforms = Waveforms(dataset.clips, reader, options.seconds, 0, keep, Path(folder), workers)
                ready = time.perf_counter() - begun
                order = EpochOrder(len(waveforms), options.batch, 0)
                batches = loader(waveforms, options.batch, order, workers)
                passes = []
                for epoch in range(1 + options.passes):
                    order.set_epoch(epoch)
                    begun = time.perf_counter()
                    heard = sum(len(batch.labels) for batch in batches)
                    passes.append(time.perf_counter() - begun)
                passes[0] += ready  # decoding to memory
                first, later = heard / passes[0], median(heard / seconds for seconds in passes[1:])
                print(f"{keep:8} {workers:7} {first:8.0f} {later:7.0f}", flush=True)


if __name__ == "__main__":
    main()

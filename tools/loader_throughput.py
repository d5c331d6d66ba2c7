"""Measures the clips per second that the loader gives: decoding each time, from the disk cache, and from memory.

    python tools/loader_throughput.py --data kitchen20 --root Kitchen20 [--loader-workers 0 2] [--max-seconds 4.8]

Training needs its batch size divided by its seconds per step. `first` is the pass that decodes, and that writes the
disk cache.
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
    parser.add_argument("--data", required=True, help="name the kind of data set")
    parser.add_argument("--root", required=True, type=Path, help="set the folder of the data set")
    parser.add_argument(
        "--loader-workers", type=int, nargs="+", default=[0, 2], help="decode in these numbers of processes"
    )
    parser.add_argument("--sample-rate", type=int, default=24_000, help="set the sample rate, in Hz")
    parser.add_argument("--batch-size", type=int, default=32, help="set the clips per batch")
    parser.add_argument("--max-seconds", type=float, default=4.8, help="set the longest stretch of a clip")
    parser.add_argument("--passes", type=int, default=3, help="measure this many passes after the first")
    parser.add_argument("--cache", type=Path, help="make the disk cache in this folder, and remove it")
    options = parser.parse_args()

    dataset = load_dataset(options.data, options.root)
    reader = Reader(options.sample_rate, dataset.sample_rate)
    keeps: tuple[Keep, ...] = ("nothing", "disk", "memory")
    print(f"{len(dataset.clips)} clips, system load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"keep     workers    first   later (median of {options.passes}), clips per second")
    for keep in keeps:
        for workers in options.loader_workers:
            with tempfile.TemporaryDirectory(dir=options.cache) as folder:
                start = time.perf_counter()
                waveforms = Waveforms(
                    dataset.clips, reader, options.max_seconds, keep=keep, cache=Path(folder), workers=workers
                )
                decoding_seconds = time.perf_counter() - start  # 0 unless all clips are decoded to memory
                order = EpochOrder(len(waveforms), options.batch_size, 0)
                batches = loader(waveforms, options.batch_size, order=order, workers=workers)
                passes = []
                for epoch in range(1 + options.passes):
                    order.set_epoch(epoch)
                    start = time.perf_counter()
                    clips = sum(len(batch.labels) for batch in batches)
                    passes.append(time.perf_counter() - start)
                passes[0] += decoding_seconds
                first, later = clips / passes[0], median(clips / seconds for seconds in passes[1:])
                print(f"{keep:8} {workers:7} {first:8.0f} {later:7.0f}", flush=True)


if __name__ == "__main__":
    main()

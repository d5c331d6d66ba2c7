"""Compute what an archive takes in cores, GPUs and hours from rates measured on one computer, for docs/scale.md.

python benchmarks/scale_table.py --core-rate 150 --decode-rate 800 --gpu-rate 20000 --task-rate 200 [--hours 1e6]

Rates are real-time factors: seconds of audio processed per second. Each function states its formulas.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from audioinceptionnext.cluster.downloads import DOWNLOADS_AHEAD
from audioinceptionnext.cluster.listing import TASK_BYTES
from audioinceptionnext.cluster.run import TASK_SIZE

# What archives hold, in kilobits per second.
FORMATS = {"WAV, 48 kHz, stereo, 16 bit": 1536.0, "AAC or MP3": 128.0, "Opus, speech": 24.0}
LENGTHS = {"5 s": 5.0, "1 min": 60.0, "1 h": 3600.0}  # of a recording


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--core-rate", type=float, required=True, help="from file to segments, by one worker on one core"
    )
    parser.add_argument("--decode-rate", type=float, help="decoding and resampling alone, on one core")
    parser.add_argument("--gpu-rate", type=float, help="front end and network on one GPU")
    parser.add_argument("--task-rate", type=float, help="tasks per second that one command can hand out and write")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds until a store begins its response")
    parser.add_argument("--hours", type=float, default=1e6, help="of audio")
    parser.add_argument("--cores", type=int, nargs="+", default=[16, 100, 1000, 10_000])
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--core-price", type=float, help="of a core, per hour")
    parser.add_argument("--gpu-price", type=float, help="of a GPU, per hour")
    options = parser.parse_args()

    print(f"{options.hours:,.0f} hours of audio\n")
    cores(options)
    if options.gpu_rate and options.decode_rate:
        print()
        gpus(options)
    print()
    storage(options)
    print()
    lengths(options)


def cores(options: argparse.Namespace) -> None:
    """Core-hours = hours of audio / core rate; bandwidth = cores x core rate x bit rate."""
    total = options.hours / options.core_rate
    print(f"{total:,.0f} core-hours{price(total, options.core_price)}\n")
    table(
        ["cores", "wall", *(f"Gbit/s, {name}" for name in FORMATS)],
        [
            [
                f"{count:,}",
                span(total / count),
                *(gigabits(count * options.core_rate, rate) for rate in FORMATS.values()),
            ]
            for count in options.cores
        ],
    )


def gpus(options: argparse.Namespace) -> None:
    """GPU-hours = hours of audio / GPU rate; cores that decode for one GPU = GPU rate / decode rate."""
    total, feeding = options.hours / options.gpu_rate, options.gpu_rate / options.decode_rate
    print(f"{total:,.0f} GPU-hours{price(total, options.gpu_price)}, with {feeding:,.0f} cores per GPU that decode:")
    decoding = options.hours / options.decode_rate
    print(f"{decoding:,.0f} core-hours{price(decoding, options.core_price)}\n")
    table(
        ["GPUs", "cores beside them", "wall", *(f"Gbit/s, {name}" for name in FORMATS)],
        [
            [
                f"{count:,}",
                f"{count * feeding:,.0f}",
                span(total / count),
                *(gigabits(count * options.gpu_rate, rate) for rate in FORMATS.values()),
            ]
            for count in options.gpus
        ],
    )


def storage(options: argparse.Namespace) -> None:
    """Bytes = hours x 3600 x bit rate / 8."""
    rows = [[name, f"{options.hours * 450e3 * rate / 1e12:,.1f} TB"] for name, rate in FORMATS.items()]
    table(["format", "the archive"], rows)


def lengths(options: argparse.Namespace) -> None:
    """For recordings of length L, in tasks of n recordings (the task size, or as many as TASK_BYTES holds).

    One command keeps task rate x n x L / core rate cores busy. A worker that downloads waits for the store's latency
    once per task. Within a task several downloads run at once, and the worker waits only if a recording takes it less
    time, L / core rate, than latency / (DOWNLOADS_AHEAD + 1).
    """
    rows = []
    for name, length in LENGTHS.items():
        size = length * FORMATS["AAC or MP3"] * 125
        count = max(1, min(TASK_SIZE, int(TASK_BYTES / size)))
        seconds = length / options.core_rate
        busy = f"{options.task_rate * count * seconds:,.0f}" if options.task_rate else "?"
        total = options.latency + seconds + (count - 1) * max(seconds, options.latency / (DOWNLOADS_AHEAD + 1))
        waiting = 1 - count * seconds / total
        rows.append([name, f"{options.hours * 3600 / length:,.0f}", f"{count}", busy, f"{waiting:.0%}"])
    head = ["length", "recordings", "recordings per task", "cores that one command keeps busy"]
    table([*head, f"share of waiting at {options.latency * 1000:.0f} ms"], rows)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(row)} |")


def span(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    return f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"


def gigabits(rate: float, kilobits: float) -> str:
    return f"{rate * kilobits / 1e6:.2f}"


def price(hours: float, each: float | None) -> str:
    return f" ({hours * each:,.0f} at {each} per hour)" if each is not None else ""


if __name__ == "__main__":
    main()

"""What an archive costs in cores, GPUs and hours, from figures measured on one machine: the tables of docs/scale.md.

python tools/scale_table.py --core-rate 150 --decode-rate 800 --gpu-rate 20000 --task-rate 200 [--hours 1e6]

Rates are real-time factors: seconds of sound heard in a second. The formulas stand beside the functions.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from audioinceptionnext.cluster.downloads import AHEAD
from audioinceptionnext.cluster.listing import TASK_BYTES
from audioinceptionnext.cluster.run import BATCH

# Kilobits a second of what archives hold.
FORMATS = {"WAV, 48 kHz, stereo, 16 bit": 1536.0, "AAC or MP3": 128.0, "Opus, speech": 24.0}
LENGTHS = {"5 s": 5.0, "1 min": 60.0, "1 h": 3600.0}  # of a recording


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--core-rate", type=float, required=True, help="file to segments, one worker of one core")
    parser.add_argument("--decode-rate", type=float, help="decoding and resampling alone, one core")
    parser.add_argument("--gpu-rate", type=float, help="front end and network on one GPU")
    parser.add_argument("--task-rate", type=float, help="tasks a second that one driver can hand out and write")
    parser.add_argument("--latency", type=float, default=0.05, help="s until a store begins to answer")
    parser.add_argument("--hours", type=float, default=1e6, help="of sound")
    parser.add_argument("--cores", type=int, nargs="+", default=[16, 100, 1000, 10_000])
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--core-price", type=float, help="an hour of a core")
    parser.add_argument("--gpu-price", type=float, help="an hour of a GPU")
    options = parser.parse_args()

    print(f"{options.hours:,.0f} hours of sound\n")
    cores(options)
    if options.gpu_rate and options.decode_rate:
        print()
        gpus(options)
    print()
    storage(options)
    print()
    lengths(options)


def cores(options: argparse.Namespace) -> None:
    """Core-hours = hours of sound / core rate; bandwidth = cores x core rate x bit rate."""
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
    """GPU-hours = hours of sound / GPU rate; cores that feed one = GPU rate / decode rate."""
    total, feeding = options.hours / options.gpu_rate, options.gpu_rate / options.decode_rate
    print(f"{total:,.0f} GPU-hours{price(total, options.gpu_price)}, each GPU fed by {feeding:,.0f} cores that decode:")
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
    """By the length L of a recording, in tasks of n recordings (the batch, or as many as TASK_BYTES holds).

    A driver keeps task rate x n x L / core rate cores busy. A worker that downloads waits the store's latency once a
    task; within one, several downloads are on their way at once, and it waits only where hearing, L / core rate, is
    shorter than latency / (AHEAD + 1).
    """
    rows = []
    for name, length in LENGTHS.items():
        size = length * FORMATS["AAC or MP3"] * 125
        count = max(1, min(BATCH, int(TASK_BYTES / size)))
        hearing = length / options.core_rate
        kept = f"{options.task_rate * count * hearing:,.0f}" if options.task_rate else "?"
        took = options.latency + hearing + (count - 1) * max(hearing, options.latency / (AHEAD + 1))
        waiting = 1 - count * hearing / took
        rows.append([name, f"{options.hours * 3600 / length:,.0f}", f"{count}", kept, f"{waiting:.0%}"])
    head = ["a recording", "recordings", "recordings a task", "cores that one driver keeps busy"]
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
    return f" ({hours * each:,.0f} at {each} an hour)" if each is not None else ""


if __name__ == "__main__":
    main()

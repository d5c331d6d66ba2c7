"""How near rows and parts of the network come to what the machine can do (Williams, Waterman and Patterson, 2009).

A computation of so many operations a byte cannot be faster than the machine's peak, nor than its bandwidth times that
intensity. Both are measured here, with as many threads as the rows have.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from audioinceptionnext.benchmark.process import answer_of
from audioinceptionnext.benchmark.profile import parts
from audioinceptionnext.benchmark.worker import Channel

SIDES = (512, 1024, 2048)  # of the matrices, the fastest counts: 0.3 to 17 GFLOP, far more than it takes to start one
MEASURE = 1.0  # seconds for each figure
ARRAYS = tuple(2**20 * 4**power for power in range(6))  # bytes of three arrays together, 1 MB to 1 GB
PEAKS = ("float32", "bf16", "int8")


def measure(cores: Sequence[int], network: Path, inputs: Path, seconds: float = MEASURE) -> dict[str, Any]:
    """The machine's limits, and the parts of a network.

    Args:
        network: an ONNX file of log-mel input, float32. inputs: as in `engines.Task`.
        seconds: for each figure of the machine.

    Returns:
        ``peak_gflops`` by precision, of the products that torch can do here; ``bandwidth``, pairs of bytes and GB/s;
        ``parts``, of one clip in ONNX Runtime, see `parts.parts`, with ``roof_gflops`` and ``share_of_roof``.

    Raises:
        RowFailed: torch or ONNX Runtime fail at it.
    """
    limits = answer_of(serve_limits, (len(cores), seconds), cores)
    found = answer_of(parts, (network, inputs, len(cores)), cores)
    for part in found:
        roof = roof_gflops(limits, part["intensity"], part["bytes"] / part["calls"])
        part |= {"roof_gflops": roof, "share_of_roof": part["gflops"] / roof if roof else None}
    return limits | {"parts": found}


def roof_gflops(limits: dict[str, Any], intensity: float, size: float) -> float:
    """The most that float32 can reach at an intensity (operations a byte), for a working set of ``size`` bytes."""
    bandwidth = next((gb for most, gb in limits["bandwidth"] if size <= most), limits["bandwidth"][-1][1])
    return min(limits["peak_gflops"]["float32"], bandwidth * intensity)


def add_shares(document: dict[str, Any], limits: dict[str, Any]) -> None:
    """To each row of a document on the CPU, ``share_of_peak``: of the peak of the precision in which it computes."""
    for row in document["rows"]:
        precision = row["precision"] if row["precision"] in PEAKS else "float32"
        peak = limits["peak_gflops"].get(precision)
        if row["device"] == "cpu" and peak:
            row["share_of_peak"] = row["gflops"] / peak


def serve_limits(channel: Channel, threads: int, seconds: float) -> None:
    import torch

    torch.set_num_threads(threads)
    channel.send({"peak_gflops": _peaks(seconds), "bandwidth": _bandwidth(seconds)})


def _peaks(seconds: float) -> dict[str, float]:
    """GFLOP/s of a product of two square matrices; a precision that torch cannot multiply here is left out."""
    import torch

    found: dict[str, float] = {}
    for side in SIDES:
        a = torch.randn(side, side)
        half, small = a.bfloat16(), torch.randint(-8, 8, (side, side), dtype=torch.int8)
        products: dict[str, Callable[[], Any]] = {
            "float32": partial(torch.mm, a, a),
            "bf16": partial(torch.mm, half, half),
            "int8": partial(torch._int_mm, small, small),
        }
        for precision, product in products.items():
            try:
                reached = 2 * side**3 / _shortest(product, seconds) / 1e9
            except (RuntimeError, NotImplementedError):
                continue
            found[precision] = max(reached, found.get(precision, 0.0))
    return found


def _bandwidth(seconds: float) -> list[tuple[int, float]]:
    """STREAM's triad (McCalpin): a = b + s c, by the bytes of all three arrays; GB/s of reading two and writing one.

    Small arrays stay in the caches, as the activations of one clip do; the largest do not.
    """
    import torch

    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8 if hasattr(os, "sysconf") else 2**28
    found = []
    with torch.inference_mode():
        for size in [size for size in ARRAYS if size <= most]:
            a, b, c = (torch.full((size // 12,), value) for value in (0.0, 1.0, 2.0))
            taken = _shortest(partial(torch.add, b, c, alpha=3.0, out=a), seconds)
            found.append((size, a.numel() * 12 / taken / 1e9))
    return found


def _shortest(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of the fastest call within so many: a limit is what was reached once."""
    call()
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        before = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - before)
    return best


def text(limits: dict[str, Any]) -> str:
    """For people: the limits, then a Markdown table of parts."""
    peaks = ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in limits["peak_gflops"].items())
    sizes = ", ".join(f"{size / 2**20:.0f} MB {value:.0f} GB/s" for size, value in limits["bandwidth"])
    lines = [f"Peak of a product of matrices: {peaks}.", f"Bandwidth, triad over arrays of: {sizes}.", ""]
    lines += ["| part (ONNX Runtime, float32, one clip) | ms | GFLOP | FLOP/byte | GB/s | GFLOP/s | roof | share |"]
    lines += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for part in limits["parts"]:
        line = (
            f"| {part['part']} | {part['ms']:.3f} | {part['gflop']:.4f} | {part['intensity']:.1f} | {part['gbs']:.0f} |"
        )
        if part["share_of_roof"] is None:
            lines.append(f"{line} | | |")
            continue
        lines.append(f"{line} {part['gflops']:.0f} | {part['roof_gflops']:.0f} | {100 * part['share_of_roof']:.0f} % |")
    return "\n".join(lines)

"""How close rows and parts of the network come to the hardware's limits (Williams, Waterman and Patterson, 2009).

The roofline model: a computation cannot exceed the peak of the processor, nor the memory bandwidth times its
arithmetic intensity (operations per byte). Both limits are measured here, with as many threads as the rows use.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from audioinceptionnext.benchmark.process import run_in_process
from audioinceptionnext.benchmark.profile import profile_parts
from audioinceptionnext.benchmark.worker import Channel

# Sides of the square matrices, 0.3 to 17 GFLOP per product: next to that, starting one takes no time. The best counts.
SIDES = (512, 1024, 2048)
MEASURE_S = 1.0  # for each figure
ARRAY_BYTES = tuple(2**20 * 4**power for power in range(6))  # of the three arrays together, 1 MB to 1 GB
PEAKS = ("float32", "bf16", "int8")


def measure(cores: Sequence[int], network: Path, inputs: Path, seconds: float = MEASURE_S) -> dict[str, Any]:
    """Measure the hardware's limits and the parts of a network.

    Args:
        cores: the CPU cores to use.
        network: an ONNX file that takes log-mels, in float32.
        inputs: as in `backends.Task`.
        seconds: for each limit.

    Returns:
        ``peak_gflops`` by precision, for the matrix products that torch can compute here; ``bandwidth``, pairs of bytes
        and GB/s; ``parts`` of one clip in ONNX Runtime, see `profile.by_part`, with ``roof_gflops`` and
        ``share_of_roof``.

    Raises:
        RowFailed: torch or ONNX Runtime failed.
    """
    limits = run_in_process(serve_limits, (len(cores), seconds), cores)
    parts = run_in_process(profile_parts, (network, inputs, len(cores)), cores)
    for part in parts:
        roof = roof_gflops(limits, part["intensity"], part["bytes"] / part["calls"])
        part |= {"roof_gflops": roof, "share_of_roof": part["gflops"] / roof if roof else None}
    return limits | {"parts": parts}


def roof_gflops(limits: dict[str, Any], intensity: float, size: float) -> float:
    """The most GFLOP/s that float32 can reach at an ``intensity`` in FLOP per byte.

    Args:
        limits: see `measure`.
        size: bytes of the working set, which decides the bandwidth.
    """
    bandwidth = next((gb for capacity, gb in limits["bandwidth"] if size <= capacity), limits["bandwidth"][-1][1])
    return min(limits["peak_gflops"]["float32"], bandwidth * intensity)


def add_shares(document: dict[str, Any], limits: dict[str, Any]) -> None:
    """Add ``share_of_peak`` to the rows of a document that run on the CPU: the share of their precision's peak."""
    for row in document["rows"]:
        precision = row["precision"] if row["precision"] in PEAKS else "float32"
        peak = limits["peak_gflops"].get(precision)
        if row["device"] == "cpu" and peak:
            row["share_of_peak"] = row["gflops"] / peak


def serve_limits(channel: Channel, threads: int, seconds: float) -> None:
    """Measure the limits in its own process, and send them."""
    import torch

    torch.set_num_threads(threads)
    channel.send({"peak_gflops": _peaks(seconds), "bandwidth": _bandwidth(seconds)})


def _peaks(seconds: float) -> dict[str, float]:
    """GFLOP/s of a product of two square matrices. Precisions that torch cannot multiply here are left out."""
    import torch

    peaks: dict[str, float] = {}
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
                reached = 2 * side**3 / _fastest(product, seconds) / 1e9
            except (RuntimeError, NotImplementedError):
                continue
            peaks[precision] = max(reached, peaks.get(precision, 0.0))
    return peaks


def _bandwidth(seconds: float) -> list[tuple[int, float]]:
    """Bytes of three arrays, and the GB/s of reading two and writing one: STREAM's triad a = b + s c (McCalpin, 1995).

    Small arrays stay in the caches, as the activations of one clip do. The largest ones do not.
    """
    import torch

    max_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 8 if hasattr(os, "sysconf") else 2**28
    bandwidth = []
    with torch.inference_mode():
        for size in [size for size in ARRAY_BYTES if size <= max_bytes]:
            a, b, c = (torch.full((size // 12,), value) for value in (0.0, 1.0, 2.0))
            duration = _fastest(partial(torch.add, b, c, alpha=3.0, out=a), seconds)
            bandwidth.append((size, a.numel() * 12 / duration / 1e9))
    return bandwidth


def _fastest(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of the fastest of the calls that fit into ``seconds``: a limit is what was reached once."""
    call()
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - before)
    return best


def text(limits: dict[str, Any]) -> str:
    """The limits, and a Markdown table of the parts."""
    peaks = ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in limits["peak_gflops"].items())
    sizes = ", ".join(f"{size / 2**20:.0f} MB {value:.0f} GB/s" for size, value in limits["bandwidth"])
    lines = [f"Peak of a matrix product: {peaks}.", f"Bandwidth of the triad, by the size of its arrays: {sizes}.", ""]
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

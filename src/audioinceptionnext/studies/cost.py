"""The cost of a variant in use: the folded network in ONNX Runtime, from the waveform of one clip to logits."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.benchmark.backends import peak_rss
from audioinceptionnext.benchmark.process import Process
from audioinceptionnext.benchmark.worker import Channel
from audioinceptionnext.errors import replacing

ROUNDS, CALLS = 10, 10  # all variants take turns, so that other work on the computer affects them equally
FILE = "costs.json"


def measure_costs(
    weights: Mapping[str, Path], folder: Path, cores: Sequence[int], *, again: bool, log: Callable[[str], None]
) -> dict[str, Any]:
    """Measure each variant once, and keep the results in ``folder``, where a study that goes on finds them.

    Args:
        weights: a trained network per variant, by the variant's name.
        folder: for ``costs.json``; it exists.
        cores: the CPU cores that every process is pinned to.
        again: measure all variants anew.
        log: called with a line of progress.

    Returns:
        By variant: ``parameters``, ``folded_parameters``, ``gmac`` and ``ms`` per clip, ``low`` and ``high`` (the
        quartiles of the rounds), ``clip_seconds`` and ``peak_mb``.

    Raises:
        FileError: ``costs.json`` cannot be written.
        RowFailed: a network cannot be run.
    """
    path = folder / FILE
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() and not again else {}
    known = {name: known[name] for name in weights if name in known}
    missing = [name for name in weights if name not in known]
    if missing:
        log(f"measuring {len(missing)} networks")
        known |= _measured({name: weights[name] for name in missing}, cores)
        with replacing(path) as new:
            new.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return {name: known[name] for name in weights}


def _measured(weights: Mapping[str, Path], cores: Sequence[int]) -> dict[str, Any]:
    costs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        processes: dict[str, Process] = {}
        for number, (name, path) in enumerate(weights.items()):
            costs[name], file, samples = _exported(path, Path(folder, f"{number}.onnx"))
            process = Process(serve, (str(file), samples, len(cores)), cores)
            processes[name] = stack.enter_context(contextlib.closing(process))
            costs[name]["peak_mb"] = process.receive() / 1e6
        rounds: dict[str, list[float]] = {name: [] for name in weights}
        for _ in range(ROUNDS):
            for name, process in processes.items():
                rounds[name].append(process.request(CALLS))
    for name, milliseconds in rounds.items():
        low, median, high = np.quantile(milliseconds, (0.25, 0.5, 0.75))
        costs[name] |= {"ms": float(median), "low": float(low), "high": float(high)}
    return costs


def _exported(weights: Path, target: Path) -> tuple[dict[str, Any], Path, int]:
    """The counted figures, the ONNX file, and the samples of a clip."""
    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.network.base import count_macs, count_parameters
    from audioinceptionnext.network.folding import fold
    from audioinceptionnext.network.storage import load_model

    model = load_model(weights)
    folded = fold(model.net)
    counts = {
        "parameters": count_parameters(model.net),
        "folded_parameters": count_parameters(folded),
        "gmac": count_macs(folded) / 1e9,
        "clip_seconds": model.clip_seconds,
    }
    return counts, export_onnx(model, target), model.clip_samples


def serve(channel: Channel, file: str, samples: int, threads: int) -> None:
    """Load a network in its own process, and send its peak memory in bytes.

    Then each request, a number of calls, gets their median duration in milliseconds.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
    clip = np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)
    for _ in range(3):
        session.run(["logits"], {"waveform": clip})
    channel.send(peak_rss())
    while (calls := channel.receive()) is not None:
        milliseconds = []
        for _ in range(calls):
            start = time.perf_counter()
            session.run(["logits"], {"waveform": clip})
            milliseconds.append(1000 * (time.perf_counter() - start))
        channel.send(float(np.median(milliseconds)))

"""What a variant costs in use: its folded network in ONNX Runtime, from the waveform of one clip to logits."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.benchmark.engines import peak_rss
from audioinceptionnext.benchmark.process import Process
from audioinceptionnext.benchmark.worker import Channel
from audioinceptionnext.errors import writing

ROUNDS, CALLS = 10, 10  # all variants in turns, so that what else happens falls on all
FILE = "costs.json"


def costs(
    weights: Mapping[str, Path], folder: Path, cores: Sequence[int], again: bool, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Of each variant, measured once and kept in ``folder``: a study that goes on does not measure again.

    Args:
        weights: a trained network of each variant.
        cores: that every process is pinned to.
        again: measure all of them anew.

    Returns:
        By variant: ``parameters``, ``folded_parameters``, ``gmac`` and ``ms`` of a clip, ``low`` and ``high``
        (quartiles of the rounds), ``clip_seconds``, ``peak_mb``.
    """
    path = folder / FILE
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() and not again else {}
    known = {name: known[name] for name in weights if name in known}
    missing = [name for name in weights if name not in known]
    if missing:
        tell(f"measuring {len(missing)} networks")
        known |= _measured({name: weights[name] for name in missing}, cores)
        with writing(path):
            path.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return {name: known[name] for name in weights}


def _measured(weights: Mapping[str, Path], cores: Sequence[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        processes: dict[str, Process] = {}
        for number, (name, path) in enumerate(weights.items()):
            found[name], file, samples = _exported(path, Path(place, f"{number}.onnx"))
            processes[name] = stack.enter_context(
                contextlib.closing(Process(serve, (str(file), samples, len(cores)), cores))
            )
            found[name]["peak_mb"] = processes[name].answer() / 1e6
        rounds: dict[str, list[float]] = {name: [] for name in weights}
        for _ in range(ROUNDS):
            for name, process in processes.items():
                rounds[name].append(process.ask(CALLS))
    for name, taken in rounds.items():
        low, middle, high = np.quantile(taken, (0.25, 0.5, 0.75))
        found[name] |= {"ms": float(middle), "low": float(low), "high": float(high)}
    return found


def _exported(weights: Path, target: Path) -> tuple[dict[str, Any], Path, int]:
    """What can be counted, the file, and the samples of a clip."""
    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.network.base import count_macs, count_parameters
    from audioinceptionnext.network.folding import fold
    from audioinceptionnext.network.storage import load_model

    model = load_model(weights)
    folded = fold(model.net)
    facts = {
        "parameters": count_parameters(model.net),
        "folded_parameters": count_parameters(folded),
        "gmac": count_macs(folded) / 1e9,
        "clip_seconds": model.clip_seconds,
    }
    return facts, export_onnx(model, target), model.clip_samples


def serve(channel: Channel, file: str, samples: int, threads: int) -> None:
    """In a process of its own: says its peak memory in bytes, then the median milliseconds of so many calls."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"])
    clip = np.random.default_rng(0).normal(0, 0.1, (1, samples)).astype(np.float32)
    for _ in range(3):
        session.run(["logits"], {"waveform": clip})
    channel.send(peak_rss())
    while (calls := channel.receive()) is not None:
        taken = []
        for _ in range(calls):
            begun = time.perf_counter()
            session.run(["logits"], {"waveform": clip})
            taken.append(1000 * (time.perf_counter() - begun))
        channel.send(float(np.median(taken)))

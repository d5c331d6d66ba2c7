"""Compare networks by the CPU time of one clip, which other work on the computer affects less than elapsed time.

python benchmarks/cpu_time.py base rep

Weights are random, which does not change the time. Each network is computed as trained in PyTorch, and folded in ONNX
Runtime, from the log-mel of one clip to logits, on one thread. All take turns, and the least of all calls counts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch

from audioinceptionnext.benchmark.subjects import settle
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.network import count_macs, count_parameters, create_model, fold
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.storage import StoredModel


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="+", help="name networks, as create_model takes them")
    parser.add_argument("--rounds", type=int, default=40, help="let each take this many turns")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: list[tuple[str, Network]] = []
    calls: list[Callable[[], object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            net = create_model(name, 44).eval()
            log_mel = torch.randn(4, 1, net.config.clip_frames, net.config.bands) * 2 - 4
            settle(net, log_mel)
            rows += [(f"{name}, as trained, PyTorch", net), (f"{name}, folded, ONNX Runtime", fold(net))]
            calls += [eager(net, log_mel[:1]), exported(net, log_mel[:1], Path(folder, f"{name}.onnx"))]
        least = [float("inf")] * len(calls)
        for turn in range(options.rounds + 2):  # the first two warm up
            for number, call in enumerate(calls):
                start = time.process_time()
                call()
                taken = time.process_time() - start
                least[number] = min(least[number], taken) if turn >= 2 else least[number]
    print("| | parameters | GMAC | ms of CPU time |\n| --- | ---: | ---: | ---: |")
    for (name, net), seconds in zip(rows, least, strict=True):
        print(f"| {name} | {count_parameters(net):,} | {count_macs(net) / 1e9:.3f} | {1000 * seconds:.1f} |")


def eager(net: Network, log_mel: torch.Tensor) -> Callable[[], object]:
    def call() -> object:
        with torch.inference_mode():
            return net(log_mel)

    return call


def exported(net: Network, log_mel: torch.Tensor, path: Path) -> Callable[[], object]:
    export_onnx(StoredModel(net, tuple(map(str, range(44)))), path, input="log-mel")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    clip = {"log_mel": log_mel[:, 0].numpy()}
    return lambda: session.run(["logits"], clip)


if __name__ == "__main__":
    main()

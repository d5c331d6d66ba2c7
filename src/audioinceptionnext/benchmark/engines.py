"""What runs a row, in a process of its own. An engine imports its library alone, so that the memory is that row's."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioinceptionnext.benchmark.worker import Channel

if TYPE_CHECKING:
    import torch

Run = Callable[[np.ndarray], np.ndarray]  # log-mel (batch, frames, bands) to logits (batch, steps, classes)


@dataclass(frozen=True)
class Task:
    """
    Attributes:
        engine, precision, device: as in `rows.Row`.
        file: what the engine loads, made by `networks.Preparation`.
        inputs: a file of log-mels (n, clip frames, bands).
        batches: clips a call, of each kind of call that is timed.
    """

    engine: str
    precision: str
    device: str
    file: Path
    inputs: Path
    threads: int
    batches: tuple[int, ...]


def serve(channel: Channel, task: Task) -> None:
    """Loads, warms up, says what that took, then answers: a number of clips is timed, an array is heard."""
    begun = time.perf_counter()
    run = ENGINES[task.engine](task)
    inputs = np.load(task.inputs)
    peaks = {}
    for batch in sorted(task.batches):
        clips = np.resize(inputs, (batch, *inputs.shape[1:]))
        for _ in range(2):
            run(clips)
        peaks[batch] = peak_rss()
    channel.send({"ready_s": time.perf_counter() - begun, "peak_rss": peaks, "peak_gpu": _peak_gpu(task)})
    while (question := channel.receive()) is not None:
        if isinstance(question, np.ndarray):
            channel.send(run(question))
        elif question == "inputs":
            channel.send(in_batches(run, inputs, max(task.batches)))
        else:
            batch, seconds, most = question
            channel.send(_timed(run, np.resize(inputs, (batch, *inputs.shape[1:])), seconds, most))


def in_batches(run: Run, clips: np.ndarray, size: int) -> np.ndarray:
    """(n, frames, bands) in calls of ``size`` clips, the last one filled up: an engine may have one size alone."""
    parts = []
    for first in range(0, len(clips), size):
        part = clips[first : first + size]
        parts.append(run(np.resize(part, (size, *part.shape[1:])))[: len(part)])
    return np.concatenate(parts)


def _timed(run: Run, clips: np.ndarray, seconds: float, most: int) -> list[int]:
    """Nanoseconds of each call, after one that is not counted: others had the caches meanwhile."""
    gc.collect()
    gc.disable()
    run(clips)
    taken: list[int] = []
    while not taken or (len(taken) < most and sum(taken) < seconds * 1e9):
        begun = time.perf_counter_ns()
        run(clips)
        taken.append(time.perf_counter_ns() - begun)
    gc.enable()
    return taken


def peak_rss() -> int:
    """Bytes: the most memory that this process held since it started, libraries included.

    On Linux VmHWM: there ``ru_maxrss`` begins at that of the process which started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _peak_gpu(task: Task) -> int | None:
    if task.device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated()


def eager(task: Task) -> Run:
    net = _network(task)
    return _by_torch(task, net, net, net.dense)


def compiled(task: Task) -> Run:
    """A program for each number of clips, with the weights as constants (``TORCHINDUCTOR_FREEZING``)."""
    import torch

    net = _network(task)
    return _by_torch(task, net, torch.compile(net, dynamic=False), torch.compile(net.dense, dynamic=True))


def graph(task: Task) -> Run:
    """A CUDA graph for each number of clips; other lengths run eagerly, by the same kernels."""
    net = _network(task)
    graphs: dict[tuple[int, ...], tuple[Any, torch.Tensor, torch.Tensor]] = {}

    def replay(x: torch.Tensor) -> torch.Tensor:
        if x.shape not in graphs:
            graphs[x.shape] = _captured(net, x)
        captured, source, target = graphs[x.shape]
        source.copy_(x)
        captured.replay()
        return target

    return _by_torch(task, net, replay, net.dense)


def _captured(net: Any, x: torch.Tensor) -> tuple[Any, torch.Tensor, torch.Tensor]:
    import torch

    source = x.clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries choose their kernels before they are recorded
        for _ in range(3):
            net(source)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        target = net(source)
    return captured, source, target


def _network(task: Task) -> Any:
    import torch

    torch.set_num_threads(task.threads)
    torch.set_num_interop_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # float32 is float32
    return torch.load(task.file, map_location=task.device, weights_only=False).eval()  # a file of our own making


def _by_torch(task: Task, net: Any, clip: Callable[..., Any], longer: Callable[..., Any]) -> Run:
    """From numpy and back, which for a GPU is the way there and back too; nothing is done until it has arrived."""
    import torch

    frames = net.config.clip_frames
    mean, std = float(net.mean), float(net.std)
    half = task.precision == "bf16"
    if half:  # the input is standardised before it is rounded: a log-mel of -13 would lose a hundredth and more
        net.mean.zero_()
        net.std.fill_(1)
        net.bfloat16()

    @torch.inference_mode()
    def run(log_mel: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(log_mel)[:, None].to(task.device)
        x = ((x - mean) / std).bfloat16() if half else x
        logits = clip(x)[:, None] if x.shape[2] == frames else longer(x)
        return logits.float().cpu().numpy()

    return run


def onnxruntime(task: Task) -> Run:
    """The file as it is, of any length. Its threads spin within a call and stop when it returns."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(task.file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda log_mel: session.run(["logits"], {name: log_mel})[0]


def openvino(task: Task) -> Run:
    """Compiled for each size that is timed, which is faster than for any size; other lengths by one for any."""
    import openvino as ov

    core = ov.Core()
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if task.precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": task.threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    frames, bands = np.load(task.inputs, mmap_mode="r").shape[1:]
    requests: dict[Any, Any] = {}

    def compiled_for(shape: tuple[int, ...] | None) -> Any:
        model = core.read_model(task.file)
        if shape is not None:
            model.reshape({model.inputs[0]: list(shape)})
        return core.compile_model(model, "CPU", settings).create_infer_request()

    def run(log_mel: np.ndarray) -> np.ndarray:
        timed = log_mel.shape[1:] == (frames, bands) and log_mel.shape[0] in task.batches
        key = log_mel.shape if timed else None
        if key not in requests:
            requests[key] = compiled_for(key)
        return requests[key].infer([log_mel], share_inputs=True)[0].copy()

    return run


ENGINES: dict[str, Callable[[Task], Run]] = {
    "eager": eager,
    "compiled": compiled,
    "graph": graph,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}

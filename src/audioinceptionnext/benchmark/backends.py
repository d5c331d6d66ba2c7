"""What computes a row, in its own process. A backend imports only its own library, so that the memory is the row's."""

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

Infer = Callable[[np.ndarray], np.ndarray]  # log-mel (batch, frames, bands) to logits (batch, steps, classes)


@dataclass(frozen=True)
class Task:
    """What the process of a row needs to know.

    Attributes:
        backend, precision, device: as in `rows.Row`.
        file: what the backend loads, made by `subjects.Preparation`.
        inputs: a file of log-mels (n, clip frames, bands).
        threads: of the CPU.
        batch_sizes: clips per call; calls of each of these sizes are timed.
    """

    backend: str
    precision: str
    device: str
    file: Path
    inputs: Path
    threads: int
    batch_sizes: tuple[int, ...]


def serve(channel: Channel, task: Task) -> None:
    """Load the network, warm it up, and respond to requests until the other side closes.

    The first value sent is a dict: ``ready_s``, the seconds until then; ``peak_rss``, bytes by batch size; and
    ``peak_gpu``, bytes or None. Then each request gets one value:

    - an array of log-mels (batch, frames, bands): its logits (batch, steps, classes);
    - ``"inputs"``: the logits of the task's inputs;
    - ``(batch_size, seconds, max_calls)``: the nanoseconds of each call.
    """
    start = time.perf_counter()
    infer = BACKENDS[task.backend](task)
    inputs = np.load(task.inputs)
    peaks = {}
    for batch_size in sorted(task.batch_sizes):
        clips = np.resize(inputs, (batch_size, *inputs.shape[1:]))
        for _ in range(2):
            infer(clips)
        peaks[batch_size] = peak_rss()
    channel.send({"ready_s": time.perf_counter() - start, "peak_rss": peaks, "peak_gpu": _peak_gpu(task)})
    while (request := channel.receive()) is not None:
        if isinstance(request, np.ndarray):
            channel.send(infer(request))
        elif request == "inputs":
            channel.send(in_batches(infer, inputs, max(task.batch_sizes)))
        else:
            batch_size, seconds, max_calls = request
            channel.send(_timed(infer, np.resize(inputs, (batch_size, *inputs.shape[1:])), seconds, max_calls))


def in_batches(infer: Infer, clips: np.ndarray, size: int) -> np.ndarray:
    """Infer (n, frames, bands) with ``size`` clips per call.

    The last batch is filled up, since a backend may take only one size.
    """
    parts = []
    for first in range(0, len(clips), size):
        part = clips[first : first + size]
        parts.append(infer(np.resize(part, (size, *part.shape[1:])))[: len(part)])
    return np.concatenate(parts)


def _timed(infer: Infer, clips: np.ndarray, seconds: float, max_calls: int) -> list[int]:
    """Nanoseconds of each call. A first call is not counted, because other rows have used the caches since."""
    gc.collect()
    gc.disable()
    infer(clips)
    durations: list[int] = []
    while not durations or (len(durations) < max_calls and sum(durations) < seconds * 1e9):
        start = time.perf_counter_ns()
        infer(clips)
        durations.append(time.perf_counter_ns() - start)
    gc.enable()
    return durations


def peak_rss() -> int:
    """The peak resident memory of this process since its start, libraries included, in bytes.

    On Linux it is VmHWM, because ``ru_maxrss`` starts there at the value of the parent process.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak_gpu(task: Task) -> int | None:
    if task.device != "cuda":
        return None
    import torch

    return torch.cuda.max_memory_allocated()


def eager(task: Task) -> Infer:
    """PyTorch, operation by operation."""
    net = _network(task)
    return _by_torch(task, net, net, net.dense)


def compiled(task: Task) -> Infer:
    """torch.compile: one program per batch size, with the weights as constants (``TORCHINDUCTOR_FREEZING``)."""
    import torch

    net = _network(task)
    return _by_torch(task, net, torch.compile(net, dynamic=False), torch.compile(net.dense, dynamic=True))


def graph(task: Task) -> Infer:
    """One CUDA graph per batch size. Input of other lengths runs eagerly, with the same kernels."""
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
    return torch.load(task.file, map_location=task.device, weights_only=False).eval()  # `Preparation` wrote it


def _by_torch(task: Task, net: Any, clip: Callable[..., Any], longer: Callable[..., Any]) -> Infer:
    """From numpy and back, so that on a GPU the transfers both ways are timed too.

    Args:
        clip: computes input of one clip's length.
        longer: computes input of any length, step by step.
    """
    import torch

    frames = net.config.clip_frames
    mean, std = float(net.mean), float(net.std)
    half = task.precision == "bf16"
    if half:  # standardise the input before rounding it: bf16 would be off by 0.01 and more at a log-mel of -13
        net.mean.zero_()
        net.std.fill_(1)
        net.bfloat16()

    @torch.inference_mode()
    def infer(log_mel: np.ndarray) -> np.ndarray:
        x = torch.from_numpy(log_mel)[:, None].to(task.device)
        x = ((x - mean) / std).bfloat16() if half else x
        logits = clip(x)[:, None] if x.shape[2] == frames else longer(x)
        return logits.float().cpu().numpy()

    return infer


def onnxruntime(task: Task) -> Infer:
    """The file as it is, for input of any length. Its threads spin during a call and stop when it returns."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = task.threads, 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(task.file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda log_mel: session.run(["logits"], {name: log_mel})[0]


def openvino(task: Task) -> Infer:
    """One program per timed batch size, which is faster than one for all; input of other lengths shares one program."""
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

    def infer(log_mel: np.ndarray) -> np.ndarray:
        timed = log_mel.shape[1:] == (frames, bands) and log_mel.shape[0] in task.batch_sizes
        key = log_mel.shape if timed else None
        if key not in requests:
            requests[key] = compiled_for(key)
        return requests[key].infer([log_mel], share_inputs=True)["logits"].copy()

    return infer


BACKENDS: dict[str, Callable[[Task], Infer]] = {
    "eager": eager,
    "compiled": compiled,
    "graph": graph,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}

"""What computes the network: ONNX Runtime everywhere, OpenVINO on request, CUDA where ONNX Runtime has it."""

from __future__ import annotations

import io
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import onnxruntime as ort

from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.parallel import usable_cores

BACKENDS = ("auto", "onnxruntime", "cuda", "openvino")
_CUDA = "CUDAExecutionProvider"


class Session(Protocol):
    """A model in memory. ``facts``: what its file says of itself."""

    facts: Mapping[str, str]

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The named outputs. May be called by several threads at a time."""


class Choice(NamedTuple):
    backend: str
    reason: str


def choose(backend: str = "auto") -> Choice:
    """The backend for ``auto``, and why; any other stays. Raises `AinextError`: an unknown one."""
    if backend not in BACKENDS:
        raise AinextError(f"--backend {backend}: choose from {', '.join(BACKENDS)}")
    if backend != "auto":
        return Choice(backend, "as asked for")
    if _CUDA in ort.get_available_providers():
        return Choice("cuda", "this ONNX Runtime is built for CUDA")
    reason = "no CUDA in this ONNX Runtime, and OpenVINO in float32 is no faster"
    return Choice("onnxruntime", reason)


def open_session(content: bytes, source: str, backend: str = "auto", threads: int | None = None) -> Session:
    """A model from an ONNX file's bytes.

    Args:
        source: its name in messages.
        backend: one of `BACKENDS`.
        threads: all cores unless given.

    Raises:
        AinextError: not an ONNX model; a backend that is unknown, not installed, or has not the device.
    """
    chosen = choose(backend).backend
    if chosen == "openvino":
        return _OpenVINO(content, source, threads)
    return _ONNXRuntime(content, source, threads, cuda=chosen == "cuda")


class _ONNXRuntime:
    def __init__(self, content: bytes, source: str, threads: int | None, cuda: bool) -> None:
        providers = ["CPUExecutionProvider"]
        if cuda:
            if _CUDA not in ort.get_available_providers():
                raise AinextError("--backend cuda: this ONNX Runtime is built without it; pip install onnxruntime-gpu")
            providers.insert(0, _CUDA)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        # It plans memory for each length of input on top of what it already holds: 110 to 140 MB for no time saved.
        options.enable_mem_pattern = False
        # Idle threads would otherwise spin, which steals from decoding and from whoever shares the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if _saturates():  # asked for elsewhere it costs an int8 file a third of its time
            options.add_session_config_entry("session.x64quantprecision", "1")
        # Left to itself it pins its threads to the machine's cores, those that this process may not use among them.
        options.intra_op_num_threads = threads or len(usable_cores())
        self._session = _opened(content, source, options, providers)
        if cuda and _CUDA not in self._session.get_providers():  # it falls back without a word
            raise AinextError("--backend cuda: ONNX Runtime found no usable CUDA device; use --backend onnxruntime")
        self.facts: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        results: list[np.ndarray] = self._session.run(outputs, inputs)
        return results


class _OpenVINO:
    def __init__(self, content: bytes, source: str, threads: int | None) -> None:
        try:
            import openvino
        except ModuleNotFoundError:
            raise AinextError("--backend openvino: pip install 'audioinceptionnext[openvino]'") from None
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # OpenVINO drops what the file says of itself.
        self.facts: Mapping[str, str] = dict(
            _opened(content, source, options, ["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map
        )
        core = openvino.Core()
        # In bf16 the front end would lose what is faint beside what is loud, and its float64 form never ends.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        model = core.read_model(io.BytesIO(content))
        self._compiled: Any = core.compile_model(model, "CPU", settings)

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        if "hop" in inputs:  # to OpenVINO an input with a default is a constant
            raise AinextError("--backend openvino: hears at the model's own hop alone; leave --hop out")
        request = self._compiled.create_infer_request()  # a few microseconds, and each thread has its own
        results = request.infer(inputs)
        return [np.array(results[self._compiled.output(name)]) for name in outputs]


def _saturates() -> bool:
    """Whether sums of 8-bit products may overflow: on x86 without VNNI, or where that cannot be told."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text()
    except OSError:
        return True


def _opened(content: bytes, source: str, options: Any, providers: list[str]) -> Any:
    try:
        return ort.InferenceSession(content, options, providers=providers)
    except Exception as error:  # ONNX Runtime's own exceptions share no base class
        raise AinextError(f"{source}: not an ONNX model, or damaged; export or copy it again") from error

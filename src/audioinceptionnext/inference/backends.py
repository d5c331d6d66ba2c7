"""What computes the network: ONNX Runtime by default, OpenVINO on request, CUDA where ONNX Runtime has it."""

from __future__ import annotations

import io
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, get_args

import numpy as np
import onnxruntime as ort

from audioinceptionnext.errors import MissingDependencyError, ModelError, ParameterError
from audioinceptionnext.inference.parallel import available_cores

Backend = Literal["auto", "onnxruntime", "cuda", "openvino"]
_CUDA = "CUDAExecutionProvider"


class Session(Protocol):
    """A model in memory.

    Attributes:
        metadata: what its file states about itself.
    """

    metadata: Mapping[str, str]

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of these names. Several threads may call it at a time."""


class Choice(NamedTuple):
    """A backend, and why it was chosen."""

    backend: str
    reason: str


def choose_backend(backend: str = "auto") -> Choice:
    """The backend that ``auto`` stands for here; any other is returned as it is.

    Raises:
        ParameterError: there is no such backend.
    """
    if backend not in get_args(Backend):
        raise ParameterError("backend", backend, f"choose from {', '.join(get_args(Backend))}")
    if backend != "auto":
        return Choice(backend, "as requested")
    if _CUDA in ort.get_available_providers():
        return Choice("cuda", "this ONNX Runtime is built for CUDA")
    reason = "no CUDA in this ONNX Runtime, and OpenVINO in float32 is no faster"
    return Choice("onnxruntime", reason)


def open_session(content: bytes, source: str, backend: Backend = "auto", threads: int | None = None) -> Session:
    """Create a session from the bytes of an ONNX file.

    Args:
        source: what errors call the file.
        threads: CPU threads; all cores unless given.

    Raises:
        ModelError: this is not an ONNX model.
        ParameterError: the backend is unknown, or finds no device.
        MissingDependencyError: the backend is not installed.
    """
    chosen = choose_backend(backend).backend
    if chosen == "openvino":
        return _OpenVINO(content, source, threads)
    return _ONNXRuntime(content, source, threads, cuda=chosen == "cuda")


class _ONNXRuntime:
    def __init__(self, content: bytes, source: str, threads: int | None, cuda: bool) -> None:
        providers = ["CPUExecutionProvider"]
        if cuda:
            if _CUDA not in ort.get_available_providers():
                raise MissingDependencyError("the backend cuda", "onnxruntime-gpu")
            providers.insert(0, _CUDA)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        # It would plan memory for each input length on top of what it holds: 110 to 140 MB, and no time saved.
        options.enable_mem_pattern = False
        # Idle threads would otherwise spin, and take time from decoding and from others on the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if _saturates():  # elsewhere it would only make int8 files slower by a third
            options.add_session_config_entry("session.x64quantprecision", "1")
        # By default it pins its threads to cores of the machine, even to those that this process may not use.
        options.intra_op_num_threads = threads or len(available_cores())
        self._session = _opened(content, source, options, providers)
        if cuda and _CUDA not in self._session.get_providers():  # it falls back to the CPU silently
            reason = "ONNX Runtime found no usable CUDA device; use onnxruntime"
            raise ParameterError("backend", "cuda", reason)
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        results: list[np.ndarray] = self._session.run(outputs, inputs)
        return results


class _OpenVINO:
    def __init__(self, content: bytes, source: str, threads: int | None) -> None:
        try:
            import openvino
        except ModuleNotFoundError:
            raise MissingDependencyError("the backend openvino", "audioinceptionnext[openvino]") from None
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        # OpenVINO drops the file's metadata.
        self.metadata: Mapping[str, str] = dict(
            _opened(content, source, options, ["CPUExecutionProvider"]).get_modelmeta().custom_metadata_map
        )
        core = openvino.Core()
        # In bf16 the front end would lose faint sounds beside loud ones, and its float64 form never finishes.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        model = core.read_model(io.BytesIO(content))
        self._compiled: Any = core.compile_model(model, "CPU", settings)

    def run(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        request = self._compiled.create_infer_request()  # takes a few microseconds; each thread needs its own
        results = request.infer(inputs)
        return [np.array(results[self._compiled.output(name)]) for name in outputs]


def _saturates() -> bool:
    """Whether sums of 8-bit products may overflow: on x86 without VNNI, or where this cannot be determined."""
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
        raise ModelError(source, "not an ONNX model, or damaged; export or copy it again") from error

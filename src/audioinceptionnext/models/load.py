"""From a model's name or file to a `Recogniser`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from audioinceptionnext.errors import ModelError
from audioinceptionnext.inference.backends import Backend
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.steps import Mode
from audioinceptionnext.models.hub import fetch
from audioinceptionnext.models.names import DEFAULT_MODEL, MODEL_FILE, find_model, is_hub_name, list_models


class ModelFile(NamedTuple):
    """The bytes of a model file.

    Attributes:
        content: the ONNX file.
        source: what errors call it.
        name: what results call the model; None where the file's own name is to be used.
    """

    content: bytes
    source: str
    name: str | None


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    threads: int | None = None,
    backend: Backend = "auto",
    mode: Mode | None = None,
) -> Recogniser:
    """Load a model by name, from a file, or from the Hugging Face hub.

    Args:
        model: one of `list_models`; an ``.onnx`` file that `ainext export` wrote, or a folder with ``model.onnx``;
            ``user/name`` or ``user/name@revision`` on the hub (extra: hub). Names of shipped models take
            precedence, then files and folders; ``./kitchen20`` is a file, and so is a `Path` if there
            is one of that name.
        threads: CPU threads; all cores unless given.
        backend: what runs the network: ``onnxruntime``, ``openvino`` or ``cuda``. ``auto`` uses CUDA if the installed
            ONNX Runtime has it, and the CPU otherwise.
        mode: how recordings longer than a window are processed. ``dense`` means in one pass with sliding pooling, for
            networks that were trained for it; ``windows`` means window by window from one log-mel, as in the
            published network. The file says which of the two it was made for. Every model also has the mode
            ``clips``, which computes each step from the samples of its own window alone, as `Stream` does.

    Raises:
        ModelError: there is no such model (the nearest name is suggested), or its file is damaged.
        ParameterError: ``backend`` is not available here, or the model does not have this ``mode``.
        MissingDependencyError: the hub's client, or the backend, is not installed.

    >>> load("kitchen20")
    <Recogniser 'kitchen20': 20 labels, 24000 Hz, dense, one step every 0.05 s>
    """
    file = read_model(model)
    recogniser = Recogniser(*file, threads, backend, mode)
    # A file has to be found from another folder too; the name of a model means the same everywhere.
    again = model if file.name is not None else str(Path(model).absolute())
    return recogniser.loaded_by(partial(load, again, threads=threads, backend=backend, mode=mode))


def read_model(model: str | Path) -> ModelFile:
    """Find a model's file as `load` does, and read it.

    Raises:
        ModelError, MissingDependencyError: as `load`.
    """
    path = Path(model)
    if path.suffix == ".safetensors":
        raise ModelError(path, f"holds weights for training; export them first: ainext export {path} model.onnx")
    if path.suffix in (".pyth", ".pth", ".pt") and path.is_file():
        reason = (
            f"holds a checkpoint; make a model of it first: ainext convert {path} model.safetensors, then ainext export"
        )
        raise ModelError(path, reason)
    if path.suffix == ".onnx" or (path.is_file() and not _is_name(model)):
        try:
            content = path.read_bytes()
        except OSError as error:
            reason = f"{(error.strerror or str(error)).lower()}; give a model's name or file"
            raise ModelError(path, reason) from error
        return ModelFile(content, str(path), None)
    name = str(model)
    if not _is_name(model):
        if (path / MODEL_FILE).is_file():
            return read_model(path / MODEL_FILE)
        if is_hub_name(name) and not path.exists():
            return ModelFile(fetch(name).read_bytes(), f"{name}: {MODEL_FILE}", name)
    entry = find_model(name)
    return ModelFile(entry.read(), str(entry.path), entry.name)


def _is_name(model: str | Path) -> bool:
    """Whether this is the bare name of a shipped model, which means the same in every folder."""
    return isinstance(model, str) and model in list_models()

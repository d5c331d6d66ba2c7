"""From a model's name or file to a `Recogniser`."""

from __future__ import annotations

from pathlib import Path

from audioinceptionnext.errors import AinextError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.hub import fetch
from audioinceptionnext.models.names import DEFAULT_MODEL, MODEL_FILE, find_model, is_hub_name, model_entries


def load(
    model: str | Path = DEFAULT_MODEL, threads: int | None = None, backend: str = "auto", run: str | None = None
) -> Recogniser:
    """A shipped model by its name, any ONNX file that `ainext export` wrote by its path, or a model of a hub.

    Args:
        model: a shipped name; an ``.onnx`` file or a folder with ``model.onnx`` in it; ``user/name`` or
            ``user/name@revision`` on the Hugging Face hub (extra: hub; see `hub.fetch`). A shipped name comes first,
            then what is here.
        threads: all cores unless given.
        backend: what computes, one of `backends.BACKENDS`.
        run: how it hears long audio: as its file says, or ``clips``, each answer from the samples of its own clip
            alone, as `live.Stream` gives it.

    Raises:
        AinextError: an unknown name (the nearest is suggested), a missing or damaged file, a backend that is not there;
            what `hub.fetch` raises.
    """
    return Recogniser(*read_model(model), threads, backend, run)


def read_model(model: str | Path) -> tuple[bytes, str, str | None]:
    """A model file's content, what errors call it, and a shipped model's name. Raises `AinextError` as `load` does.

    A model of the hub is called what it was asked for by: ``user/name``.
    """
    path = Path(model)
    if path.suffix == ".safetensors":
        raise AinextError(f"{path}: weights for training; make a model of them: ainext export {path} model.onnx")
    if path.suffix == ".onnx" or path.is_file():
        try:
            content = path.read_bytes()
        except OSError as error:
            raise AinextError(
                f"{path}: {(error.strerror or str(error)).lower()}; --model takes a name or a file"
            ) from error
        return content, str(path), None
    name = str(model)
    if all(name != entry.name for entry in model_entries()):
        if (path / MODEL_FILE).is_file():
            return read_model(path / MODEL_FILE)
        if is_hub_name(name) and not path.exists():
            return fetch(name).read_bytes(), f"{name}: {MODEL_FILE}", name
    entry = find_model(name)
    return entry.read(), str(entry.path), entry.name

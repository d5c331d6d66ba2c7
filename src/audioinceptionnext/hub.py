"""Models on the Hugging Face hub: `load("user/name")` and `push_to_hub`, through its own client (extra: hub).

Where the cache is, tokens, mirrors and working offline are the client's business: ``HF_HOME``, ``HF_TOKEN``,
``HF_ENDPOINT``, ``HF_HUB_OFFLINE``. Of a repository only ``model.onnx`` is fetched, and it is checked as any file.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from types import ModuleType

from audioinceptionnext.errors import AinextError

MODEL = "model.onnx"
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*(@[\w./-]+)?", re.ASCII)


def is_name(name: str) -> bool:
    """Whether this is how the hub calls a model: ``user/name``, or ``user/name@revision``, a branch, tag or commit."""
    return _NAME.fullmatch(name) is not None


def fetch(name: str) -> Path:
    """``model.onnx`` of ``user/name`` or ``user/name@revision``, in the client's cache; asks the hub for a newer one.

    Raises:
        AinextError: the extra is missing; no such repository, revision or file; one that is not open to this login;
            the hub cannot be reached, or is not to be, and the model is not in the cache.
    """
    client = _client(f"{name}: no such model or file here; one of the hub")
    repository, _, revision = name.partition("@")
    try:
        return Path(client.hf_hub_download(repository, MODEL, revision=revision or None, **_who()))
    except Exception as error:  # of the client, of what it uses for HTTP, of the disk: as many classes as ways to fail
        raise AinextError(f"{name}: {_why(error, repository, revision)}") from error


def push_to_hub(model: str | Path, name: str, private: bool = False) -> str:
    """Uploads a model with its card, in one commit, and makes the repository where there is none.

    What is uploaded is what `hub_files.write_folder` writes.

    Args:
        model: a shipped name; an ``.onnx`` file; weights of a training run (``.safetensors``; needs the extra export);
            a folder with ``model.onnx`` and, if it has them, such weights as ``model.safetensors``.
        name: ``user/name``.
        private: of a new repository; one that is there stays as it is.

    Returns:
        Its address.

    Raises:
        AinextError: the extra is missing, a model that cannot be read, no login or one that may not write there, the
            hub cannot be reached.
    """
    check_name(name)
    client = _client(f"{name}: uploading")
    if not client.get_token():
        raise AinextError(f"{name}: not logged in: hf auth login, or set HF_TOKEN to a token that may write")
    from audioinceptionnext.hub_files import WEIGHTS, write_folder

    api = client.HfApi(**_who())
    with tempfile.TemporaryDirectory() as folder:
        files = write_folder(model, name, folder)
        operations = [client.CommitOperationAdd(file.name, str(file)) for file in files]
        try:
            address = api.create_repo(name, private=private, exist_ok=True)
            # Weights of an earlier model would be taken for those of this one.
            if all(file.name != WEIGHTS for file in files) and api.file_exists(name, WEIGHTS):
                operations.append(client.CommitOperationDelete(WEIGHTS))
            api.create_commit(name, operations, commit_message=f"{Path(model).name} by audioinceptionnext")
        except Exception as error:  # see `fetch`
            raise AinextError(f"{name}: cannot be uploaded: {_line(error)}") from error
    return str(address)


def check_name(name: str) -> None:
    """Raises `AinextError` unless it is ``user/name``."""
    if not is_name(name) or "@" in name:
        raise AinextError(f"{name}: a model on the hub is called user/name, of letters, digits, '-', '_' and '.'")


def _client(what: str) -> ModuleType:
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise AinextError(f"{what} needs the hub's client: pip install 'audioinceptionnext[hub]'") from None
    return huggingface_hub


def _who() -> dict[str, str]:
    """What the client says of its user."""
    from audioinceptionnext import __version__

    return {"library_name": "audioinceptionnext", "library_version": __version__}


def _why(error: Exception, repository: str, revision: str) -> str:
    """Why a model cannot be fetched, and what to do."""
    from huggingface_hub import constants, get_token, utils

    absent = isinstance(error, utils.LocalEntryNotFoundError)  # from the cache, after the hub said no or nothing
    cause = error.__cause__ or error if absent else error
    if isinstance(cause, utils.GatedRepoError):
        return f"accept its terms at {constants.ENDPOINT}/{repository} and log in (hf auth login)"
    stranger = not get_token()  # whom the hub does not tell which private ones there are
    if isinstance(cause, utils.RepositoryNotFoundError) or (stranger and _status(cause) == 401):
        hint = "a private one: log in (hf auth login)" if stranger else "none that this login may read"
        return f"no model or file here has this name, and {constants.ENDPOINT} has no such repository, or {hint}"
    if isinstance(cause, utils.RevisionNotFoundError):
        return f"the repository has no revision {revision or 'main'}"
    if absent and constants.HF_HUB_OFFLINE:
        return "not in the cache, and working offline (HF_HUB_OFFLINE is set)"
    if absent and _status(cause) is None:
        return f"not in the cache, and {constants.ENDPOINT} cannot be reached ({_line(cause)})"
    if isinstance(cause, utils.EntryNotFoundError) and not absent:
        return f"the repository has no {MODEL}, so it is no model for this; `ainext push` writes such"
    return f"cannot be fetched: {_line(cause)}"


def _line(error: BaseException) -> str:
    """What went wrong, in one line: the client's messages are letters, with what the server said at their end."""
    from huggingface_hub import constants

    said = getattr(error, "server_message", None) or str(error) or type(error).__name__
    if _status(error) in (401, 403):
        said = f"this login may not ({said}); log in with a token that may (hf auth login, HF_TOKEN)"
    return f"{constants.ENDPOINT}: {' '.join(said.split())[:300]}"


def _status(error: BaseException) -> int | None:
    """Of the answer that it comes from, if there was one."""
    return getattr(getattr(error, "response", None), "status_code", None)

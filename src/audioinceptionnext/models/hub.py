"""Models on the Hugging Face hub: `load("user/name")` and `push_to_hub`, through its own client (extra: hub).

Where the cache is, tokens, mirrors and working offline are the client's business: ``HF_HOME``, ``HF_TOKEN``,
``HF_ENDPOINT``, ``HF_HUB_OFFLINE``. Of a repository only ``model.onnx`` is fetched, and it is checked as any file.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from audioinceptionnext.errors import AinextError
from audioinceptionnext.models.names import MODEL_FILE


def fetch(name: str) -> Path:
    """``model.onnx`` of ``user/name`` or ``user/name@revision``, in the client's cache; asks the hub for a newer one.

    Raises:
        AinextError: the extra is missing; no such repository, revision or file; one that is not open to this login;
            the hub cannot be reached, or is not to be, and the model is not in the cache.
    """
    client = client_for(f"{name}: no such model or file here; one of the hub")
    repository, _, revision = name.partition("@")
    try:
        return Path(client.hf_hub_download(repository, MODEL_FILE, revision=revision or None, **user_agent()))
    except Exception as error:  # of the client, of what it uses for HTTP, of the disk: as many classes as ways to fail
        raise AinextError(f"{name}: {_why(error, repository, revision)}") from error


def client_for(what: str) -> ModuleType:
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise AinextError(f"{what} needs the hub's client: pip install 'audioinceptionnext[hub]'") from None
    return huggingface_hub


def user_agent() -> dict[str, str]:
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
        return f"not in the cache, and {constants.ENDPOINT} cannot be reached ({one_line(cause)})"
    if isinstance(cause, utils.EntryNotFoundError) and not absent:
        return f"the repository has no {MODEL_FILE}, so it is no model for this; `ainext push` writes such"
    return f"cannot be fetched: {one_line(cause)}"


def one_line(error: BaseException) -> str:
    """What went wrong, in one line: the client's messages are letters, with what the server said at their end."""
    from huggingface_hub import constants

    said = getattr(error, "server_message", None) or str(error) or type(error).__name__
    if _status(error) in (401, 403):
        said = f"this login may not ({said}); log in with a token that may (hf auth login, HF_TOKEN)"
    return f"{constants.ENDPOINT}: {' '.join(said.split())[:300]}"


def _status(error: BaseException) -> int | None:
    """Of the answer that it comes from, if there was one."""
    return getattr(getattr(error, "response", None), "status_code", None)

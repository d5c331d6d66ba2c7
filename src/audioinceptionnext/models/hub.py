"""Models on the Hugging Face hub, through the hub's own client (extra: hub).

The client has the cache, tokens, mirrors and offline mode, and reads ``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT`` and
``HF_HUB_OFFLINE``. Only ``model.onnx`` is fetched from a repository, and it is checked like any other file.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from audioinceptionnext.errors import MissingDependencyError, ModelError
from audioinceptionnext.models.names import MODEL_FILE, package_version


def fetch(name: str) -> Path:
    """Fetch ``model.onnx`` of a repository into the client's cache, unless the cache has the newest one.

    Args:
        name: ``user/name`` or ``user/name@revision``.

    Returns:
        The file in the cache.

    Raises:
        MissingDependencyError: the hub's client is not installed.
        ModelError: there is no such repository, revision or file; this login may not read it; or the hub cannot be
            reached (or must not be), and the model is not in the cache.
    """
    client = hub_client(f"{name} is neither a model nor a file here; fetching it from the Hugging Face hub")
    repository, _, revision = name.partition("@")
    try:
        return Path(client.hf_hub_download(repository, MODEL_FILE, revision=revision or None, **user_agent()))
    except Exception as error:  # of the client, of its HTTP library, of the disk: they share no base class
        raise ModelError(name, _fetch_failure(error, repository, revision)) from error


def hub_client(purpose: str) -> ModuleType:
    """The client's module.

    Raises:
        MissingDependencyError: it is not installed; ``purpose`` is the subject of the message.
    """
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise MissingDependencyError(purpose, "audioinceptionnext[hub]") from None
    return huggingface_hub


def user_agent() -> dict[str, str]:
    """The arguments by which this package introduces itself to the hub."""
    return {"library_name": "audioinceptionnext", "library_version": package_version()}


def _fetch_failure(error: Exception, repository: str, revision: str) -> str:
    """Why a model cannot be fetched, and what to do."""
    from huggingface_hub import constants, get_token, utils

    not_cached = isinstance(error, utils.LocalEntryNotFoundError)  # raised after the hub refused or was not reached
    cause = error.__cause__ or error if not_cached else error
    if isinstance(cause, utils.GatedRepoError):
        return f"accept its terms at {constants.ENDPOINT}/{repository} and log in (hf auth login)"
    anonymous = not get_token()  # then the hub does not say whether a repository is private or does not exist
    if isinstance(cause, utils.RepositoryNotFoundError) or (anonymous and _status(cause) == 401):
        hint = "a private one: log in (hf auth login)" if anonymous else "none that this login may read"
        return f"no model or file here has this name, and {constants.ENDPOINT} has no such repository, or {hint}"
    if isinstance(cause, utils.RevisionNotFoundError):
        return f"the repository has no revision {revision or 'main'}"
    if not_cached and constants.HF_HUB_OFFLINE:
        return "not in the cache, and offline mode is on (HF_HUB_OFFLINE is set)"
    if not_cached and _status(cause) is None:
        return f"not in the cache, and {constants.ENDPOINT} cannot be reached ({describe_failure(cause)})"
    if isinstance(cause, utils.EntryNotFoundError) and not not_cached:
        return f"the repository has no {MODEL_FILE}, so it holds no model that can be loaded; `ainext push` writes one"
    return f"cannot be fetched: {describe_failure(cause)}"


def describe_failure(error: BaseException) -> str:
    """What went wrong, in one line. The client's messages are long, and the server's own message ends them."""
    from huggingface_hub import constants

    message = getattr(error, "server_message", None) or str(error) or type(error).__name__
    if _status(error) in (401, 403):
        message = f"this login may not ({message}); log in with a token that may (hf auth login, HF_TOKEN)"
    return f"{constants.ENDPOINT}: {' '.join(message.split())[:300]}"


def _status(error: BaseException) -> int | None:
    """The HTTP status of the response that caused an error, if there was a response."""
    return getattr(getattr(error, "response", None), "status_code", None)

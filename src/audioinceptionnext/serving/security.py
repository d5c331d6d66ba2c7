"""Access control: the API key, the host names that requests may be addressed to, and the pages that may send them."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audioinceptionnext.serving.errors import RequestError, problem_response
from audioinceptionnext.serving.settings import Settings

PROTOCOL = "ainext"  # subprotocol of the WebSocket: beside it a browser can send a key, which it can nowhere else
KEY_HEADER = APIKeyHeader(
    name="X-API-Key",
    scheme_name="key",
    description=f"The server's API key. A browser's WebSocket sends the subprotocols `{PROTOCOL}` and `key.…` instead.",
    auto_error=False,
)
BEARER = HTTPBearer(scheme_name="bearer", description="The same key as a bearer token.", auto_error=False)
# The page loads nothing from other sites; the sound and pictures that it makes are blobs.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self' blob:; script-src 'self' 'wasm-unsafe-eval'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self)",
    "Cache-Control": "no-cache",
}


def key_check(api_key: str) -> Callable[..., Awaitable[None]]:
    """A dependency of the routes that need the key. OpenAPI lists it with them.

    It raises `RequestError` (401) for a request without the key, before anything of its body is read.

    >>> APIRouter(dependencies=[Depends(key_check("s3cret"))])
    """
    expected = api_key.encode()

    async def check(
        connection: HTTPConnection,
        header: Annotated[str | None, Security(KEY_HEADER)],
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
    ) -> None:
        given = [header or "", bearer.credentials if bearer else ""]
        for protocol in connection.headers.get("sec-websocket-protocol", "").split(","):
            given.append(protocol.strip().removeprefix("key."))
        if not any(hmac.compare_digest(one.encode("utf-8", "replace"), expected) for one in given):
            detail = (
                f"the API key is missing or wrong: send it in the header {KEY_HEADER.model.name}, or as a bearer token"
            )
            raise RequestError(401, detail, headers={"WWW-Authenticate": "Bearer"})

    return check


class Guard:
    """Middleware that refuses requests which are not meant for this server, and adds headers to every response."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        error = await self._check(connection)
        response = await problem_response(connection, error) if error else self.app
        await response(scope, receive, _with_headers(send))

    async def _check(self, connection: HTTPConnection) -> RequestError | None:
        host, origin = connection.headers.get("host", ""), connection.headers.get("origin", "")
        if not await _is_named(connection.scope, self.settings.hosts or ("*",)):
            return RequestError(
                403, f"this server does not answer to the host name {host[:100]}: whoever runs it can allow that name"
            )
        if origin and origin.partition("://")[2] != host and origin not in self.settings.origins:
            return RequestError(
                403, f"the request comes from a page of {origin[:100]}: whoever runs the server can allow that site"
            )
        return None


async def _is_named(scope: Scope, hosts: tuple[str, ...]) -> bool:
    """Whether Starlette lets the request through to these hosts. Its own refusal would be plain text."""
    named = False

    async def accept(*_: Any) -> None:
        nonlocal named
        named = True

    async def ignore(*_: Any) -> Any:
        pass

    await TrustedHostMiddleware(accept, hosts, www_redirect=False)(scope, ignore, ignore)
    return named


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"].endswith("http.response.start"):  # a refused WebSocket's has a prefix
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers

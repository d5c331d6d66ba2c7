"""Access control: which hosts requests may be addressed to, which pages may send them, and the API key."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audioinceptionnext.serving.errors import ProblemResponse, RequestError
from audioinceptionnext.serving.settings import Settings

PROTOCOL = "ainext"  # subprotocol of the WebSocket: beside it a browser can send a key, which it can nowhere else
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
GUARDED = ("/v1/", "/metrics")  # paths that need the key; the page and /healthz do not


class Guard:
    """Middleware that refuses requests which are not meant for this server, and adds headers to every response."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        error = self._check(Headers(scope=scope), scope["path"])
        if error and scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": error.detail})
        elif error and scope["method"] != "OPTIONS":
            await ProblemResponse(error)(scope, receive, _with_headers(send))
        else:
            await self.app(scope, receive, _with_headers(send))

    def _check(self, headers: Headers, path: str) -> RequestError | None:
        host = headers.get("host", "")
        if self.settings.hosts and _without_port(host) not in self.settings.hosts:
            return RequestError(403, f"this server does not answer to the host name {host[:100]}: allow it there")
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != host and origin not in self.settings.origins:
            return RequestError(403, f"the request comes from a page of {origin[:100]}: allow that site on the server")
        if self.settings.api_key and path.startswith(GUARDED) and not self._has_key(headers):
            return RequestError(401, "the API key is missing or wrong: send it as X-API-Key")
        return None

    def _has_key(self, headers: Mapping[str, str]) -> bool:
        given = [headers.get("x-api-key", ""), headers.get("authorization", "").removeprefix("Bearer ")]
        for protocol in headers.get("sec-websocket-protocol", "").split(","):
            given.append(protocol.strip().removeprefix("key."))
        expected = self.settings.api_key.encode()
        return any(hmac.compare_digest(one.encode("utf-8", "replace"), expected) for one in given)


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdigit() and name else host


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers

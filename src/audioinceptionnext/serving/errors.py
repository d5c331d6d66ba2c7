"""Refusals: a status, one line as JSON, and a client that is still sending hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

LINGER = 3.0  # seconds
STATUSES = {
    400: "No recording in the request, or broken multipart",
    401: "The API key is missing or wrong",
    403: "From a page of another site, or addressed to another host",
    404: "No such model",
    408: "The upload was too slow",
    413: "Too many bytes, or too long a recording",
    415: "Not an audio or video file, or nothing in it can be heard",
    422: "A parameter out of range",
    503: "Busy: the queue is full; see Retry-After",
}


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})


class Refusal(Response):
    """``{"error": "one line"}``.

    A connection that is closed while its client sends is reset, and the client never reads why. So the answer is sent
    whole, then for a while what still comes is read and dropped, before the connection ends.
    """

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, linger: bool = True
    ) -> None:
        self.linger = linger
        body = JSONResponse({"error": " ".join(message.split())}).body
        super().__init__(
            body, status, {**({"Connection": "close"} if linger else {}), **(headers or {})}, "application/json"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.linger:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGER):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def refusal(request: Request, error: Exception) -> Response:
    """Starlette's handler for `Refused`. ``request.state.whole``: nothing more comes of the body."""
    assert isinstance(error, Refused)
    whole = request.method == "GET" or getattr(request.state, "whole", False)
    return Refusal(error.status, str(error), error.headers, linger=not whole)

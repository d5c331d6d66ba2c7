"""Refused requests as problem details (RFC 9457), and what errors of the library become.

HTTP/1.1 422 Unprocessable Content
Content-Type: application/problem+json

{"type": "about:blank", "title": "Unprocessable Content", "status": 422,
 "detail": "hop is 0.123: everyday has a step every 0.4 s; give that, or a multiple of it", "parameter": "hop"}
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from audioinceptionnext.errors import FileError, MediaError, ParameterError, printable

PROBLEM_TYPE = "application/problem+json"
LINGER_S = 3.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
log = logging.getLogger("audioinceptionnext.serving")
# Parameters of the library that queries call by a shorter name.
QUERY_NAMES = {"step_seconds": "hop", "onset_threshold": "threshold", "sample_rate": "rate"}
# As in RFC 9110; older Pythons have older phrases.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
STATUSES = {
    400: "The request holds no recording, or its multipart body is broken.",
    401: "The API key is missing or wrong.",
    403: "The request comes from a page of another site, or is addressed to another host.",
    404: "There is no such model.",
    408: "The upload stopped, or is too slow.",
    413: "The upload is too large, or the recording too long.",
    415: "The upload is not an audio or video file, or has no sound.",
    422: "A parameter is unknown or out of range, or there are two files.",
    503: "The queue is full. Retry-After gives the seconds to wait.",
}


def problems(*statuses: int, own: Mapping[int, str] | None = None) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its description in OpenAPI.

    Args:
        statuses: those that mean what they mean everywhere.
        own: others with what they mean at this route.

    >>> @api.get("/v1/events", responses=problems(401, 403, own={404: "The server keeps no history."}))
    """
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    meanings = {status: STATUSES[status] for status in statuses} | dict(own or {})
    return {status: {"description": meaning, "content": content} for status, meaning in sorted(meanings.items())}


class RequestError(Exception):
    """A request that the server refuses.

    Attributes:
        status: the HTTP status.
        detail: one line that says what is wrong, and what to do.
        parameter: the name of the query parameter or form field that is wrong, if one is.
        headers: of the response.
    """

    def __init__(
        self, status: int, detail: str, *, parameter: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, detail)
        self.status, self.detail, self.parameter = status, printable(" ".join(detail.split())), parameter
        self.headers = dict(headers or {})

    @classmethod
    def of_parameter(cls, name: str, value: object, reason: str) -> RequestError:
        """A parameter has a value that it cannot take (422)."""
        given = "" if value is None else f" is {str(value)[:40]}"  # in a query, everything is text
        return cls(422, f"{name}{given}: {reason}", parameter=name)

    @classmethod
    def of_library(cls, error: ParameterError | MediaError, recording: str = "recording") -> RequestError:
        """What an error of the library means for the client.

        Args:
            recording: what the client calls its recording; the server's own file has another name.
        """
        if isinstance(error, ParameterError):
            return cls.of_parameter(QUERY_NAMES.get(error.name, error.name), error.value, error.reason)
        return cls(415, f"{recording}: {error.reason}")

    @classmethod
    def of_names(cls, error: FileError) -> RequestError:
        """A model's table of names cannot be used, which is the server's fault. Its folder is not told."""
        return cls(500, f"{Path(error.path).name}: {error.reason}")

    def problem(self) -> dict[str, Any]:
        """The members of the problem detail. ``about:blank`` says that the title is that of the status."""
        title = TITLES.get(self.status) or HTTPStatus(self.status).phrase
        members = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        return members | ({"parameter": self.parameter} if self.parameter else {})


@contextmanager
def storing() -> Iterator[None]:
    """Turn the failure to use a folder of the server into a `RequestError`: 507 if the disk is full, or else 500.

    The log says which folder, and why; the client does not learn that.
    """
    try:
        yield
    except FileError as error:
        log.error("%s", error)
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _FULL:
            raise RequestError(507, "the server's disk is full: nothing was saved") from None
        raise RequestError(500, "the server cannot use its folder for this: its log says why") from None


class ProblemResponse(Response):
    """The response to a refused request.

    A connection that is closed while its client still sends is reset, and the client never reads why. So the response
    is sent whole, and what still arrives is read and dropped for a while before the connection ends.

    Args:
        linger: False where nothing more of the body can arrive.
    """

    media_type = PROBLEM_TYPE

    def __init__(self, error: RequestError, *, linger: bool = True) -> None:
        self.linger = linger
        body = json.dumps(error.problem(), ensure_ascii=False)
        headers = {"Connection": "close"} if linger else {}
        super().__init__(body, error.status, headers | error.headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.linger:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        try:
            async with asyncio.timeout(LINGER_S):
                while (await receive()).get("more_body", False):
                    pass
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def problem_response(connection: HTTPConnection, error: Exception) -> Response:
    """Starlette's handler for `RequestError`. ``connection.state.received`` says that all of the body has arrived."""
    assert isinstance(error, RequestError)
    # The handshake of a WebSocket is a GET, although its scope does not say so.
    received = connection.scope.get("method", "GET") == "GET" or getattr(connection.state, "received", False)
    return ProblemResponse(error, linger=not received)

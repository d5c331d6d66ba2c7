"""A response that says how far the work is while it is being done: lines of JSON, of which the last is the result.

{"progress": {"state": "waiting", "seconds": 0.0, "duration": null}}
{"progress": {"state": "running", "seconds": 96.0, "duration": 2400.0}}
{"file": "dinner.mp4", …}
"""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from time import monotonic

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from audioinceptionnext.serving.errors import RequestError

MEDIA_TYPE = "application/x-ndjson"
INTERVAL_S = 0.3  # between two lines that differ
SILENCE_S = 5.0  # after which a line is repeated, so that proxies do not give up
log = logging.getLogger("audioinceptionnext.serving")


@dataclass
class Progress:
    """How far a recording has been recognised. Another thread changes it.

    Attributes:
        state: ``waiting`` for a worker, or ``running``.
        seconds: of sound that have been recognised.
        duration: of the recording in seconds, as its header states it; None if it does not.
    """

    state: str = "waiting"
    seconds: float = 0.0
    duration: float | None = None

    def line(self) -> str:
        """One line of the response."""
        duration = None if self.duration is None else round(self.duration, 3)
        members = {"state": self.state, "seconds": round(self.seconds, 3), "duration": duration}
        return json.dumps({"progress": members}) + "\n"


def is_wanted(request: Request) -> bool:
    """Whether the client accepts lines of JSON."""
    return MEDIA_TYPE in request.headers.get("accept", "")


class ProgressResponse(Response):
    """Sends lines about the progress of a task and then what it returns, or the problem that it raises.

    Args:
        task: returns the last line.
        progress: of the task.
    """

    media_type = MEDIA_TYPE

    def __init__(self, task: asyncio.Task[bytes], progress: Progress) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})  # nginx would keep the lines back
        del self.headers["content-length"]
        self.task, self.progress = task, progress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sent, moment = "", 0.0
        try:
            while not self.task.done():
                line = self.progress.line()
                if line != sent or monotonic() - moment > SILENCE_S:
                    sent, moment = line, monotonic()
                    await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
                await asyncio.wait({self.task}, timeout=INTERVAL_S)
            last = self._last()
        finally:
            self.task.cancel()
        await send({"type": "http.response.body", "body": last, "more_body": False})

    def _last(self) -> bytes:
        try:
            return self.task.result() + b"\n"
        except ClientDisconnect:
            return b""  # nobody reads it
        except RequestError as error:
            problem = error
        except Exception:
            log.exception("a recording that is recognised with its progress")
            problem = RequestError(500, "an unexpected error, which is a bug: the server's log describes it")
        return json.dumps(problem.problem(), ensure_ascii=False).encode() + b"\n"

"""The server's metrics, in the format of Prometheus, and its access log."""

from __future__ import annotations

import logging
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audioinceptionnext.errors import printable
from audioinceptionnext.serving.work_queue import WorkQueue

access_log = logging.getLogger("audioinceptionnext.serving.access")

# Any other path counts as "page", so that requests for made-up paths create no new series.
PATHS = (
    *("/v1/predict", "/v1/models", "/v1/listen", "/v1/events", "/v1/events/counts", "/v1/events/summary"),
    *("/v1/corrections", "/v1/embed", "/v1/teach", "/healthz", "/metrics", "/openapi.json"),
)
BELOW = {"/v1/events/": "/v1/events/{id}", "/v1/results/": "/v1/results/{id}", "/v1/models/": "/v1/models/{name}"}


class Metrics:
    """The metrics of one server, in a registry of its own, since tests start several servers."""

    def __init__(self, queue: WorkQueue) -> None:
        self.registry = registry = CollectorRegistry()
        self.open_streams = 0
        self.requests = Counter(
            "ainext_requests", "Requests, by path and status.", ("path", "status"), registry=registry
        )
        self.seconds = Histogram(
            "ainext_request_seconds", "Time from request to response.", ("path",), registry=registry
        )
        self.audio = Counter("ainext_audio_seconds", "Seconds of audio recognised.", ("input",), registry=registry)
        for name, text, value in (
            ("ainext_streams", "Open live streams.", lambda: self.open_streams),
            ("ainext_running", "Recordings that are being recognised.", lambda: queue.running),
            ("ainext_waiting", "Recordings that wait for a worker.", lambda: queue.waiting),
        ):
            Gauge(name, text, registry=registry).set_function(value)
        ProcessCollector(registry=registry)


class MetricsMiddleware:
    """Counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def send_and_note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path: str = scope["path"]
        if path not in PATHS:
            path = next((name for start, name in BELOW.items() if path.startswith(start)), "page")
        try:
            await self.app(scope, receive, send_and_note_status)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(perf_counter() - start)


class LogMiddleware:
    """Logs every request, and every live stream when it ends: ``127.0.0.1 "POST /v1/predict?top_k=3" 200 0.81 s``.

    For a live stream, the number is the code that closes it. Successful health checks are not logged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or not access_log.isEnabledFor(logging.INFO):
            await self.app(scope, receive, send)
            return
        start, status = perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status") or message.get("code") or status
            await send(message)

        async def receive_and_note() -> Message:
            nonlocal status
            message = await receive()
            if message["type"] == "websocket.disconnect":  # by the client
                status = message.get("code", 1005)
            return message

        try:
            await self.app(scope, receive_and_note, send_and_note)
        finally:
            if (scope["path"], status) != ("/healthz", 200):
                query = scope["query_string"].decode("latin-1")
                target = printable(scope["path"] + (f"?{query}" if query else ""))[:500]
                client, method = (scope["client"] or ["?"])[0], scope.get("method", "WS")
                access_log.info('%s "%s %s" %s %.2f s', client, method, target, status, perf_counter() - start)

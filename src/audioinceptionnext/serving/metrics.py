"""What Prometheus reads."""

from __future__ import annotations

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from audioinceptionnext.serving.work_queue import Work

# Known paths; all else counts as "page", so that a stranger's paths make no new series.
PATHS = ("/v1/predict", "/v1/models", "/v1/listen", "/healthz", "/metrics", "/openapi.json")


class Metrics:
    """Of one server; a registry of its own, since tests make several."""

    def __init__(self, work: Work) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("ainext_requests", "Answered.", ("path", "status"), registry=registry)
        self.seconds = Histogram("ainext_request_seconds", "From request to answer.", ("path",), registry=registry)
        self.sound = Counter("ainext_sound_seconds", "Sound that was heard.", ("how",), registry=registry)
        self.open_streams = 0
        Gauge("ainext_streams", "Live streams that are open.", registry=registry).set_function(
            lambda: self.open_streams
        )
        Gauge("ainext_running", "Recordings that are being heard.", registry=registry).set_function(
            lambda: work.running
        )
        Gauge("ainext_waiting", "Recordings that wait.", registry=registry).set_function(lambda: work.waiting)
        ProcessCollector(registry=registry)


class Counting:
    """Middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status = perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        path = scope["path"] if scope["path"] in PATHS else "page"
        try:
            await self.app(scope, receive, sending)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(perf_counter() - begin)

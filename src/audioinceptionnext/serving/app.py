"""The server: an ASGI application with its routes, error handlers and page."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from time import time
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from audioinceptionnext.errors import suggest
from audioinceptionnext.inference.backends import Backend
from audioinceptionnext.models.names import package_version
from audioinceptionnext.results.templates import render
from audioinceptionnext.serving import schema
from audioinceptionnext.serving.correct import Correct, add_corrections
from audioinceptionnext.serving.corrections import CorrectionsFolder
from audioinceptionnext.serving.errors import ProblemResponse, RequestError, problem_response, problems
from audioinceptionnext.serving.events import EventsApi, add_events
from audioinceptionnext.serving.live import LiveSession
from audioinceptionnext.serving.metrics import LogMiddleware, Metrics, MetricsMiddleware
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.parameters import (
    ListenParameters,
    ModelsParameters,
    PredictParameters,
    curl,
    describe_parameters,
    recording_body,
)
from audioinceptionnext.serving.predict import Predictor
from audioinceptionnext.serving.progress import MEDIA_TYPE
from audioinceptionnext.serving.reception import Reception
from audioinceptionnext.serving.result_store import ResultStore, add_results
from audioinceptionnext.serving.security import Guard, key_check
from audioinceptionnext.serving.settings import FOLDER_PREFIX, Settings
from audioinceptionnext.serving.taught_models import TaughtModels
from audioinceptionnext.serving.teach import Teach, add_teaching
from audioinceptionnext.serving.watching import Watching
from audioinceptionnext.serving.work_queue import WorkQueue

DESCRIPTION = """Recognises the sounds of recordings and says when they occur. `POST /v1/predict` takes a file.
With the header `Accept: application/x-ndjson`, the response is lines of JSON: how far the recording is (`Progress`)
while it is being recognised, and at last the result, or a `Problem` if it cannot be recognised after all.

`WS /v1/listen` takes samples as they are recorded, as binary messages of PCM, and sends a JSON object for each step:
`start`, `end`, `delay` (of steps after the sound, in seconds), `label`, `score`, `top`, `probabilities`, the
`segments` that have ended, and those that are `open`. With `include=events`, messages also say when segments begin, end
or are withdrawn. The text `{"type": "end"}` ends the stream. A stream that fails sends a `Problem` before it closes.
`/docs` lists its parameters.
"""
UPLOAD = recording_body(PredictParameters)
# What a client that accepts it gets: lines of `Progress`, and then a `Prediction` or a `Problem`.
PROGRESS: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Progress"}}}}
}
SAMPLES = (
    "curl -F file=@dinner.mp4 -F top_k=3 http://127.0.0.1:8000/v1/predict",
    'curl --data-binary @dinner.mp4 "http://127.0.0.1:8000/v1/predict?top_k=3"',
)
STARTED = time()
log = logging.getLogger("audioinceptionnext.serving")


class RecognitionApi(FastAPI):
    """FastAPI with the schemas in its OpenAPI description that no route returns: of errors, and of progress."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI description."""
        description = super().openapi()
        for one in (schema.Problem, schema.Progress):
            description["components"]["schemas"][one.__name__] = one.model_json_schema()
        return description


class HeadAsGet:
    """Middleware that answers HEAD like GET. The server that runs the application leaves the body out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope, receive, send)


def create_app(settings: Settings, backend: Backend = "auto") -> FastAPI:
    """The server as an ASGI application.

    Args:
        settings: what it offers, and how much it accepts.
        backend: what computes the networks, as for `audioinceptionnext.load`.

    Raises:
        ModelError: one of the models does not exist or cannot be loaded.
        ParameterError, MissingDependencyError: the backend is not available, or what the rules need.
        FileError: the history, the rules or a folder cannot be used.

    >>> app = create_app(Settings(models=("kitchen20",), workers=4))     # uvicorn.run(app)
    """
    models = ModelPool(settings.models, backend)
    watching = Watching.of(settings, models)
    events = EventsApi(watching.history, watching.clips, models, settings)
    corrections = CorrectionsFolder(settings.corrections) if settings.corrections else None
    queue = WorkQueue(settings.workers, settings.queue)
    metrics = Metrics(queue)
    _remove_stale_folders(Path(tempfile.gettempdir()))
    folder = tempfile.TemporaryDirectory(prefix=f"{FOLDER_PREFIX}{os.getpid()}-")
    reception = Reception(queue, settings, Path(folder.name))
    store = ResultStore(Path(folder.name), settings)
    predictor = Predictor(models, reception, store, metrics.audio.labels("file").inc)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        expiry = asyncio.create_task(store.expire())
        yield
        expiry.cancel()
        queue.close()
        events.close()
        watching.close()
        folder.cleanup()

    # No Swagger page: it loads scripts from another site. The description is enough for any client.
    app = RecognitionApi(
        title="AudioInceptionNeXt",
        version=package_version(),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # many clients do not send an upload a second time
        lifespan=lifespan,
    )
    api = APIRouter(dependencies=[Depends(key_check(settings.api_key))] if settings.api_key else [])
    taught = TaughtModels(models, settings.taught or Path(folder.name, "taught")) if settings.teach else None
    _add_routes(app, api, predictor, metrics, watching)
    add_results(api, store)
    add_events(api, events)
    add_corrections(api, Correct(reception, models, corrections))
    add_teaching(api, Teach(reception, models, taught))
    app.include_router(api)
    _add_error_handlers(app)
    _add_page(app)
    app.state.folder, app.state.taught = Path(folder.name), taught
    app.add_middleware(HeadAsGet)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.origins), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    app.add_middleware(LogMiddleware)
    return app


def _remove_stale_folders(parent: Path) -> None:
    """Remove the uploads of servers that were killed and could not do it themselves."""
    for folder in parent.glob(f"{FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if not pid.isdigit() or os.name != "posix":
            continue
        try:
            if int(pid) == os.getpid():  # or of an earlier process: in a container, all have the same number
                stale = folder.stat().st_mtime < STARTED
            else:
                os.kill(int(pid), 0)  # sends no signal, but fails if there is no such process
                stale = False
        except ProcessLookupError:
            stale = True
        except OSError:  # the process runs and belongs to another user
            stale = False
        if stale:
            shutil.rmtree(folder, ignore_errors=True)


def _add_routes(app: FastAPI, api: APIRouter, predictor: Predictor, metrics: Metrics, watching: Watching) -> None:
    models, settings = predictor.models, predictor.settings
    offers: list[str] = []
    if settings.results:
        offers.append("results")
    if settings.history:
        offers.append("history")
    if settings.corrections:
        offers.append("corrections")
    if settings.teach:
        offers.append("teach")

    @api.post(
        "/v1/predict",
        response_model=schema.Prediction,
        response_model_exclude_unset=True,
        responses=PROGRESS | problems(400, 401, 403, 404, 408, 413, 415, 422, 503),
        openapi_extra={"parameters": describe_parameters(PredictParameters), "requestBody": UPLOAD} | curl(*SAMPLES),
        summary="Recognise a recording",
        response_description="The sounds of the recording.",
    )
    async def predict(request: Request) -> Response:
        return await predictor(request)

    @api.get(
        "/v1/models",
        response_model=schema.Models,
        response_model_exclude_unset=True,
        responses=problems(401, 403, 422),
        openapi_extra={"parameters": describe_parameters(ModelsParameters)},
        summary="List the models",
        response_description="The models and the limits.",
    )
    async def list_models(request: Request) -> dict[str, Any]:
        query = ModelsParameters.read(request.query_params.multi_items())
        limits = {
            "bytes": settings.max_bytes,
            "seconds": settings.max_seconds,
            "result_seconds": settings.result_seconds,
        }
        return {"models": models.descriptions(query.language), "limits": limits, "offers": offers}

    @app.get(
        "/healthz",
        response_model=schema.Health,
        responses=problems(403),
        summary="State of the server",
        response_description="The server is up.",
    )
    async def health() -> dict[str, Any]:
        queue = predictor.reception.queue
        load = {"running": queue.running, "waiting": queue.waiting, "streams": metrics.open_streams}
        return {"status": "ok", "version": app.version, **load}

    @api.get(
        "/metrics",
        responses=problems(401, 403),
        response_class=Response,
        summary="Metrics for Prometheus",
        response_description="The metrics as text.",
    )
    async def prometheus() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/listen", include_in_schema=False)
    async def listen_without_upgrade() -> Response:
        raise RequestError(
            426, "/v1/listen is a WebSocket: open it with ws:// or wss://", headers={"Upgrade": "websocket"}
        )

    @api.websocket("/v1/listen")
    async def listen(socket: WebSocket) -> None:
        await LiveSession(socket, models, settings, metrics, watching).serve()


def _add_page(app: FastAPI) -> None:
    # Routes rather than a mount, which would also catch requests for the API's paths by other methods.
    folder = Path(str(files("audioinceptionnext") / "page"))
    page = StaticFiles(directory=folder)

    async def file(request: Request) -> Response:
        return await page.get_response(request.url.path.removeprefix("/") or "index.html", request.scope)

    for path in ("/", *(f"/{one.name}" for one in folder.iterdir() if one.is_file())):
        app.add_api_route(path, file, include_in_schema=False)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        listen = describe_parameters(ListenParameters)
        base = str(request.base_url).rstrip("/")
        return HTMLResponse(render("serving/docs.html.j2", api=app.openapi(), listen=listen, base=base))


def _add_error_handlers(app: FastAPI) -> None:
    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path[:100]
        if error.status_code == 404:
            detail = f"nothing is at {path}; {suggest(path, [*app.openapi()['paths'], '/docs'])}"
        elif error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            detail = f"{path} takes {allowed}, not {request.method}; /docs describes the API"
        else:
            detail = f"{path}: {error.detail}"
        return await problem_response(request, RequestError(error.status_code, detail, headers=error.headers))

    async def client_left(_: Request, error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    async def bug(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        detail = "an unexpected error, which is a bug: the server's log describes it"
        return ProblemResponse(RequestError(500, detail), linger=False)

    app.add_exception_handler(RequestError, problem_response)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(ClientDisconnect, client_left)
    app.add_exception_handler(Exception, bug)

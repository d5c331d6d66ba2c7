"""The server: an ASGI application with its routes, error handlers and page."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from audioinceptionnext.inference.backends import Backend
from audioinceptionnext.inference.recogniser import TOP_K
from audioinceptionnext.models.names import package_version
from audioinceptionnext.serving import schema
from audioinceptionnext.serving.errors import PROBLEM_TYPE, STATUSES, ProblemResponse, RequestError, problem_response
from audioinceptionnext.serving.live import LiveSession
from audioinceptionnext.serving.metrics import Metrics, MetricsMiddleware
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.predict import INCLUDES, Predictor, PredictRequest, parse_include
from audioinceptionnext.serving.security import Guard, key_check
from audioinceptionnext.serving.settings import Settings
from audioinceptionnext.serving.work_queue import WorkQueue

DESCRIPTION = """Recognises the sounds of recordings and says when they occur. `POST /v1/predict` takes a file.

`WS /v1/listen` takes samples as they are recorded, as binary messages of PCM, and sends a JSON object for each step:
`start`, `end`, `delay` (of steps after the sound, in seconds), `label`, `score`, `top`, `probabilities`, and the
`segments` that have ended. Its query parameters are `rate` (Hz), `encoding` (s16le or f32le), `channels`, `model`,
`hop`, `lookahead` (the seconds after its window for which a step waits) and `include=log_mel`. The text
`{"type": "end"}` ends the stream. A stream that fails sends a `Problem` before it closes.
"""
UPLOAD = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary", "description": "Audio or video."}},
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
FOLDER_PREFIX = "ainext-serve-"
log = logging.getLogger("audioinceptionnext.serving")


class RecognitionApi(FastAPI):
    """FastAPI with the schema of `Problem` in its OpenAPI description, to which all errors refer."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI description."""
        description = super().openapi()
        description["components"]["schemas"]["Problem"] = schema.Problem.model_json_schema()
        return description


def create_app(settings: Settings, backend: Backend = "auto") -> FastAPI:
    """The server as an ASGI application.

    Args:
        settings: what it offers, and how much it accepts.
        backend: what computes the networks, as for `audioinceptionnext.load`.

    Raises:
        ModelError: one of the models does not exist or cannot be loaded.
        ParameterError, MissingDependencyError: the backend is not available.

    >>> app = create_app(Settings(models=("kitchen20",), workers=4))     # uvicorn.run(app)
    """
    models = ModelPool(settings.models, backend)
    queue = WorkQueue(settings.workers, settings.queue)
    metrics = Metrics(queue)
    _remove_stale_folders(Path(tempfile.gettempdir()))
    folder = tempfile.TemporaryDirectory(prefix=f"{FOLDER_PREFIX}{os.getpid()}-")
    predictor = Predictor(models, queue, settings, Path(folder.name))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        queue.close()
        folder.cleanup()

    # No Swagger page: it loads scripts from another site. The description is enough for any client.
    app = RecognitionApi(
        title="AudioInceptionNeXt",
        version=package_version(),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_routes(app, predictor, metrics)
    _add_error_handlers(app)
    _add_page(app)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.origins), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(MetricsMiddleware, metrics=metrics)
    return app


def _remove_stale_folders(parent: Path) -> None:
    """Remove the uploads of servers that were killed and could not do it themselves."""
    for folder in parent.glob(f"{FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if not pid.isdigit() or os.name != "posix":
            continue
        try:
            os.kill(int(pid), 0)  # sends no signal, but fails if there is no such process
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # the process runs and belongs to another user
            continue


def _add_routes(app: FastAPI, predictor: Predictor, metrics: Metrics) -> None:
    models, settings = predictor.models, predictor.settings
    api = APIRouter(dependencies=[Depends(key_check(settings.api_key))] if settings.api_key else [])

    @api.post(
        "/v1/predict",
        response_model=schema.Prediction,
        response_model_exclude_unset=True,
        responses=_problems(400, 401, 403, 404, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": UPLOAD},
        summary="Recognise a recording",
    )
    async def predict(
        request: Request,
        model: Annotated[str | None, Query(description="One of /v1/models.", examples=["kitchen20"])] = None,
        top_k: Annotated[int, Query(ge=1, le=1000, description="Labels for the recording as a whole.")] = TOP_K,
        threshold: Annotated[
            float | None,
            Query(gt=0, le=1, description="Probability that a segment must reach; the model's own unless given."),
        ] = None,
        step_seconds: Annotated[
            float | None,
            Query(alias="hop", gt=0, description="Seconds from one step to the next; the model's own unless given."),
        ] = None,
        include: Annotated[str, Query(description=f"{' and '.join(INCLUDES)}, separated by a comma.")] = "",
        name: Annotated[str, Query(description="The file's name, if the body is the recording itself.")] = "",
    ) -> Response:
        query = PredictRequest(model, top_k, threshold, step_seconds, parse_include(include))
        response = await predictor(request, query)
        metrics.audio.labels("file").inc(response["duration"])
        return Response(json.dumps(response, ensure_ascii=False), media_type="application/json")

    @api.get("/v1/models", response_model=schema.Models, responses=_problems(401, 403), summary="List the models")
    async def list_models() -> dict[str, Any]:
        limits = {"bytes": settings.max_bytes, "seconds": settings.max_seconds}
        return {"models": models.descriptions(), "limits": limits}

    @app.get("/healthz", response_model=schema.Health, responses=_problems(403), summary="State of the server")
    async def health() -> dict[str, Any]:
        queue = predictor.queue
        load = {"running": queue.running, "waiting": queue.waiting, "streams": metrics.open_streams}
        return {"status": "ok", "version": app.version, **load}

    @api.get("/metrics", responses=_problems(401, 403), response_class=Response, summary="Metrics for Prometheus")
    async def prometheus() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @api.websocket("/v1/listen")
    async def listen(socket: WebSocket) -> None:
        await LiveSession(socket, models, settings, metrics).serve()

    app.include_router(api)


def _add_page(app: FastAPI) -> None:
    # Routes rather than a mount, which would also catch requests for the API's paths by other methods.
    page = StaticFiles(directory=str(files("audioinceptionnext") / "page"))

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        return await page.get_response("index.html", request.scope)

    @app.api_route("/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        return await page.get_response(name, request.scope)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of a route, for its description."""
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": STATUSES[status], "content": content} for status in statuses}


def _add_error_handlers(app: FastAPI) -> None:
    async def invalid_query(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        refused = RequestError.of_parameter(first["loc"][-1], first["input"], first["msg"])
        return await problem_response(request, refused)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = f"{request.method} {request.url.path[:100]}: {error.detail}; /openapi.json describes the API"
        return await problem_response(request, RequestError(error.status_code, detail, headers=error.headers))

    async def client_left(_: Request, error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    async def bug(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        detail = "an unexpected error, which is a bug: the server's log describes it"
        return ProblemResponse(RequestError(500, detail), linger=False)

    app.add_exception_handler(RequestError, problem_response)
    app.add_exception_handler(RequestValidationError, invalid_query)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(ClientDisconnect, client_left)
    app.add_exception_handler(Exception, bug)

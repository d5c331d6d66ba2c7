"""The server: its routes, and what they share."""

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

from fastapi import FastAPI, Query, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from audioinceptionnext import __version__
from audioinceptionnext.serving import schema
from audioinceptionnext.serving.errors import STATUSES, Refusal, Refused, refusal
from audioinceptionnext.serving.live import Listening
from audioinceptionnext.serving.metrics import Counting, Metrics
from audioinceptionnext.serving.model_pool import Shelf
from audioinceptionnext.serving.predict import Predictor, wish
from audioinceptionnext.serving.security import Guard
from audioinceptionnext.serving.settings import Settings
from audioinceptionnext.serving.work_queue import Work

ABOUT = """Any recording in, a timeline of sounds out. `POST /v1/predict` hears a file.

`WS /v1/listen` takes samples as they come, binary messages of PCM, and sends a JSON object every 160 ms: `start`,
`end`, `label`, `score`, `top`, `probabilities`, and the `segments` that ended. Query: `rate` (Hz), `encoding` (s16le
or f32le), `channels`, `model`, `hop`, `include=log_mel`. `{"type": "end"}` as text ends it.
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
FOLDER = "ainext-serve-"
log = logging.getLogger("audioinceptionnext.serving")


def create_app(settings: Settings, backend: str = "auto") -> FastAPI:
    """An ASGI application.

    Raises:
        AinextError: a model that is not there.
    """
    shelf = Shelf(settings.models, backend)
    work = Work(settings.workers, settings.queue)
    metrics = Metrics(work)
    _sweep(Path(tempfile.gettempdir()))
    folder = tempfile.TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-")
    predictor = Predictor(shelf, work, settings, Path(folder.name))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        work.close()
        folder.cleanup()

    # No page of Swagger's: it would come from another site, and shows no uploads in step. The description is enough.
    app = FastAPI(
        title="AudioInceptionNeXt",
        version=__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_routes(app, predictor, metrics)
    _add_errors(app)
    _add_page(app)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(settings.origins), allow_methods=["*"], allow_headers=["*"]
        )
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Counting, metrics=metrics)
    return app


def _sweep(place: Path) -> None:
    """Removes the uploads of servers that were killed, which could not do it themselves."""
    for folder in place.glob(f"{FOLDER}*-*"):
        number = folder.name.removeprefix(FOLDER).partition("-")[0]
        if not number.isdigit() or os.name != "posix":
            continue
        try:
            os.kill(int(number), 0)  # asks only whether it lives
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:  # it lives, and is another user's
            continue


def _add_routes(app: FastAPI, predictor: Predictor, metrics: Metrics) -> None:
    shelf, settings = predictor.shelf, predictor.settings

    @app.post(
        "/v1/predict",
        response_model=schema.Prediction,
        response_model_exclude_unset=True,
        responses=_problems(400, 401, 403, 404, 408, 413, 415, 422, 503),
        openapi_extra={"requestBody": UPLOAD},
        summary="Hear a recording",
    )
    async def predict(
        request: Request,
        model: Annotated[str | None, Query(description="One of /v1/models.", examples=["kitchen20"])] = None,
        top_k: Annotated[int, Query(ge=1, le=1000, description="Labels for the recording as a whole.")] = 5,
        threshold: Annotated[float | None, Query(gt=0, le=1, description="The model's own unless given.")] = None,
        hop: Annotated[float | None, Query(gt=0, description="Seconds from one answer to the next.")] = None,
        include: Annotated[str, Query(description="log_mel, probabilities: separated by commas.")] = "",
        name: Annotated[str, Query(description="The file's, where the body is the recording itself.")] = "",
    ) -> Response:
        answer = await predictor(request, wish(model, top_k, threshold, hop, include))
        metrics.sound.labels("file").inc(answer["duration"])
        return Response(json.dumps(answer, ensure_ascii=False), media_type="application/json")

    @app.get("/v1/models", response_model=schema.Models, responses=_problems(401, 403), summary="What may be asked for")
    async def models() -> dict[str, Any]:
        limits = {"bytes": settings.most_bytes, "seconds": settings.most_seconds}
        return {"models": shelf.facts(), "limits": limits}

    @app.get(
        "/healthz", response_model=schema.Health, responses=_problems(403), summary="Whether it is up, and how busy"
    )
    async def health() -> dict[str, Any]:
        work = predictor.work
        busy = {"running": work.running, "waiting": work.waiting, "streams": metrics.open_streams}
        return {"status": "ok", "version": __version__, **busy}

    @app.get("/metrics", responses=_problems(401, 403), response_class=Response, summary="For Prometheus")
    async def prometheus() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.websocket("/v1/listen")
    async def listen(socket: WebSocket) -> None:
        await Listening(socket, shelf, settings, metrics).serve()


def _add_page(app: FastAPI) -> None:
    # Not mounted: a mount would take the API's paths too, where they are asked for by another method.
    page = StaticFiles(directory=str(files("audioinceptionnext") / "page"))

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index(request: Request) -> Response:
        return await page.get_response("index.html", request.scope)

    @app.api_route("/{name}", methods=["GET", "HEAD"], include_in_schema=False)
    async def file(request: Request, name: str) -> Response:
        return await page.get_response(name, request.scope)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": schema.Problem, "description": STATUSES[status]} for status in statuses}


def _add_errors(app: FastAPI) -> None:
    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return Refusal(422, f"{first['loc'][-1]}: {first['msg']}")

    async def other(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return refusal(request, Refused(error.status_code, str(error.detail), error.headers))

    async def gone(_: Request, error: Exception) -> Response:
        return Response(status_code=499)  # nobody reads it

    async def bug(request: Request, error: Exception) -> Response:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
        return Refusal(500, "something went wrong here: a bug; the server's log has it", linger=False)

    app.add_exception_handler(Refused, refusal)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, other)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, bug)

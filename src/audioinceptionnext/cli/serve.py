"""``ainext serve``."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.errors import AinextError

if TYPE_CHECKING:
    import uvicorn

GRACE = 30  # seconds to finish what is under way when it is told to end: an hour of sound takes some ten


def serve(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="NAME|FILE", help="What it serves; the first is the default.",
                     show_default="all shipped ones"),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; 0.0.0.0 is everywhere.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", "-p", min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Recordings heard at a time.", show_default="as many as there are cores")
    ] = None,
    queue: Annotated[int, typer.Option(min=0, help="Recordings that may wait; beyond, 503.")] = 16,
    streams: Annotated[int, typer.Option(min=0, help="Live streams at a time.")] = 8,
    most_mb: Annotated[float, typer.Option("--max-mb", min=0.001, help="Of an upload; beyond, 413.")] = 1000,
    most_minutes: Annotated[float, typer.Option("--max-minutes", min=0.01, help="Of a recording; beyond, 413.")] = 240,
    api_key: Annotated[
        str, typer.Option(envvar="AINEXT_API_KEY", metavar="KEY", help="Ask for it; better given as AINEXT_API_KEY.",
                          show_default="none")
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="AINEXT_ALLOW_HOST",
            metavar="NAME",
            help="A name that requests may be addressed to.",
            show_default="any; on loopback localhost",
        ),
    ] = None,
    origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A site whose pages may call this server.")
    ] = None,
    backend: options.Backend = "auto",
) -> None:  # fmt: skip
    """A page that listens, and an HTTP API: http://127.0.0.1:8000.

    Example: [bold]ainext serve --port 8080[/bold], then
    [bold]curl -F file=@dinner.mp4 http://127.0.0.1:8080/v1/predict[/bold]
    """
    import uvicorn

    from audioinceptionnext.inference.parallel import usable_cores
    from audioinceptionnext.serving.app import create_app
    from audioinceptionnext.serving.settings import LOOPBACK, Settings, is_loopback

    # Names of this machine are always meant: a health check asks by them, and no other site is called so.
    hosts = (*(allow_host or ()), *LOOPBACK) if allow_host or is_loopback(host) else ()
    settings = Settings(
        models=tuple(models) if models else None,
        workers=workers or len(usable_cores()),
        queue=queue,
        streams=streams,
        most_bytes=int(most_mb * 1e6),
        most_seconds=60 * most_minutes,
        api_key=api_key,
        hosts=hosts,
        origins=tuple(origin or ()),
    )
    app = create_app(settings, backend)
    listening = _listening(host, port)
    url = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}/"
    print(f"ainext: the page: {url}   the API: {url}openapi.json   Ctrl-C ends it", flush=True)
    uvicorn.Server(configuration(app)).run([listening])


def configuration(app: Any, grace: int = GRACE) -> uvicorn.Config:
    """How uvicorn serves it, here and in the tests.

    Args:
        grace: seconds that clients have to finish when the server is told to end.
    """
    import uvicorn

    return uvicorn.Config(
        app, port=0, log_level="warning", server_header=False, ws_max_size=1 << 20, timeout_graceful_shutdown=grace
    )


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise AinextError(f"--host {host} --port {port}: cannot listen there: {reason}; choose another") from None

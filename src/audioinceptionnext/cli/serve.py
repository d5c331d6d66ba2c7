"""``ainext serve``."""

from __future__ import annotations

import difflib
import errno
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from audioinceptionnext.cli import prediction_options as options
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.models.names import DEFAULT_MODEL

if TYPE_CHECKING:
    import uvicorn

VARIABLES = ("AINEXT_API_KEY", "AINEXT_ALLOW_HOST", "AINEXT_MODELS")
PREFIX = "AINEXT_"
URL_FILE = "url"  # in the server's temporary folder, for --check
CHECK_S = 4.0
_FROM_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # addresses that stand for all
_STORED = "What the server stores"
GRACE_S = 30  # to finish what is under way when the server is told to stop; an hour of audio takes some ten


def serve(
    context: typer.Context,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FILE",
            help="Offer this model. May be repeated; the first model is the default.",
            show_default=f"all shipped models, {DEFAULT_MODEL} first",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Bind to this address; 0.0.0.0 binds to all interfaces.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", "-p", min=0, max=65535, help="Bind to this port; 0 picks a free one.")
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Recognise this many recordings at a time.", show_default="one per core"),
    ] = None,
    queue: Annotated[
        int, typer.Option(min=0, help="Let this many recordings wait, and refuse any more with status 503.")
    ] = 16,
    streams: Annotated[int, typer.Option(min=0, help="Allow this many live streams at a time.")] = 8,
    max_mb: Annotated[
        float,
        typer.Option("--max-mb", min=0.001, help="Refuse uploads larger than this many megabytes with status 413."),
    ] = 1000,
    max_minutes: Annotated[
        float,
        typer.Option(
            "--max-minutes", min=0.01, help="Refuse recordings longer than this many minutes with status 413."
        ),
    ] = 240,
    results: Annotated[
        int,
        typer.Option(min=0, help="Keep this many results for the page's links to them, the latest ones; 0 keeps none."),
    ] = 1000,
    results_hours: Annotated[
        float, typer.Option("--results-hours", min=0.01, help="Keep a result for this many hours at most.")
    ] = 24,
    api_key: Annotated[
        str,
        typer.Option(
            envvar="AINEXT_API_KEY",
            metavar="KEY",
            help="Require this key. Set AINEXT_API_KEY instead to hide it from other users of this computer.",
            show_default="none",
        ),
    ] = "",
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host",
            envvar="AINEXT_ALLOW_HOST",
            metavar="NAME",
            help="Accept requests for this host name, such as sounds.example.org or *.example.org. May be repeated.",
            show_default="localhost if bound to loopback, else any",
        ),
    ] = None,
    origins: Annotated[
        list[str] | None,
        typer.Option("--origin", metavar="URL", help="Let pages of this site call the server. May be repeated."),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="FILE.db",
            help="Show the history in this database, which ainext listen may write at the same time, and record the "
            "live streams of clients there.",
            show_default="none",
            rich_help_panel=_STORED,
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="DIR",
            help="With --history, play the clips in this folder, and keep those of live streams there.",
            show_default="none",
            rich_help_panel=_STORED,
        ),
    ] = None,
    keep_max_mb: Annotated[
        float | None,
        typer.Option(
            metavar="MB",
            help="Delete the oldest clips when all together are larger than this.",
            show_default="no limit",
            rich_help_panel=_STORED,
        ),
    ] = None,
    keep_max_days: Annotated[
        float | None,
        typer.Option(
            metavar="DAYS",
            help="Delete clips of segments that are older than this.",
            show_default="no limit",
            rich_help_panel=_STORED,
        ),
    ] = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Raise alerts for live streams as this YAML file says: print, append to a file, run a command, call a "
            "webhook, publish by MQTT. ainext rules check shows what it means.",
            show_default="none",
        ),
    ] = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrections",
            metavar="DIR",
            help="Store recordings whose segments people have corrected on the page in this folder, each with a label "
            "track: a data set for train --data labels.",
            show_default="nowhere",
            rich_help_panel=_STORED,
        ),
    ] = None,
    teach: Annotated[
        bool | None,
        typer.Option(
            "--teach/--no-teach",
            help="Let clients teach models sounds of their own, which are then offered to all.",
            show_default="--teach if only this computer reaches the server",
            rich_help_panel=_STORED,
        ),
    ] = None,
    taught: Annotated[
        Path | None,
        typer.Option(
            "--taught",
            metavar="DIR",
            help="Keep the models that were taught in this folder.",
            show_default="until the server stops",
            rich_help_panel=_STORED,
        ),
    ] = None,
    backend: options.Backend = options.BackendName.auto,
    access_log: Annotated[
        bool, typer.Option(help="Log every request to stderr, apart from successful health checks.")
    ] = True,
    check: Annotated[
        bool,
        typer.Option("--check", help="Say whether the server that runs here is up, instead of starting one."),
    ] = False,
) -> None:
    """Serve a web page and an HTTP API at http://127.0.0.1:8000.

    Example: [bold]ainext serve --port 8080[/bold]

    Then, in another terminal: [bold]curl -F file=@dinner.mp4 http://127.0.0.1:8080/v1/predict[/bold]
    """
    if check:
        _check()
        return
    _check_environment(context)
    import uvicorn

    from audioinceptionnext.inference.parallel import available_cores
    from audioinceptionnext.serving.app import create_app
    from audioinceptionnext.serving.settings import LOOPBACK, Settings, is_loopback

    # This computer's own names are always accepted: health checks use them, and no other site has them.
    accepted = (*(hosts or ()), *LOOPBACK) if hosts or is_loopback(host) else ()
    settings = Settings(
        models=tuple(models) if models else None,
        workers=workers or len(available_cores()),
        queue=queue,
        streams=streams,
        max_bytes=int(max_mb * 1e6),
        max_seconds=60 * max_minutes,
        results=results,
        result_seconds=3600 * results_hours,
        api_key=api_key,
        hosts=accepted,
        origins=tuple(origins or ()),
        history=history,
        keep=keep,
        keep_max_mb=keep_max_mb,
        keep_max_days=keep_max_days,
        rules=rules,
        corrections=corrections,
        # Behind a proxy, a server on loopback has the name that others know it by.
        teach=taught is not None or (is_loopback(host) and not hosts) if teach is None else teach,
        taught=taught,
    )
    app = create_app(settings, backend.value)
    bound = _bind(host, port)
    if access_log:
        _log_requests()
    url = _url(host, bound)
    (app.state.folder / URL_FILE).write_text(_url(_FROM_HERE.get(host, host), bound))
    print(f"ainext: page {url}   API {url}docs   Ctrl-C stops the server", flush=True)
    uvicorn.Server(server_config(app)).run([bound])


def _url(host: str, bound: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}/"


def _log_requests() -> None:
    from audioinceptionnext.serving.metrics import access_log

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)


def _check() -> None:
    """Ask the server that was started last, whatever its port is. Exits with 1 if it is not up."""
    import tempfile
    import urllib.request

    from audioinceptionnext.serving.settings import FOLDER_PREFIX

    found = sorted(
        Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*/{URL_FILE}"), key=lambda one: one.stat().st_mtime
    )
    try:
        if not found:
            raise OSError("none was started")
        request = urllib.request.Request(found[-1].read_text() + "healthz", headers={"Host": "localhost"})
        directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with directly.open(request, timeout=CHECK_S) as response:
            print(response.read().decode())
    except OSError as error:
        print(f"ainext: no server is up here: {error}", file=sys.stderr)
        raise typer.Exit(1) from None


def _check_environment(context: typer.Context) -> None:
    """Refuse a variable that would be ignored: with a misspelt key, a server would be open to everybody."""
    options = {name for one in context.command.params for name in one.opts}
    for name, value in os.environ.items():
        word = name.removeprefix(PREFIX)
        if word == name or name in VARIABLES or value.startswith("tcp://"):  # of a service in Kubernetes
            continue
        if (option := f"--{word.lower().replace('_', '-')}") in options:
            raise ParameterError(name, None, f"this is no environment variable; give the option {option}")
        if near := difflib.get_close_matches(word, [one.removeprefix(PREFIX) for one in VARIABLES], 1):
            raise ParameterError(name, None, f"there is no such environment variable; did you mean {PREFIX}{near[0]}?")


def server_config(app: Any, grace_seconds: int = GRACE_S) -> uvicorn.Config:
    """How uvicorn runs the server, here and in the tests.

    Args:
        grace_seconds: what requests get to finish in when the server is told to stop.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        port=0,
        log_level="warning",
        server_header=False,
        ws_max_size=1 << 20,
        timeout_graceful_shutdown=grace_seconds,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_fault)
    return config


def _is_fault(record: logging.LogRecord) -> bool:
    # uvicorn takes a WebSocket that is refused with a response for a fault of the application, and would log each one
    # as an error (https://github.com/Kludex/uvicorn/pull/3138).
    return "completing handshake" not in record.getMessage()


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ParameterError("port", port, f"it is in use on {host}; choose another") from None
        if error.errno == errno.EACCES:
            raise ParameterError("port", port, "permission denied; choose one above 1023") from None
        reason = f"cannot be bound: {(error.strerror or str(error)).lower()}; choose another address"
        raise ParameterError("host", host, reason) from None

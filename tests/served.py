"""A server on loopback for the tests, configured as a user's: uvicorn in a thread of this process."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from audioinceptionnext.cli.serve import server_config
from audioinceptionnext.serving.app import create_app
from audioinceptionnext.serving.settings import Settings


class Server:
    """A running server: its URL, its temporary folder and its application."""

    def __init__(self, url: str, folder: Path, app: Any) -> None:
        self.url, self.folder, self.app = url, folder, app

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def uploads(self) -> list[Path]:
        """Uploads that are still on its disk after five seconds."""
        for _ in range(100):
            if not (found := list(self.folder.rglob("*/*"))):
                return []
            time.sleep(0.05)
        return found

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


@contextmanager
def serving(**settings: Any) -> Iterator[Server]:
    """Run a server with these `Settings`, and check that it removes its folder at the end."""
    with tempfile.TemporaryDirectory() as folder:
        before, tempfile.tempdir = tempfile.tempdir, folder
        try:
            app = create_app(Settings(**settings))
        finally:
            tempfile.tempdir = before
        config = server_config(app, grace_seconds=5)
        bound = config.bind_socket()
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield Server(f"http://127.0.0.1:{bound.getsockname()[1]}", Path(folder), app)
        finally:
            server.should_exit = True
            thread.join()
            bound.close()
        assert not list(Path(folder).iterdir())


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return check_problem(response.json(), status)


def check_problem(found: dict[str, Any], status: int) -> str:
    """The detail of a problem that is as RFC 9457 has it, and names nothing of the server's disk."""
    assert (found["type"], found["status"]) == ("about:blank", status) and found["title"][0].isupper()
    assert set(found) - {"parameter"} == {"type", "title", "status", "detail"}
    detail: str = found["detail"]
    assert "\n" not in detail and "/tmp" not in detail and "ainext-serve" not in detail
    return detail

"""A live stream over HTTP, as an internet radio or a camera sends it: in real time, and it may break off."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class LiveServer:
    """Serves the same sound from its start to each client, in real time.

    Args:
        content: a whole file.
        seconds: how long it sounds.
        cut_after: seconds after which the first connection is cut; None for never.
    """

    def __init__(self, content: bytes, seconds: float, cut_after: float | None = None) -> None:
        self._content, self._seconds, self._cut_after = content, seconds, cut_after
        self.port = 0
        self.connections = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/live.ogg"

    def start(self) -> None:
        """Take connections, on the port of the last time."""
        live = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                live._send(self)

            def log_message(self, *values: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *values: Any) -> None:
                pass  # the client has gone

        self._stopped = threading.Event()
        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Cut all connections, and refuse new ones."""
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _send(self, handler: BaseHTTPRequestHandler) -> None:
        self.connections += 1
        cut = self._cut_after if self.connections == 1 else None
        stopped = self._stopped
        handler.send_response(200)
        handler.send_header("Content-Type", "audio/ogg")
        handler.send_header("Connection", "close")
        handler.end_headers()
        began, sent = time.monotonic(), 0
        while sent < len(self._content) and not stopped.wait(0.02):
            past = time.monotonic() - began
            if cut is not None and past > cut:
                break
            until = round(len(self._content) * min(1.0, (past + 0.5) / self._seconds))
            handler.wfile.write(self._content[sent:until])
            sent = until
        handler.connection.shutdown(socket.SHUT_RDWR)

"""Live streams over HTTP and RTSP, as a radio and a camera send them: in real time, and they may break off."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO

import numpy as np


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


class RtspServer:
    """Serves the same sound from its start to each client, in real time, as raw samples over RTSP with TCP.

    Args:
        samples: mono floats of -1…1.
        rate: of the samples, in Hz.
        cut_after: seconds after which the first connection is cut; None for never.
    """

    def __init__(self, samples: np.ndarray, rate: int, cut_after: float | None = None) -> None:
        self._samples, self._rate, self._cut_after = (samples * 32767).astype(">i2"), rate, cut_after
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"rtsp://127.0.0.1:{self._socket.getsockname()[1]}/camera"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file, suppress(OSError):
            while self._answer(connection, file) != "PLAY":
                pass
            self.connections += 1
            self._play(connection, self._cut_after if self.connections == 1 else None)

    def _answer(self, connection: socket.socket, file: BinaryIO) -> str:
        """Answer one request, and return its method."""
        lines = []
        while line := file.readline().decode().strip():
            lines.append(line)
        if not lines:
            raise ConnectionError
        method = lines[0].split()[0]
        headers = dict(line.split(": ", 1) for line in lines[1:])
        status, more, body = "200 OK", "", ""
        if method == "DESCRIBE":
            body = (
                "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=audio 0 RTP/AVP 97\r\n"
            )
            body += f"a=rtpmap:97 L16/{self._rate}/1\r\na=control:sound\r\n"
            more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
        elif method == "SETUP" and "TCP" not in headers["Transport"]:
            status = "461 Unsupported Transport"  # the client asks for UDP first
        elif method == "SETUP":
            more = f"Transport: {headers['Transport']}\r\nSession: 1\r\n"
        elif method == "OPTIONS":
            more = "Public: DESCRIBE, SETUP, PLAY\r\n"
        connection.sendall(f"RTSP/1.0 {status}\r\nCSeq: {headers['CSeq']}\r\n{more}\r\n{body}".encode())
        return method

    def _play(self, connection: socket.socket, cut: float | None) -> None:
        began, size = time.monotonic(), self._rate // 50
        for number, start in enumerate(range(0, len(self._samples), size)):
            time.sleep(max(0.0, start / self._rate - (time.monotonic() - began)))
            if cut is not None and start / self._rate > cut:
                return
            packet = struct.pack("!BBHII", 0x80, 97, number % 2**16, start, 1)
            packet += self._samples[start : start + size].tobytes()
            connection.sendall(struct.pack("!BBH", 0x24, 0, len(packet)) + packet)

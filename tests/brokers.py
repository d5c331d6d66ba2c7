"""MQTT brokers on loopback for the tests, what they were sent, and a web server for webhooks that fails in all ways."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

UNPACKED = Path(sys.prefix) / "mosquitto" / "mosquitto"
WAIT_S = 60.0  # far more than anything takes


def mosquitto(name: str = "mosquitto") -> str | None:
    """The path of the system's broker, of another of its programs, or of those that tests/get_mosquitto.py unpacked."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", str(UNPACKED.parent)])
    return shutil.which(name, path=path)


def until(condition: Callable[[], Any], what: str = "this") -> Any:
    """Wait until a condition is true, and return what it returns."""
    for _ in range(round(WAIT_S / 0.02)):
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} has not come within {WAIT_S:g} s")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class MqttBroker:
    """A mosquitto that can be killed and started again on the same port.

    Args:
        folder: takes its files.
        settings: further lines of its configuration.
    """

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder, self.port = folder, free_port()
        lines = settings if any("allow_anonymous" in line for line in settings) else (*settings, "allow_anonymous true")
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text("\n".join([f"listener {self.port} 127.0.0.1", "persistence false", *lines, ""]))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = mosquitto()
        assert program
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([program, "-c", self._configuration], stdout=log, stderr=log)

        def answers() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "log").read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return True
            return False

        until(answers, "the broker")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def broker(folder: Path, *settings: str) -> Iterator[MqttBroker]:
    """A running broker."""
    made = MqttBroker(folder, *settings)
    made.start()
    try:
        yield made
    finally:
        made.kill()


def write_certificate(path: Path) -> Path:
    """A certificate of 127.0.0.1 that nobody signed, with its key beside it (.key)."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", path.with_suffix(".key"), "-out", path, "-subj", "/CN=localhost", "-days", "2"]
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *files, *name], check=True, capture_output=True)
    return path


class Subscriber:
    """What a broker publishes, as Home Assistant would see it: a client of its own, which comes back as that does.

    Attributes:
        messages: topic, payload and whether it was retained, in order.
        times: when they came, by `time.monotonic`.
    """

    def __init__(self, port: int, topics: str = "#") -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.messages: list[tuple[str, str, bool]] = []
        self.times: list[float] = []
        self._ready = threading.Event()
        self._client: Any = Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(0.05, 0.05)
        self._client.on_connect = lambda client, *_: client.subscribe(topics, 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(WAIT_S)

    def _on_message(self, client: Any, data: Any, message: Any) -> None:
        self.times.append(time.monotonic())
        self.messages.append((message.topic, message.payload.decode(), message.retain))

    def of(self, topic: str) -> list[str]:
        """The payloads of a topic."""
        return [payload for name, payload, _ in list(self.messages) if name == topic]

    def last(self) -> dict[str, str]:
        """The newest payload of each topic."""
        return {name: payload for name, payload, _ in list(self.messages)}

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class WebServer:
    """A web server on loopback that does as it is told, one request after the other; by https with a certificate.

    Attributes:
        does: what it does with each request: answers with a status, redirects to a text, calls a function with the
            handler. The last one stays.
        bodies: the JSON objects that came with requests that it answered with success.
        requests: paths, headers and bodies of all requests.
        times: when the ``bodies`` came, by `time.monotonic`.
    """

    def __init__(
        self, *does: int | str | Callable[[Any], None], port: int = 0, certificate: Path | None = None
    ) -> None:  # fmt: skip
        self.does = list(does) or [204]
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.times: list[float] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.requests.append((self.path, dict(self.headers.items()), body))
                does = server.does.pop(0) if len(server.does) > 1 else server.does[0]
                if callable(does):
                    does(self)
                    return
                if isinstance(does, int) and does < 300:
                    server.times.append(time.monotonic())
                    server.bodies.append(json.loads(body))
                self.send_response(302 if isinstance(does, str) else does)
                if isinstance(does, str):
                    self.send_header("Location", does)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}/hook"
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> WebServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

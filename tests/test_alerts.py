"""Where alerts go: files, commands and webhooks that fail in all ways, and queues that keep nobody waiting."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audioinceptionnext.alerts import Alerts, delivery, load_rules
from audioinceptionnext.alerts.webhook import is_public
from audioinceptionnext.inference.events import Event
from audioinceptionnext.results.labels import LabelSet
from audioinceptionnext.results.types import Segment
from tests.brokers import WebServer, free_port, until, write_certificate

BEGAN = datetime(2026, 11, 27, 21, 59, 58, 500_000).astimezone()
DROPPED = re.compile(r": ([\d,]+) alerts? dropped(.*)")
LABELS = LabelSet(("Dog; rm -rf / $(x) \"'", "Cat"))


class Listening:
    """Alerts with one rule, the lines that they warn with, and sounds to raise alerts."""

    def __init__(self, folder: Path, actions: list[Any]) -> None:
        path = folder / "rules.yaml"
        path.write_text(json.dumps({"rules": [{"name": "Mine", "labels": "*", "actions": actions}]}))
        self.lines: list[str] = []
        self.alerts = Alerts(load_rules(path, LABELS), warn=self.lines.append, show=lambda alert: None)
        self._number = 0

    def sound(self, times: int = 1, label: str = "Cat") -> None:
        for _ in range(times):
            self._number += 1
            segment = Segment(self._number, self._number + 0.5, label, 0.75)
            self.alerts.event("mic", BEGAN, Event("start", self._number, segment))
            self.alerts.event("mic", BEGAN, Event("end", self._number, segment))


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Listening]]:
    monkeypatch.setattr(delivery, "RETRY_FIRST_S", 0.02)
    made: list[Listening] = []

    def listen(*actions: Any) -> Listening:
        made.append(Listening(tmp_path, list(actions)))
        return made[-1]

    yield listen
    for one in made:
        one.alerts.close()


# --- Files ---


def test_alerts_are_appended_to_files_whatever_these_end_with(
    listening: Callable[..., Listening], tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text('{"time": "2026", "rul')  # a process was killed while writing
    for _ in range(2):
        one = listening({"file": "a.jsonl"}, {"file": "a.csv"})
        one.sound(2)
        one.alerts.close()
    broken, *lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert broken == '{"time": "2026", "rul' and len(lines) == 4
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    for row, values in zip(rows, map(json.loads, lines), strict=True):
        assert {name: str(value) for name, value in values.items()} | {"end": ""} == row
    assert rows[0]["time"] == (BEGAN + timedelta(seconds=1)).isoformat(timespec="milliseconds")
    assert not one.lines


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_file_on_a_full_disk_waits_and_is_said(listening: Callable[..., Listening], tmp_path: Path) -> None:
    one = listening({"file": "a.csv"})
    (tmp_path / "a.csv").unlink()
    (tmp_path / "a.csv").symlink_to("/dev/full")
    one.sound(2)
    until(lambda: one.lines)
    assert "a.csv: cannot be written: no space left on device; trying again" in one.lines[0]
    (tmp_path / "a.csv").unlink()
    until(lambda: (tmp_path / "a.csv").exists() and len((tmp_path / "a.csv").read_text().splitlines()) == 3)
    assert any("delivers again" in line for line in one.lines)


# --- Commands ---


def test_a_command_gets_its_arguments_as_they_are_and_the_alert_on_stdin(
    listening: Callable[..., Listening], tmp_path: Path
) -> None:
    code = "import json, os, sys; json.dump([sys.argv[1:], json.load(sys.stdin), os.getcwd()], open('got', 'w'))"
    one = listening({"command": [sys.executable, "-c", code, "{label}", '{"at": "{time}"}', "{end}", 5]})
    one.sound(label=LABELS.names[0])
    one.alerts.close()
    arguments, alert, folder = json.loads((tmp_path / "got").read_text())
    assert arguments == [LABELS.names[0], f'{{"at": "{alert["time"]}"}}', "", "5"]
    assert (alert["rule"], alert["start"], folder) == ("Mine", 1.0, str(tmp_path)) and not one.lines


def test_a_command_that_fails_hangs_or_vanishes_is_said_and_keeps_nobody_waiting(
    listening: Callable[..., Listening], tmp_path: Path
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    hangs = {"command": ["sh", "-c", "sleep 60 & echo $! > pid; wait"], "timeout": 0.3}
    fails = {"command": ["sh", "-c", "echo lost >&2; echo no such thing >&2; exit 3"]}
    one = listening(hangs, fails, {"command": ["./script"]})
    script.unlink()
    began = time.monotonic()
    one.sound()
    assert time.monotonic() - began < 5
    until(lambda: len(one.lines) == 3)
    assert sorted(line.partition(": 1 alert dropped: ")[2] for line in one.lines) == [
        "cannot be run: no such file or directory",
        "ended with code 3: no such thing",
        "has not ended within 0.3 s",
    ]
    child = int((tmp_path / "pid").read_text())  # what the program had started is ended, too
    until(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text().split()[2])


# --- Webhooks ---


def test_a_webhook_is_signed_and_repeated_until_it_succeeds(
    listening: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_SECRET", "hush")

    def closes(request: Any) -> None:
        request.connection.close()

    with WebServer(500, 429, closes, 200) as server:
        one = listening({"webhook": f"{server.url}?token=1", "secret_env": "HOOK_SECRET"})
        one.sound(2)
        until(lambda: len(server.bodies) == 2)
        path, headers, body = server.requests[0]
        assert path == "/hook?token=1" and headers["Content-Type"] == "application/json"
        signed = f"sha256={hmac.new(b'hush', body, hashlib.sha256).hexdigest()}"
        assert headers["X-Ainext-Signature"] == signed
        assert [json.loads(body)["id"] for _, _, body in server.requests[:4]] == [server.bodies[0]["id"]] * 4
        assert [one["start"] for one in server.bodies] == [1.0, 2.0]  # in order
        until(lambda: len(one.lines) == 2)
        assert one.lines[0] == f"webhook http://127.0.0.1:{server.port}: answers with status 500; trying again"
        assert one.lines[1].endswith(("delivers again", "delivers again, 1 alert waiting"))


def test_a_webhook_that_is_away_gets_its_alerts_when_it_is_back(listening: Callable[..., Listening]) -> None:
    port = free_port()
    one = listening({"webhook": f"http://127.0.0.1:{port}/"})
    one.sound(3)
    until(lambda: one.lines)
    assert one.lines[0].endswith("cannot be reached: connection refused; trying again")
    with WebServer(port=port) as server:
        until(lambda: len(server.bodies) == 3)
        assert [one["start"] for one in server.bodies] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (404, "answers with status 404"),
        ("http://127.0.0.1:9/", "redirects to the private address 127.0.0.1, which is refused"),
        ("http://localhost:9/", "redirects to the private address"),
        ("http://[::1]:9/", "redirects to the private address ::1"),
        ("file:///etc/passwd", "redirects to what is no URL of http or https"),
        ("//[", "redirects to what is no URL of http or https"),
    ],
)
def test_a_refusal_and_a_redirect_to_a_private_address_are_final(
    listening: Callable[..., Listening], does: Any, reason: str
) -> None:
    with WebServer(does) as server:
        one = listening({"webhook": server.url})
        one.sound()
        until(lambda: one.lines)
        assert one.lines[0].startswith(f"webhook http://127.0.0.1:{server.port}: 1 alert dropped: {reason}")
        assert len(server.requests) == 1


def test_redirects_are_followed_if_they_may_but_not_for_ever_and_get_no_token(
    listening: Callable[..., Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "hush")
    keys = {"allow_private": True, "token_env": "HOOK_TOKEN"}
    with WebServer() as target, WebServer(f"http://127.0.0.1:{target.port}/new") as server, WebServer("/hook") as loop:
        one = listening({"webhook": server.url, **keys}, {"webhook": loop.url, **keys})
        one.sound()
        until(lambda: target.bodies and one.lines)
        (path, headers, _), (_, first, _) = target.requests[0], server.requests[0]
        assert path == "/new" and target.bodies[0]["label"] == "Cat"
        assert first["Authorization"] == "Bearer hush" and "Authorization" not in headers
        assert "1 alert dropped: redirects more than 5 times" in one.lines[0] and len(loop.requests) == 6
        assert all(headers["Authorization"] == "Bearer hush" for _, headers, _ in loop.requests)


def test_a_slow_server_is_given_up_though_each_byte_comes_in_time(listening: Callable[..., Listening]) -> None:
    ended = threading.Event()

    def trickles(request: Any) -> None:
        for byte in b"HTTP/1.0 200 OK\r\n" + b"X" * 600:
            if ended.wait(0.1):
                return
            try:
                request.wfile.write(bytes([byte]))
            except OSError:
                return

    with WebServer(trickles) as server:
        one = listening({"webhook": server.url, "timeout": 0.5, "retry_for": 0})
        one.sound()
        until(lambda: one.lines)
        assert one.lines[0].endswith("1 alert dropped: gives no answer within 0.5 s")
        ended.set()


def test_what_is_no_web_server_is_said(listening: Callable[..., Listening]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        one = listening({"webhook": f"http://127.0.0.1:{other.getsockname()[1]}", "retry_for": 0})
        one.sound()
        connection, _ = other.accept()
        connection.sendall(b"220 mail.example.org ESMTP\r\n")
        until(lambda: one.lines)
        connection.close()
    assert "1 alert dropped: cannot be reached: what answers is no HTTP server" in one.lines[0]


@pytest.mark.needs("openssl")
def test_a_certificate_is_checked(
    listening: Callable[..., Listening], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = write_certificate(tmp_path / "server.pem")
    with WebServer(certificate=certificate) as server:
        one = listening({"webhook": server.url, "retry_for": 0})
        one.sound()
        until(lambda: one.lines)
        assert "1 alert dropped: its certificate is not accepted: self" in one.lines[0]  # signed certificate
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        one.sound()
        until(lambda: server.bodies)
        assert [body["start"] for body in server.bodies] == [2.0]


def test_addresses_of_the_internet_are_told_from_others() -> None:
    private = ("127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1")
    assert not any(map(is_public, [*private, "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]))
    assert not any(map(is_public, ["fec0::1", "64:ff9b:1::a00:1"]))
    assert is_public("93.184.215.14") and is_public("2606:2800:21f:cb07:6820:80da:af6b:8b2c")


# --- Queues ---


def test_a_dead_target_neither_stalls_listening_nor_the_end_and_drops_are_counted(
    listening: Callable[..., Listening], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audioinceptionnext.alerts.engine.CLOSE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as dead:  # which takes connections and says nothing
        one = listening({"webhook": f"http://127.0.0.1:{dead.getsockname()[1]}"}, {"file": "a.jsonl"})
        one.sound(1200)
        until(lambda: (tmp_path / "a.jsonl").read_text().count("\n") >= 1000)
        one.alerts.close()
    hook, file = one.alerts.targets.values()
    assert (hook.delivered, hook.dropped) == (0, 1200)
    assert file.delivered + file.dropped == 1200 and file.delivered >= 1000
    lines = [line for line in one.lines if line.startswith("webhook")]
    counts = [(int(found[1].replace(",", "")), found[2]) for line in lines if (found := DROPPED.search(line))]
    assert counts[0] == (1, ": more than 1,000 wait") and len(counts) == len(lines) == 3  # not one line for each
    assert sum(number for number, _ in counts) == 1200
    assert counts[2] == (1001, " (1,200 in all): they were not delivered before the end")


def test_what_waits_is_delivered_at_the_end(listening: Callable[..., Listening]) -> None:
    def slowly(request: Any) -> None:
        time.sleep(0.05)
        request.send_response(204)
        request.end_headers()

    with WebServer(slowly) as server:
        one = listening({"webhook": server.url})
        one.sound(5)
        one.alerts.close()
        assert len(server.requests) == 5 and not one.lines


def test_a_target_that_ends_with_an_error_of_ours_goes_on(tmp_path: Path) -> None:
    """An unexpected error costs the alert that it came with, and is said to be a bug."""
    (tmp_path / "rules.yaml").write_text("rules: [{name: A, labels: Cat, actions: [print]}]")
    shown: list[str] = []

    def show(alert: Any) -> None:
        shown.append(alert.label)
        if len(shown) == 1:
            raise KeyError("x")

    lines: list[str] = []
    alerts = Alerts(load_rules(tmp_path / "rules.yaml", LABELS), warn=lines.append, show=show)
    for number in (1, 2):
        alerts.event("mic", BEGAN, Event("end", number, Segment(0, 1, "Cat", 0.5)))
    alerts.close()
    assert len(shown) == 2 and len(lines) == 1 and "this is a bug" in lines[0]

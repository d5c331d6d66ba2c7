"""``ainext serve`` by a real client over loopback: the API, its limits, and clients that behave badly."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync import client as websockets

from audioinceptionnext import Stream, load
from audioinceptionnext.audio import decode
from audioinceptionnext.models.names import DEFAULT_MODEL, list_models
from audioinceptionnext.serving.app import create_app
from audioinceptionnext.serving.errors import STATUSES
from audioinceptionnext.serving.model_pool import ModelPool
from audioinceptionnext.serving.settings import LOOPBACK, Settings
from audioinceptionnext.serving.work_queue import Busy, WorkQueue
from tests.audio_files import encode, sine, write_wav
from tests.command import ainext
from tests.containers import CONTAINERS, mux
from tests.served import Server, check_problem, problem, serving

SMALL = "kitchen20-small"
SCENE = Path(__file__).parents[1] / "examples" / "kitchen-scene.flac"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(models=(SMALL,), max_bytes=2_000_000, max_seconds=60.0, idle_seconds=1.5, streams=2) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def guarded() -> Iterator[Server]:
    hosts = (*LOOPBACK, "*.example.org")
    with serving(models=(SMALL,), api_key="s3cret", hosts=hosts) as server:
        yield server


def test_the_response_is_that_of_the_command_line(client: Any, server: Server) -> None:
    wanted = ainext("predict", SCENE, "--model", SMALL, "--json", "--top-k", "3").json[0]
    query = {"top_k": 3, "include": "log_mel,probabilities"}
    with SCENE.open("rb") as file:
        result = client.post("/v1/predict", files={"file": ("dinner.flac", file)}, params=query).json()
    assert {key: result[key] for key in wanted} == wanted | {"file": "dinner.flac"} and result["warnings"] == []
    log_mel = result["log_mel"]
    assert len(base64.b64decode(log_mel["data"])) == log_mel["columns"] * log_mel["bands"]
    assert log_mel["columns"] == pytest.approx(2320, abs=2)
    expected, found = load(SMALL).predict(SCENE), result["probabilities"]
    assert (found["step_seconds"], found["window_seconds"]) == (expected.step_seconds, expected.window_seconds)
    assert found["labels"] == list(expected.labels)
    np.testing.assert_allclose(np.array(found["steps"]), expected.probabilities, atol=1e-4)

    body = client.post("/v1/predict?name=a.flac&threshold=0.9", content=SCENE.read_bytes()).json()
    assert body["file"] == "a.flac" and set(body) == {*wanted, "warnings"}
    assert body["segments"] == ainext("predict", SCENE, "-m", SMALL, "-t", "0.9", "--json").json[0]["segments"]
    assert not server.uploads()


def test_the_sound_track_is_a_parameter(client: Any, tmp_path: Path) -> None:
    tone = sine(300, 1.5, 48_000)
    content = mux(tmp_path / "two.mkv", CONTAINERS["mkv"], [0 * tone, tone]).read_bytes()

    def response(query: str) -> Any:
        return client.post(f"/v1/predict?name=two.mkv{query}", content=content)

    assert response("").json()["warnings"] == ["this is sound track 2 of 2 (the one before it: silent)"]
    assert response("&track=1").json()["warnings"] == []
    missing = response("&track=3")
    assert "has 2 sound tracks, and no track 3" in problem(missing, 422) and missing.json()["parameter"] == "track"
    assert "track" in problem(response("&track=0"), 422)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "a\r\nb.wav", "", "x" * 1000])
def test_a_client_s_name_never_becomes_a_path(client: Any, server: Server, tmp_path: Path, name: str) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(24_000), 24_000)
    result = client.post("/v1/predict", files={"file": (name, (tmp_path / "a.wav").read_bytes())}).json()
    assert result["segments"] == [] and len(result["file"]) <= 200 and not set(result["file"]) & set("/\\\r\n")
    assert not server.uploads()


def test_uploads_that_hold_no_recording_are_refused(client: Any, server: Server, tmp_path: Path) -> None:
    assert problem(client.post("/v1/predict", files={"file": ("notes.mp4", b"Dear diary")}), 415).startswith(
        "notes.mp4: "
    )
    write_wav(silent := tmp_path / "a.wav", np.zeros(0), 16_000)
    assert problem(client.post("/v1/predict", files={"file": ("a.wav", silent.read_bytes())}), 415).startswith(
        "a.wav: "
    )
    assert "no recording" in problem(client.post("/v1/predict"), 400)
    empty = problem(client.post("/v1/predict", files={"file": ("a.wav", b"")}), 400)
    assert empty == "a.wav is empty (0 bytes): copy or record it again"
    assert "no recording" in problem(client.post("/v1/predict", data={"file": ""}, files={"other": (None, b"x")}), 400)
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert "multipart" in problem(client.post("/v1/predict", content=b"nothing of it", headers=broken), 400)
    assert not server.uploads()


def test_parameters_out_of_range(client: Any) -> None:
    assert SMALL in problem(client.post("/v1/predict?model=kitchen20-smal", content=b"x"), 404)
    path = "../zoo/esc10/model.onnx"  # is no name
    assert path in problem(client.post("/v1/predict", params={"model": path}, content=b"x"), 404)
    for query in ("threshold=2", "threshold=nan", "top_k=0", "hop=0.001", "include=all", "top_k=x", "smoothing=1e308"):
        refused = client.post(f"/v1/predict?{query}", content=b"x")
        name = query.partition("=")[0]
        assert problem(refused, 422).startswith(f"{name} is ") and refused.json()["parameter"] == name
    for path in ("/v1/nothing", "/nothing.js", "/../../../etc/passwd", "/..%2Fapp.py", "/%2e%2e/serving/app.py"):
        problem(client.get(path), 404)


def test_a_damaged_recording_has_warnings_without_the_server_s_path(
    client: Any, server: Server, tmp_path: Path
) -> None:
    write_wav(whole := tmp_path / "a.wav", np.zeros(48_000), 24_000)
    cut = whole.read_bytes()[:50_000]
    result = client.post("/v1/predict", files={"file": ("dinner.wav", cut)}).json()
    (warning,) = result["warnings"]
    assert warning.startswith("ends early: decoded 1.0 s of 2.0 s") and result["file"] == "dinner.wav"
    assert not server.uploads()


def test_recordings_beyond_the_limits_are_refused(client: Any, server: Server, tmp_path: Path) -> None:
    assert "2 MB" in problem(client.post("/v1/predict", content=bytes(2_100_000)), 413)  # by its stated length

    def chunks() -> Iterator[bytes]:
        for _ in range(300):
            yield bytes(10_000)

    assert "2 MB" in problem(client.post("/v1/predict", content=chunks()), 413)  # by the bytes that arrive
    write_wav(tmp_path / "long.wav", np.zeros(8000 * 61), 8000)
    long = encode(tmp_path / "long.mp3", np.zeros(61 * 8000, np.float32), 8000)
    assert "1 min," in problem(client.post("/v1/predict", files={"file": ("l.mp3", long.read_bytes())}), 413)
    assert "1 min," in problem(client.post("/v1/predict", content=(tmp_path / "long.wav").read_bytes()), 413)
    # Five gigabytes are refused before they are sent, and the client reads why.
    with server.connect() as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000000\r\n\r\n" + bytes(99)
        )
        assert b"HTTP/1.1 413" in connection.recv(1000)
    assert not server.uploads()


def test_slow_clients_and_clients_that_leave(client: Any, server: Server) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nRIFF"
    with server.connect() as slow, server.connect() as gone:
        slow.sendall(head)
        gone.sendall(head + bytes(50_000))
        gone.close()
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
    assert client.get("/healthz").json()["status"] == "ok"
    assert not server.uploads()


def test_requests_beyond_the_queue_are_refused_with_503(tmp_path: Path) -> None:
    with (
        serving(models=(SMALL,), workers=1, queue=1) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        body = SCENE.read_bytes()
        with ThreadPoolExecutor(24) as threads:
            responses = list(threads.map(lambda _: client.post("/v1/predict", content=body), range(48)))
        assert {one.status_code for one in responses} == {200, 503}
        for refused in (one for one in responses if one.status_code == 503):
            assert "busy" in problem(refused, 503) and int(refused.headers["retry-after"]) >= 1
        assert len({one.text for one in responses if one.status_code == 200}) == 1
        assert client.get("/healthz").json() | {"version": ""} == {
            "status": "ok", "version": "", "running": 0, "waiting": 0, "streams": 0,
        }  # fmt: skip
        metrics = client.get("/metrics").text
        for status in ("200", "503"):
            found = sum(one.status_code == int(status) for one in responses)
            assert f'ainext_requests_total{{path="/v1/predict",status="{status}"}} {found}.0' in metrics
        assert not server.uploads()


def test_every_route_has_a_series_of_its_own_and_no_other_path() -> None:
    with serving(models=(SMALL,)) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        for path in client.get("/openapi.json").json()["paths"]:
            client.get(path.replace("{id}", "17").replace("{name}", "mine"))
        client.get("/v1/made-up")
        metrics = client.get("/metrics").text
        paths = set(re.findall(r'ainext_requests_total\{path="([^"]+)"', metrics))
        described = {
            path.replace("/clip", "").replace("/file", "") for path in client.get("/openapi.json").json()["paths"]
        }
    assert paths >= described - {"/metrics"} and paths <= {*described, "page", "/openapi.json"}


def test_a_cancelled_task_keeps_its_place_until_its_thread_ends() -> None:
    queue, go = WorkQueue(1, 1), threading.Event()

    async def check() -> None:
        first = asyncio.create_task(queue.run(lambda stop: go.wait(60)))
        second = asyncio.create_task(queue.run(lambda stop: stop.is_set()))
        await asyncio.sleep(0.05)
        assert (queue.running, queue.waiting) == (1, 1)
        with pytest.raises(Busy):
            await queue.run(lambda stop: None)
        first.cancel()
        await asyncio.sleep(0.05)
        assert (queue.running, queue.waiting) == (1, 1)  # its thread still runs
        go.set()
        assert await second is False
        assert queue.tasks == 0

    asyncio.run(check())
    queue.close()


def test_a_server_removes_the_uploads_of_one_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    stale, used = tmp_path / f"ainext-serve-{done.stdout.strip()}-x", tmp_path / f"ainext-serve-{os.getpid()}-y"
    older = tmp_path / f"ainext-serve-{os.getpid()}-z"  # of a process that had the same number, as in a container
    for folder in (stale, used, older):
        folder.mkdir()
        (folder / "upload").write_bytes(b"sound")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    os.utime(older, (0, 0))
    create_app(Settings(models=(SMALL,)))
    assert not stale.exists() and not older.exists() and (used / "upload").exists()


def test_all_models_are_offered_and_the_default_one_comes_first() -> None:
    names = ModelPool(None).names()
    assert names[0] == DEFAULT_MODEL and sorted(names) == sorted(list_models())


def test_models_health_and_the_description(client: Any) -> None:
    found = client.get("/v1/models").json()
    (model,) = found["models"]
    assert model["name"] == SMALL and model["default"] and len(model["labels"]) == 20 and model["mode"] == "dense"
    assert found["limits"] == {"bytes": 2_000_000, "seconds": 60.0, "result_seconds": 24 * 3600.0}
    description = client.get("/openapi.json").json()
    assert set(description["paths"]) >= {"/v1/predict", "/v1/models", "/healthz", "/metrics"}
    responses = description["paths"]["/v1/predict"]["post"]["responses"]
    assert {status for status, one in responses.items() if "application/problem+json" in one["content"]} == {
        *(str(status) for status in STATUSES)
    }
    assert "parameter" in description["components"]["schemas"]["Problem"]["properties"]
    page = client.get("/")
    assert "AudioInceptionNeXt" in page.text and "default-src 'self'" in page.headers["content-security-policy"]


def test_key_host_and_origin() -> None:
    with serving(models=(SMALL,), api_key="s3cret", origins=("https://friend.example",)) as server:
        with httpx.Client(base_url=server.url) as client:
            assert client.get("/").status_code == client.get("/healthz").status_code == 200
            for path in ("/v1/models", "/metrics"):
                assert "X-API-Key" in problem(client.get(path), 401)
                problem(client.get(path, headers={"x-api-key": "wrong"}), 401)
            assert client.get("/v1/models", headers={"x-api-key": "s3cret"}).status_code == 200
            key = {"authorization": "Bearer s3cret"}
            assert client.get("/v1/models", headers=key).status_code == 200
            problem(client.get("/healthz", headers={"host": "evil.example"}), 403)
            problem(client.get("/v1/models", headers={**key, "origin": "https://evil.example"}), 403)
            allowed = client.get("/v1/models", headers={**key, "origin": "https://friend.example"})
            assert allowed.headers["access-control-allow-origin"] == "https://friend.example"
        url = server.url.replace("http", "ws") + "/v1/listen"
        for options in ({}, {"origin": "https://evil.example", "subprotocols": ["ainext", "key.s3cret"]}):
            with pytest.raises(InvalidStatus) as refused:
                websockets.connect(url, **options)
            check_problem(json.loads(refused.value.response.body), 403 if options else 401)
        with websockets.connect(url, subprotocols=["ainext", "key.s3cret"]) as socket:
            assert socket.subprotocol == "ainext"


def test_the_description_says_how_to_send_the_key(client: Any) -> None:
    with serving(models=(SMALL,), api_key="s3cret") as server, httpx.Client(base_url=server.url, timeout=60) as guarded:
        description = guarded.get("/openapi.json").json()
        schemes = description["components"]["securitySchemes"]
        # What any client makes of the description, such as the page that Swagger UI makes of it.
        ways = {
            name: {scheme["name"]: "s3cret"} if scheme["type"] == "apiKey" else {"Authorization": "Bearer s3cret"}
            for name, scheme in schemes.items()
            if scheme.get("in", "header") == "header"
        }
        open_paths = set()
        for path, operations in description["paths"].items():
            for method, operation in operations.items():
                alternatives = [name for one in operation.get("security", []) for name in one]
                if not alternatives:
                    open_paths.add(path)
                    continue
                assert alternatives == list(ways)
                url = path.replace("{id}", "1")
                problem(guarded.request(method, url), 401)
                for name in alternatives:
                    # With the key, a request is refused only because it is empty, or the server does not offer this.
                    status = guarded.request(method, url, headers=ways[name]).status_code
                    assert status in (200, 400, 404, 422) and (status == 200 or path not in ("/v1/models", "/metrics"))
        assert open_paths == {"/healthz"}
    assert "securitySchemes" not in client.get("/openapi.json").json()["components"]  # this one needs no key


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (401, "Host: localhost"),
        (401, "Host: localhost\r\nX-API-Key: wrong"),
        (403, "Host: evil.example\r\nX-API-Key: s3cret"),
        (403, "Host: localhost\r\nX-API-Key: s3cret\r\nOrigin: https://evil.example"),
        (403, "Host: localhost\r\nX-API-Key: s3cret\r\nOrigin: http://["),
    ],
)
def test_a_refused_upload_reads_why_and_then_its_connection_is_closed(
    guarded: Server, status: int, headers: str
) -> None:
    with guarded.connect() as connection:
        connection.sendall(f"POST /v1/predict HTTP/1.1\r\n{headers}\r\nContent-Length: 3000000\r\n\r\n".encode())
        connection.sendall(bytes(3_000_000))  # would fail if the connection were reset
        received = b""
        while chunk := connection.recv(10_000):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()) and b"application/problem+json" in head
    check_problem(json.loads(body), status)
    assert not guarded.uploads()


def test_host_names_match_in_any_case_and_by_domain(guarded: Server) -> None:
    with httpx.Client(base_url=guarded.url) as client:
        for host in ("LOCALHOST", "localhost:1234", "[::1]", "[::1]:8000", "a.example.org", "b.a.example.org:443"):
            assert client.get("/healthz", headers={"host": host}).status_code == 200
        for host in ("example.org", "example.org.evil.example", "localhost.evil.example", "[::2]", "local host", "["):
            assert "host name" in problem(client.get("/healthz", headers={"host": host}), 403)
        wrong_method = client.options("/healthz", headers={"host": "evil.example"})
        assert "host name" in problem(wrong_method, 403)
    refused = ainext("serve", "--allow-host", "*example.org")
    assert refused.code == 2 and refused.complaints[-1].startswith("ainext: --allow-host *example.org: ")


def test_a_refused_handshake_is_no_error_in_the_log(
    guarded: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)  # to pytest, too
    with pytest.raises(InvalidStatus):
        websockets.connect(guarded.url.replace("http", "ws") + "/v1/listen")
    assert httpx.get(f"{guarded.url}/healthz").status_code == 200  # by now the server is done with the handshake
    assert not [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


def messages(socket: Any) -> list[dict[str, Any]]:
    """All messages until the socket is closed, and the code that closes it."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(timeout=60)))
    except ConnectionClosed as closed:
        found.append({"code": closed.rcvd.code if closed.rcvd else None})
    return found


@pytest.mark.parametrize("encoding", ["s16le", "f32le"])
def test_live_steps_are_those_of_a_stream(server: Server, encoding: str) -> None:
    rng = np.random.default_rng(1)
    sound = (rng.standard_normal(48_000 * 4) * 3000).astype(np.int16)
    samples = sound if encoding == "s16le" else (sound / 32768).astype(np.float32)
    stream = Stream(load(SMALL), sample_rate=48_000)
    expected = [*stream.push(sound), *stream.finish()]
    with websockets.connect(
        f"{server.url.replace('http', 'ws')}/v1/listen?rate=48000&encoding={encoding}&include=log_mel,probabilities"
    ) as socket:
        data = samples.tobytes()
        for start in range(0, len(data), 33_333):  # in the middle of samples too
            socket.send(data[start : start + 33_333])
        socket.send('{"type": "end"}')
        *steps, end = messages(socket)
    assert end == {"code": 1000} and len(steps) == len(expected)
    for step, one in zip(steps, expected, strict=True):
        assert (step["start"], step["end"], step["label"]) == (round(one.start, 3), round(one.end, 3), one.label)
        assert step["score"] == pytest.approx(one.score, abs=1e-3) and len(step["top"]) == 5
        assert step["delay"] == pytest.approx(stream.delay, abs=1e-3)
        assert step["log_mel"]["columns"] == len(one.log_mel)
        assert list(step["probabilities"]) == list(stream.labels)
        assert list(step["probabilities"].values()) == pytest.approx(one.probabilities.tolist(), abs=1e-3)
        assert [s["label"] for s in step["segments"]] == [s.label for s in one.segments]


def test_live_steps_say_which_segments_go_on(server: Server) -> None:
    sound = decode.read(SCENE, 24_000)[: 24_000 * 14]
    with websockets.connect(f"{server.url.replace('http', 'ws')}/v1/listen?rate=24000&encoding=f32le") as socket:
        for start in range(0, len(sound), 24_000):
            socket.send(sound[start : start + 24_000].tobytes())
        socket.send('{"type": "end"}')
        *steps, _ = messages(socket)
    ended = {(one["label"], one["start"]) for step in steps for one in step["segments"]}
    going_on = {(one["label"], one["start"]) for step in steps for one in step["open"]}
    assert going_on and going_on <= ended and steps[-1]["open"] == []
    assert not {"probabilities", "log_mel"} & set(steps[0])  # which are long, and come on request


@pytest.mark.parametrize(
    ("query", "sent", "detail"),
    [
        ("rate=5", b"", "rate is 5: "),
        ("rate=0.5", b"", "rate is 0.5: "),
        ("rate=44100.5", b"", "rate is 44100.5: give a whole number"),
        ("merge_gap=1e20", b"", "merge_gap is 1e20: "),
        ("rate=fast", b"", "rate is fast: "),
        ("encoding=mp3", b"", "encoding is mp3: "),
        ("channels=0", b"", "channels is 0: "),
        ("model=none", b"", "no model"),
        ("hop=0.001", b"", "hop is 0.001: "),
        ("lookahead=-1", b"", "lookahead is -1: "),
        ("", b"fLaC" + bytes(999), "the first message starts like a FLAC file"),
        ("", "garbage", "binary messages"),
        ("", "[" * 50_000, "binary messages"),
        ("", '{"type": "begin"}', "binary messages"),
        ("", b"", "nothing arrived for 1.5 s"),
    ],
)
def test_a_stream_that_makes_no_sense_gets_a_problem(
    server: Server, query: str, sent: str | bytes, detail: str
) -> None:
    with websockets.connect(f"{server.url.replace('http', 'ws')}/v1/listen?{query}") as socket:
        with suppress(ConnectionClosed):
            socket.send(sent)
        found, end = messages(socket)
    assert detail in check_problem(found, found["status"]) and end == {"code": 1008}
    wrong = query.partition("=")[0]
    assert found.get("parameter", "") == wrong and found["status"] in ({400, 408, 422} if not wrong else {404, 422})


@pytest.mark.parametrize("client", range(2))  # each one is told
def test_what_is_wrong_with_live_sound_comes_with_the_steps(server: Server, client: int) -> None:
    sound = (np.random.default_rng(2).standard_normal(24_000 * 2) / 10).astype("<f4")
    damaged = np.concatenate([np.full_like(sound[:99], np.nan), sound])
    with websockets.connect(
        f"{server.url.replace('http', 'ws')}/v1/listen?encoding=f32le&channels=2&hop=0.5"
    ) as socket:
        socket.send(np.stack([damaged, -damaged], axis=1).tobytes())
        socket.send('{"type": "end"}')
        *steps, _ = messages(socket)
    lines = [step["warnings"] for step in steps if "warnings" in step]
    assert len(lines) == 1 and len(lines[0]) == 3
    for line, start in zip(lines[0], ("a step every 0.5 s", "NaN", "its channels cancel"), strict=True):
        assert line.startswith(start)


def test_streams_are_counted_and_any_bytes_are_samples(server: Server, client: Any) -> None:
    url = f"{server.url.replace('http', 'ws')}/v1/listen"
    with (
        websockets.connect(f"{url}?encoding=f32le&rate=24000", close_timeout=1) as first,
        websockets.connect(url) as second,
    ):
        first.send(np.random.default_rng(0).bytes(700_001))  # any bytes are samples: NaN, infinity, the absurd
        json.loads(first.recv(timeout=60))
        second.send(bytes(4))
        with websockets.connect(url) as third:
            found, end = messages(third)
            assert "busy" in check_problem(found, 503) and end == {"code": 1013}
        second.send(bytes(1_200_000))  # more than a message may have
        assert messages(second)[-1] == {"code": 1009}
    for _ in range(100):
        if client.get("/healthz").json()["streams"] == 0:
            break
        threading.Event().wait(0.05)
    else:
        pytest.fail("streams stay open")


def test_requests_that_fit_the_description_cause_no_server_error(server: Server) -> None:
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    schema = schema.exclude(path_regex="^/v1/events")  # for which test_events_api.py has a server with a history
    for operation in (found.ok() for found in schema.get_all_operations()):

        @given(case=operation.as_strategy())
        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def check(case: Any) -> None:
            # To the description any bytes are a file; most are no recording, which the status 415 says.
            case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

        check()


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert ainext("serve", "--check") == (1, "", "ainext: no server is up here: none was started\n")
    call = [sys.executable, "-m", "audioinceptionnext", "serve", "--model", SMALL, "--host", "0.0.0.0", "--port", "0"]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        url = re.search(r"http://\S+/", line)
        assert url, line
        port = url[0].rstrip("/").rpartition(":")[2]
        assert httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=60).status_code == 200
        assert ainext("serve", "--check").json["status"] == "ok"  # whatever its port is
        taken = ainext("serve", "--host", "0.0.0.0", "--port", port, "--model", SMALL)
        assert taken.code == 2 and port in taken.complaints[-1] and taken.complaints[-1].startswith("ainext: --port")
    finally:
        process.send_signal(2)
        process.wait(60)
    log = process.stderr.read()
    assert process.returncode in (0, 130) and "Traceback" not in log
    assert (
        re.search(r'^\d{4}-\d\d-\d\dT\S+ 127\.0\.0\.1 "GET /v1/models" 200 \d+\.\d\d s$', log, re.M)
        and "healthz" not in log
    )
    assert ainext("serve", "--check").code == 1
    assert ainext("serve", "--model", "no such model").code == 2

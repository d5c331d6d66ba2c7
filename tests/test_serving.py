"""``ainext serve`` by a real client over loopback: the API, its limits, and clients that behave badly."""

from __future__ import annotations

import asyncio
import base64
import json
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

import numpy as np
import pytest

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
websockets = pytest.importorskip("websockets.sync.client")

from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from audioinceptionnext import Stream, load  # noqa: E402
from audioinceptionnext.serving.app import create_app  # noqa: E402
from audioinceptionnext.serving.settings import Settings  # noqa: E402
from audioinceptionnext.serving.work_queue import Busy, Work  # noqa: E402
from tests.audio_files import encode, write_wav  # noqa: E402
from tests.served import Server, serving  # noqa: E402
from tests.test_cli import ainext  # noqa: E402

SMALL = "kitchen20-small"
SCENE = Path(__file__).parents[1] / "examples" / "kitchen-scene.flac"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(models=(SMALL,), most_bytes=2_000_000, most_seconds=60.0, idle_seconds=1.5, streams=2) as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Any]:
    with httpx.Client(base_url=server.url, timeout=60) as found:
        yield found


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json" and list(response.json()) == ["error"]
    line: str = response.json()["error"]
    assert "\n" not in line and "/tmp" not in line and "ainext-serve" not in line
    return line


def test_a_recording_is_heard_as_by_the_command_line(client: Any, server: Server) -> None:
    wanted = ainext("predict", SCENE, "--model", SMALL, "--json", "--top-k", "3").json[0]
    query = {"top_k": 3, "include": "log_mel,probabilities"}
    with SCENE.open("rb") as file:
        heard = client.post("/v1/predict", files={"file": ("dinner.flac", file)}, params=query).json()
    assert {key: heard[key] for key in wanted} == wanted | {"file": "dinner.flac"} and heard["warnings"] == []
    picture = heard["log_mel"]
    assert len(base64.b64decode(picture["data"])) == picture["columns"] * picture["bands"]
    assert picture["columns"] == pytest.approx(2900, abs=2)
    steps = np.array(heard["probabilities"]["steps"])
    np.testing.assert_allclose(steps, load(SMALL).predict(SCENE).probabilities, atol=1e-4)

    body = client.post("/v1/predict?name=a.flac&threshold=0.9", content=SCENE.read_bytes()).json()
    assert body["file"] == "a.flac" and set(body) == {*wanted, "warnings"}
    assert body["segments"] == ainext("predict", SCENE, "-m", SMALL, "-t", "0.9", "--json").json[0]["segments"]
    assert not server.left_over()


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "a\r\nb.wav", "", "x" * 1000])
def test_no_name_from_outside_becomes_a_path(client: Any, server: Server, tmp_path: Path, name: str) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(24_000), 24_000)
    heard = client.post("/v1/predict", files={"file": (name, (tmp_path / "a.wav").read_bytes())}).json()
    assert heard["segments"] == [] and len(heard["file"]) <= 200 and not set(heard["file"]) & set("/\\\r\n")
    assert not server.left_over()


def test_what_is_no_recording_is_refused_in_one_line(client: Any, server: Server, tmp_path: Path) -> None:
    assert problem(client.post("/v1/predict", files={"file": ("notes.mp4", b"Dear diary")}), 415).startswith(
        "notes.mp4: "
    )
    write_wav(silent := tmp_path / "a.wav", np.zeros(0), 16_000)
    assert problem(client.post("/v1/predict", files={"file": ("a.wav", silent.read_bytes())}), 415).startswith(
        "a.wav: "
    )
    assert "no recording" in problem(client.post("/v1/predict"), 400)
    assert "no recording" in problem(client.post("/v1/predict", files={"file": ("a.wav", b"")}), 400)
    assert "no recording" in problem(client.post("/v1/predict", data={"file": ""}, files={"other": (None, b"x")}), 400)
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert "multipart" in problem(client.post("/v1/predict", content=b"nothing of it", headers=broken), 400)
    assert not server.left_over()


def test_parameters_out_of_range(client: Any) -> None:
    assert SMALL in problem(client.post("/v1/predict?model=kitchen20-smal", content=b"x"), 404)
    path = "../zoo/esc10/model.onnx"  # is no name
    assert path in problem(client.post("/v1/predict", params={"model": path}, content=b"x"), 404)
    for query in ("threshold=2", "threshold=nan", "top_k=0", "hop=0.123", "include=all", "top_k=x"):
        assert query.partition("=")[0] in problem(client.post(f"/v1/predict?{query}", content=b"x"), 422)
    for path in ("/v1/nothing", "/nothing.js", "/../../../etc/passwd", "/..%2Fapp.py", "/%2e%2e/serving/app.py"):
        problem(client.get(path), 404)
    problem(client.get("/v1/predict"), 405)


def test_too_much_is_refused_whoever_counts(client: Any, server: Server, tmp_path: Path) -> None:
    assert "2 MB" in problem(client.post("/v1/predict", content=bytes(2_100_000)), 413)  # by its length

    def chunks() -> Iterator[bytes]:
        for _ in range(300):
            yield bytes(10_000)

    assert "2 MB" in problem(client.post("/v1/predict", content=chunks()), 413)  # by what comes
    write_wav(tmp_path / "long.wav", np.zeros(8000 * 61), 8000)
    long = encode(tmp_path / "long.mp3", np.zeros(61 * 8000, np.float32), 8000)
    assert "1 minutes" in problem(client.post("/v1/predict", files={"file": ("l.mp3", long.read_bytes())}), 413)
    assert "1 minutes" in problem(client.post("/v1/predict", content=(tmp_path / "long.wav").read_bytes()), 413)
    # Five gigabytes are refused before they are sent, and the client reads why.
    with server.connect() as connection:
        connection.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000000\r\n\r\n" + bytes(99)
        )
        assert b"HTTP/1.1 413" in connection.recv(1000)
    assert not server.left_over()


def test_slow_clients_and_clients_that_leave(client: Any, server: Server) -> None:
    head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nRIFF"
    with server.connect() as slow, server.connect() as gone:
        slow.sendall(head)
        gone.sendall(head + bytes(50_000))
        gone.close()
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
    assert client.get("/healthz").json()["status"] == "ok"
    assert not server.left_over()


def test_a_full_queue_says_so_and_nothing_else_fails(tmp_path: Path) -> None:
    with (
        serving(models=(SMALL,), workers=1, queue=1) as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        body = SCENE.read_bytes()
        with ThreadPoolExecutor(24) as threads:
            answers = list(threads.map(lambda _: client.post("/v1/predict", content=body), range(48)))
        assert {one.status_code for one in answers} == {200, 503}
        for refused in (one for one in answers if one.status_code == 503):
            assert "busy" in problem(refused, 503) and int(refused.headers["retry-after"]) >= 1
        assert len({one.text for one in answers if one.status_code == 200}) == 1
        assert client.get("/healthz").json() | {"version": ""} == {
            "status": "ok", "version": "", "running": 0, "waiting": 0, "streams": 0,
        }  # fmt: skip
        counted = client.get("/metrics").text
        for status in ("200", "503"):
            found = sum(one.status_code == int(status) for one in answers)
            assert f'ainext_requests_total{{path="/v1/predict",status="{status}"}} {found}.0' in counted
        assert not server.left_over()


def test_what_nobody_wants_any_more_frees_its_place_when_it_ends() -> None:
    work, go = Work(1, 1), threading.Event()

    async def check() -> None:
        first = asyncio.create_task(work.run(lambda stop: go.wait(60)))
        second = asyncio.create_task(work.run(lambda stop: stop.is_set()))
        await asyncio.sleep(0.05)
        assert (work.running, work.waiting) == (1, 1)
        with pytest.raises(Busy):
            await work.run(lambda stop: None)
        first.cancel()
        await asyncio.sleep(0.05)
        assert (work.running, work.waiting) == (1, 1)  # its thread is still at it
        go.set()
        assert await second is False
        assert work.inside == 0

    asyncio.run(check())
    work.close()


def test_what_a_killed_server_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left, other = tmp_path / f"ainext-serve-{done.stdout.strip()}-x", tmp_path / f"ainext-serve-{os.getpid()}-y"
    for folder in (left, other):
        folder.mkdir()
        (folder / "upload").write_bytes(b"sound")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    create_app(Settings(models=(SMALL,)))
    assert not left.exists() and (other / "upload").exists()


def test_models_health_and_the_description(client: Any) -> None:
    answer = client.get("/v1/models").json()
    (model,) = answer["models"]
    assert model["name"] == SMALL and model["default"] and len(model["labels"]) == 20
    assert answer["limits"] == {"bytes": 2_000_000, "seconds": 60.0}
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/v1/predict", "/v1/models", "/healthz", "/metrics"}
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
            with pytest.raises(InvalidStatus):
                websockets.connect(url, **options)
        with websockets.connect(url, subprotocols=["ainext", "key.s3cret"]) as socket:
            assert socket.subprotocol == "ainext"


def messages(socket: Any) -> list[dict[str, Any]]:
    """All that comes until the end."""
    found = []
    try:
        while True:
            found.append(json.loads(socket.recv(timeout=60)))
    except ConnectionClosed as closed:
        found.append({"code": closed.rcvd.code if closed.rcvd else None})
    return found


@pytest.mark.parametrize("encoding", ["s16le", "f32le"])
def test_live_answers_are_those_of_a_stream(server: Server, encoding: str) -> None:
    rng = np.random.default_rng(1)
    sound = (rng.standard_normal(48_000 * 4) * 3000).astype(np.int16)
    samples = sound if encoding == "s16le" else (sound / 32768).astype(np.float32)
    stream = Stream(load(SMALL), rate=48_000)
    wanted = [*stream.push(sound), *stream.finish()]
    with websockets.connect(
        f"{server.url.replace('http', 'ws')}/v1/listen?rate=48000&encoding={encoding}&include=log_mel"
    ) as socket:
        data = samples.tobytes()
        for start in range(0, len(data), 33_333):  # in the middle of samples too
            socket.send(data[start : start + 33_333])
        socket.send('{"type": "end"}')
        *answers, end = messages(socket)
    assert end == {"code": 1000} and len(answers) == len(wanted)
    for answer, one in zip(answers, wanted, strict=True):
        assert (answer["start"], answer["end"], answer["label"]) == (round(one.start, 3), round(one.end, 3), one.label)
        assert answer["score"] == pytest.approx(one.score, abs=1e-3) and len(answer["top"]) == 5
        assert answer["log_mel"]["columns"] == len(one.log_mel)
        assert list(answer["probabilities"]) == list(stream.labels)
        assert list(answer["probabilities"].values()) == pytest.approx(one.probabilities.tolist(), abs=1e-3)
        assert [s["label"] for s in answer["segments"]] == [s.label for s in one.segments]


@pytest.mark.parametrize(
    ("query", "sent", "says"),
    [
        ("rate=5", b"", "rate 5"),
        ("rate=fast", b"", "rate fast"),
        ("encoding=mp3", b"", "encoding mp3"),
        ("channels=0", b"", "channels"),
        ("model=none", b"", "no model"),
        ("hop=0.1234", b"", "hop"),
        ("", "garbage", "binary messages"),
        ("", "[" * 50_000, "binary messages"),
        ("", '{"type": "begin"}', "binary messages"),
        ("", b"", "nothing came for 1.5 s"),
    ],
)
def test_a_stream_that_makes_no_sense_is_told_so(server: Server, query: str, sent: str | bytes, says: str) -> None:
    with websockets.connect(f"{server.url.replace('http', 'ws')}/v1/listen?{query}") as socket:
        with suppress(ConnectionClosed):
            socket.send(sent)
        said, end = messages(socket)
    assert says in said["error"] and end == {"code": 1008}


def test_streams_are_counted_and_noise_is_no_harm(server: Server, client: Any) -> None:
    url = f"{server.url.replace('http', 'ws')}/v1/listen"
    with websockets.connect(f"{url}?encoding=f32le", close_timeout=1) as first, websockets.connect(url) as second:
        first.send(np.random.default_rng(0).bytes(500_001))  # any bytes are samples: NaN, infinity, the absurd
        json.loads(first.recv(timeout=60))
        second.send(bytes(4))
        with websockets.connect(url) as third:
            said, end = messages(third)
            assert "busy" in said["error"] and end == {"code": 1013}
        second.send(bytes(1_200_000))  # more than a message may have
        assert messages(second)[-1] == {"code": 1009}
    for _ in range(100):
        if client.get("/healthz").json()["streams"] == 0:
            break
        threading.Event().wait(0.05)
    else:
        pytest.fail("streams stay open")


def test_whatever_the_description_allows_is_no_error_of_ours(server: Server) -> None:
    schemathesis = pytest.importorskip("schemathesis")
    from hypothesis import HealthCheck, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    for operation in (found.ok() for found in schema.get_all_operations()):

        @given(case=operation.as_strategy())
        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def check(case: Any) -> None:
            # Any bytes are a file to the description; that most are no recording is the answer 415.
            case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

        check()


def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "audioinceptionnext", "serve", "--port", "0", "--model", SMALL]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = re.search(r"http://\S+/", line)
        assert url, line
        assert httpx.get(f"{url[0]}healthz", timeout=60).json()["status"] == "ok"
        port = url[0].rstrip("/").rpartition(":")[2]
        taken = ainext("serve", "--port", port, "--model", SMALL)
        assert taken.code == 2 and port in taken.complaints[-1]
    finally:
        process.send_signal(2)
        process.wait(60)
    assert process.returncode in (0, 130) and "Traceback" not in process.stderr.read()  # type: ignore[union-attr]
    assert ainext("serve", "--model", "no such model").code == 2

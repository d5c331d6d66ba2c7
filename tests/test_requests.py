"""What people get wrong in a request to ``ainext serve``, and what operators expect of it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.sync import client as websockets

from audioinceptionnext import load
from audioinceptionnext.audio import decode
from audioinceptionnext.errors import MediaError, ParameterError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.serving import predict
from audioinceptionnext.serving.metrics import access_log
from audioinceptionnext.serving.settings import Settings
from tests.audio_files import kitchen, write_wav
from tests.command import ainext
from tests.served import Server, check_problem, problem, serving

SMALL = "kitchen20-small"
PREDICT = "/v1/predict"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(models=(SMALL, "digits")) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    write_wav(path := tmp_path_factory.mktemp("sound") / "a.wav", kitchen(3), 24_000)
    return path.read_bytes()


def send(client: httpx.Client, sound: bytes, query: str = "", **fields: Any) -> httpx.Response:
    """Upload a file as ``curl -F file=@a.wav -F name=value …`` does: the fields come after the file."""
    parts = [(name, (None, str(v))) for name, value in fields.items() for v in np.atleast_1d(value)]
    return client.post(f"{PREDICT}?{query}", files=[("file", ("a.wav", sound)), *parts])


def test_form_fields_and_the_query_mean_the_same(client: httpx.Client, sound: bytes) -> None:
    choices: dict[str, Any] = {
        "model": SMALL, "top_k": 2, "threshold": 0.05, "offset_threshold": 0.04, "smoothing": 0, "min_duration": 0.1,
        "merge_gap": 0, "hop": 0.2, "track": 1, "name": "b.wav", "include": "log_mel",
    }  # fmt: skip
    query = "&".join(f"{name}={value}" for name, value in choices.items())
    by_query = client.post(f"{PREDICT}?{query}", content=sound).json()
    assert by_query["file"] == "b.wav" and len(by_query["clip"]) == 2 and by_query["segments"]
    assert send(client, sound, **choices).json() == by_query == send(client, sound, query, **choices).json()
    assert send(client, sound, model="digits").json()["model"] == "digits"


def test_labels_are_chosen_as_in_python(client: httpx.Client, sound: bytes, server: Server) -> None:
    chosen = {"threshold": 0.01, "labels": "water*,blender", "ignore": "Blender"}
    found = send(client, sound, include="probabilities", **chosen).json()
    assert {one["label"] for one in found["segments"]} == {"water-flowing"}
    assert found["probabilities"]["labels"] == ["water-flowing"] == [one["label"] for one in found["clip"]]
    query = "threshold=0.01&labels=water*,blender&ignore=Blender"
    assert client.post(f"{PREDICT}?{query}", content=sound).json()["segments"] == found["segments"]
    several = "threshold=0.01&labels=water*&labels=eat&labels=&ignore=Eat&ignore=blender"
    assert client.post(f"{PREDICT}?{several}", content=sound).json()["segments"] == found["segments"]
    assert len(send(client, sound, labels="", top_k=20).json()["clip"]) == 20  # a field that is not filled in
    for wrong, line in (({"labels": "blendr"}, "did you mean blender?"), ({"ignore": "*"}, "leaves no label")):
        refused = send(client, sound, **wrong)
        assert line in problem(refused, 422) and refused.json()["parameter"] == next(iter(wrong))

    url = f"{server.url.replace('http', 'ws')}/v1/listen?{several}&encoding=f32le&include=probabilities"
    with websockets.connect(url) as socket:
        socket.send(kitchen(3).astype(np.float32).tobytes())
        socket.send('{"type": "end"}')
        steps = [json.loads(message) for message in socket]
    assert steps and all(list(step["probabilities"]) == ["water-flowing"] for step in steps)
    listed = client.get("/v1/models").json()["models"][0]
    assert (listed["kind"], listed["groups"], listed["identifiers"]) == ("single-label", {}, [])


def test_labels_are_not_chosen_on_the_event_loop(
    client: httpx.Client, sound: bytes, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = []

    def choose(self: Recogniser, *arguments: object) -> Recogniser:
        places.append(asyncio._get_running_loop())
        return self

    monkeypatch.setattr(Recogniser, "choose", choose)
    assert send(client, sound, labels="blender").status_code == 200
    with websockets.connect(f"{server.url.replace('http', 'ws')}/v1/listen?labels=blender") as socket:
        socket.send('{"type": "end"}')
        list(socket)
    assert places and not any(places)


def test_a_busy_server_says_so_before_it_looks_at_the_labels(sound: bytes) -> None:
    with serving(models=(SMALL,), uploads=0) as server:
        refused = httpx.post(f"{server.url}{PREDICT}?labels=nothing", content=sound)
    assert "the server is busy" in problem(refused, 503)


def test_too_many_probabilities_are_refused(
    client: httpx.Client, sound: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "MAX_VALUES", 50)
    refused = send(client, sound, include="probabilities")
    assert "probabilities: more than 50 of them: choose fewer labels, a longer hop or" in problem(refused, 422)
    assert refused.json()["parameter"] == "include"
    fewer = send(client, sound, include="probabilities", labels="blender").json()["probabilities"]
    assert fewer["labels"] == ["blender"] and fewer["steps"]
    assert send(client, sound, include="log_mel").status_code == 200


def test_thresholds_by_label_are_those_of_python(
    client: httpx.Client, sound: bytes, server: Server, tmp_path: Path
) -> None:
    model, path = load(SMALL), tmp_path / "a.wav"
    path.write_bytes(sound)
    label = model.predict(path, threshold=0.02).segments[0].label
    wanted = dict.fromkeys(model.labels, 0.02) | {label: 1.0}
    expected = model.predict(path, threshold=wanted).segments
    found = send(client, sound, threshold=[0.02, f"{label}=1"]).json()["segments"]
    assert [one["label"] for one in found] == [one.label for one in expected] and expected
    by_query = client.post(f"{PREDICT}?threshold=0.02&threshold={label}%3D1", content=sound).json()["segments"]
    assert by_query == found

    url = f"{server.url.replace('http', 'ws')}/v1/listen?threshold=0.02&min_duration=0&rate=24000&encoding=f32le"
    for more, missing in (("", set()), (f"&threshold={label}=1", {label})):
        with websockets.connect(url + more) as socket:
            socket.send(kitchen(3).astype(np.float32).tobytes())
            socket.send('{"type": "end"}')
            labels = {one["label"] for message in socket for one in json.loads(message)["segments"]}
        assert labels and (label not in labels) == bool(missing)


@pytest.mark.parametrize(
    ("query", "fields", "parameter", "detail"),
    [
        ("treshold=0.3", {}, "treshold", "did you mean threshold?"),
        ("", {"treshold": 0.3}, "treshold", "did you mean threshold?"),
        ("format=csv", {}, "format", "choose from model, threshold"),
        ("lables=blender", {}, "lables", "did you mean labels"),
        ("", {"Top_K": 3}, "Top_K", "did you mean top_k?"),
        ("threshold=0.4", {"threshold": 0.3}, "threshold", "has another value already"),
        ("top_k=1&top_k=2", {}, "top_k", "top_k is 1 and 2: give it once"),
        ("model=digits", {"model": SMALL}, "model", "give it once"),
        ("", {"threshold": "blnder=0.9"}, "threshold", "did you mean blender?"),
        ("threshold=blender=0.9", {"threshold": "blender=0.8"}, "threshold", "another value"),
        ("", {"threshold": "loud"}, "threshold", "give a probability"),
        ("onset_threshold=1.5", {}, "threshold", "give a probability above 0 and at most 1"),
        ("offset_threshold=0.9", {}, "offset_threshold", "the onset threshold"),
        ("", {"top_k": "many"}, "top_k", "top_k is many: give a whole number from 1 to 1000"),
        ("top_k=2.5", {}, "top_k", "give a whole number from 1 to 1000"),
        ("", {"hop": ""}, "hop", "hop is empty: give a number above 0"),
        ("", {"threshold": ""}, "threshold", "threshold is empty: give a probability"),
        ("threshold=blender=0.9,cutlery=0.4", {}, "threshold", "repeat threshold for each label"),
        ("threshold=0.5,0.4", {}, "threshold", "repeat it for each label"),
        ("sample_rate=16000", {}, "sample_rate", "there is no parameter called 'sample_rate'"),
        ("merge_gap=inf", {}, "merge_gap", "give a number from 0 to 86400"),
        ("", {"smoothing": -1}, "smoothing", "give a number from 0 to 86400"),
        ("", {"include": "all"}, "include", "give log_mel or probabilities"),
        ("", {"include": "x" * 5000}, "include", "too long"),
        ("labels=" + "*," * 6000, {}, "labels", "labels: give at most 10,000 characters"),
        ("labels=" + "*," * 4000, {"labels": "x" * 3000}, "labels", "give at most 10,000 characters"),
        ("threshold=" + "*" * 21_000 + "=0.5", {}, "threshold", "give at most 20,000 characters; patterns and groups"),
        ("threshold=" + "x" * 5000, {}, "threshold", "xxx: give a probability"),
        ("ignore=" + "x" * 500, {}, "ignore", "no label matches 'xxx"),
        ("top_k=%1B[31m", {}, "top_k", "top_k is ?[31m"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(
    client: httpx.Client, server: Server, sound: bytes, query: str, fields: dict[str, Any], parameter: str, detail: str
) -> None:
    refused = send(client, sound, query, **fields)
    assert detail in (found := problem(refused, 422)) and refused.json()["parameter"] == parameter
    assert not re.search("Input should|Value error|unable to parse|valid", found)
    assert not server.uploads()


@pytest.mark.parametrize(
    ("query", "parameter", "detail"),
    [
        ("treshold=0.3", "treshold", "did you mean threshold?"),
        ("top_k=3", "top_k", "choose from model"),
        ("threshold=blnder=0.9", "threshold", "did you mean blender?"),
        ("rate=24000&rate=48000", "rate", "give it once"),
        ("sample_rate=24000&rate=48000", "rate", "give it once"),
        ("sample_rate=fast", "rate", "rate is fast: give a number"),
        ("include=features", "include", "give log_mel or probabilities"),
        ("encoding=mp3", "encoding", "give s16le or f32le"),
        ("channels=99", "channels", "give a whole number from 1 to 32"),
    ],
)
def test_a_parameter_of_a_stream_that_is_wrong_is_named(
    server: Server, query: str, parameter: str, detail: str
) -> None:
    with websockets.connect(f"{server.url.replace('http', 'ws')}/v1/listen?{query}") as socket:
        found = json.loads(socket.recv(timeout=60))
    assert detail in check_problem(found, 422) and found["parameter"] == parameter


def test_one_file_in_one_request(client: httpx.Client, server: Server, sound: bytes) -> None:
    for names in (("file", "file"), ("first", "second")):
        refused = client.post(PREDICT, files=[(name, ("a.wav", sound)) for name in names])
        assert "two files" in problem(refused, 422) and refused.json()["parameter"] == "file"
    # A browser sends a file that was not chosen as an empty one without a name.
    parts = (("a", "", b""), ("file", "a.wav", sound), ("b", "", b""))
    head = 'Content-Disposition: form-data; name="{}"; filename="{}"'
    body = b"".join(b"--x\r\n" + head.format(*names).encode() + b"\r\n\r\n" + data + b"\r\n" for *names, data in parts)
    form = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post(PREDICT, content=body + b"--x--\r\n", headers=form).json()["file"] == "a.wav"
    forgotten = client.post(PREDICT, files={"file": (None, "dinner.mp4")})
    assert "-F file=@dinner.mp4" in problem(forgotten, 422) and forgotten.json()["parameter"] == "file"
    assert not server.uploads()


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({"content-type": "application/json"}, "the body is JSON"),
        ({"content-type": "application/problem+json; charset=utf-8"}, "the body is JSON"),
        ({"content-type": "multipart/mixed; boundary=x"}, "the body is multipart/mixed"),
        ({"content-encoding": "gzip"}, "compressed with gzip"),
    ],
)
def test_a_body_that_is_no_recording_by_its_type(
    client: httpx.Client, sound: bytes, headers: dict[str, str], detail: str
) -> None:
    assert detail in problem(client.post(PREDICT, content=sound, headers=headers), 415)


def test_what_curl_d_leaves_of_a_file_is_no_recording(client: httpx.Client, sound: bytes) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}  # of -d and of --data-binary
    assert client.post(PREDICT, content=sound, headers=form).status_code == 200
    for left in (sound.translate(None, b"\0\r\n"), b"model=digits"):
        assert "--data-binary" in problem(client.post(PREDICT, content=left, headers=form), 415)
    assert "no recording" in problem(client.post(PREDICT, content=b"", headers=form), 400)


@pytest.mark.parametrize("path", ["/", "/healthz", "/docs", "/style.css", "/v1/models", "/metrics", "/openapi.json"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert head.status_code == get.status_code == 200 and not head.content and get.content
    assert {"content-type", "content-length"} <= set(head.headers)
    if path != "/metrics":
        assert head.headers["content-length"] == get.headers["content-length"]


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", PREDICT, 405, "/v1/predict takes POST, not GET"),
        ("PUT", PREDICT, 405, "/v1/predict takes POST, not PUT"),
        ("POST", "/v1/models", 405, "/v1/models takes GET, not POST"),
        ("POST", "/", 405, "/ takes GET, not POST"),
        ("GET", "/v1/listen", 426, "WebSocket"),
        ("POST", f"{PREDICT}/", 404, "did you mean /v1/predict?"),
        ("POST", "/predict", 404, "did you mean /v1/predict?"),
        ("GET", "/nothing.js", 404, "nothing is at /nothing.js; choose from /"),
        ("GET", "/v1/models?modle=x", 422, "no parameter called 'modle'"),
    ],
)
def test_a_request_that_no_route_takes(client: httpx.Client, method: str, path: str, status: int, detail: str) -> None:
    refused = client.request(method, path)
    assert detail in problem(refused, status)
    assert (status == 405) == ("allow" in refused.headers)
    assert not client.request("HEAD", path).content


def test_the_page_about_the_api_lists_every_parameter(client: httpx.Client, server: Server) -> None:
    page, description = client.get("/docs").text, client.get("/openapi.json").json()
    for path, operations in description["paths"].items():
        given = [one for operation in operations.values() for one in operation.get("parameters", ())]
        assert path in page and all(f"<code>{one['name']}</code>" in page for one in given if one["in"] == "query")
    assert f"curl -F file=@dinner.mp4 -F top_k=3 {server.url}/v1/predict" in page
    assert (
        "<code>encoding</code>" in page and "<script" not in page and " style=" not in page
    )  # the policy allows neither
    form = description["paths"][PREDICT]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    named = {one["name"] for one in description["paths"][PREDICT]["post"]["parameters"]}
    assert named == set(form["properties"]) - {"file"} and {"threshold", "hop", "include"} < named


def test_the_access_log(client: httpx.Client, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, access_log.name):
        client.get("/healthz")
        client.get("/v1/models")
        client.post(f"{PREDICT}?top_k=0&name=%1B[31m")
        client.get("/%1B[31mred")
        with websockets.connect(f"{server.url.replace('http', 'ws')}/v1/listen?rate=8000") as socket:
            socket.send('{"type": "end"}')
            list(socket)
        client.get("/healthz?again")
    lines = [one.getMessage() for one in caplog.records if one.name == access_log.name]
    assert [re.sub(r"\d+\.\d\d s$", "s", line) for line in lines] == [
        '127.0.0.1 "GET /v1/models" 200 s',
        '127.0.0.1 "POST /v1/predict?top_k=0&name=%1B[31m" 422 s',
        '127.0.0.1 "GET /?[31mred" 404 s',
        '127.0.0.1 "WS /v1/listen?rate=8000" 1000 s',
    ]


def test_settings_that_would_be_ignored_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("https://a.example", "a.example:80", "a.example,b.example", "a.example b.example", "a*.example"):
        with pytest.raises(ParameterError, match=f"^hosts is {re.escape(host)}: "):
            Settings(hosts=(host,))
    for origin in ("https://a.example/", "a.example", "*"):
        with pytest.raises(ParameterError, match=f"^origins is {re.escape(origin)}: give the site"):
            Settings(origins=(origin,))
    assert Settings(hosts=("[::1]", "*.a.example", "*"), origins=("https://a.example:8443",)).origins
    monkeypatch.setenv("AINEXT_PORT", "tcp://10.0.0.1:8000")  # what Kubernetes sets beside a service of this name
    monkeypatch.setenv("AINEXT_APIKEY", "s3cret")
    refused = ainext("serve")
    assert refused.code == 2
    assert refused.complaints[0].endswith(
        "AINEXT_APIKEY: there is no such environment variable; did you mean AINEXT_API_KEY?"
    )
    monkeypatch.setenv("AINEXT_MAX_MB", "5")
    monkeypatch.delenv("AINEXT_APIKEY")
    assert ainext("serve").complaints == [
        "ainext: AINEXT_MAX_MB: this is no environment variable; give the option --max-mb"
    ]


def test_an_upload_that_takes_too_long_to_decode_is_refused(sound: bytes) -> None:
    with serving(models=(SMALL,), decode_seconds=0.0) as server:
        assert "too long to decode" in problem(httpx.post(f"{server.url}{PREDICT}", content=sound), 415)
        assert not server.uploads()


def test_a_file_without_a_sample_is_watched_packet_by_packet(tmp_path: Path) -> None:
    """What FFmpeg takes for AAC, since each frame begins as one should, has many packets and no sound."""
    frame = bytes.fromhex("fff14c8020fffc") + b"\xff" * 250
    (path := tmp_path / "a.aac").write_bytes(frame * 2000)
    packets = 0

    def on_packet() -> None:
        nonlocal packets
        packets += 1
        if packets == 100:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        next(decode.read_blocks(path, 24_000, on_packet=on_packet))
    with pytest.raises(MediaError):
        next(decode.read_blocks(path, 24_000))

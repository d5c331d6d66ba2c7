"""Results that the server keeps for links, and requests that say how far they are."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.serving.result_store import ResultStore
from audioinceptionnext.serving.settings import Settings
from tests.browser import SCENE, SMALL
from tests.served import Server, check_problem, problem, serving

LINES = {"Accept": "application/x-ndjson"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(models=(SMALL,), workers=1, queue=0, results=2, max_seconds=3600.0) as server:
        yield server


def post(client: httpx.Client, content: bytes, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
    return client.post("/v1/predict", content=content, headers=headers, params=query)


def minutes(tmp_path: Path, count: int) -> bytes:
    """A recording that takes a while."""
    noise = np.random.default_rng(1).normal(0, 0.1, 60 * 16_000).astype(np.float32)
    write_wav(path := tmp_path / "noise.wav", np.tile(noise, count), 16_000)
    return path.read_bytes()


def test_a_result_is_found_again_until_newer_ones_take_its_room(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        query = {"name": "a.flac", "include": "likely_steps,log_mel", "keep": "true"}
        found = [post(client, SCENE.read_bytes(), **query).json() for _ in range(3)]
        ids = [one["kept"]["id"] for one in found]
        assert len(set(ids)) == 3 and min(map(len, ids)) > 20 and found[0]["kept"]["until"].endswith("+00:00")
        assert client.get(f"/v1/results/{ids[2]}").json() == found[2]
        assert "not kept any more" in problem(client.get(f"/v1/results/{ids[0]}"), 404)
        assert "nothing is at" in problem(client.get("/v1/results/..%2Furl"), 404)
        assert "kept" not in post(client, SCENE.read_bytes()).json()
        assert "give false or true" in problem(post(client, b"x", keep="yes"), 422)
        listed = client.get("/v1/models").json()
        assert "results" in listed["offers"] and listed["limits"]["result_seconds"] == 86_400
        assert sum(1 for one in (server.app.state.folder / "results").iterdir()) == 2


def test_results_need_the_key_and_may_be_turned_off() -> None:
    with serving(models=(SMALL,), api_key="s3cret", results=0) as server, httpx.Client(base_url=server.url) as client:
        assert "API key" in problem(client.get("/v1/results/abc"), 401)
        client.headers["X-API-Key"] = "s3cret"
        assert client.get("/v1/models").json()["offers"] == []
        assert "kept" not in post(client, SCENE.read_bytes(), keep="true").json()


def test_results_expire_and_are_bounded_by_their_size(tmp_path: Path) -> None:
    now = 1000.0
    store = ResultStore(tmp_path, Settings(result_seconds=60.0, result_bytes=1000), clock=lambda: now)

    def keep(size: int) -> str | None:
        kept = store.keep({"file": "x" * size}).get("kept")
        return kept and str(kept["id"])

    first, second = keep(300), keep(300)
    assert first and second and store.read(first) and store.read(second)
    third = keep(300)
    assert third and store.read(first) is None and store.read(second)  # all three do not fit
    assert keep(2000) is None and store.read(third)  # too large to be kept at all
    now = 1061.0
    assert store.read(third) is None and not list((tmp_path / "results").iterdir())
    (tmp_path / "results").rmdir()
    (tmp_path / "results").write_text("")  # as good as a full disk
    assert keep(300) is None


def test_lines_of_progress_come_before_the_result(server: Server, tmp_path: Path) -> None:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        content = minutes(tmp_path, 3)
        plain = post(client, content)
        assert plain.headers["content-type"] == "application/json"
        found = post(client, content, LINES)
        assert found.headers["content-type"] == "application/x-ndjson"
        *lines, last = [json.loads(line) for line in found.text.splitlines()]
        assert last == plain.json()
        said = [line["progress"] for line in lines]
        assert {one["duration"] for one in said} <= {None, 180.0} and all(set(line) == {"progress"} for line in lines)
        seconds = [one["seconds"] for one in said]
        assert seconds == sorted(seconds) and seconds[-1] <= 180

        # What is wrong before there is a place in the queue is said by the status, and later by the last line.
        assert "hop" in problem(post(client, content, LINES, hop=0.123), 422)
        late = post(client, b"RIFF" + bytes(100), LINES)
        assert late.status_code == 200
        assert "not an audio or video file" in check_problem(json.loads(late.text.splitlines()[-1]), 415)


def test_a_busy_server_says_so_and_a_client_that_leaves_stops_the_work(server: Server, tmp_path: Path) -> None:
    content = minutes(tmp_path, 25)
    with httpx.Client(base_url=server.url, timeout=120) as client:
        with client.stream("POST", "/v1/predict", content=content, headers=LINES) as response:
            states = (json.loads(line)["progress"]["state"] for line in response.iter_lines())
            assert next(state for state in states if state == "running")
            refused = post(client, SCENE.read_bytes(), LINES)
            assert "busy" in problem(refused, 503) and int(refused.headers["retry-after"]) >= 1
        # The connection is closed in the middle.
        for _ in range(600):
            if client.get("/healthz").json()["running"] == 0:
                break
            time.sleep(0.05)
        assert client.get("/healthz").json()["running"] == 0
        audio = [
            line
            for line in client.get("/metrics").text.splitlines()
            if 'ainext_audio_seconds_total{input="file"}' in line
        ]
        assert float(audio[0].split()[1]) < 1500  # it was not recognised to its end
        assert post(client, SCENE.read_bytes()).status_code == 200
        assert not [path for path in server.app.state.folder.iterdir() if path.is_file()]  # of uploads

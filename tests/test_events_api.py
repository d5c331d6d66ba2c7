"""The history that a server shows: events, counts and clips over HTTP, corrections, and what is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import numpy as np
import pytest
from websockets.sync import client as websockets

from audioinceptionnext.audio import decode
from audioinceptionnext.history.clip_file import encode_clip, new_name
from audioinceptionnext.history.database import History
from tests.audio_files import write_wav
from tests.command import ainext
from tests.served import Server, problem, serving

SMALL = "kitchen20-small"
SCENE = Path(__file__).parents[1] / "examples" / "kitchen-scene.flac"
CLIP, SHARED = (new_name("kitchen", start, "wok", "flac") for start in (10.0, 20.0))
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    """Unix seconds of a time in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("history")
    write_wav(folder / "secret.wav", np.zeros(99), 8000)
    (clips := folder / "clips").mkdir()
    for name in (CLIP, SHARED):
        (clips / name).write_bytes(encode_clip(np.ones(8000, np.int16), 8000, "flac", {}))
    return folder / "history.db", clips


@pytest.fixture
def history(files: tuple[Path, Path]) -> Iterator[History]:
    with History(files[0]) as history:
        history.delete(event.id for event in history.events())
        yield history


@pytest.fixture(scope="module")
def server(files: tuple[Path, Path]) -> Iterator[Server]:
    with serving(models=(SMALL,), history=files[0], keep=files[1], idle_seconds=1.5) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/v1", timeout=60) as client:
        yield client


def ids(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [one["id"] for one in response.json()["events"]]


def test_events_are_filtered_and_paged(client: httpx.Client, history: History) -> None:
    assert "history" in client.get("/models").json()["offers"]
    assert client.get("/events").json() == {"events": [], "next": None}
    one = history.add("kitchen", at("2026-11-28 23:59:59"), at("2026-11-29 00:00:04"), "chopping", 0.9, SMALL)
    two = history.add("kitchen", at("2026-11-29 00:00"), at("2026-11-29 00:01"), "clean-dishes", 0.5, SMALL)
    three = history.add("yard", at("2026-11-29 08:15:02.340"), at("2026-11-29 08:15:03"), "Smoke alarm", 0.25, "x")
    assert ids(client.get("/events")) == [three, two, one]
    assert client.get("/events", params={"limit": 1, "time_zone": "Europe/Berlin"}).json()["events"] == [
        {
            **{"id": three, "source": "yard", "label": "Smoke alarm", "score": 0.25, "model": "x"},
            **{"start": "2026-11-29T08:15:02.340+01:00", "end": "2026-11-29T08:15:03.000+01:00"},
            **{"clip": None, "clip_start": None, "corrected": False},
        }
    ]
    for query, wanted in (
        ("after=2026-11-29&time_zone=Europe/Berlin", [three, two]),
        ("after=2026-11-29", [three]),  # of UTC
        ("before=2026-11-29T00:00:00%2B01:00", [one]),
        ("before=2026-11-29T00:00:00+01:00", [one]),  # whose plus sign is a space by the rules
        (f"after={at('2026-11-29 00:00')}&before={at('2026-11-29 00:00') + 0.001}", [two]),
        ("labels=CHOPPING,clean*", [two, one]),
        ("label=Smoke%20alarm&label=peel", [three]),  # peel is one of the model's that has not occurred
        ("source=yard&source=attic", [three]),
        ("min_score=0.5&order=oldest", [one, two]),
    ):
        assert ids(client.get(f"/events?{query}")) == wanted, query

    found, cursor = [], ""
    while cursor is not None:
        page = client.get("/events", params={"limit": 2, "cursor": cursor}).json()
        found += [event["id"] for event in page["events"]]
        history.add("kitchen", at("2026-11-29 09:00"), at("2026-11-29 09:01"), "wok", 0.5)  # does not move the pages
        cursor = page["next"]
    assert found == [three, two, one]


def test_events_are_counted(client: httpx.Client, history: History) -> None:
    for moment, label in (("2026-11-28 23:59", "wok"), ("2026-11-29 00:10", "wok"), ("2026-11-29 00:50", "wok")):
        history.add("kitchen", at(moment), at(moment) + 1, label, 0.9)
    history.add("yard", at("2026-11-29 00:30"), at("2026-11-29 00:31"), "dog", 0.9)
    found = client.get("/events/counts?by=hour&time_zone=Europe/Berlin").json()
    assert [(one["start"], one["label"], one["events"]) for one in found["counts"]] == [
        ("2026-11-28T23:00:00+01:00", "wok", 1),
        ("2026-11-29T00:00:00+01:00", "dog", 1),
        ("2026-11-29T00:00:00+01:00", "wok", 2),
    ]
    by_day = client.get("/events/counts?by=day&time_zone=Europe/Berlin&label=wok").json()["counts"]
    assert [(one["start"][:10], one["events"]) for one in by_day] == [("2026-11-28", 1), ("2026-11-29", 2)]
    assert len(client.get("/events/counts?by=day&source=kitchen").json()["counts"]) == 1  # all on one day of UTC
    summary = client.get("/events/summary").json()
    assert (summary["events"], summary["sources"], summary["labels"]) == (4, ["kitchen", "yard"], ["dog", "wok"])
    assert summary["first"] == "2026-11-28T22:59:00.000+00:00" and summary["clips"]


def test_a_clip_is_given_in_parts(client: httpx.Client, history: History, files: tuple[Path, Path]) -> None:
    event = history.add("kitchen", 10.0, 11.0, "wok", 0.9, clip=CLIP, clip_start=9.5)
    whole = client.get(f"/events/{event}/clip")
    assert whole.content == (files[1] / CLIP).read_bytes() and whole.headers["content-type"] == "audio/flac"
    part = client.get(f"/events/{event}/clip", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, whole.content[4:8])
    without = history.add("kitchen", 10.0, 11.0, "wok", 0.9)
    assert "has no clip" in problem(client.get(f"/events/{without}/clip"), 404)


@pytest.mark.parametrize("clip", ["../secret.wav", "/etc/passwd", "gone.wav", ".", "", "a\0b", "{folder}/secret.wav"])
def test_nothing_outside_the_folder_is_given_or_deleted(
    client: httpx.Client, history: History, files: tuple[Path, Path], clip: str
) -> None:
    folder = files[1].parent
    event = history.add("kitchen", 10.0, 11.0, "wok", 0.9, clip=clip.format(folder=folder), clip_start=9.5)
    before = sorted(folder.rglob("*.wav"))
    problem(client.get(f"/events/{event}/clip"), 404)
    assert client.delete(f"/events/{event}").status_code == 204
    assert sorted(folder.rglob("*.wav")) == before


def test_a_link_out_of_the_folder_is_not_followed(
    client: httpx.Client, history: History, files: tuple[Path, Path]
) -> None:
    (link := files[1] / new_name("kitchen", 30.0, "wok", "flac")).symlink_to(files[1].parent / "secret.wav")
    event = history.add("kitchen", 30.0, 31.0, "wok", 0.9, clip=link.name, clip_start=9.5)
    problem(client.get(f"/events/{event}/clip"), 404)
    link.unlink()


def test_an_event_is_corrected(client: httpx.Client, history: History) -> None:
    event = history.add("kitchen", 100.0, 110.0, "wok", 0.9, SMALL)
    changed = client.patch(f"/events/{event}", json={"label": "  CLEAN-dishes\n", "start": 101.25})
    assert changed.status_code == 200
    row = history.event(event)
    assert row is not None and (row.start, row.end, row.label, row.corrected) == (101.25, 110.0, "clean-dishes", True)
    assert changed.json() | {"score": 0.9} == {
        **{"id": event, "source": "kitchen", "label": "clean-dishes", "score": 0.9, "model": SMALL},
        **{"start": "1970-01-01T00:01:41.250+00:00", "end": "1970-01-01T00:01:50.000+00:00"},
        **{"clip": None, "clip_start": None, "corrected": True},
    }
    client.patch(f"/events/{event}", json={"end": "1970-01-01T01:01:45+01:00", "label": "My own"})
    row = history.event(event)
    assert row is not None and (row.end, row.label) == (105.0, "My own")


def test_an_event_is_deleted_with_its_clip(client: httpx.Client, history: History, files: tuple[Path, Path]) -> None:
    one, two = (history.add("kitchen", 10.0, 11.0, label, 0.9, clip=SHARED, clip_start=9.5) for label in ("wok", "dog"))
    assert client.delete(f"/events/{one}").status_code == 204
    assert history.event(one) is None and (files[1] / SHARED).exists()  # the other one has it
    assert client.delete(f"/events/{two}").status_code == 204
    assert not (files[1] / SHARED).exists()
    assert "no event" in problem(client.delete(f"/events/{two}"), 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("GET", "?limit=0", None, 422, "limit is 0: "),
        ("GET", "?after=yesterday", None, 422, "after is yesterday: "),
        ("GET", "?before=1e300", None, 422, "before is 1e300: "),
        ("GET", "?before=nan", None, 422, "before is nan: "),
        ("GET", "?labels=no%20such", None, 422, "no such"),
        ("GET", "?cursor=1", None, 422, "cursor is 1: "),
        ("GET", "?lable=Dog", None, 422, "did you mean label"),
        ("GET", "/counts?by=week", None, 422, "hour or day"),
        ("GET", "/counts?time_zone=Berlin", None, 422, "time_zone is Berlin: "),
        ("GET", "/counts?time_zone=../../etc/passwd", None, 422, "time_zone is "),
        ("GET", "/summary?x=1", None, 422, "no parameter called 'x'"),
        ("PATCH", "/{id}", b"", 400, "no JSON"),
        ("PATCH", "/{id}", b"{}", 422, "changes nothing"),
        ("PATCH", "/{id}", b"[1]", 422, "give an object"),
        ("PATCH", "/{id}", b"[" * 9_000, 400, "no JSON"),
        ("PATCH", "/{id}", b" " * 10_001, 413, "too long"),
        ("PATCH", "/{id}", b'{"score": 1}', 422, "score: "),
        ("PATCH", "/{id}", b'{"label": " "}', 422, "give a label"),
        ("PATCH", "/{id}", b'{"end": 9}', 422, "before the start"),
        ("PATCH", "/{id}", b'{"start": "soon"}', 422, "start is soon: "),
        ("PATCH", "/{id}", b'{"start": NaN}', 422, "start is nan: "),
        ("PATCH", "/9999999", b'{"label": "Dog"}', 404, "no event 9999999"),
        ("DELETE", "/99999999999999999999999", None, 404, "no event 99999999999999999999999"),
        ("DELETE", "/x", None, 404, "nothing is at"),
        ("POST", "/{id}", b"{}", 405, "takes"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    client: httpx.Client, history: History, method: str, path: str, body: bytes | None, status: int, detail: str
) -> None:
    event = history.add("kitchen", 10.0, 11.0, "wok", 0.9)
    assert detail in problem(client.request(method, "/events" + path.format(id=event), content=body), status)
    row = history.event(event)
    assert row is not None and not row.corrected


def test_other_sites_and_clients_without_the_key_change_nothing(files: tuple[Path, Path], history: History) -> None:
    event = history.add("kitchen", 10.0, 11.0, "wok", 0.9, clip=CLIP, clip_start=9.0)
    with (
        serving(models=(SMALL,), history=files[0], keep=files[1], api_key="s3cret") as server,
        httpx.Client(base_url=f"{server.url}/v1", timeout=60) as client,
    ):
        for method, path in (("GET", ""), ("GET", "/counts"), ("GET", f"/{event}/clip"), ("DELETE", f"/{event}")):
            problem(client.request(method, f"/events{path}"), 401)
        headers = {"X-API-Key": "s3cret", "Origin": "https://evil.example"}
        for method in ("DELETE", "PATCH"):
            problem(client.request(method, f"/events/{event}", headers=headers), 403)
        assert ids(client.get("/events", headers={"X-API-Key": "s3cret"})) == [event]


def listen(url: str, query: str, seconds: float, *, leave: bool) -> list[dict[str, Any]]:
    """The events of a stream that a client sends, who says that it ends or just leaves."""
    sound = decode.read(SCENE, 24_000)[: int(24_000 * seconds)]
    pcm = (np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes()
    events: list[dict[str, Any]] = []
    with websockets.connect(f"{url.replace('http', 'ws')}/v1/listen?rate=24000&include=events&{query}") as socket:
        for start in range(0, len(pcm), 96_000):
            socket.send(pcm[start : start + 96_000])
        while leave:
            message = json.loads(socket.recv(timeout=60))
            events += message.get("events", [])
            if message.get("end", 0) > seconds - 5:
                return events
        socket.send('{"type": "end"}')
        for message in socket:
            events += json.loads(message).get("events", [])
    return events


def until(condition: Callable[[], object]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it has not happened within 30 s")


def test_streams_of_clients_are_recorded(
    server: Server, client: httpx.Client, history: History, files: tuple[Path, Path]
) -> None:
    """Rows and clips are there when the stream has ended, be it by the client's word or because it has left."""
    before = time.time()
    announced = listen(server.url, "name=%20porch%0A", 12.0, leave=False)
    ended = [one for one in announced if one["event"] == "end"]
    until(lambda: len(history.clips()) == len(ended))
    rows = history.events()
    assert len(rows) == len(ended) > 0
    for row, one in zip(rows, ended, strict=True):
        assert (row.label, row.score, row.source, row.model) == (one["label"], one["score"], "porch", SMALL)
        assert row.end - row.start == pytest.approx(one["end"] - one["start"], abs=0.01) and before - 5 < row.start
        clip = files[1] / (row.clip or "")
        clip.write_bytes(client.get(f"/events/{row.id}/clip").raise_for_status().content)
        sound = decode.read(SCENE, 24_000, one["start"], one["end"] - one["start"])
        kept = decode.read(clip, 24_000)[round(24_000 * (row.start - (row.clip_start or 0))) :][: len(sound)]
        np.testing.assert_allclose(kept, sound, atol=1e-3)

    open_ones = {one["id"] for one in listen(server.url, "", 8.0, leave=True)}
    until(lambda: history.number(sources=["microphone"]) >= max(1, len(open_ones)))


def test_two_streams_have_two_names(server: Server, history: History) -> None:
    with ThreadPoolExecutor(2) as pool:
        streams = [pool.submit(listen, server.url, "name=desk", 8.0, leave=False) for _ in range(2)]
        assert all(one.result() for one in streams)
    until(lambda: history.sources() == ["desk", "desk 2"])


def test_rules_watch_the_streams_of_clients(tmp_path: Path) -> None:
    rule = "{name: Tap, labels: water-flowing, sources: porch, actions: [{file: alerts.jsonl}]}"
    (tmp_path / "rules.yaml").write_text(f"rules: [{rule}]")
    with serving(models=(SMALL,), rules=tmp_path / "rules.yaml") as server:
        assert listen(server.url, "name=yard", 8.0, leave=False)
        assert listen(server.url, "name=porch", 8.0, leave=False)
    lines = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert lines and all((one := json.loads(line))["source"] == "porch" and one["rule"] == "Tap" for line in lines)


def test_a_server_without_a_history_says_so() -> None:
    with serving(models=(SMALL,)) as server:
        for method, path in (
            ("GET", ""),
            ("GET", "/counts"),
            ("GET", "/1/clip"),
            ("DELETE", "/1"),
            ("GET", "/summary"),
        ):
            assert "keeps no history" in problem(httpx.request(method, f"{server.url}/v1/events{path}"), 404)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--keep", "clips"], "ainext: --keep clips: give a history, too"),
        (["--history", "h.db", "--keep-max-mb", "5"], "ainext: --keep-max-mb 5.0: give a folder of clips"),
        (
            ["--history", "h.db", "--keep", "c", "--keep-max-days", "0"],
            "ainext: --keep-max-days 0.0: give a number above",
        ),
        (["--history", "notes.txt"], "ainext: notes.txt: is a text file, not a history"),
        (["--corrections", "notes.txt"], "ainext: notes.txt: is a file; give a folder"),
    ],
)
def test_a_server_that_cannot_store_does_not_start(
    options: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("Dear diary")
    called = ainext("serve", "--model", SMALL, *options)
    assert called.code == 2 and called.complaints[-1].startswith(complaint)


def test_requests_that_fit_the_description_cause_no_server_error(server: Server, history: History) -> None:
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    history.add("kitchen", 10.0, 11.0, "wok", 0.9, clip=CLIP, clip_start=9.0)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json").include(path_regex="^/v1/events")
    tested = 0
    for operation in (found.ok() for found in schema.get_all_operations()):
        tested += 1

        @given(case=operation.as_strategy())
        @settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        def check(case: Any) -> None:
            case.call_and_validate(timeout=60, excluded_checks=[positive_data_acceptance])

        check()
    assert tested == 6

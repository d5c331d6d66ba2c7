"""`POST /v1/embed` and `/v1/teach`: a server that is taught sounds, and offers what it has learnt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from audioinceptionnext.serving.taught_models import MAX_TAUGHT
from audioinceptionnext.teaching.onnx_file import metadata_of
from tests.audio_files import write_wav
from tests.served import Server, problem, serving
from tests.taught_sounds import RATE, knocks, room, whistle

BASE = "kitchen20-small"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def wav(folder: Path, waveform: np.ndarray) -> bytes:
    write_wav(folder / "sound.wav", waveform, RATE)
    return (folder / "sound.wav").read_bytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(models=(BASE,), teach=True) as running:
        yield running


@pytest.fixture(scope="module")
def examples(server: Server, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder, found = tmp_path_factory.mktemp("examples"), []
    for label, make in (("whistle", whistle), ("knock", knocks)):
        for number in range(4):
            embedding = requests.post(f"{server.url}/v1/embed", data=wav(folder, make(number))).json()
            assert (embedding["model"], embedding["duration"], embedding["silent"]) == (BASE, 1.5, False)
            found.append({"label": label, "features": embedding["features"]})
    long = requests.post(f"{server.url}/v1/embed?model={BASE}", files={"file": ("room.wav", wav(folder, room(0, 12)))})
    assert len(long.json()["features"]) == 2
    return [*found, {"label": "nothing", "features": long.json()["features"], "source": "room"}]


def teach(server: Server, name: str, examples: list[dict[str, Any]], **more: Any) -> requests.Response:
    return requests.post(f"{server.url}/v1/teach", json={"name": name, "from": BASE, "examples": examples} | more)


def test_a_taught_model_is_offered_at_once_downloaded_and_deleted(
    server: Server, examples: list[dict[str, Any]], tmp_path: Path
) -> None:
    found = teach(server, "my sounds", examples).json()
    assert (found["model"], found["clips"], found["classes"], found["top1"]) == ("my sounds", 9, 3, 100)
    assert found["per_class"] == {"whistle": 100, "knock": 100, "nothing": 100} and found["seconds"] > 0
    assert found["confusions"]["knock"] == {"whistle": 0, "knock": 4, "nothing": 0}
    listed = requests.get(f"{server.url}/v1/models").json()
    assert "teach" in listed["offers"] and [one["taught"] for one in listed["models"]] == [False, True]
    assert (
        listed["models"][1]["labels"] == ["whistle", "knock"] and "cross-validated" in listed["models"][1]["measured"]
    )
    scene = wav(tmp_path, np.concatenate([room(1, 5), whistle(9, 4), room(2, 5)]))
    result = requests.post(f"{server.url}/v1/predict", params={"model": "my sounds"}, data=scene).json()
    assert [one["label"] for one in result["segments"]] == ["whistle"] and result["model"] == "my sounds"
    file = requests.get(f"{server.url}/v1/models/my sounds/file")
    assert "my%20sounds.onnx" in file.headers["content-disposition"]
    assert json.loads(metadata_of(file.content)["labels"]) == ["whistle", "knock"]
    again = teach(server, "my sounds", [{**one, "label": "all"} for one in examples[:8]] + examples[8:])
    assert again.json()["classes"] == 2  # in place of the first one
    taught_again = teach(server, "second", examples, **{"from": "my sounds"})
    assert taught_again.json()["top1"] == 100
    for name in ("my sounds", "second"):
        assert requests.delete(f"{server.url}/v1/models/{name}").status_code == 204
    assert "my sounds" in problem(requests.delete(f"{server.url}/v1/models/my sounds"), 404)
    assert "my sounds" in problem(requests.post(f"{server.url}/v1/predict?model=my sounds", data=scene), 404)
    assert not [one for one in server.folder.rglob("*") if one.is_file()]


def test_what_is_wrong_with_a_lesson_is_said(server: Server, examples: list[dict[str, Any]]) -> None:
    assert "Kitchen20" in problem(teach(server, "Kitchen20", examples), 409)
    for name in ("../up", "a/b", ".hidden", "", "x" * 61, "dot.", "line\nbreak"):
        assert "name" in problem(teach(server, name, examples), 422)
    assert "two classes" in problem(teach(server, "mine", examples[:4]), 422)
    assert "whistle: only one example" in problem(teach(server, "mine", [examples[0], *examples[4:]]), 422)
    short = [{"label": "knock", "features": [[0.0, 1.0]]}, *examples]
    assert "672 numbers" in problem(teach(server, "mine", short), 422)
    assert "examples[0].features" in problem(teach(server, "mine", [{"label": "a"}]), 422)
    assert "label" in problem(teach(server, "mine", [{**examples[0], "label": "\x07"}, *examples]), 422)
    assert "no model is called" in problem(teach(server, "mine", examples, **{"from": "gone"}), 404)
    broken = requests.post(f"{server.url}/v1/teach", data=b'{"name": "mine", "examples": [{"features": [[NaN]]}]}')
    assert problem(broken, 422)
    not_finite = json.dumps({"name": "mine", "from": BASE, "examples": examples}).replace("0.", "1e999", 1)
    assert problem(requests.post(f"{server.url}/v1/teach", data=not_finite), 422)
    assert problem(requests.get(f"{server.url}/v1/models/{BASE}/file"), 404)
    assert problem(requests.delete(f"{server.url}/v1/models/{BASE}"), 404)
    assert [one["name"] for one in requests.get(f"{server.url}/v1/models").json()["models"]] == [BASE]


def test_silence_and_what_is_no_recording_give_no_features(server: Server, tmp_path: Path) -> None:
    silent = requests.post(f"{server.url}/v1/embed", data=wav(tmp_path, np.zeros(RATE, np.float32))).json()
    assert silent["silent"] and silent["features"] == []
    problem(requests.post(f"{server.url}/v1/embed", data=b"no recording\0\r\n"), 415)
    problem(requests.post(f"{server.url}/v1/embed?hop=1", data=b"\0"), 422)


def test_taught_models_are_kept_in_a_folder(examples: list[dict[str, Any]], tmp_path: Path) -> None:
    with serving(models=(BASE,), teach=True, taught=tmp_path / "taught", api_key="secret") as running:
        problem(teach(running, "mine", examples), 401)
        headers = {"X-API-Key": "secret"}
        body = {"name": "mine", "examples": examples}
        assert requests.post(f"{running.url}/v1/teach", json=body, headers=headers).json()["top1"] == 100
    (tmp_path / "taught" / "broken.onnx").write_bytes(b"no model")
    with serving(models=(BASE,), teach=True, taught=tmp_path / "taught") as running:
        models = requests.get(f"{running.url}/v1/models").json()["models"]
        assert [(one["name"], one["default"], one["taught"]) for one in models] == [
            (BASE, True, False),
            ("mine", False, True),
        ]
        (tmp_path / "taught").rename(tmp_path / "moved")
        assert "its log says why" in problem(teach(running, "another", examples), 500)
        taught = running.app.state.taught
        taught._paths |= {f"m{number}": tmp_path for number in range(MAX_TAUGHT - 1)}
        assert "20 taught models" in problem(teach(running, "another", examples), 409)
    with serving(models=(BASE,)) as running:
        assert "teaches no models" in problem(teach(running, "mine", examples), 404)
        assert "teach" not in requests.get(f"{running.url}/v1/models").json()["offers"]

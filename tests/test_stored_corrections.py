"""Corrected recordings that a server stores: what arrives becomes a data set, and nothing else gets into the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from audioinceptionnext.data import label_tracks
from audioinceptionnext.serving import corrections
from audioinceptionnext.serving.corrections import WANTED, CorrectionsFolder
from tests.audio_files import sine, write_wav
from tests.command import ainext
from tests.served import Server, problem, serving

SMALL = "kitchen20-small"
DOG = {"start": 0.25, "end": 1.5, "label": "Dog"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    folder = tmp_path_factory.mktemp("server") / "new" / "corrections"
    with serving(models=(SMALL,), corrections=folder, max_seconds=60.0) as server:
        yield server, folder


@pytest.fixture
def folder(server: tuple[Server, Path]) -> Iterator[Path]:
    yield server[1]
    for path in server[1].iterdir():
        path.unlink()


@pytest.fixture
def save(server: tuple[Server, Path], folder: Path, tmp_path: Path) -> Any:
    """Sends a recording, a sound of some Hz, with segments."""

    def send(name: str, segments: Any, hertz: float = 440.0, **more: str) -> httpx.Response:
        sound = write_wav(tmp_path / "sound.wav", sine(hertz, 2.0, 16_000), 16_000).read_bytes()
        data = {"segments": segments if isinstance(segments, str) else json.dumps(segments), **more}
        return httpx.post(f"{server[0].url}/v1/corrections", files={"file": (name, sound)}, data=data, timeout=60)

    return send


def test_saved_recordings_are_a_data_set(server: tuple[Server, Path], folder: Path, save: Any, tmp_path: Path) -> None:
    assert "corrections" in httpx.get(f"{server[0].url}/v1/models").json()["offers"]
    many = [DOG, {"start": 0.1, "end": 99.0, "label": "  water\tflowing ", "score": None, "task": "noun"}]
    saved = save("Küche, abends.WAV", many, model=SMALL).json()
    assert saved["recording"].startswith("Küche-abends-") and saved["recording"].endswith(".wav")
    assert not saved["replaced"] and saved["wanted"] == WANTED - 1
    assert save("silence.wav", [], hertz=600.0).status_code == 200  # nothing of what is looked for sounds in it
    counts = httpx.get(f"{server[0].url}/v1/corrections").json()
    assert counts == {"recordings": 2, "segments": 2, "labels": {"water flowing": 1, "Dog": 1}, "wanted": WANTED - 2}

    found = label_tracks.load(folder)
    assert found.labels == ("Dog", "water flowing") and not found.problems
    assert [(clip.start, clip.end) for clip in found.clips] == [(0.1, 2.0), (0.25, 1.5), (0.0, None)]
    checked = ainext("data", "check", "labels", "--root", folder)
    assert checked.code == 0, checked.err
    assert not server[0].uploads()


def test_a_recording_that_is_saved_again_has_the_new_segments(folder: Path, save: Any) -> None:
    first = save("a.wav", [DOG]).json()
    cat = {"start": 0.5, "end": 0.75, "label": "WATER-FLOWING"}
    again = save("renamed.wav", [cat], model=SMALL).json()
    assert again["replaced"] and again["recording"] == first["recording"]
    assert (again["recordings"], again["labels"]) == (1, {"water-flowing": 1})  # as the model writes it
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "name", ["../../escaped.wav", "/etc/passwd", ".hidden.mp3", "CON", "a\0b\n.wav", "x" * 300, "…"]
)
def test_names_stay_within_the_folder(folder: Path, save: Any, name: str) -> None:
    recording = save(name, [DOG]).json()["recording"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([recording, f"{Path(recording).stem}.txt"])
    assert recording == Path(recording).name and not recording.startswith(".") and len(recording) < 150
    assert len(label_tracks.load(folder).clips) == 1


@pytest.mark.parametrize(
    ("segments", "detail"),
    [
        ("", "segments is missing"),
        ("[", "segments: "),
        ([{"start": 0, "end": 1}], "segments[0].label: "),
        ([DOG, {**DOG, "start": -1}], "segments[1].start: "),
        ([{**DOG, "end": 0.1}], "segments[0] ends at 0.1 s, but starts at 0.25 s"),
        ([{**DOG, "label": " \n"}], "segments[0].label is empty"),
        ([{**DOG, "label": "x" * 201}], "segments[0].label: "),
        ([{**DOG, "start": 2.0, "end": 3.0}], "starts at 2 s, but the recording ends at 2.000 s"),
        ('[{"start": NaN, "end": 1, "label": "a"}]', "segments[0].start: "),
        ([DOG] * 10_001, "segments: "),
    ],
)
def test_segments_that_make_no_sense_are_refused(folder: Path, save: Any, segments: Any, detail: str) -> None:
    response = save("a.wav", segments)
    assert detail in problem(response, 422) and response.json()["parameter"] == "segments"
    assert not list(folder.iterdir())


def test_what_is_no_recording_is_refused(server: tuple[Server, Path], folder: Path, save: Any, tmp_path: Path) -> None:
    url = f"{server[0].url}/v1/corrections"
    sent = {"data": {"segments": "[]"}, "timeout": 60}
    assert "not an audio" in problem(httpx.post(url, files={"file": ("a.wav", b"Dear diary")}, **sent), 415)
    long = write_wav(tmp_path / "long.wav", np.zeros(61 * 1000), 1000).read_bytes()
    assert "longer than 1 min" in problem(httpx.post(url, files={"file": ("long.wav", long)}, **sent), 413)
    assert "no parameter called 'segment'" in problem(save("a.wav", [], segment="1"), 422)
    assert "no model is called" in problem(save("a.wav", [], model="none"), 404)
    refused = httpx.post(url, headers={"Origin": "https://elsewhere.example"}, files={"file": ("a", b"")}, **sent)
    assert "elsewhere.example" in problem(refused, 403)
    assert not list(folder.iterdir())


def test_a_folder_that_vanishes_is_the_server_s_fault_and_is_not_named(folder: Path, save: Any, server: Any) -> None:
    url = f"{server[0].url}/v1/corrections"
    folder.rmdir()
    try:
        for refused in (save("a.wav", [DOG]), httpx.get(url)):
            assert problem(refused, 500) == "the server cannot use its folder for this: its log says why"
    finally:
        folder.mkdir()
    assert save("a.wav", [DOG]).status_code == 200


def test_a_full_disk_loses_nothing(folder: Path, save: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    save("a.wav", [DOG])
    before = {path: path.read_bytes() for path in folder.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corrections.shutil, "copyfile", full)
    assert "disk is full" in problem(save("b.wav", [DOG], hertz=600.0), 507)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_server_without_a_folder_says_so(tmp_path: Path) -> None:
    with serving(models=(SMALL,)) as server:
        for method in ("GET", "POST"):
            assert "stores no corrections" in problem(httpx.request(method, f"{server.url}/v1/corrections"), 404)
    (tmp_path / "file").write_text("")
    called = ainext("serve", "--corrections", tmp_path / "file", "--model", SMALL)
    assert called.code == 2 and str(tmp_path / "file") in called.complaints[-1]
    assert CorrectionsFolder(tmp_path / "empty").summary()["wanted"] == WANTED

"""`ainext teach`, and `audioinceptionnext.teach`: recordings in, a model file out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import audioinceptionnext as ain
from audioinceptionnext.audio import decode
from audioinceptionnext.models.load import read_model
from audioinceptionnext.teaching.examples import examples_in
from audioinceptionnext.teaching.others import FILE, NOISES, other_sounds
from audioinceptionnext.teaching.teach import is_taught
from tests.audio_files import write_wav
from tests.command import EXTRAS, RUN, WITHOUT, ainext, python, refused
from tests.taught_sounds import RATE, knocks, room, whistle

BASE = "kitchen20-small"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six whistles and six knocks, and one recording of the room."""
    root = tmp_path_factory.mktemp("sounds")
    for name, make in (("whistle", whistle), ("knock, knock", knocks)):
        (root / name).mkdir()
        for number in range(6):
            write_wav(root / name / f"{number}.wav", make(number), RATE)
    (root / "Nothing").mkdir()
    write_wav(root / "Nothing" / "room.wav", room(0, 21.0), RATE)
    return root


@pytest.fixture(scope="module")
def taught(sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, object]]]:
    out = tmp_path_factory.mktemp("taught") / "mine.onnx"
    done = ainext("teach", "--root", sounds, "--out", out, "--from", BASE, "--json")
    assert done.code == 0, done.err
    yield out, done.json


def test_a_taught_model_recognises_its_sounds_and_nothing_else(
    taught: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    out, said = taught
    assert (said["model"], said["clips"], said["classes"], said["left_out"]) == (str(out), 13, 3, [])
    assert said["top1"] == 100 and said["per_class"] == {"knock, knock": 100, "whistle": 100, "nothing": 100}
    assert 0 < said["seconds"] < 300  # type: ignore[operator]
    scene = np.concatenate([room(1, 5), whistle(9, 4), room(2, 5), knocks(9, 4), room(3, 5)])
    write_wav(tmp_path / "scene.wav", scene, RATE)
    (found,) = ainext("predict", tmp_path / "scene.wav", "--model", out, "--json").json
    assert [one["label"] for one in found["segments"]] == ["whistle", "knock, knock"]
    assert found["model"] == "mine" and {one["label"] for one in found["clip"]} == {"whistle", "knock, knock"}
    for start, segment in zip((5, 14), found["segments"], strict=True):
        assert segment["start"] == pytest.approx(start, abs=1.6) and segment["end"] == pytest.approx(start + 4, abs=1.6)


def test_every_model_that_was_taught_states_from_what(taught: tuple[Path, dict[str, object]]) -> None:
    info = json.loads(ain.load(taught[0]).metadata["info"])
    assert info["taught_from"] == BASE and info["clips"] == {"knock, knock": 6, "whistle": 6, "nothing": 1}
    assert info["measured"].startswith("top-1 100.0 %, cross-validated on the 13 clips")
    assert is_taught(taught[0])
    described = ainext("models", taught[0]).out
    assert f"taught from: {BASE}" in described and "measured: top-1 100.0 %" in described
    assert "2 labels:\nknock, knock\nwhistle" in described
    assert "no such file" in refused("models", taught[0].with_name("gone.onnx"))


def test_other_sounds_get_no_label(taught: tuple[Path, dict[str, object]]) -> None:
    """They were among the examples, but Opus and a fifth of the layer's folds do not know these very samples."""
    model = ain.load(taught[0])
    quiet = [not model.predict(sound).segments for sound in other_sounds(RATE)[::6]]
    assert np.mean(quiet) > 0.8


def test_sounds_are_taught_in_python_and_taught_again(sounds: Path, tmp_path: Path) -> None:
    """Arrays and files; the second model is taught on the features of the first."""
    first = ain.teach(
        {"whistle": [whistle(n) for n in range(4)], "nothing": sounds / "Nothing" / "room.wav"},
        tmp_path / "one.onnx",
        model=BASE,
    )
    assert (first.clips, first.top1, list(first.per_class)) == (5, 100, ["whistle", "nothing"])
    steps = []
    second = ain.teach(sounds, first.model, model=first.model, progress=lambda done, total: steps.append((done, total)))
    assert second.top1 == 100 and list(ain.load(second.model).labels) == ["knock, knock", "whistle"]
    assert steps[-1] == (13 + len(other_sounds(RATE)),) * 2


def test_what_cannot_be_used_is_left_out_with_a_line_each(sounds: Path, tmp_path: Path) -> None:
    root = tmp_path / "mixed"
    for name in ("whistle", "knock", "empty"):
        (root / name).mkdir(parents=True)
    for number in range(2):
        write_wav(root / "whistle" / f"{number}.wav", whistle(number), RATE)
        write_wav(root / "knock" / f"{number}.wav", knocks(number), RATE)
    (root / "whistle" / "broken.wav").write_bytes(b"RIFF and no more")
    write_wav(root / "knock" / "silent.wav", np.zeros(RATE, np.float32), RATE)
    done = ainext("teach", "--root", root, "--out", tmp_path / "mine.onnx", "--from", BASE, "--json")
    assert done.code == 1 and done.json["clips"] == 4 and len(done.json["left_out"]) == 2
    assert len(done.complaints) == 3 and all(line.startswith("ainext: warning: ") for line in done.complaints)
    assert any("silent.wav: digital silence" in line for line in done.complaints)
    assert any("empty: no recordings" in line for line in done.complaints)


def test_calls_that_cannot_work_end_with_one_line(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.onnx"
    one = tmp_path / "one"
    (one / "whistle").mkdir(parents=True)
    write_wav(one / "whistle" / "1.wav", whistle(0), RATE)
    assert "one class only, whistle" in refused("teach", "--root", one, "--out", out)
    (one / "knock").mkdir()
    write_wav(one / "knock" / "1.wav", knocks(0), RATE)
    write_wav(one / "knock" / "2.wav", knocks(1), RATE)
    assert "whistle: only one example" in refused("teach", "--root", one, "--out", out, "--from", BASE)
    assert "--root" in refused("teach", "--root", tmp_path / "gone", "--out", out)
    assert "did you mean everyday" in refused("teach", "--root", sounds, "--out", out, "--from", "everday")
    assert "must end in .onnx" in refused("teach", "--root", sounds, "--out", tmp_path / "mine.txt")
    assert "does not exist" in refused("teach", "--root", sounds, "--out", tmp_path / "no" / "mine.onnx")
    out.write_bytes(read_model(BASE).content)
    assert "--overwrite" in refused("teach", "--root", sounds, "--out", out, "--from", BASE)
    assert out.read_bytes() == read_model(BASE).content
    with pytest.raises(ain.AinextError, match="two classes or more"):
        ain.teach({"whistle": [whistle(0), whistle(1)]}, tmp_path / "x.onnx", model=BASE)


def test_teaching_needs_none_of_the_extras(sounds: Path, tmp_path: Path) -> None:
    code = WITHOUT.format(absent=EXTRAS) + RUN
    done = python("-c", code, "teach", "--root", sounds, "--out", tmp_path / "mine.onnx", "--from", BASE)
    assert done.code == 0, done.err
    assert "3 classes, taught from 13 clips on kitchen20-small" in done.out and "recognises 100.0 %" in done.out


def test_long_recordings_give_several_examples_of_one_source(sounds: Path) -> None:
    model = ain.load(BASE, threads=1)
    (long,) = [one for one in examples_in(sounds) if one.label == "Nothing"]
    assert long.features(model).shape == (4, int(model.metadata["features"]))  # 21 s


def test_folders_of_splits_hold_folders_of_classes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split / "knock").mkdir(parents=True)
        write_wav(tmp_path / split / "knock" / f"{split}.wav", knocks(0), RATE)
    assert [one.label for one in examples_in(tmp_path)] == ["knock"] * 2


def test_the_other_sounds_are_whole() -> None:
    """A browser cuts them out of the file by their length."""
    found = other_sounds(RATE)
    assert len(found) == 72 and {len(one) for one in found} == {round(2.4 * RATE)}
    assert all(one.std() > 1e-4 for one in found[:NOISES])
    assert len(decode.read(FILE, RATE)) == 72 * round(2.4 * RATE)

"""Recognition: long recordings give what one pass over them gives, and shipped models recognise what is there."""

from __future__ import annotations

import csv
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import audioinceptionnext as ain
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.inference import steps
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.results.thumbnail import MAX_COLUMNS, LogMelThumbnail
from tests.audio_files import kitchen, write_wav

EXAMPLES = Path(__file__).parents[1] / "examples"
RATE = 24_000


def in_one_pass(recogniser: Recogniser, waveform: np.ndarray) -> np.ndarray:
    (probabilities,) = recogniser._session.run(["probabilities"], {"waveform": waveform[None]})
    return probabilities[0]


@pytest.mark.parametrize("mode", ["dense", "windows"])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 2.08, 2.081, 9.0, 33.33, 61.7])
def test_blocks_give_what_one_pass_gives(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, mode: str, seconds: float
) -> None:
    monkeypatch.setitem(steps.BLOCK_FRAMES, "dense", 1000)  # many blocks
    monkeypatch.setitem(steps.BLOCK_FRAMES, "windows", 1000)
    recogniser, waveform = load(files[mode]), kitchen(seconds)
    result, whole = recogniser.predict(waveform), in_one_pass(recogniser, waveform)
    assert result.probabilities.shape == whole.shape
    np.testing.assert_allclose(result.probabilities, whole, atol=2e-3)
    assert result.duration == pytest.approx(seconds, abs=1e-4)
    frames = max(-(-len(waveform) // 120), min(1 + len(waveform) // 120, 416))
    assert result.log_mel is not None and len(result.log_mel) in (frames, -(-frames // 2))


def test_the_joints_of_blocks_hardly_matter_to_the_shipped_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(steps.BLOCK_FRAMES, "dense", 2000)
    recogniser, waveform = load(), kitchen(60)
    windows, timeline = recogniser._session.run(["probabilities", "timeline"], {"waveform": waveform[None]})
    result = recogniser.predict(waveform)
    assert np.abs(result.window_probabilities - windows[0]).max() < 0.02
    assert np.abs(result.probabilities - timeline[0]).max() < 0.02


def test_longer_steps_are_a_selection_of_the_steps(files: dict[str, Path]) -> None:
    waveform = kitchen(20)
    for mode in ("dense", "windows"):
        recogniser = load(files[mode])
        fine, coarse = recogniser.predict(waveform), recogniser.predict(waveform, step_seconds=0.48)
        assert (fine.step_seconds, coarse.step_seconds) == (pytest.approx(0.16), pytest.approx(0.48))
        np.testing.assert_allclose(coarse.probabilities[:30], fine.probabilities[::3][:30], atol=1e-3)
        with pytest.raises(ParameterError, match=rf"^step_seconds is 0\.1: {mode} has a step every 0\.16 s"):
            recogniser.predict(waveform, step_seconds=0.1)


@pytest.mark.parametrize(("file", "mode"), [("dense", None), ("windows", None), ("windows", "clips")])
def test_shorter_steps(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, file: str, mode: str) -> None:
    monkeypatch.setitem(steps.BLOCK_FRAMES, "dense", 1000)  # many blocks
    recogniser, waveform = load(files[file], mode=mode), kitchen(20)
    fine, coarse = recogniser.predict(waveform, step_seconds=0.08), recogniser.predict(waveform)
    assert (fine.step_seconds, coarse.step_seconds) == (pytest.approx(0.08), pytest.approx(0.16))
    assert len(fine.probabilities) in (2 * len(coarse.probabilities) - 1, 2 * len(coarse.probabilities))
    np.testing.assert_allclose(fine.probabilities[::2], coarse.probabilities, atol=2e-3)
    later = recogniser.predict(waveform[960 * 2 :])  # 80 ms
    inside = slice(20, -20)  # at its ends, a dense network sees the zeros beyond them
    shifted = fine.probabilities[1::2][: len(later.probabilities)]
    np.testing.assert_allclose(later.probabilities[: len(shifted)][inside], shifted[inside], atol=2e-3)


@pytest.mark.parametrize("file", ["dense", "windows"])
@pytest.mark.parametrize("seconds", [0.5, 2.08, 2.0801, 2.24, 7.777])
def test_each_clip_is_predicted_by_itself(files: dict[str, Path], file: str, seconds: float) -> None:
    recogniser, waveform = load(files[file], mode="clips"), kitchen(seconds)
    result = recogniser.predict(waveform, step_seconds=0.32)
    starts = range(0, max(1, len(waveform) - 49_920 + 7_680), 7_680)
    assert len(result.probabilities) == len(starts)
    one = load(files[file])
    for row, start in zip(result.probabilities, starts, strict=True):
        alone = one.predict(waveform[start : start + 49_919])
        np.testing.assert_allclose(row, alone.probabilities[0], atol=1e-5)
    assert result.log_mel is not None and abs(len(result.log_mel) - len(waveform) // 120) <= 1


def test_steps_longer_than_a_block_stay_at_their_times(files: dict[str, Path]) -> None:
    waveform = kitchen(23)
    for mode in (None, "clips"):
        recogniser = load(files["windows"], mode=mode)
        fine, coarse = recogniser.predict(waveform, step_seconds=0.16), recogniser.predict(waveform, step_seconds=10.4)
        assert len(coarse.probabilities) == 3
        np.testing.assert_allclose(coarse.probabilities, fine.probabilities[[0, 65, 130]], atol=1e-4)


def test_a_file_and_its_waveform_give_the_same(files: dict[str, Path], tmp_path: Path) -> None:
    waveform = kitchen(12)
    path = tmp_path / "a b é.wav"
    write_wav(path, waveform, RATE)
    seconds: list[float] = []
    from_file = load(files["dense"]).predict(path, progress=seconds.append)
    from_array = load(files["dense"]).predict(waveform)
    np.testing.assert_allclose(from_file.probabilities, from_array.probabilities, atol=0.02)  # 16-bit rounding
    assert seconds[-1] == pytest.approx(12) and from_file.file == str(path)


def test_an_array_that_is_not_a_waveform(files: dict[str, Path]) -> None:
    for wrong in (np.zeros((2, 100), np.float32), np.zeros(0, np.float32)):
        with pytest.raises(ParameterError, match=r"^recording: a waveform of shape"):
            load(files["dense"]).predict(wrong)


def test_digital_silence_gets_no_label() -> None:
    recogniser = load("kitchen20")
    assert not recogniser.predict(np.zeros(240, np.float32)).probabilities.any()
    waveform = kitchen(20)
    waveform[5 * RATE : 15 * RATE] = 0
    result = recogniser.predict(waveform, top_k=20)
    silent = ~result.window_probabilities.any(axis=1)
    centres = recogniser.window_seconds / 2 + 0.4 * np.arange(len(silent))
    steps = result.step_seconds * np.arange(len(result.probabilities))
    assert not result.probabilities[(steps > 5.1) & (steps < 14.8)].any()
    assert silent[(centres > 6.1) & (centres < 13.9)].all()  # windows that lie inside the silence
    assert not silent[(centres < 5.9) | (centres > 14.1)].any()
    assert sum(one.score for one in result.clip) == pytest.approx(1, abs=1e-3)  # silence does not count


def test_the_example_scene_is_recognised() -> None:
    """In the rendered kitchen scene, each sound has the most probable label for most of its time."""
    result = ain.load("kitchen20").predict(EXAMPLES / "kitchen-scene.flac")
    centres = result.window_seconds / 2 + result.step_seconds * np.arange(len(result.probabilities))
    with (EXAMPLES / "kitchen-scene.csv").open(newline="") as file:
        events = list(csv.DictReader(file))
    assert len(events) == 5
    for event in events:
        inside = (centres >= float(event["start"])) & (centres <= float(event["end"]))
        winners = result.probabilities[inside].argmax(axis=1)
        share = (winners == result.labels.index(event["label"])).mean()
        assert share > 0.5, f"{event['label']}: {share:.0%}"
        assert any(s.label == event["label"] for s in result.segments), event["label"]


def test_the_default_model_finds_the_sounds_of_its_scene() -> None:
    result = ain.load().predict(EXAMPLES / "everyday-scene.flac")
    with (EXAMPLES / "everyday-scene.csv").open(newline="") as file:
        events = list(csv.DictReader(file))
    assert len(events) == 5
    for event in events:
        during = [s.label for s in result.segments if s.start < float(event["end"]) and s.end > float(event["start"])]
        assert event["label"] in during


def test_thresholds_by_label_are_those_of_files_and_of_streams() -> None:
    model, waveform = ain.load("kitchen20-small"), kitchen(12)
    for low in (0.02, dict.fromkeys(model.labels, 0.02)):  # one for all, and the same for each
        found = model.predict(waveform, threshold=low).segments
        label = found[0].label
        without = [one for one in found if one.label != label]
        assert without and without != found
        assert model.predict(waveform, threshold=dict.fromkeys(model.labels, 0.02) | {label: 1.0}).segments == without
    live = ain.Stream(model, threshold=dict.fromkeys(model.labels, 0.02) | {label: 1.0})
    given = {one.label for step in live.push(waveform) + live.finish() for one in step.segments}
    assert given and label not in given
    for make in (model.predict, lambda sound, **options: ain.Stream(model, **options)):
        with pytest.raises(ParameterError, match="no label matches 'blnder'; did you mean blender"):
            make(waveform, threshold={"blnder": 0.5})


@pytest.mark.parametrize("sizes", [[100], [5000, 1, 3000, 9999], [777] * 60])
def test_a_thumbnail_keeps_the_order_and_the_mean(sizes: list[int]) -> None:
    frames = np.repeat(np.arange(sum(sizes), dtype=np.float32)[:, None], 4, axis=1)
    thumbnail, start = LogMelThumbnail(), 0
    for size in sizes:
        thumbnail.add(frames[start : start + size])
        start += size
    picture = thumbnail.picture()
    assert picture is not None and len(picture) <= 2 * MAX_COLUMNS
    assert (np.diff(picture[:, 0]) > 0).all()  # in order, nothing twice
    assert picture.mean() == pytest.approx(frames.mean(), rel=0.02)
    assert LogMelThumbnail().picture() is None


# --- As an object ---


def test_a_model_says_what_it_is(files: dict[str, Path]) -> None:
    assert repr(load("kitchen20")) == "<Recogniser 'kitchen20': 20 labels, 24000 Hz, dense, one step every 0.05 s>"
    clips = load(files["windows"], mode="clips")
    assert repr(clips) == "<Recogniser 'windows': 3 labels, 24000 Hz, clips, one step every 0.16 s>"


IN_ANOTHER_PROCESS = """
import pickle, sys
model, waveform = pickle.load(sys.stdin.buffer)
pickle.dump((repr(model), model.predict(waveform).probabilities), sys.stdout.buffer)
"""


@pytest.mark.parametrize("by", ["name", "file", "relative path", "folder"])
def test_a_loaded_model_pickles(
    files: dict[str, Path], by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fresh process in another folder, as with joblib, it predicts the same."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.onnx").write_bytes(files["dense"].read_bytes())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    model = {
        "name": lambda: load("digits", threads=1),
        "file": lambda: load(files["dense"], threads=1, mode="clips"),
        "relative path": lambda: load("own/model.onnx", threads=1),
        "folder": lambda: load(Path("own"), threads=1),
    }[by]()
    waveform = kitchen(5)
    expected = model.predict(waveform).probabilities
    here = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(here.predict(waveform).probabilities, expected)
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=pickle.dumps((model, waveform)),
        capture_output=True,
        cwd=tmp_path / "elsewhere",
        check=True,
    )
    text, probabilities = pickle.loads(done.stdout)
    assert text == repr(model)
    np.testing.assert_array_equal(probabilities, expected)


def test_a_shipped_name_pickles_as_that_name(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a folder has the same name."""
    expected = load("digits").labels
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "model.onnx").write_bytes(files["dense"].read_bytes())
    monkeypatch.chdir(tmp_path)
    assert pickle.loads(pickle.dumps(load("digits"))).labels == load("digits").labels == expected


def test_a_shipped_name_is_no_file(files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the file is named as a path."""
    expected = load("digits").labels
    (tmp_path / "digits").write_bytes(files["dense"].read_bytes())
    monkeypatch.chdir(tmp_path)
    assert load("digits").labels == expected
    for path in ("./digits", Path("digits"), tmp_path / "digits"):
        assert load(path).labels == load(files["dense"]).labels != expected


def test_a_model_made_from_bytes_does_not_pickle(files: dict[str, Path]) -> None:
    with pytest.raises(TypeError, match="was made from bytes"):
        pickle.dumps(Recogniser(files["dense"].read_bytes(), "dense.onnx"))

"""Long recordings are heard as if in one piece, and the shipped model hears what is there."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import audioinceptionnext as ain
from audioinceptionnext.inference import windows as module
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.models.load import load
from audioinceptionnext.results.thumbnail import MOST_COLUMNS, Overview
from tests.audio_files import write_wav
from tests.test_frontend import pink

EXAMPLES = Path(__file__).parents[1] / "examples"
RATE = 24_000


def kitchen(seconds: float) -> np.ndarray:
    """Changing sound: noise of changing loudness with tones that come and go."""
    samples = round(seconds * RATE)
    time = np.arange(samples) / RATE
    loudness = 0.3 + 0.7 * np.abs(np.sin(time * 0.7))
    tone = 0.2 * np.sin(2 * np.pi * 700 * time) * (np.sin(time * 1.3) > 0.4)
    return (pink(samples + samples % 2, RATE)[:samples] * loudness + tone).astype(np.float32)


def in_one_piece(recogniser: Recogniser, waveform: np.ndarray) -> np.ndarray:
    (logits,) = recogniser._session.run(["logits"], {"waveform": waveform[None]})
    return module.softmax(logits[0])


@pytest.mark.parametrize("run", ["dense", "windows"])
@pytest.mark.parametrize("seconds", [0.01, 1.0, 2.08, 2.081, 9.0, 33.33, 61.7])
def test_blocks_join_without_a_seam(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, run: str, seconds: float
) -> None:
    monkeypatch.setitem(module.BLOCK_FRAMES, "dense", 1000)  # many joins
    monkeypatch.setitem(module.BLOCK_FRAMES, "windows", 1000)
    recogniser, waveform = load(files[run]), kitchen(seconds)
    heard, whole = recogniser.predict(waveform), in_one_piece(recogniser, waveform)
    assert heard.probabilities.shape == whole.shape
    np.testing.assert_allclose(heard.probabilities, whole, atol=2e-3)
    assert heard.duration == pytest.approx(seconds, abs=1e-4)
    frames = max(-(-len(waveform) // 120), min(1 + len(waveform) // 120, 416))
    assert heard.log_mel is not None and len(heard.log_mel) in (frames, -(-frames // 2))


def test_the_shipped_models_joins_are_inaudible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.BLOCK_FRAMES, "dense", 2000)
    recogniser, waveform = load(), kitchen(60)
    difference = np.abs(recogniser.predict(waveform).probabilities - in_one_piece(recogniser, waveform))
    assert difference.max() < 0.02


def test_hop_takes_every_step_that_it_names(files: dict[str, Path]) -> None:
    waveform = kitchen(20)
    for run in ("dense", "windows"):
        recogniser = load(files[run])
        fine, coarse = recogniser.predict(waveform), recogniser.predict(waveform, hop=0.48)
        assert (fine.hop, coarse.hop) == (pytest.approx(0.16), pytest.approx(0.48))
        np.testing.assert_allclose(coarse.probabilities[:30], fine.probabilities[::3][:30], atol=1e-3)
        with pytest.raises(ain.AinextError, match=r"--hop 0\.1: dense|windows answers every 0\.16 s"):
            recogniser.predict(waveform, hop=0.1)


@pytest.mark.parametrize(("file", "run"), [("dense", None), ("windows", None), ("windows", "clips")])
def test_answers_in_between(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch, file: str, run: str) -> None:
    monkeypatch.setitem(module.BLOCK_FRAMES, "dense", 1000)  # many joins
    recogniser, waveform = load(files[file], run=run), kitchen(20)
    fine, coarse = recogniser.predict(waveform, hop=0.08), recogniser.predict(waveform)
    assert (fine.hop, coarse.hop) == (pytest.approx(0.08), pytest.approx(0.16))
    assert len(fine.probabilities) in (2 * len(coarse.probabilities) - 1, 2 * len(coarse.probabilities))
    np.testing.assert_allclose(fine.probabilities[::2], coarse.probabilities, atol=2e-3)
    later = recogniser.predict(waveform[960 * 2 :])  # 80 ms
    inside = slice(20, -20)  # a dense network hears the zeros beyond its ends
    shifted = fine.probabilities[1::2][: len(later.probabilities)]
    np.testing.assert_allclose(later.probabilities[: len(shifted)][inside], shifted[inside], atol=2e-3)


@pytest.mark.parametrize("file", ["dense", "windows"])
@pytest.mark.parametrize("seconds", [0.5, 2.08, 2.0801, 2.24, 7.777])
def test_clips_are_heard_each_by_itself(files: dict[str, Path], file: str, seconds: float) -> None:
    recogniser, waveform = load(files[file], run="clips"), kitchen(seconds)
    heard = recogniser.predict(waveform, hop=0.32)
    starts = range(0, max(1, len(waveform) - 49_920 + 7_680), 7_680)
    assert len(heard.probabilities) == len(starts)
    one = load(files[file])
    for row, start in zip(heard.probabilities, starts, strict=True):
        alone = one.predict(waveform[start : start + 49_919])
        np.testing.assert_allclose(row, alone.probabilities[0], atol=1e-5)
    assert heard.log_mel is not None and abs(len(heard.log_mel) - len(waveform) // 120) <= 1


def test_steps_longer_than_a_block_stay_in_their_place(files: dict[str, Path]) -> None:
    waveform = kitchen(23)
    for run in (None, "clips"):
        recogniser = load(files["windows"], run=run)
        fine, coarse = recogniser.predict(waveform, hop=0.16), recogniser.predict(waveform, hop=10.4)
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


def test_an_array_that_is_no_waveform(files: dict[str, Path]) -> None:
    for wrong in (np.zeros((2, 100), np.float32), np.zeros(0, np.float32)):
        with pytest.raises(ain.AinextError, match="waveform of shape"):
            load(files["dense"]).predict(wrong)


def test_digital_silence_gets_no_label() -> None:
    recogniser = load()
    assert not recogniser.predict(np.zeros(240, np.float32)).probabilities.any()
    waveform = kitchen(20)
    waveform[5 * RATE : 15 * RATE] = 0
    heard = recogniser.predict(waveform, top_k=20)
    silent = ~heard.probabilities.any(axis=1)
    centres = heard.window / 2 + heard.hop * np.arange(len(silent))
    assert silent[(centres > 6.1) & (centres < 13.9)].all()  # windows that lie inside the silence
    assert not silent[(centres < 5.9) | (centres > 14.1)].any()
    assert sum(one.score for one in heard.clip) == pytest.approx(1, abs=1e-3)  # silence is no evidence against it


def test_the_example_scene_is_recognised() -> None:
    """The rendered scene of `make demo`: each sound is the most probable one for most of its time."""
    heard = ain.load("kitchen20").predict(EXAMPLES / "kitchen-scene.flac")
    centres = heard.window / 2 + heard.hop * np.arange(len(heard.probabilities))
    with (EXAMPLES / "kitchen-scene.csv").open(newline="") as file:
        events = list(csv.DictReader(file))
    assert len(events) == 5
    for event in events:
        inside = (centres >= float(event["start"])) & (centres <= float(event["end"]))
        winners = heard.probabilities[inside].argmax(axis=1)
        share = (winners == heard.labels.index(event["label"])).mean()
        assert share > 0.5, f"{event['label']}: {share:.0%}"
        assert any(s.label == event["label"] for s in heard.segments), event["label"]


@pytest.mark.parametrize("sizes", [[100], [5000, 1, 3000, 9999], [777] * 60])
def test_an_overview_keeps_what_it_was_given(sizes: list[int]) -> None:
    frames = np.repeat(np.arange(sum(sizes), dtype=np.float32)[:, None], 4, axis=1)
    overview, start = Overview(), 0
    for size in sizes:
        overview.add(frames[start : start + size])
        start += size
    picture = overview.picture()
    assert picture is not None and len(picture) <= 2 * MOST_COLUMNS
    assert (np.diff(picture[:, 0]) > 0).all()  # in order, nothing twice
    assert picture.mean() == pytest.approx(frames.mean(), rel=0.02)
    assert Overview().picture() is None

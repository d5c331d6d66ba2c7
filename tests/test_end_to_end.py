"""``ainext benchmark --recording``: the figures of the way from a file to segments are consistent."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from audioinceptionnext.benchmark.subjects import Preparation, open_subjects, rendered_log_mels, settle
from audioinceptionnext.data.writing import write_wav
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel, save_model
from tests.audio_files import pink
from tests.command import ainext, refused
from tests.networks import by_librosa


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = create_model("tiny", 2, depths=(1, 1, 1, 1), clip_frames=104).eval()
    stored = StoredModel(net, ("cut", "pour"), mode="dense", info={"recipes": ["modern"]})
    settle(net, torch.from_numpy(rendered_log_mels(stored, 4))[:, None])
    path = tmp_path_factory.mktemp("end-to-end") / "model.safetensors"
    save_model(stored, path)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "r.wav"
    write_wav(path, pink(44_100 * 7, 44_100), 44_100)
    return path


def test_a_recording_from_file_to_segments(weights: Path, recording: Path) -> None:
    options = ("--threads", "1", "--hop", "0.08")
    outcome = ainext("benchmark", "--model", weights, "--recording", recording, *options, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["rows"] == [] and "round" not in outcome.err
    found = outcome.json["recording"]
    assert found["seconds"] == pytest.approx(7.0, abs=0.01) and found["step_seconds"] == 0.08
    assert found["steps"] == 1 + math.ceil((7.0 - 0.64) / 0.08)  # a clip of half a second covers four positions
    assert found["realtime_factor"] == pytest.approx(found["seconds"] / found["wall_s"], rel=1e-3)
    assert list(found["cpu_s"]) == list(found["share"]) == ["decoding", "resampling", "front end", "network", "rest"]
    assert sum(found["share"].values()) == pytest.approx(100, abs=0.1) and min(found["cpu_s"].values()) >= 0
    assert (
        found["cpu_s"]["network"] + found["cpu_s"]["front end"] > 0
    )  # the network's time is what the front end leaves of their sum
    published = found["published"]
    assert published["steps_timed"] == 1 + int((7.0 - 0.52) / 0.08)  # clips that fit
    assert published["wall_s"] == pytest.approx(
        found["steps"] * sum(published["ms_per_step"].values()) / 1000, rel=1e-3
    )
    assert published["ratio"] == pytest.approx(published["wall_s"] / found["wall_s"], rel=1e-3)


def test_the_front_end_is_that_of_the_model(weights: Path, tmp_path: Path) -> None:
    files = Preparation(tmp_path, open_subjects([str(weights)])).recording_files()
    waveform = pink(24_000 * 2, 24_000)
    (log_mel,) = ort.InferenceSession(files.front_end).run(["log_mel"], {"waveform": waveform[None]})
    assert np.abs(log_mel[0][:400] - by_librosa(waveform, 24_000, 10, 5)[:400]).max() < 2e-3
    (whole,) = ort.InferenceSession(files.model).run(["log_mel"], {"waveform": waveform[None]})
    np.testing.assert_array_equal(whole, log_mel)


def test_a_recording_that_cannot_be_decoded_is_reported(weights: Path, tmp_path: Path) -> None:
    assert "none.wav: no such file" in refused("benchmark", "--recording", tmp_path / "none.wav")
    assert "--recording" in refused("benchmark", "--hop", "0.1")
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF and nothing else")
    outcome = ainext("benchmark", "--model", weights, "--recording", broken, "--threads", "1")
    assert outcome.code == 1 and "broken.wav" in outcome.err and "Traceback" not in outcome.err

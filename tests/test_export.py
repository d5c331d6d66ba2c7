"""The ONNX file gives what the network gives, for any length, by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from audioinceptionnext.errors import AinextError
from audioinceptionnext.export import Exported, export_onnx
from audioinceptionnext.network import LogMel
from audioinceptionnext.network.published import describe, load_published
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.recogniser import load
from tests.conftest import LABELS
from tests.test_frontend import by_librosa, pink
from tests.test_network import REFERENCE, needs_reference

CLIP = 49_919


def run(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    return ort.InferenceSession(path).run(None, inputs)


def by_torch(model: StoredModel, waveform: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return LogMel()(torch.from_numpy(waveform))


@pytest.mark.parametrize("samples", [1, 240, 20_000, CLIP, CLIP + 1, CLIP + 2, 120_000])
def test_dense_equals_torch(model: StoredModel, files: dict[str, Path], samples: int) -> None:
    waveform = np.stack([pink(120_000, 24_000, seed)[:samples] for seed in range(2)])
    logits, log_mel = run(files["dense"], waveform=waveform)
    whole = by_torch(model, waveform)
    np.testing.assert_allclose(log_mel, whole[:, 0], atol=2e-3)
    heard = whole[:, :, : -(-samples // 120)]
    if heard.shape[2] < 416:  # short sound is heard whole and its last frame repeated
        heard = torch.cat([heard, heard[:, :, -1:].expand(-1, -1, 416 - heard.shape[2], -1)], dim=2)
    with torch.no_grad():
        expected = model.net.dense(heard)
    assert logits.shape == expected.shape
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=2e-3)


def test_one_clip_is_one_step_then_one_every_32_frames(files: dict[str, Path]) -> None:
    for name in ("dense", "windows"):
        for samples, steps in ((CLIP, 1), (CLIP + 1, 1), (CLIP + 3840, 2), (120_000, 20)):
            (logits, _) = run(files[name], waveform=np.zeros((1, samples), np.float32))
            assert logits.shape == (1, steps, 3), (name, samples)


def test_windows_are_clips_of_one_log_mel(model: StoredModel, files: dict[str, Path]) -> None:
    waveform = pink(120_000, 24_000)[None]
    whole = by_torch(model, waveform)
    for hop in (None, 32, 100):
        extra = {} if hop is None else {"hop": np.array(hop)}
        logits, _ = run(files["windows"], waveform=waveform, **extra)
        step = hop or 32
        starts = range(0, 1000 - 416 + step, step)
        assert logits.shape[1] == len(starts)
        for index, start in enumerate(starts):
            window = whole[:, :, start : min(start + 416, 1000)]
            window = torch.cat([window, window[:, :, -1:].expand(-1, -1, 416 - window.shape[2], -1)], dim=2)
            with torch.no_grad():
                np.testing.assert_allclose(logits[:, index], model.net(window), rtol=1e-3, atol=2e-3)


def test_log_mel_inside_is_librosas(files: dict[str, Path]) -> None:
    waveform = pink(60_000, 24_000)
    _, log_mel = run(files["dense"], waveform=waveform[None])
    assert np.abs(log_mel[0] - by_librosa(waveform, 24_000, 10, 5)).max() < 2e-3


def test_log_mel_input_gives_the_same(files: dict[str, Path]) -> None:
    waveform = pink(119_999, 24_000)[None]
    logits, log_mel = run(files["dense"], waveform=waveform)
    (alone,) = run(files["log-mel"], log_mel=log_mel)
    np.testing.assert_allclose(alone, logits, rtol=1e-4, atol=1e-4)


def test_half_the_weights_space_agrees(files: dict[str, Path]) -> None:
    waveform = pink(120_000, 24_000)[None]
    full, half = (run(files[name], waveform=waveform)[0] for name in ("dense", "half"))
    np.testing.assert_allclose(half, full, rtol=2e-2, atol=2e-2)
    assert files["half"].stat().st_size < files["dense"].stat().st_size


def test_the_file_needs_no_side_file(files: dict[str, Path]) -> None:
    facts = ort.InferenceSession(files["dense"]).get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == list(LABELS)
    assert (facts["sample_rate"], facts["clip_samples"], facts["run"]) == ("24000", str(CLIP), "dense")
    assert load(files["dense"]).labels == LABELS


def test_stored_weights_come_back(model: StoredModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m.safetensors")
    back = load_model(tmp_path / "m.safetensors")
    assert (back.labels, back.run, back.info, back.net.config) == (LABELS, "dense", model.info, model.net.config)
    for key, value in model.net.state_dict().items():
        assert torch.equal(back.net.state_dict()[key], value)
    damaged = tmp_path / "cut.safetensors"
    damaged.write_bytes((tmp_path / "m.safetensors").read_bytes()[:5000])
    with pytest.raises(AinextError, match=r"cut\.safetensors: not a safetensors file, or damaged"):
        load_model(damaged)


@needs_reference
@pytest.mark.parametrize("dataset", ["epic-sounds", "vgg-sound"])
def test_published_outputs_through_onnx_runtime(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REFERENCE))
    import seeded_checkpoint  # type: ignore[import-not-found]

    weights = {k: torch.from_numpy(np.asarray(v)) for k, v in seeded_checkpoint.state_dict(dataset, 0).items()}
    torch.save({"model_state": weights}, tmp_path / "official.pyth")
    stored = describe(load_published(tmp_path / "official.pyth"))
    path = export_onnx(stored, tmp_path / "official.onnx", takes="log-mel")
    inputs = seeded_checkpoint.inputs(dataset, 0)[:, 0]
    (logits,) = run(path, log_mel=inputs)
    published = json.loads((REFERENCE / "official-outputs.json").read_text())[f"{dataset}/0"]
    expected = np.array(published["logits"])
    assert logits.shape == (2, 1, expected.shape[1])
    assert np.abs(logits[:, 0] - expected).max() / np.abs(expected).max() < 1e-4


def test_a_temperature_divides_the_logits(model: StoredModel) -> None:
    sound = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 60_000)).astype(np.float32) * 0.1)
    with torch.no_grad():
        plain = Exported(model, "dense", "waveform")(sound)[0]
        warm = Exported(replace(model, temperature=2.5), "dense", "waveform")(sound)[0]
    torch.testing.assert_close(warm * 2.5, plain)

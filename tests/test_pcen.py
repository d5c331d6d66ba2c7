"""PCEN equals librosa's, is the same in every form of the network, and can be trained on like the log-mel."""

from __future__ import annotations

import json
from pathlib import Path

import librosa
import numpy as np
import onnxruntime as ort
import pytest
import torch

from audioinceptionnext.benchmark.subjects import settle
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.export.layout import time_last
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.inference import steps
from audioinceptionnext.models.load import load
from audioinceptionnext.network import AudioInceptionNeXt, LogMel, NetworkConfig, create_model, fold, matrix_products
from audioinceptionnext.network.pcen import BLOCK, PCEN, SCALE, TIME_CONSTANT
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.recipe import Recipe, as_yaml
from tests.audio_files import pink
from tests.command import ainext
from tests.networks import SHORT, by_librosa
from tests.small_sounds import NETWORK, quick

FRAMES = 1000 * TIME_CONSTANT / 5  # of the time constant, at a hop of 5 ms


def events(seconds: float, seed: int = 0) -> np.ndarray:
    """Tones and noise one after another, at levels up to 60 dB apart."""
    rng, parts, samples = np.random.default_rng(seed), [], 0
    while samples < 24_000 * seconds:
        time = np.arange(int(24_000 * rng.uniform(0.2, 2))) / 24_000
        wave = np.sin(2 * np.pi * 10 ** rng.uniform(2, 4) * time) + rng.uniform(0, 2) * rng.standard_normal(len(time))
        parts.append(0.3 * 10 ** rng.uniform(-3, 0) * wave)
        samples += len(time)
    return np.concatenate(parts)[: int(24_000 * seconds)].astype(np.float32)


def network(bands: int = 64, **changes: object) -> AudioInceptionNeXt:
    """A network with random weights, normalised and standardised as after training on PCEN."""
    torch.manual_seed(4)
    net = create_model("tiny", 3, bands=bands, scaling="pcen", **(SHORT | changes))
    scale, net.scale = net.scale, torch.nn.Identity()
    front = LogMel(bands=bands)
    with torch.no_grad():
        settle(net, scale(front(torch.from_numpy(events(16).reshape(8, -1)))))
    net.scale = scale
    return net.eval()


@pytest.fixture(scope="module")
def stored() -> StoredModel:
    return StoredModel(network(), ("a", "b", "c"), mode="dense", info={"recipes": [{}]})


@pytest.fixture(scope="module")
def files(stored: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model as two ONNX files, dense and windows."""
    folder = tmp_path_factory.mktemp("pcen")
    return {mode: export_onnx(stored, folder / f"{mode}.onnx", mode=mode) for mode in ("dense", "windows")}  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "window_ms", "hop_ms", "bands"), [(24_000, 10, 5, 128), (16_000, 25, 10, 64)])
def test_equals_librosa(rate: int, window_ms: float, hop_ms: float, bands: int) -> None:
    """With librosa's constants and the scale that it advises. With M[-1] = E[0], all frames are equal."""
    waveform = pink(5 * rate, rate)
    hop = round(rate * hop_ms / 1000)
    energy = np.exp(by_librosa(waveform.astype(np.float64), rate, window_ms, hop_ms, bands)).T * SCALE
    frames = TIME_CONSTANT * rate / hop
    b = (np.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)
    expected = librosa.pcen(energy, sr=rate, hop_length=hop, zi=(1 - b) * energy[:, :1])
    found = PCEN(frames)(LogMel(rate, window_ms, hop_ms, bands)(torch.from_numpy(waveform)[None]))
    assert expected.max() > 2  # the click
    np.testing.assert_allclose(found[0, 0], expected.T, rtol=0, atol=1e-4)


@pytest.mark.parametrize("frames", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3000])
def test_running_mean_is_the_recursion(frames: int) -> None:
    """Over twelve decades, up to float32 rounding, also long after a loud sound."""
    pcen = PCEN(FRAMES)
    energy = torch.exp(torch.empty(2, 1, frames, 5).uniform_(-14, 0, generator=torch.Generator().manual_seed(0)))
    energy[:, :, :3] = 1e6
    mean, expected = energy[:, :, 0].double(), []
    for frame in energy.double().unbind(2):
        mean = (1 - pcen.b) * mean + pcen.b * frame
        expected.append(mean)
    torch.testing.assert_close(pcen.running_mean(energy).double(), torch.stack(expected, 2), rtol=1e-5, atol=0)


def test_steady_sound_is_equally_loud_at_any_level_and_onsets_are_bounded() -> None:
    pcen = PCEN(FRAMES)
    levels = [float(pcen(torch.full((1, 1, 500, 1), level))[0, 0, -1, 0]) for level in (-8.0, 0.0, 8.0)]
    assert max(levels) - min(levels) < 0.15
    onset = torch.full((1, 1, 500, 1), -13.8)
    onset[:, :, 250:] = 8.0
    out = pcen(onset)[0, 0, :, 0]
    assert out.argmax() == 250 and 5 < out[250] < 12 and torch.allclose(out[:250], out[:1].expand(250))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_change_it(dtype: torch.dtype) -> None:
    x = LogMel()(torch.from_numpy(events(2))[None])
    with torch.autocast("cpu", dtype):
        found = PCEN(FRAMES)(x)
    assert found.dtype == torch.float32 and torch.equal(found, PCEN(FRAMES)(x))


def test_silence_and_full_scale_are_finite(stored: StoredModel, files: dict[str, Path]) -> None:
    """At any length; and in a file, which gives no label to digital silence."""
    square = np.sign(np.sin(np.arange(72_000) * 0.2)).astype(np.float32)
    silence = np.zeros_like(square)
    model, front, pcen = load(files["dense"]), stored.front_end(), PCEN(FRAMES)
    for waveform in (square, silence, np.concatenate([square[:500], silence]), -np.ones_like(square), square[:1]):
        out = pcen(front(torch.from_numpy(waveform)[None]))
        assert torch.isfinite(out).all() and out.min() >= 0
        assert np.isfinite(model.predict(waveform).probabilities).all()
    still = pcen(front(torch.from_numpy(silence)[None]))
    torch.testing.assert_close(still, still[:1, :1, :1, :1].expand_as(still))
    assert not model.predict(silence).probabilities.any() and model.predict(square).probabilities.any()
    # The log-mel of another front end may have no floor.
    assert torch.equal(pcen(torch.full((1, 1, 9, 2), -torch.inf)), torch.zeros(1, 1, 9, 2))


@pytest.mark.parametrize("changes", [{}, {"activation": True}, {"order": "both"}])
def test_folding_and_time_last_keep_the_network(changes: dict[str, object]) -> None:
    net, x = network(**changes), LogMel(bands=64)(torch.from_numpy(events(2 * 2.6)).view(2, -1))
    with torch.no_grad():
        expected = net.dense(x)
        torch.testing.assert_close(fold(net).dense(x), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(time_last(fold(net)).dense(x), expected, rtol=1e-4, atol=1e-4)
        net.scale = torch.nn.Identity()
        assert not torch.allclose(net.dense(x), expected, atol=0.1)


def test_matrix_products_are_the_same_network() -> None:
    net, x = network().double().train(), LogMel(bands=64)(torch.from_numpy(events(3 * 2.08)).view(3, -1)).double()
    torch.testing.assert_close(matrix_products.features(net, x, torch.float64), net.features(x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["dense", "windows"])
def test_a_file_gives_what_torch_gives(stored: StoredModel, files: dict[str, Path], mode: str) -> None:
    session, front = ort.InferenceSession(files[mode]), stored.front_end()
    for samples in (1, 20_000, 49_919, 49_919 + 7 * 3840, 240_000):
        waveform = torch.from_numpy(events(10)[None, :samples])
        logits = session.run(["logits"], {"waveform": waveform.numpy()})[0]
        last = max(-(-samples // 120), min(1 + samples // 120, 416)) - 1
        with torch.no_grad():
            log_mel = front(waveform)[:, :, torch.arange(max(416, last + 1)).clamp(max=last)]
            if mode == "dense":
                expected = stored.net.dense(log_mel)[0]
            else:
                place = torch.arange(logits.shape[1])[:, None] * 32 + torch.arange(416)
                expected = stored.net(log_mel[0, :, place.clamp(max=last)].transpose(0, 1))
        np.testing.assert_allclose(logits[0], expected, rtol=1e-3, atol=3e-3)


def test_16_and_8_bits_do_not_change_pcen(stored: StoredModel, files: dict[str, Path], tmp_path: Path) -> None:
    half = export_onnx(stored, tmp_path / "half.onnx", precision="float16")
    clips = [events(3, seed) for seed in range(8)]
    int8 = export_onnx(stored, tmp_path / "int8.onnx", precision="int8", calibration=clips)
    full, *others = (load(file).predict(events(4, 9)).probabilities for file in (files["dense"], half, int8))
    assert np.abs(others[0] - full).max() < 0.02 and np.abs(others[1] - full).mean() < 0.1


@pytest.mark.parametrize(("time_constant", "tolerance"), [(40, 1e-4), (80, 5e-3)], ids=["10 ms", "5 ms"])
def test_blocks_join_as_one_pass(time_constant: float, tolerance: float) -> None:
    """The memory of the running mean fades within the margin that neighbouring blocks share.

    At a hop of 10 ms the margin is 20 time constants, and it fades completely. At 5 ms it is 10 of them, and a trace of
    level steps of 60 dB remains.
    """
    net = fold(network(time_constant=time_constant))
    x = LogMel(bands=64)(torch.from_numpy(events(24))[None])
    margin = steps.MARGIN_FRAMES["dense"] // 32
    with torch.no_grad():
        whole = net.dense(x)[0].softmax(1)
        assert whole.std(dim=0).min() > 0.1
        for first in range(margin, len(whole) - 10 - margin, 10):
            start, end = 32 * (first - margin), 32 * (first + 10 + margin) + 416
            block = net.dense(x[:, :, start:end])[0].softmax(1)[margin : margin + 10]
            torch.testing.assert_close(block, whole[first : first + 10], rtol=0, atol=tolerance)


def test_training_with_it(root: Path, tmp_path: Path) -> None:
    """Set in the recipe, as the study does: the model learns, keeps its time constant, and predicts."""
    (tmp_path / "mine.yaml").write_text(as_yaml(quick(epochs=8, precision="bf16", crops="0.64,0.96", hop_ms=10)))
    trained = ainext(
        *("train", "--data", "kitchen20", "--root", root, "--train-folds", 1, "--out", tmp_path / "run"),
        *("--recipe", tmp_path / "mine.yaml", "--threads", 1),
        *("--set", "network_settings={scaling: pcen, depths: [1, 1, 1, 1], widths: [8, 8, 16, 16]}"),
    )
    assert trained.code == 0, trained.err
    model = load_model(tmp_path / "run" / "model.safetensors")
    config = model.net.config
    assert isinstance(config, NetworkConfig) and (config.scaling, config.time_constant) == ("pcen", 40)
    assert 0 < float(model.net.mean) < 2 and 0.1 < float(model.net.std) < 2  # of PCEN: the mean of a log-mel is below 0
    assert json.loads((tmp_path / "run" / "figures.json").read_text())["top1"] >= 80
    predicted = ainext("predict", root / "audio" / "21.wav", "--model", tmp_path / "run" / "model.onnx", "--json")
    assert predicted.json[0]["clip"][0]["label"] == "whistle"


def test_training_keeps_the_time_constant_of_the_weights(tmp_path: Path) -> None:
    """In seconds: also from another hop, and if a recipe sets another one."""
    model = build_initial_model(
        ("a", "b"), quick(hop_ms=10, network_settings=NETWORK | {"scaling": "pcen", "time_constant": 20})
    )
    assert isinstance(model.net.config, NetworkConfig) and model.net.config.time_constant == 20  # 0.2 s
    save_model(model, tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").net.config == model.net.config
    again = build_initial_model(("a", "b"), Recipe(hop_ms=5), str(tmp_path / "m.safetensors"))
    assert isinstance(again.net.config, NetworkConfig) and again.net.config.time_constant == 40
    assert isinstance(again.net.scale, PCEN)


def test_older_files_use_the_log_mel() -> None:
    config = create_model("tiny", 2).config
    values = config.as_dict()
    del values["scaling"], values["time_constant"]
    assert NetworkConfig.from_dict(values) == config and config.scaling == "log"


@pytest.mark.parametrize(
    ("network", "settings", "text"),
    [
        ("tiny", {"scaling": "pcem"}, "scaling is pcem: choose from log, pcen"),
        ("tiny", {"scaling": "pcen", "time_constant": 0}, "time_constant is 0: give a number of frames, at least 1"),
        ("cnn", {"scaling": "pcen"}, "scaling: this network has no such setting; choose from num_classes, widths, "),
    ],
)
def test_wrong_settings_are_named(network: str, settings: dict[str, object], text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        build_initial_model(("a", "b"), quick(network=network, network_settings=settings))
    assert text in str(caught.value) and "\n" not in str(caught.value)

"""The ONNX file gives what the network gives, for any length, and needs no other file."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from scipy.special import expit, softmax

from audioinceptionnext.errors import ModelError
from audioinceptionnext.export.layout import _swapped, time_last
from audioinceptionnext.export.onnx import Exported, export_onnx, recalibrate_onnx
from audioinceptionnext.export.quantise import convert_precision
from audioinceptionnext.inference import steps as module
from audioinceptionnext.models.load import load
from audioinceptionnext.network import LogMel, create_model
from audioinceptionnext.network.published import load_published, published_model
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.training.batch_transform import crop
from audioinceptionnext.training.initial_model import build_initial_model, open_weights
from audioinceptionnext.training.recipe import Recipe
from tests import exports
from tests.audio_files import pink
from tests.networks import LABELS, PUBLISHED, REFERENCE, by_librosa, seeded, with_statistics

CLIP = 49_919


def run(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    """Logits, and the log-mel if the file takes a waveform."""
    session = ort.InferenceSession(path)
    given = [output.name for output in session.get_outputs()]
    return session.run([name for name in ("logits", "log_mel") if name in given], inputs)


def by_torch(model: StoredModel, waveform: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return LogMel()(torch.from_numpy(waveform))


@pytest.mark.parametrize("samples", [1, 239, 240, 241, 20_000, 24_000, CLIP - 119, CLIP, CLIP + 1, CLIP + 2, 120_000])
def test_dense_equals_torch(model: StoredModel, files: dict[str, Path], samples: int) -> None:
    """Up to a clip as in training, which includes the frame centred on the end of whole hops."""
    waveform = np.stack([pink(120_000, 24_000, seed)[:samples] for seed in range(2)])
    logits, log_mel = run(files["dense"], waveform=waveform)
    whole = by_torch(model, waveform)
    np.testing.assert_allclose(log_mel, whole[:, 0], rtol=0, atol=2e-6)
    frames = whole[:, :, : -(-samples // 120)]
    if samples <= CLIP:
        frames = crop(LogMel(), torch.from_numpy(waveform), torch.full((2,), samples), 2.08, random=False)
    with torch.no_grad():
        expected = model.net.dense(frames)
    assert logits.shape == expected.shape
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=2e-3)
    if samples <= CLIP:
        by_windows, _ = run(files["windows"], waveform=waveform)
        np.testing.assert_allclose(by_windows, logits, rtol=1e-3, atol=2e-3)


def test_taps_that_are_zero_are_cut_off(model: StoredModel) -> None:
    model = replace(model, net=copy.deepcopy(model.net))
    log_mel = torch.randn(1, 1, 512, model.net.config.bands)
    longest = max(model.net.config.kernels)
    with torch.no_grad():
        for module in model.net.modules():
            if isinstance(module, torch.nn.Conv2d) and module.kernel_size[0] == longest:
                module.weight[:, :, [0, 1, -2, -1]] = 0
        folded = model.folded()
        swapped = time_last(folded)
        assert torch.allclose(swapped(log_mel), folded(log_mel), atol=1e-4)
    widths = {conv.kernel_size[1] for conv in swapped.modules() if isinstance(conv, torch.nn.Conv2d)}
    assert longest - 4 in widths and longest not in widths


def test_a_recalibrated_file_is_a_new_export(model: StoredModel, files: dict[str, Path], tmp_path: Path) -> None:
    path, waveform = tmp_path / "m.onnx", pink(120_000, 24_000)[None]
    before = replace(model, temperature=0.5, thresholds=(0.2, 0.3, 0.4), multi_label=True)
    export_onnx(before, path)
    for changes in ({"temperature": 3.0, "thresholds": (0.5, 0.6, 0.7)}, {"temperature": 1.0, "thresholds": None}):
        after = replace(before, **changes)
        recalibrate_onnx(path, after)
        new = export_onnx(after, tmp_path / "new" / "m.onnx")
        found, expected = (ort.InferenceSession(file) for file in (path, new))
        for one, other in zip(*(s.run(None, {"waveform": waveform}) for s in (found, expected)), strict=True):
            np.testing.assert_array_equal(one, other)
        metadata = found.get_modelmeta().custom_metadata_map
        assert metadata == expected.get_modelmeta().custom_metadata_map
        assert ("thresholds" in metadata) == (after.thresholds is not None)
    for precision in ("float16", "bf16"):
        convert_precision(files["dense"], path, precision)
        written = path.read_bytes()
        with pytest.raises(ModelError, match="float32 files only"):
            recalibrate_onnx(path, model)
        assert path.read_bytes() == written


@pytest.mark.parametrize(("taps", "left"), [(2, 2), (4, 2), (5, 1)])
def test_a_kernel_of_zeros_keeps_a_tap(taps: int, left: int) -> None:
    conv = torch.nn.Conv2d(1, 1, (taps, 3))
    torch.nn.init.zeros_(conv.weight)
    assert _swapped(conv, bins=8).kernel_size == (3, left)


def test_a_file_of_shorter_kernels_states_a_smaller_margin(
    model: StoredModel, files: dict[str, Path], tmp_path: Path
) -> None:
    """With it, the blocks of a long recording join as they do with the usual one."""
    assert "margin_frames" not in load(files["windows"]).metadata
    torch.manual_seed(0)
    net = with_statistics(create_model("tiny", len(LABELS), kernels=(3, 5)))
    waveform = pink(40 * 24_000, 24_000) * np.repeat(np.linspace(0, 1, 16) ** 2, 60_000).astype(np.float32)
    with torch.no_grad():  # what hardly changes in a network that learnt nothing
        log_mel = LogMel()(torch.from_numpy(waveform)[None])
        net.classifier.weight.mul_(1000)
        net.classifier.bias.copy_(-net.dense(log_mel)[0].mean(0))
    short = load(export_onnx(replace(model, net=net), tmp_path / "short.onnx"))
    found = short.predict(waveform).probabilities
    predictor = short._predictor
    assert 0 < predictor.margin_frames == int(short.metadata["margin_frames"]) < module.MARGIN_FRAMES["dense"]
    predictor.margin_frames = module.MARGIN_FRAMES["dense"]
    whole = short.predict(waveform).probabilities
    assert whole.std(axis=0).min() > 0.01
    np.testing.assert_allclose(found, whole, atol=2e-3)


def test_one_clip_is_one_step_then_one_every_32_frames(files: dict[str, Path]) -> None:
    for name in ("dense", "windows"):
        for samples, steps in ((CLIP, 1), (CLIP + 1, 1), (CLIP + 3840, 2), (120_000, 20)):
            (logits, _) = run(files[name], waveform=np.zeros((1, samples), np.float32))
            assert logits.shape == (1, steps, 3), (name, samples)


def test_windows_are_clips_of_one_log_mel(model: StoredModel, files: dict[str, Path]) -> None:
    waveform = pink(120_000, 24_000)[None]
    whole = by_torch(model, waveform)
    logits, _ = run(files["windows"], waveform=waveform)
    starts = range(0, 1000 - 416 + 32, 32)
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


def test_the_front_end_is_kept_as_formulas(files: dict[str, Path], model: StoredModel, tmp_path: Path) -> None:
    """Its tables would be 2.5 MB at this window. Nothing in the file may come near that."""
    longer = export_onnx(replace(model, window_ms=25, hop_ms=10), tmp_path / "longer.onnx")
    for path in (files["dense"], files["windows"], longer):
        graph = onnx.load(path).graph
        own = [tensor for tensor in graph.initializer if not tensor.name.startswith("net.")]
        assert own and sum(len(tensor.SerializeToString()) for tensor in own) < 16_000
        assert {node.domain for node in graph.node} == {""}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredModel, dict[str, Path]]:
    """A model with a shorter transform, 64 bands and clips of 208 frames, which are 6.5 steps of 32, as two files."""
    torch.manual_seed(2)
    settings = {"depths": (1, 1, 1, 1)}
    recipe = Recipe(network="tiny", bands=64, window_ms=25, hop_ms=10, n_fft=1024, network_settings=settings)
    model = build_initial_model(LABELS, recipe)
    model.net = with_statistics(model.net)
    model.net.classifier.weight.data.mul_(30)
    folder = tmp_path_factory.mktemp("other")
    return model, {mode: export_onnx(model, folder / f"{mode}.onnx", mode=mode) for mode in ("dense", "windows")}


def test_the_front_end_travels_with_the_model(other: tuple[StoredModel, dict[str, Path]], tmp_path: Path) -> None:
    model, files = other
    assert (model.net.config.bands, model.front_end().bands, model.net.config.clip_frames) == (64, 64, 208)
    save_model(model, tmp_path / "m.safetensors")
    again = build_initial_model(("a", "b"), Recipe(), str(tmp_path / "m.safetensors"))
    front = again.front_end()
    assert (front.bands, front.n_fft, again.hop_ms, again.net.config.clip_frames) == (64, 1024, 10, 208)
    assert build_initial_model(("a", "b"), Recipe(n_fft=2048), str(tmp_path / "m.safetensors")).n_fft == 2048
    assert open_weights("digits").n_fft == 2048  # stored before there was this setting
    waveform = pink(60_000, 24_000)
    for path in files.values():
        assert ort.InferenceSession(path).get_modelmeta().custom_metadata_map["n_fft"] == "1024"
        _, log_mel = run(path, waveform=waveform[None])
        assert np.abs(log_mel[0] - by_librosa(waveform, 24_000, 25, 10, 64, 1024)).max() < 1e-4
    result = load(files["dense"]).predict(waveform)
    assert result.log_mel is not None and result.log_mel.shape[1] == 64
    assert (result.step_seconds, result.window_seconds) == (pytest.approx(0.32), pytest.approx(2.08))
    result.plot(tmp_path / "p.png")


@pytest.mark.parametrize("mode", ["dense", "windows"])
def test_a_clip_with_a_fraction_of_a_step(
    other: tuple[StoredModel, dict[str, Path]], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recogniser expects this number of steps; they are the network's, and blocks join without a seam."""
    model, files = other
    monkeypatch.setitem(module.BLOCK_FRAMES, mode, 500)
    recogniser, waveform = load(files[mode]), pink(24_000 * 20, 24_000)
    front = model.front_end()
    for frames in (3, 208, 209, 224, 225, 240, 241, 500, 2000):
        part = waveform[: 240 * frames - 1]
        logits, _ = run(files[mode], waveform=part[None])
        result = recogniser.predict(part)
        assert result.probabilities.shape == logits[0].shape
        np.testing.assert_allclose(result.probabilities, softmax(logits[0], axis=1), atol=2e-3)
        if mode == "windows":
            assert len(logits[0]) == 1 + max(0, -(-(frames - 208) // 32))
            continue
        place = torch.arange(max(frames, 208)).clamp(max=frames - 1)
        with torch.no_grad():
            expected = model.net.dense(front(torch.from_numpy(part)[None])[:, :, place])
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["dense", "windows", "half", "int8"])
def test_features_are_what_the_linear_layer_reads(
    model: StoredModel, files: dict[str, Path], name: str, tmp_path: Path
) -> None:
    """Step for step; and the file states the number of channels."""
    path = files.get(name) or tmp_path / "int8.onnx"
    if name == "int8":
        export_onnx(model, path, precision="int8", calibration=[pink(60_000, 24_000, seed) for seed in range(2)])
    session = ort.InferenceSession(path)
    layer = model.net.classifier
    weight, bias = (values.detach().numpy() for values in (layer.weight, layer.bias))
    for samples in (1000, CLIP, 120_000):
        inputs = {"waveform": pink(120_000, 24_000)[None, :samples]}
        logits, features = session.run(["logits", "features"], inputs)
        assert features.shape == (*logits.shape[:2], 128) and features.dtype == np.float32
        tolerance = 2e-2 if name == "half" else 1e-4  # its linear layer is stored as float16 too
        np.testing.assert_allclose(features @ weight.T + bias, logits, rtol=tolerance, atol=tolerance)
    assert session.get_modelmeta().custom_metadata_map["features"] == "128"


def test_log_mel_input_gives_the_same(files: dict[str, Path]) -> None:
    waveform = pink(119_999, 24_000)[None]
    logits, log_mel = run(files["dense"], waveform=waveform)
    (alone,) = run(files["log-mel"], log_mel=log_mel)
    np.testing.assert_allclose(alone, logits, rtol=1e-4, atol=1e-4)


def test_weights_in_half_the_space_agree(files: dict[str, Path]) -> None:
    waveform = pink(120_000, 24_000)[None]
    full, half = (run(files[name], waveform=waveform)[0] for name in ("dense", "half"))
    np.testing.assert_allclose(half, full, rtol=2e-2, atol=2e-2)
    assert files["half"].stat().st_size < files["dense"].stat().st_size


def test_the_file_needs_no_side_file(files: dict[str, Path]) -> None:
    metadata = ort.InferenceSession(files["dense"]).get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == list(LABELS)
    assert (metadata["sample_rate"], metadata["clip_samples"], metadata["mode"]) == ("24000", str(CLIP), "dense")
    assert load(files["dense"]).labels == LABELS


def test_stored_weights_come_back(model: StoredModel, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m.safetensors")
    back = load_model(tmp_path / "m.safetensors")
    assert (back.labels, back.mode, back.info, back.net.config) == (LABELS, "dense", model.info, model.net.config)
    for key, value in model.net.state_dict().items():
        assert torch.equal(back.net.state_dict()[key], value)
    damaged = tmp_path / "cut.safetensors"
    damaged.write_bytes((tmp_path / "m.safetensors").read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"cut\.safetensors: not a safetensors file, or damaged"):
        load_model(damaged)


@pytest.mark.needs("reference")
@pytest.mark.parametrize("dataset", ["epic-sounds", "vgg-sound"])
def test_published_outputs_through_onnx_runtime(dataset: str, tmp_path: Path) -> None:
    weights, x = seeded(dataset, 0)
    torch.save({"model_state": weights, "cfg": PUBLISHED}, tmp_path / "official.pyth")
    stored = published_model(load_published(tmp_path / "official.pyth"))
    path = export_onnx(stored, tmp_path / "official.onnx", input="log-mel")
    (logits,) = run(path, log_mel=x[:, 0].numpy())
    published = json.loads((REFERENCE / "official-outputs.json").read_text())[f"{dataset}/0"]
    expected = np.array(published["logits"])
    assert logits.shape == (2, 1, expected.shape[1])
    assert np.abs(logits[:, 0] - expected).max() / np.abs(expected).max() < 1e-4


def test_a_temperature_divides_the_logits(model: StoredModel) -> None:
    waveform = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 60_000)).astype(np.float32) * 0.1)
    with torch.no_grad():
        _, plain, *_ = Exported(model, "dense", "waveform")(waveform)
        probabilities, warm, *_ = Exported(replace(model, temperature=2.5), "dense", "waveform")(waveform)
    torch.testing.assert_close(warm * 2.5, plain)
    torch.testing.assert_close(probabilities, warm.softmax(2))


def test_a_multi_label_model_applies_the_sigmoid(model: StoredModel, tmp_path: Path) -> None:
    """To each logit by itself; digital silence still has no label. From the weights to the file to the results."""
    save_model(replace(model, multi_label=True), tmp_path / "own.safetensors")
    path = export_onnx(load_model(tmp_path / "own.safetensors"), tmp_path / "own.onnx")
    waveform = np.concatenate([np.zeros(120_000, np.float32), pink(120_000, 24_000)])
    probabilities, logits = ort.InferenceSession(path).run(["probabilities", "logits"], {"waveform": waveform[None]})
    silent = ~probabilities[0].any(axis=1)
    assert silent[:18].all() and not silent[-18:].any()
    np.testing.assert_allclose(probabilities[0, ~silent], expit(logits[0, ~silent]), atol=1e-6)
    recogniser = load(path)
    assert recogniser.multi_label and not load("kitchen20").multi_label
    result = recogniser.predict(waveform, top_k=3)
    scores = {one["label"]: one["score"] for one in result.as_dict()["clip"]}
    expected = dict(zip(recogniser.labels, probabilities[0, ~silent].mean(axis=0), strict=True))
    assert scores == pytest.approx(expected, abs=2e-3)


def test_a_file_of_another_version_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    older = onnx.load(files["dense"])
    (format,) = (entry for entry in older.metadata_props if entry.key == "format")
    format.value = "audioinceptionnext/1"
    onnx.save(older, tmp_path / "older.onnx")
    with pytest.raises(ModelError, match=r"older\.onnx: was exported by another version; export it again with"):
        load(tmp_path / "older.onnx")


def test_thresholds_travel_with_the_model(model: StoredModel, tmp_path: Path) -> None:
    """From the weights to the file to the segments, unless the caller gives settings."""
    waveform = pink(24_000 * 3, 24_000)
    save_model(model, tmp_path / "plain.safetensors")
    plain = load(export_onnx(load_model(tmp_path / "plain.safetensors"), tmp_path / "plain.onnx"))
    likely = plain.predict(waveform).probabilities.max()
    thresholds = (float(likely) / 2,) * len(model.labels)
    save_model(replace(model, thresholds=thresholds), tmp_path / "own.safetensors")
    own = load(export_onnx(load_model(tmp_path / "own.safetensors"), tmp_path / "own.onnx"))
    assert plain.thresholds == () and own.thresholds == thresholds
    assert own.predict(waveform).segments
    assert not own.predict(waveform, settings=SegmentationSettings(min(1.0, 2 * float(likely)), 0.01)).segments


def test_a_remembered_graph_gives_the_file_of_a_fresh_one(
    model: StoredModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most exports of the tests are of networks whose structure was exported before (see tests/exports.py)."""
    torch.manual_seed(2)
    other = replace(model, net=with_statistics(create_model("tiny", 3, depths=(1, 1, 1, 1)), seed=3), temperature=1.7)
    fresh, remembered = tmp_path / "fresh.onnx", tmp_path / "remembered.onnx"
    export_onnx(model, tmp_path / "first.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(exports, "export", None)
        export_onnx(other, remembered)
    monkeypatch.setattr("torch.onnx.export", exports.export)
    export_onnx(other, fresh)
    nodes = [[node.op_type for node in onnx.load(path).graph.node] for path in (fresh, remembered)]
    assert nodes[0] == nodes[1]
    waveform = pink(24_000 * 3, 24_000)[None]
    results = [ort.InferenceSession(path).run(None, {"waveform": waveform}) for path in (fresh, remembered)]
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)

"""The baselines can be used wherever our network can."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from audioinceptionnext.errors import FileError, ModelError, ParameterError
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.models.load import load
from audioinceptionnext.network import AudioInceptionNeXt, count_macs, count_parameters, create_model, fold
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.registry import build_network
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.network.transformer import resize_positions
from tests.audio_files import pink
from tests.networks import log_mels, with_statistics

SMALL: dict[str, dict[str, Any]] = {
    "cnn": {"widths": (8, 8, 16, 16), "dropout": 0.0},
    "ast": {"hidden": 48, "layers": 2, "heads": 4, "intermediate": 96},
}
BOTH = pytest.mark.parametrize("name", ["cnn", "ast"])
LABELS = ("tap", "plate", "knife", "pan", "kettle")


def small(name: str, **changes: Any) -> Network:
    """A small network with weights large enough that a difference shows."""
    torch.manual_seed(0)
    net = create_model(name, len(LABELS), **SMALL[name] | changes)
    net.mean.fill_(-3.0)
    net.std.fill_(2.0)
    net.classifier.weight.data.mul_(30)
    return net.eval()


@BOTH
def test_a_description_builds_the_same_network(name: str) -> None:
    net = small(name)
    described = json.loads(json.dumps(net.config.as_dict()))
    again = build_network(described)
    assert type(again) is type(net) and again.config == net.config and described["architecture"] == name
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(log_mels()), net(log_mels()), rtol=0, atol=0)
    with pytest.raises(ParameterError, match=r"dropuot: this network has no such setting; did you mean dropout\?"):
        create_model(name, 5, dropuot=0.1)


def test_networks_that_are_not_baselines() -> None:
    old = {"num_classes": 3, "widths": [8, 8, 8, 8], "depths": [1, 1, 1, 1]}  # as in files from before the baselines
    assert isinstance(build_network(old), AudioInceptionNeXt)
    assert "architecture" not in create_model("tiny", 3).config.as_dict()
    with pytest.raises(ParameterError, match="architecture is rnn: this version has only cnn, ast, mobilenet"):
        build_network({"architecture": "rnn", "num_classes": 3})
    with pytest.raises(ParameterError, match=r"network is cn: there is no such network; did you mean cnn\?"):
        create_model("cn")
    with pytest.raises(ParameterError, match="give 4 numbers, one per stage"):
        create_model("cnn", 3, widths=(8, 8))


def test_the_cnn_is_dense_as_ours_is() -> None:
    net, ours = small("cnn"), create_model("tiny", 5, depths=(1, 1, 1, 1)).eval()
    assert net.clip_steps == ours.clip_steps == 13
    with torch.no_grad():
        torch.testing.assert_close(net.dense(log_mels())[:, 0], net(log_mels()))
        for frames in (416, 417, 448, 449, 1000):
            assert net.dense(log_mels(1, frames)).shape == ours.dense(log_mels(1, frames)).shape
        # Away from the edges, a step does not depend on its place: the stride is exactly 32 frames.
        long = log_mels(1, 1600)
        whole, part = net.dense(long)[0], net.dense(long[:, :, 320:1280])[0]
        torch.testing.assert_close(whole[13:25], part[3:15], rtol=1e-4, atol=1e-5)


def test_the_cnn_folds_exactly() -> None:
    net = with_statistics(small("cnn"))  # type: ignore[arg-type]
    folded = fold(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(folded.dense(log_mels(2, 500)), net.dense(log_mels(2, 500)), rtol=1e-4, atol=1e-4)


def test_the_transformer_is_transformers_own() -> None:
    """The same weights in their class give the same logits, for input standardised to a deviation of 1/2."""
    from transformers import ASTForAudioClassification

    net = small("ast")
    theirs = ASTForAudioClassification(
        net.body.config.__class__.from_dict(net.body.config.to_dict() | {"num_labels": 5})
    )
    theirs.audio_spectrogram_transformer.load_state_dict(net.body.state_dict())
    theirs.classifier.layernorm.load_state_dict(net.norm.state_dict())
    theirs.classifier.dense.load_state_dict(net.classifier.state_dict())
    with torch.no_grad():
        expected = theirs.eval()((log_mels()[:, 0] + 3) / 4).logits
        torch.testing.assert_close(net(log_mels()), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(fold(net)(log_mels()), net(log_mels()), rtol=0, atol=0)


def test_the_transformer_predicts_long_input_clip_by_clip() -> None:
    net = small("ast")
    long = log_mels(2, 1000)
    with torch.no_grad():
        steps = net.pooled_logits(net.features(long))
        padded = torch.cat([long, long[:, :, -1:].expand(-1, -1, 40, -1)], dim=2)
        expected = torch.stack([net(padded[:, :, start : start + 416]) for start in (0, 208, 416, 624)], dim=1)
        torch.testing.assert_close(steps, expected, rtol=1e-4, atol=1e-4)
        for frames, count in ((416, 1), (417, 2), (624, 2), (625, 3)):
            assert net.features(long[:, :, :frames]).shape == (2, 48, count, 1)
        assert net.dense(log_mels(1)).shape == (1, 1, 5)
        with pytest.raises(ValueError, match="300 frames, but a clip has 416"):
            net(log_mels(1, 300))


@BOTH
def test_a_step_of_training_changes_every_weight_and_lowers_the_loss(name: str) -> None:
    net = small(name).train()
    before = {key: value.clone() for key, value in net.named_parameters()}
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    x, y = log_mels(8, 416), torch.arange(8) % len(LABELS)
    losses = []
    for _ in range(6):
        loss = nn.functional.cross_entropy(net.pooled_logits(net.features(x)).mean(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    # A key's bias adds the same to all scores of a token, which does not change their softmax.
    kept = [key for key, value in net.named_parameters() if torch.equal(value, before[key])]
    assert [key for key in kept if not key.endswith("k_proj.bias")] == []


@BOTH
@pytest.mark.parametrize("mode", ["dense", "windows"])
def test_through_the_files(name: str, mode: str, tmp_path: Path) -> None:
    """Saved, loaded, exported, computed by ONNX Runtime and by the recogniser."""
    net = small(name)
    save_model(StoredModel(net, LABELS, mode=mode), tmp_path / "m.safetensors")  # type: ignore[arg-type]
    stored = load_model(tmp_path / "m.safetensors")
    assert type(stored.net) is type(net) and stored.net.config == net.config
    path = tmp_path / "m.onnx"
    if name == "ast" and mode == "dense":
        with pytest.raises(ParameterError, match="one clip at a time; use windows"):
            export_onnx(stored, path, mode="dense")
        export_onnx(stored, path)
        assert load(path).labels == LABELS
        return
    export_onnx(stored, path)
    waveform = np.stack([pink(120_000, 24_000, seed) for seed in range(2)])
    logits, log_mel = ort.InferenceSession(path).run(["logits", "log_mel"], {"waveform": waveform})
    frames = torch.from_numpy(log_mel)[:, None, :1000]
    with torch.no_grad():
        if mode == "dense":
            expected = net.dense(frames)
        else:
            padded = torch.cat([frames, frames[:, :, -1:].expand(-1, -1, 32, -1)], dim=2)
            expected = torch.stack([net(padded[:, :, s : s + 416]) for s in range(0, 32 * 20, 32)], dim=1)
    assert logits.shape == expected.shape == (2, 20, 5)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    (short, _) = ort.InferenceSession(path).run(["logits", "log_mel"], {"waveform": waveform[:, :20_000]})
    assert short.shape == (2, 1, 5)
    assert load(path).labels == LABELS


def test_macs_of_the_cnn() -> None:
    net = create_model("cnn", 44)
    sizes = [(416, 128), (104, 64), (52, 32), (26, 16)]
    expected = 512 * 44
    for before, width, (frames, bands) in zip((1, 64, 128, 256), (64, 128, 256, 512), sizes, strict=True):
        expected += frames * bands * width * (9 * (before + width) + 2 * 2)
    assert count_macs(net) == expected


def test_macs_of_the_transformer_count_attention() -> None:
    with torch.device("meta"):
        net = create_model("ast", 44)
        assert count_parameters(net) == 85_669_676
        tokens = 12 * 41 + 2
        layer = tokens * 768 * (4 * 768 + 2 * 3072) + 2 * tokens * tokens * 768
        assert count_macs(net) == (tokens - 2) * 256 * 768 + 12 * layer + 768 * 44


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A transformer of 3 classes and 104 frames, as transformers saves one."""
    import transformers

    torch.manual_seed(3)
    config = transformers.ASTConfig(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96, max_length=104, num_labels=3
    )
    net = transformers.ASTForAudioClassification(config)
    for value in net.parameters():
        nn.init.normal_(value, 0, 0.2)
    net.save_pretrained(tmp_path / "ast")
    return tmp_path / "ast"


def test_weights_from_a_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:

    from transformers import ASTModel

    def no_network(*_: object) -> None:
        raise AssertionError("a connection was attempted")

    theirs = ASTModel.from_pretrained(folder).eval()
    capfd.readouterr()
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    same = create_model(f"ast:{folder}", 7, clip_frames=104, dropout=0.2).eval()
    longer = create_model(f"ast:{folder}", 7).eval()
    assert capfd.readouterr() == ("", "")
    assert same.config.num_classes == 7 and same.dropout.p == 0.2 and longer.config.clip_frames == 416
    x = log_mels(2, 104)
    with torch.no_grad():
        expected = theirs(x[:, 0] / 2).pooler_output
        torch.testing.assert_close(same.body((x / 2)[:, 0]).pooler_output, expected, rtol=0, atol=0)
        assert float(same.norm.weight.std()) > 0.1  # the folder's, not a fresh one of ones
        assert longer(log_mels()).shape == (2, 7)
    assert longer.body.embeddings.position_embeddings.shape == (1, 12 * 41 + 2, 48)
    save_model(StoredModel(longer, tuple("abcdefg")), tmp_path / "m.safetensors")  # no longer needs the folder
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path / "m.safetensors").net(log_mels()), longer(log_mels()))


def test_positions_are_interpolated_over_frequency_and_time() -> None:
    frequency, time = torch.meshgrid(torch.arange(4.0), torch.arange(9.0), indexing="ij")
    plane = torch.stack([frequency, time], dim=2).reshape(1, 36, 2)
    tokens = torch.tensor([[[50.0, 60.0], [70.0, 80.0]]])
    positions = torch.cat([tokens, plane], dim=1)
    assert torch.equal(resize_positions(positions, (4, 9), (4, 9)), positions)
    resized = resize_positions(positions, (4, 9), (4, 27))
    assert torch.equal(resized[:, :2], tokens)
    grid: Tensor = resized[0, 2:].view(4, 27, 2)
    assert torch.allclose(grid[:, :, 0], torch.arange(4.0)[:, None].expand(4, 27))
    assert torch.allclose(grid[0, 1:-1, 1], torch.linspace(0, 8, 25), atol=1e-5)


def test_folders_without_a_transformer_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"ast:nowhere: the folder has no config\.json"):
        create_model("ast:nowhere", 3)
    with pytest.raises(ParameterError, match=r"hidden is 96: ast:.* fixes it; only dropout, clip_frames, bands"):
        create_model(f"ast:{folder}", 3, hidden=96)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    with pytest.raises(FileError, match=r"model_type is 'vit'"):
        create_model(f"ast:{folder}", 3)
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"\d+ weights are missing"):
        create_model(f"ast:{folder}", 3)
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 32}))
    with pytest.raises(ModelError, match="ast:"):
        create_model(f"ast:{folder}", 3)
    (folder / "config.json").write_text(json.dumps(config))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        create_model(f"ast:{folder}", 3)
    weights.unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        create_model(f"ast:{folder}", 3)
    (folder / "config.json").write_text("[")
    with pytest.raises(FileError, match="not the JSON configuration"):
        create_model(f"ast:{folder}", 3)


def test_without_transformers_the_missing_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError) as missing:
        create_model("ast", 3)
    assert missing.value.name == "transformers"

"""The network is that of the paper, and its inference form gives the same outputs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from audioinceptionnext.errors import ModelError, ParameterError
from audioinceptionnext.export.layout import time_last
from audioinceptionnext.network import (
    VARIANTS,
    AudioInceptionNeXt,
    NetworkConfig,
    count_macs,
    count_parameters,
    create_model,
    fold,
    load_published,
    matrix_products,
)
from audioinceptionnext.network.blocks import Stem
from audioinceptionnext.network.published import published_names
from audioinceptionnext.network.registry import name_of
from audioinceptionnext.training.frozen import freeze_statistics
from tests.networks import PUBLISHED, REFERENCE, SHORT, log_mels, seeded, with_statistics


def test_base_is_the_papers_size_and_folds_to_a_quarter() -> None:
    net = create_model("base", num_classes=44)
    assert count_parameters(net) == 11_698_924
    assert round(count_macs(net) / 1e9, 4) == 2.1325
    folded = fold(net)
    assert count_parameters(folded) == 2_835_244
    assert round(count_macs(folded) / 1e9, 4) == 0.5686


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"order": "frequency-time"},
        {"order": "both"},
        {"separable": False, "kernels": (3, 5)},
        {"activation": True},
        {"kernels": (11,), "expansion": 2},
    ],
    ids=lambda changes: ",".join(f"{k}={v}" for k, v in changes.items()) or "paper",
)
def test_every_variant_folds_exactly(variant: str, changes: dict[str, object]) -> None:
    net = with_statistics(create_model(variant, 7, **SHORT, **changes))
    folded, x = fold(net), log_mels()
    with torch.no_grad():
        expected = net(x)
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(folded.dense(x)[:, 0], expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(time_last(folded)(x), expected, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert count_parameters(folded) < count_parameters(net)
    assert count_parameters(fold(folded)) == count_parameters(folded)


@pytest.mark.parametrize("bands", [128, 64, 40, 72])
def test_time_last_is_the_same_network(bands: int) -> None:
    """Also if a stage has an odd number of bins, and if kernels are longer than the frequency axis."""
    net = fold(with_statistics(create_model("tiny", 7, bands=bands, **SHORT)))
    swapped = time_last(net)
    for frames in (416, 417, 1000):
        x = log_mels(2, frames)[..., :bands]
        with torch.no_grad():
            torch.testing.assert_close(swapped(x), net(x), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(swapped.dense(x), net.dense(x), rtol=1e-4, atol=1e-5)
    assert count_parameters(swapped) < count_parameters(net)
    assert isinstance(net.stem, Stem)  # only the copy has changed


def test_an_activation_keeps_expansion_and_squeeze_apart() -> None:
    plain, active = (fold(create_model("tiny", 5, activation=a, **SHORT)) for a in (False, True))
    assert count_parameters(active) > count_parameters(plain)
    assert isinstance(plain.blocks[0].mixer, nn.Conv2d)


def test_orders_are_different_networks() -> None:
    torch.manual_seed(0)
    nets = [
        with_statistics(create_model("tiny", 5, order=o, **SHORT)) for o in ("time-frequency", "frequency-time", "both")
    ]
    for net in nets[1:]:
        # All have the same weights in the same places. Only their order differs.
        ours, first = net.state_dict(), nets[0].state_dict()
        net.load_state_dict({k: first[k].reshape(ours[k].shape) for k in ours})
    with torch.no_grad():
        outputs = [net(log_mels(1)) for net in nets]
    assert not torch.allclose(outputs[0], outputs[1], atol=1e-4)
    assert not torch.allclose(outputs[0], outputs[2], atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 128, 416), (416, 128), (1, 416, 128), (1, 2, 416, 128), (1, 1, 416, 64)])
def test_an_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    net = create_model("tiny", 3).eval()
    for predict in (net, net.dense, fold(net)):
        with pytest.raises(ParameterError, match=r"is not the shape of a log-mel, \(batch, 1, frames, 128\)") as caught:
            predict(torch.zeros(shape))
        assert ("axes are swapped" in str(caught.value)) == (shape == (1, 1, 128, 416))


def test_names_of_networks() -> None:
    for name in ("base", "small", "tiny", "rep", "cnn"):
        assert name_of(create_model(name, 3).config) == name
    assert "8, 8, 16, 16" in name_of(create_model("tiny", 3, widths=(8, 8, 16, 16)).config)


def test_dense_gives_a_step_every_32_frames() -> None:
    net = with_statistics(create_model("tiny", 5, **SHORT))
    with torch.no_grad():
        assert net.dense(log_mels(1, 416)).shape == (1, 1, 5)
        assert net.dense(log_mels(1, 417)).shape == (1, 2, 5)
        assert net.dense(log_mels(1, 416 + 5 * 32)).shape == (1, 6, 5)


@pytest.mark.parametrize(("frames", "frozen"), [(416, False), (500, False), (96, True)])
def test_matrix_products_are_the_same_network(frames: int, frozen: bool) -> None:
    """Outputs, gradients and running statistics of the training form as matrix products, in float64."""
    torch.manual_seed(0)
    plain, fast = (with_statistics(create_model("tiny", 5, **SHORT)).double().train() for _ in range(2))
    fast.load_state_dict(plain.state_dict())
    if frozen:
        freeze_statistics(plain)
        freeze_statistics(fast)
    x = log_mels(3, frames).double()
    expected, found = plain.features(x), matrix_products.features(fast, x, torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    (expected**2).mean().backward()
    (found**2).mean().backward()
    for (name, ours), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        if theirs.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9, msg=name)
    for key, value in plain.state_dict().items():
        torch.testing.assert_close(fast.state_dict()[key], value, rtol=1e-9, atol=1e-9, msg=key)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ParameterError, match=r"network is bas: .*did you mean base\?"):
        create_model("bas")
    with pytest.raises(ParameterError, match=r"kernel: .*did you mean kernels\?"):
        create_model("base", 5, kernel=(3,))
    with pytest.raises(ParameterError, match="odd"):
        create_model("base", 5, kernels=(4,))
    with pytest.raises(ParameterError, match="order"):
        create_model("base", 5, order="sideways")
    config = create_model("small", 5).config
    assert NetworkConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_labels_need_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; from audioinceptionnext.network import labels"
    subprocess.run([sys.executable, "-c", code], check=True)


def fake_checkpoint(path: Path, **changes: object) -> tuple[Path, AudioInceptionNeXt]:
    """A checkpoint like the published ones: our own network with the published names. Needs no reference files."""
    net = with_statistics(create_model("base", 44))
    net.mean.zero_()
    net.std.fill_(1.0)
    state = {f"module.{theirs}": net.state_dict()[ours] for ours, theirs in published_names(net).items()}
    torch.save({"epoch": 3, "model_state": state | changes, "cfg": PUBLISHED}, path)
    return path, net


def test_published_names_round_trip(tmp_path: Path) -> None:
    path, net = fake_checkpoint(tmp_path / "checkpoint.pyth")
    loaded = load_published(path)
    for key, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_a_wrong_checkpoint_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.pyth"
    text.write_text("hello")
    with pytest.raises(ModelError, match=r"text\.pyth"):
        load_published(text)
    with pytest.raises(ModelError, match="no such file"):
        load_published(tmp_path / "none.pyth")
    torch.save({"model_state": {"a": torch.zeros(1)}}, text)
    with pytest.raises(ModelError, match=r"head\.projection"):
        load_published(text)
    path, _ = fake_checkpoint(tmp_path / "extra.pyth", **{"module.something.else": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"1 unknown, e\.g\. something\.else"):
        load_published(path)


@pytest.mark.needs("reference")
@pytest.mark.parametrize("dataset", ["epic-sounds", "vgg-sound"])
def test_published_checkpoints_have_these_names_and_shapes(dataset: str) -> None:
    with (REFERENCE / f"official-checkpoint-keys-{dataset}.csv").open(newline="") as file:
        published = {row["key"]: row["shape"] for row in csv.DictReader(file)}
    net = create_model("base", {"epic-sounds": 44, "vgg-sound": 309}[dataset])
    state = net.state_dict()
    ours = {theirs: "x".join(map(str, state[key].shape)) or "scalar" for key, theirs in published_names(net).items()}
    assert ours == published


@pytest.mark.needs("reference")
@pytest.mark.parametrize("case", ["epic-sounds/0", "epic-sounds/1", "vgg-sound/0", "vgg-sound/1"])
def test_published_outputs_are_reproduced(case: str, tmp_path: Path) -> None:
    dataset, seed = case.split("/")
    weights, x = seeded(dataset, int(seed))
    torch.save({"model_state": weights, "cfg": PUBLISHED}, tmp_path / "official.pyth")
    net = load_published(tmp_path / "official.pyth")
    published = json.loads((REFERENCE / "official-outputs.json").read_text())[case]
    logits = np.array(published["logits"])
    with torch.no_grad():
        for found in (net(x), fold(net)(x), fold(net).dense(x)[:, 0]):
            assert np.abs(found.numpy() - logits).max() / np.abs(logits).max() < 1e-4
            np.testing.assert_allclose(found.softmax(1).numpy(), published["probabilities"], rtol=1e-4, atol=1e-7)


def test_statistics_of_blocks_fold_and_slide() -> None:
    """Means and deviations of several blocks: the same folded, with time last, and window by window."""
    torch.manual_seed(0)
    settings = {"widths": (8, 16, 24, 32), "bands": 64, "clip_frames": 192, "dropout": 0.0}
    net = create_model("base", num_classes=3, statistics=(4, 8), **settings).eval()
    assert net.classifier.in_features == 2 * (32 + 16 + 24)
    x = torch.randn(1, 1, 256, 64)
    with torch.no_grad():
        expected = net.dense(x)
        first = net(x[:, :, :192])
        assert torch.allclose(fold(net).dense(x), expected, atol=1e-5)
        assert torch.allclose(time_last(fold(net)).dense(x), expected, atol=1e-5)
        assert torch.allclose(net.dense(x[:, :, :192])[:, 0], first, atol=1e-5)
    assert expected.shape == (1, 3, 3)

"""AudioRepInceptionNeXt: the network, its inference form, and its published files, told from those of the paper's."""

from __future__ import annotations

import copy
import csv
import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
import yaml
from torch import Tensor, nn

from audioinceptionnext.benchmark import measurement, subjects
from audioinceptionnext.benchmark.rows import ROWS
from audioinceptionnext.errors import AinextError, ModelError, ParameterError
from audioinceptionnext.export.layout import time_last
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.network import (
    count_macs,
    count_parameters,
    create_model,
    fold,
    load_published,
    published_settings,
)
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.blocks import KernelSum
from audioinceptionnext.network.folding import merge
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS
from audioinceptionnext.network.matrix_products import supports
from audioinceptionnext.network.published import open_published, published_model, published_names, read_checkpoint
from audioinceptionnext.network.published_settings import find_setting
from audioinceptionnext.network.rep import AudioRepInceptionNeXt, RepConfig
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.studies.study import load_study
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.frozen import freeze_norms
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.initial_model import build_initial_model, open_weights
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.recipe import as_yaml, load_recipe
from tests.command import ainext, refused
from tests.networks import PUBLISHED, REFERENCE, SUCCESSOR, log_mels, seeded, with_statistics
from tests.small_sounds import NETWORK, quick, run_on

TINY: dict[str, Any] = {"widths": (8, 16, 16, 24), "depths": (1, 2, 1, 1), "dropout": 0.0}
CLASSES = {"epic-sounds": 44, "vgg-sound": 309}
SPEECH = "AUDIO_DATA: {SAMPLING_RATE: 16000, WINDOW_LENGTH: 5, HOP_LENGTH: 2, CLIP_SECS: 1.023, NUM_FRAMES: 512}\n"
URBAN = "AUDIO_DATA: {SAMPLING_RATE: 16000, WINDOW_LENGTH: 20, HOP_LENGTH: 10, CLIP_SECS: 4.16, NUM_FRAMES: 416}\n"


def tiny(**changes: Any) -> AudioRepInceptionNeXt:
    torch.manual_seed(0)
    return with_statistics(create_model("rep", 5, **TINY | changes))


def largest_difference(found: Tensor | np.ndarray, expected: Tensor | np.ndarray) -> float:
    """Relative to the largest logit."""
    one, other = (np.asarray(each, dtype=np.float64) for each in (found, expected))
    assert one.shape == other.shape
    return float(np.abs(one - other).max() / np.abs(other).max())


# The network


def without_normalisations(net: Network) -> Network:
    """A network that costs nothing for its normalisations. It computes something else."""
    bare = copy.deepcopy(net)
    for module in list(bare.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    return bare


@pytest.mark.parametrize(
    ("classes", "frames", "trained", "merged", "folded"),
    [
        (44, 416, (11_698_924, 2.095278, 2.132498), (11_555_436, 2.054277, 2.073926), (11_531_820, 2.054277)),
        (309, 512, (11_834_869, 2.578934, 2.624744), (11_691_381, 2.528472, 2.552654), (11_667_765, 2.528472)),
    ],
)
def test_its_size(classes: int, frames: int, trained: tuple, merged: tuple, folded: tuple) -> None:
    for form, (parameters, gmac, gmac_with_norms) in ((False, trained), (True, merged)):
        net = create_model("rep", classes, clip_frames=frames, merged=form)
        assert count_parameters(net) == parameters
        assert round(count_macs(net) / 1e9, 6) == gmac_with_norms
        assert round(count_macs(without_normalisations(net)) / 1e9, 6) == gmac
        assert (count_parameters(fold(net)), round(count_macs(fold(net)) / 1e9, 6)) == folded


def test_it_starts_as_published() -> None:
    net = create_model("rep", 5)
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == (0 if name.endswith("squeeze.norm") else 1)).all() and not module.bias.any()
    with torch.no_grad():
        expansion = net.blocks[-1].mixer.expand.conv.weight  # type: ignore[union-attr]
        assert float(expansion.std()) == pytest.approx((2 / 2048) ** 0.5, rel=0.02)  # type: ignore[union-attr]
        assert float(net.classifier.weight.std()) == pytest.approx(0.01, rel=0.1) and not net.classifier.bias.any()


def test_a_description_builds_it_again(tmp_path: Path) -> None:
    net = tiny(kernels=(3, 5), merged=True)
    assert RepConfig.from_dict(json.loads(json.dumps(net.config.as_dict()))) == net.config
    save_model(StoredModel(net, tuple("abcde")), tmp_path / "m.safetensors")
    back = load_model(tmp_path / "m.safetensors").net
    assert type(back) is AudioRepInceptionNeXt and back.config == net.config
    with torch.no_grad():
        assert torch.equal(back(log_mels(1)), net(log_mels(1)))
    with pytest.raises(ParameterError, match="order: this network has no such setting"):
        create_model("rep", 5, order="both")
    with pytest.raises(ParameterError, match="give odd sizes"):
        create_model("rep", 5, kernels=(4,))


# The inference form


@pytest.mark.parametrize("changes", [{}, {"kernels": (3, 21)}, {"kernels": (5,)}, {"merged": True}], ids=str)
def test_it_folds_exactly(changes: dict[str, Any]) -> None:
    net = tiny(**changes).double()
    folded, x = fold(net), log_mels(2, 500).double()
    assert not any(isinstance(module, nn.BatchNorm2d | KernelSum) for module in folded.modules())
    with torch.no_grad():
        assert largest_difference(folded(x), net(x)) < 1e-12
        assert largest_difference(folded.dense(x), net.dense(x)) < 1e-12
        assert largest_difference(time_last(folded)(x), net(x)) < 1e-12
    in_float32 = fold(net.float())
    for ours, exact in zip(in_float32.parameters(), folded.parameters(), strict=True):
        assert torch.equal(ours, exact.float())  # rounded once


def test_the_identity_is_a_one_at_the_middle_tap() -> None:
    kernels = tiny().double().blocks[0].time  # type: ignore[union-attr]
    assert isinstance(kernels, KernelSum)
    whole, plain = merge(kernels), merge(kernels, identity=False)
    difference = (whole.weight - plain.weight)[:, 0, :, 0]
    assert torch.allclose(difference, nn.functional.one_hot(torch.tensor(10), 21).double().expand(8, 21))
    x = torch.randn(1, 8, 30, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(plain(x) + x, kernels(x))


def test_time_last_drops_taps_that_only_meet_padding() -> None:
    folded = fold(tiny())  # 32, 16, 16 (two blocks), 8 and 4 bins: of 21 taps, 15 can meet 8 of them and 7 can meet 4
    swapped = time_last(folded)
    taps = [block.frequency.weight.shape[2] for block in swapped.blocks if hasattr(block, "frequency")]  # type: ignore
    assert taps == [21, 21, 21, 15, 7]


def test_training_uses_convolutions() -> None:
    assert not supports(tiny()) and supports(create_model("tiny", 5))


# The published files


@pytest.mark.needs("reference")
@pytest.mark.parametrize("case", ["epic-sounds/0", "vgg-sound/0"])
def test_the_published_outputs_are_reproduced(case: str, tmp_path: Path) -> None:
    """In training form, folded, and by ONNX Runtime."""
    expected = json.loads((REFERENCE / "rep-outputs.json").read_text())[case]
    dataset, seed = case.split("/")
    weights, x = seeded(dataset, int(seed))
    torch.save({"model_state": weights, "cfg": SUCCESSOR}, tmp_path / "official.pyth")
    stored = open_published(tmp_path / "official.pyth")
    path = export_onnx(stored, tmp_path / "official.onnx", input="log-mel")
    (logits,) = ort.InferenceSession(path).run(["logits"], {"log_mel": x[:, 0].numpy()})
    net = stored.net
    with torch.no_grad():
        results = [net(x), fold(net)(x), time_last(fold(net))(x), fold(net).dense(x)[:, 0], logits[:, 0]]
        assert max(largest_difference(found, expected["logits"]) for found in results) < 1e-5
        net.double()
        assert largest_difference(net(x.double()), expected["logits"]) < 1e-13
        stages = expected.get("stages_float64", {})
        maps, ends = [net.stem(x.double())], [3, 7, 13, 16]
        for start, end in zip([0, *ends], ends, strict=False):
            maps.append(net.blocks[start:end](maps[-1]))
        for name, found in zip(stages, maps, strict=False):
            wanted = stages[name]
            assert list(found.shape) == wanted["shape"]
            assert float(found.mean()) == pytest.approx(wanted["mean"], rel=1e-9)
            assert float(found.std()) == pytest.approx(wanted["std"], rel=1e-6)
            values = wanted["first_item_first_8_channels_at_0_0"]
            np.testing.assert_allclose(found[0, :8, 0, 0], values, rtol=1e-9, atol=1e-12)


@pytest.mark.needs("reference")
def test_published_files_have_these_names_and_shapes() -> None:
    with (REFERENCE / "rep-keys.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column, merged in (("training", False), ("inference", True)):
        net = create_model("rep", 44, merged=merged)
        state = net.state_dict()
        ours = {their: "x".join(map(str, state[our].shape)) or "scalar" for our, their in published_names(net).items()}
        assert ours == {row["key"]: row["shape"] for row in rows if row[column] == "1"}


Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def net() -> AudioRepInceptionNeXt:
    """A network of the published size."""
    torch.manual_seed(0)
    net = with_statistics(create_model("rep", 44))
    net.mean.zero_()
    net.std.fill_(1)
    return net


@pytest.fixture(scope="module")
def logits(net: AudioRepInceptionNeXt) -> Tensor:
    with torch.no_grad():
        return net(log_mels(1))


@pytest.fixture(scope="module")
def weights(net: AudioRepInceptionNeXt) -> Weights:
    """Its weights by their published names, which the paper's network has too."""
    state = net.state_dict()
    return {theirs: state[ours] for ours, theirs in published_names(net).items()}


@pytest.fixture(scope="module")
def merged(net: AudioRepInceptionNeXt) -> Weights:
    """The 64 entries that merging adds."""
    found = {}
    places = [
        f"s{s}.pathway0_res{i}" for s, depth in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True) for i in range(depth)
    ]
    for place, block in zip(places, net.blocks, strict=True):
        for letter, kernels in (("a", block.time), ("b", block.frequency)):
            assert isinstance(kernels, KernelSum)
            for leaf, value in merge(kernels, identity=False).state_dict().items():
                found[f"{place}.branch2.{letter}_reparam.{leaf}"] = value
    return found


def saved(path: Path, weights: Weights, cfg: object = None) -> Path:
    torch.save({"epoch": 30, "model_state": weights} | ({} if cfg is None else {"cfg": cfg}), path)
    return path


def test_the_file_says_which_network_it_is_of(
    weights: Weights, net: AudioRepInceptionNeXt, logits: Tensor, tmp_path: Path
) -> None:
    with warnings.catch_warnings(action="error"):
        rep = load_published(saved(tmp_path / "rep.pyth", weights, SUCCESSOR + "NUM_GPUS: 8\n"))
        base = load_published(saved(tmp_path / "base.pyth", weights, PUBLISHED))
    assert type(rep) is type(net) and not rep.training
    assert type(base) is type(create_model("base"))
    with torch.no_grad():
        assert torch.equal(rep(log_mels(1)), logits)
        assert largest_difference(base(log_mels(1)), logits) > 0.1
    assert type(load_published(tmp_path / "rep.pyth", "rep")) is type(net)
    for name, other in (("rep", "base"), ("base", "rep")):
        with pytest.raises(ParameterError, match=f"architecture is {other}: .*pyth is of Audio.*, .* called {name}"):
            load_published(tmp_path / f"{name}.pyth", other)
    with pytest.raises(ParameterError, match="architecture is resnet: choose from base, rep"):
        load_published(tmp_path / "rep.pyth", "resnet")
    with pytest.raises(ModelError, match=r"of the network SlowFast; only AudioInceptionNeXt and AudioRepInceptionNeXt"):
        load_published(saved(tmp_path / "x.pyth", weights, "MODEL: {MODEL_NAME: SlowFast}"))


def test_a_file_without_cfg_is_asked_about(weights: Weights, tmp_path: Path) -> None:
    path, out = saved(tmp_path / "x.pyth", weights), tmp_path / "x.safetensors"
    with pytest.raises(ParameterError, match=r"architecture: .*x.pyth does not say .* say base .* or rep") as error:
        load_published(path)
    assert error.value.name == "architecture"
    with pytest.raises(ModelError, match=r"x\.pyth: .* say base .* or rep .*`ainext convert`"):
        open_weights(str(path))
    assert type(load_published(path, "rep")).__name__ == "AudioRepInceptionNeXt"
    assert type(load_published(path, "base")).__name__ == "AudioInceptionNeXt"
    assert (
        refused("convert", path, out).startswith(f"ainext: --architecture: the file {path} does not say")
        and not out.exists()
    )
    found = ainext("convert", path, out, "--architecture", "rep", "--json")
    assert found.code == 0 and found.err == ""
    assert found.json["architecture"] == "rep" and found.json["data"] == "epic-sounds"
    assert load_model(out).net.config == RepConfig(44)


@pytest.mark.parametrize("cfg", ["NUM_GPUS: 1\n", "MODEL: {}", "just text", "{not: [yaml", {"MODEL": None}], ids=str)
def test_a_cfg_that_does_not_name_the_network_causes_a_warning(tmp_path: Path, cfg: object) -> None:
    head = {"head.projection.weight": torch.zeros(44, 512), "head.projection.bias": torch.zeros(44)}
    checkpoint = read_checkpoint(saved(tmp_path / "x.pyth", head, cfg))
    with pytest.warns(UserWarning, match=r"x\.pyth: its cfg does not name its network, so it is taken as base"):
        assert checkpoint.architecture(None) == "base"
    with warnings.catch_warnings(action="error"):
        assert checkpoint.architecture("rep") == "rep"


def test_the_command_prints_the_warning_in_one_line(weights: Weights, tmp_path: Path) -> None:
    path = saved(tmp_path / "x.pyth", weights, "NUM_GPUS: 1\n")
    with pytest.warns(UserWarning) as seen:
        assert type(load_published(path)).__name__ == "AudioInceptionNeXt"
    assert [Path(one.filename).name for one in seen] == ["test_rep.py"]  # the warning shows the line that called it
    found = ainext("convert", path, tmp_path / "x.safetensors")
    assert found.code == 0 and "AudioInceptionNeXt, 44 classes" in found.out
    assert (
        found.err.startswith(f"ainext: warning: {path}: its cfg does not name its network")
        and found.err.count("\n") == 1
    )


def test_a_merged_file(weights: Weights, merged: Weights, net: AudioRepInceptionNeXt, tmp_path: Path) -> None:
    assert len(weights) == 890 and len(merged) == 64
    with warnings.catch_warnings(action="error"):
        loaded = load_published(saved(tmp_path / "merged.pyth", weights | merged))  # what is merged tells the network
    assert loaded.config == net.config
    for key, value in net.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    one = "s4.pathway0_res2.branch2.b_reparam.weight"
    with pytest.warns(UserWarning, match="1 merged tensor differs from the branches, which are used"):
        load_published(saved(tmp_path / "other.pyth", weights | merged | {one: merged[one] * 1.01}, SUCCESSOR))
    with pytest.raises(ModelError, match=r"not the published AudioInceptionNeXt: 64 unknown, e\.g\. .*a_reparam"):
        load_published(saved(tmp_path / "wrong.pyth", weights | merged, PUBLISHED))


def test_a_file_for_inference(
    weights: Weights, merged: Weights, net: AudioRepInceptionNeXt, logits: Tensor, tmp_path: Path
) -> None:
    inference = create_model("rep", 44, merged=True)
    kept = {theirs: (weights | merged)[theirs] for theirs in published_names(inference).values()}
    assert len(kept) == 378
    stored = open_published(saved(tmp_path / "inference.pyth", kept, SUCCESSOR))
    assert stored.net.config == inference.config
    assert count_parameters(stored.folded()) == count_parameters(fold(net))
    with torch.no_grad():
        assert largest_difference(stored.net(log_mels(1)), logits) < 1e-5
        assert largest_difference(stored.folded()(log_mels(1)), logits) < 1e-5


def test_verbs_and_nouns(weights: Weights, tmp_path: Path) -> None:
    names = ("head.projection.weight", "head.projection.bias")
    parts: Weights = {}
    for task, size in (("noun", 300), ("verb", 97)):  # in another order than the labels
        parts |= {
            f"head.projection_{task}.weight": torch.randn(size, 512),
            f"head.projection_{task}.bias": torch.randn(size),
        }
    body = {key: value for key, value in weights.items() if key not in names}
    stored = open_published(saved(tmp_path / "kitchens.pyth", body | parts, SUCCESSOR))
    assert stored.tasks == {"verb": 97, "noun": 300} and stored.info["data"] == "epic-kitchens"
    assert (stored.labels[0], stored.labels[96], stored.labels[97], stored.labels[-1]) == (
        "verb 0", "verb 96", "noun 0", "noun 299",
    )  # fmt: skip
    x = log_mels(1)
    with torch.no_grad():
        pooled, found = stored.net.features(x).mean(dim=(2, 3)), stored.net(x)
        for task, part in zip(("verb", "noun"), found.split([97, 300], dim=1), strict=True):
            expected = pooled @ parts[f"head.projection_{task}.weight"].T + parts[f"head.projection_{task}.bias"]
            torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-4)
    save_model(stored, tmp_path / "kitchens.safetensors")
    assert load_model(tmp_path / "kitchens.safetensors").tasks == stored.tasks


# Settings


def with_classes(weights: Weights, classes: int) -> Weights:
    return weights | {"head.projection.weight": torch.zeros(classes, 512), "head.projection.bias": torch.zeros(classes)}


SETTINGS = [
    # classes, cfg: data, sample rate, window, hop, samples of a clip, frames, test views
    (309, "", "vggsound", 16_000, 20, 10, 81_903, 512, 2),
    (44, "", "epic-sounds", 24_000, 10, 5, 49_919, 416, 5),
    (397, "", "epic-kitchens", 24_000, 10, 5, 49_919, 416, 10),
    (35, SPEECH, "speechcommands", 16_000, 5, 2, 16_367, 512, 1),
    (35, URBAN, "urbansound8k", 16_000, 20, 10, 66_559, 416, 2),
    (10, "", "urbansound8k", 16_000, 20, 10, 66_559, 416, 2),
    (11, URBAN + "TEST: {NUM_ENSEMBLE_VIEWS: 1}\n", "nsynth", 16_000, 20, 10, 66_559, 416, 1),
    (7, "", "unknown", 24_000, 10, 5, 49_919, 416, None),
    (7, SPEECH + "TEST: {NUM_ENSEMBLE_VIEWS: 3}\n", "unknown", 16_000, 5, 2, 16_367, 512, 3),
    (44, "AUDIO_DATA: {NUM_FRAMES: 208, CLIP_SECS: 1.04}\n", "unknown", 24_000, 10, 5, 24_959, 208, None),
    (44, "AUDIO_DATA: {SAMPLING_RATE: 48000}\n", "unknown", 48_000, 10, 5, 99_839, 416, None),
]


@pytest.mark.parametrize(("classes", "cfg", "data", "rate", "window", "hop", "samples", "frames", "views"), SETTINGS)
def test_the_setting_is_that_of_the_file(
    classes: int, cfg: str, data: str, rate: int, window: float, hop: float, samples: int, frames: int,
    views: int | None,
) -> None:  # fmt: skip
    setting = find_setting(classes, yaml.safe_load(cfg))
    net = create_model("rep", classes, **TINY, clip_frames=setting.clip_frames)
    stored = published_model(net, setting=setting)
    assert (stored.sample_rate, stored.window_ms, stored.hop_ms, stored.clip_samples) == (rate, window, hop, samples)
    assert setting.clip_frames == frames == stored.front_end().frames(samples)
    assert (stored.info["data"], stored.info.get("eval_clips")) == (data, views)
    assert "AudioRepInceptionNeXt" in stored.info["source"] and "2404.13551" in stored.info["source"]
    assert (stored.labels == EPIC_SOUNDS_LABELS) == (data == "epic-sounds") and stored.mode == "windows"


def test_35_classes_are_asked_about(weights: Weights, tmp_path: Path) -> None:
    path, out = saved(tmp_path / "x.pyth", with_classes(weights, 35), SUCCESSOR), tmp_path / "x.safetensors"
    reason = "the file states no front end, and 35 classes are those of speechcommands or urbansound8k; say which"
    with pytest.raises(ParameterError, match=f"data: {path}: {reason}"):
        load_published(path)
    assert refused("convert", path, out) == f"ainext: --data: {path}: {reason}"
    assert ainext("convert", path, out, "--data", "speechcommands", "--json").json["data"] == "speechcommands"
    assert load_model(out).hop_ms == 2
    assert "did you mean speechcommands?" in refused("convert", path, out, "--data", "speechcomands")
    path = saved(tmp_path / "y.pyth", with_classes(weights, 35), SUCCESSOR + SPEECH)
    assert load_published(path).config.clip_frames == 512 and open_published(path).hop_ms == 2
    with pytest.raises(ParameterError, match=f"data is urbansound8k: {path}: the file states another front end"):
        load_published(path, data="urbansound8k")
    with pytest.raises(
        ParameterError, match=f"data is nsynth: {path}: its published networks have 11 classes, but the file has 35"
    ):
        load_published(path, data="nsynth")
    with pytest.raises(ModelError, match=r"z\.pyth: its cfg states HOP_LENGTH: 'two', which is not a positive number"):
        load_published(saved(tmp_path / "z.pyth", weights, SUCCESSOR + "AUDIO_DATA: {HOP_LENGTH: two}"))


def test_a_network_alone_has_the_setting_of_its_classes() -> None:
    stored = published_model(create_model("base", 309, **TINY, clip_frames=512))
    assert (stored.info["data"], stored.info["eval_clips"]) == ("vggsound", 2)
    assert stored.info["source"] == "published AudioInceptionNeXt checkpoint (arXiv 2307.07265)"


# Training


def test_it_learns_like_any_other_network(root: Path, tmp_path: Path) -> None:
    """From the command to the exported file, which scores as the network does."""
    changes = {"network": "rep", "network_settings": NETWORK, "epochs": 6, "crops": (0.64, 0.96)}
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(as_yaml(quick(**changes)), encoding="utf-8")
    call = ("train", "--data", "kitchen20", "--root", root, "--train-folds", 1, "--threads", 1, "--recipe", recipe)
    found = ainext(*call, "--out", tmp_path / "run", "--json")
    assert found.code == 0, found.err
    assert found.json["top1"] >= 90
    stored = load_model(tmp_path / "run" / "model.safetensors")
    assert isinstance(stored.net, AudioRepInceptionNeXt) and stored.mode == "dense"
    predicted = ainext("predict", root / "audio" / "21.wav", "--model", tmp_path / "run" / "model.onnx", "--json")
    assert predicted.json[0]["clip"][0]["label"] == "whistle"


def test_freezing_leaves_152_of_446_weights() -> None:
    net = create_model("rep", 5, widths=(4, 4, 4, 4))
    freeze_norms(net)
    learning = {name for name, parameter in net.named_parameters() if parameter.requires_grad}
    assert (len(learning), len(list(net.parameters()))) == (152, 446)
    assert {name for name in learning if ".norm." in name} == {"stem.conv.norm.weight", "stem.conv.norm.bias"}


@pytest.mark.parametrize("name", ["rep", "tiny"])
def test_frozen_normalisations_stay_as_they_are(
    name: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through an epoch of the linear layer alone, evaluations, precise statistics, an average and an interruption."""
    torch.manual_seed(0)
    before = with_statistics(create_model(name, 3, **NETWORK, clip_frames=64))
    save_model(StoredModel(before, ("a", "b", "c"), 16_000, 20, 10), tmp_path / "before.safetensors")
    settings = {"network_settings": {}, "clip_seconds": None, "head_epochs": 1, "precise_bn": 2, "ema": 0.5}
    run = run_on(root, tmp_path / "run", **settings, freeze_bn=True)
    run = replace(run, initial_weights=str(tmp_path / "before.safetensors"))

    def stop_in_the_third_epoch(module: SoundClassifier) -> None:
        if module.current_epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(AinextError, match="interrupted"):
        patch.setattr(SoundClassifier, "on_train_epoch_start", stop_in_the_third_epoch)
        train(run, hardware=Hardware(threads=1))
    path = train(run, resume=True, hardware=Hardware(threads=1))
    assert path is not None
    old, new = before.state_dict(), load_model(path).net.state_dict()
    norms = {key for key in old if ".norm." in key}
    free = {key for key in norms if key.startswith("stem.")}
    assert all(torch.equal(new[key], old[key]) for key in norms - free)
    assert not any(torch.equal(new[key], old[key]) for key in free)
    kernels = [key for key in old if key.endswith("conv.weight")]
    assert kernels and not any(torch.equal(new[key], old[key]) for key in kernels)


@pytest.mark.parametrize("setting", ["freeze_bn", "freeze_statistics"])
def test_freezing_needs_weights(setting: str, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=f"initial_weights: {setting} keeps the normalisations"):
        train(run_on(root, tmp_path / "run", **{setting: True}))


@pytest.mark.parametrize(("of_weights", "named"), [("base", "rep"), ("rep", "base"), ("cnn", "base"), ("base", "cnn")])
def test_weights_of_another_network_than_the_recipe_names(of_weights: str, named: str, tmp_path: Path) -> None:
    widths = {"widths": (4, 4, 8, 8)}
    save_model(StoredModel(create_model(of_weights, 2, **widths), ("a", "b")), tmp_path / "w.safetensors")
    start = str(tmp_path / "w.safetensors")
    with pytest.raises(
        ParameterError, match=f"network is {named}: the initial weights are of the network {of_weights}"
    ):
        build_initial_model(("a", "b", "c"), load_recipe("finetune", {"network": named}), start)
    fitting = load_recipe("finetune", {"network": of_weights})
    for recipe in (fitting, load_recipe("finetune")):  # which names none
        built = build_initial_model(("a", "b", "c"), recipe, start)
        assert type(built.net) is type(create_model(of_weights, 2, **widths))


@pytest.mark.parametrize("data", published_settings.SETTINGS)
def test_its_recipes_are_the_published_ones(data: str) -> None:
    pretrains = data == "vggsound"
    recipe, first = load_recipe(f"rep-{data}{'-pretrain' if pretrains else ''}"), load_recipe("vggsound-pretrain")
    setting = published_settings.SETTINGS[data]
    ours = {key: getattr(recipe, key) for key in ("sample_rate", "window_ms", "hop_ms", "clip_seconds")}
    assert (ours, recipe.eval_clips) == (setting.front_end(), setting.eval_clips)
    changes: dict[str, Any] = {"network": "rep", "eval_clips": setting.eval_clips, **ours}
    if not pretrains:
        changes |= {
            "learning_rate": 0.001,
            "rate_at": {20: 0.1, 25: 0.01},
            "epochs": 30,
            "freeze_bn": True,
            "fine_tunes": True,
        }
    assert recipe == replace(first, **changes)  # the rest is as in the paper's first recipe


# Side by side


@pytest.mark.parametrize(
    ("width", "base"), [(None, {}), (0.25, {}), (None, {"network": "tiny"}), (0.5, {"network": "tiny"})]
)
def test_the_study_of_kernels_has_it_at_the_same_width(width: float | None, base: dict[str, Any]) -> None:
    study = replace(load_study("kernels"), base=base)
    nets = []
    for variant in (study.variant(study.reference), study.variant("successor: 3, 11, 21")):
        recipe = study.recipe_of(variant, {}, width)
        nets.append(create_model(recipe.network, 5, **recipe.network_settings))
    assert [type(net).__name__ for net in nets] == ["AudioInceptionNeXt", "AudioRepInceptionNeXt"]
    assert nets[0].config.widths == nets[1].config.widths  # type: ignore[attr-defined]


def test_it_is_measured_beside_the_papers_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects, "INPUT_CLIPS", 4)
    monkeypatch.setattr(measurement, "TURN_S", 0.0)
    net = create_model("tiny", 2, depths=(1, 1, 1, 1), clip_frames=104).eval()
    save_model(StoredModel(net, ("hiss", "whistle"), mode="dense"), path := tmp_path / "m.safetensors")
    names = ("folded, ONNX Runtime", "successor, PyTorch", "successor folded, ONNX Runtime")
    numbers = [str(number) for number, row in enumerate(ROWS, start=1) if row.name in names]
    call = ("benchmark", "--model", path, "--rows", ",".join(numbers), "--rounds", 1, "--threads", 1)
    found = ainext(*call, "--batch-sizes", 1, "--json")
    assert found.code == 0, found.err
    rows = {row["name"]: row for row in found.json["rows"]}
    assert tuple(rows) == names
    assert rows["successor folded, ONNX Runtime"]["agreement"]["relative"] < 1e-4
    own = create_model("rep", 2, depths=(1, 1, 1, 1), widths=net.config.widths, clip_frames=104)
    assert rows["successor, PyTorch"]["parameters"] == count_parameters(own)
    assert rows["successor folded, ONNX Runtime"]["parameters"] == count_parameters(fold(own))

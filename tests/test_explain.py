"""Explanations: the map, the branches and the check agree with what the network computes."""

from __future__ import annotations

import copy
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from audioinceptionnext.errors import AinextError
from audioinceptionnext.explain import Explanation, explain, explain_file, faithfulness
from audioinceptionnext.explain.branches import shapley_values, typical_level
from audioinceptionnext.explain.excerpt import torch_predictor
from audioinceptionnext.explain.probe import Probe, log_odds
from audioinceptionnext.inference.recogniser import recording_probabilities
from audioinceptionnext.network import AudioInceptionNeXt, create_model
from audioinceptionnext.network.blocks import Branch, ConvNorm
from audioinceptionnext.network.storage import StoredModel, save_model
from tests.audio_files import pink, write_wav
from tests.command import EXTRAS, RUN, WITHOUT, ainext, python, refused
from tests.networks import with_statistics
from tests.small_sounds import write_kitchen

RATE = 24_000


@pytest.fixture(scope="module")
def loudness_model() -> StoredModel:
    """Weights set by hand: the first channel of each stage is the loudness of a position, and "burst" is its mean."""
    net = create_model("tiny", 2, widths=(4, 4, 4, 4), depths=(1, 1, 1, 1))  # each block passes on what it gets
    with torch.no_grad():
        for pair in (net.stem.conv, *(block.shortcut for block in net.blocks if isinstance(block.shortcut, ConvNorm))):
            pair.conv.weight.zero_()
            pair.conv.weight[0, 0] = 1 / pair.conv.weight[0, 0].numel()
        net.classifier.weight.zero_()
        net.classifier.weight[1, 0] = 40
    return StoredModel(net.eval(), ("nothing", "burst"), mode="dense")


def scene(frames: int = 640, at: slice = slice(248, 300), bands: slice = slice(56, 72)) -> np.ndarray:
    """Log-mel (frames, 128): silence of level 0, and a burst around frames 256 to 288 and band 64."""
    log_mel = np.zeros((frames, 128), np.float32)
    log_mel[at, bands] = 1
    return log_mel


@pytest.mark.parametrize("mode", ["dense", "windows"])
def test_the_map_is_where_the_sound_is(loudness_model: StoredModel, mode: str) -> None:
    """Exactly there: half a stride of the last stage would be 16 frames and 16 bands."""
    model = copy.copy(loudness_model)
    model.mode = mode  # type: ignore[assignment]
    found = explain(model, scene())
    assert found.label == "burst" and found.score > 0.6
    assert found.map.shape == (640, 128) and found.map.max() == 1 and found.map.min() == 0
    np.testing.assert_allclose(found.map[256:289, 64], 1, atol=1e-3)
    assert not found.map[:225].any() and not found.map[320:].any()
    assert not found.map[:, :33].any() and not found.map[:, 96:].any()
    np.testing.assert_allclose(found.map[[240, 304], 64], 0.5, atol=1e-3)  # half-way to the next positions
    (region,) = found.regions(0.02)
    assert 1.1 < region.start < 1.28 and region.share == 1
    assert region.start + region.end == pytest.approx((256 + 289) * 0.005, abs=0.02)  # as much before as after it
    assert region.low < found.band_to_hz(64.5) < region.high

    checked = faithfulness(model, found, share=0.02, draws=8)
    assert checked.score == pytest.approx(found.score)
    assert checked.region > 0.05 > checked.random.max() - 1e-9 and len(checked.random) == 8
    assert checked.region_log_odds > 2 * checked.random_log_odds.max()


def test_a_label_without_evidence_has_an_empty_map(loudness_model: StoredModel) -> None:
    found = explain(loudness_model, scene(), label="nothing")
    assert found.empty and not found.important().any() and found.regions() == []
    with pytest.raises(ValueError, match="empty"):
        faithfulness(loudness_model, found)


@pytest.mark.parametrize("mode", ["dense", "windows"])
@pytest.mark.parametrize("samples", [20_000, 49_919, 100_000])
def test_the_score_is_the_one_that_recognition_gives(model: StoredModel, mode: str, samples: int) -> None:
    waveform = pink(samples, RATE)
    waveform[RATE // 2 : 3 * RATE] = 0  # some windows of the longest one are silent and do not count
    stored = copy.copy(model)
    stored.mode = mode  # type: ignore[assignment]
    found = explain(stored, waveform)
    (prediction,) = torch_predictor(stored).predict_blocks([waveform], 32 * 120)  # computes what exported files do
    expected = recording_probabilities(prediction.probabilities)
    best = np.argsort(-expected)
    assert [one.label for one in found.top] == [model.labels[i] for i in best]
    np.testing.assert_allclose([one.score for one in found.top], expected[best], atol=2e-3)
    assert found.map.shape == found.log_mel.shape and found.end == pytest.approx(samples / RATE, abs=0.006)


def test_a_network_without_branches_has_only_a_map(tmp_path: Path) -> None:
    torch.manual_seed(0)
    found = explain(StoredModel(create_model("cnn", 3), ("a", "b", "c")), pink(60_000, RATE))
    assert not found.empty and found.branches.shape == found.spans.shape == (0, 0)
    found.plot(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000


class Level(nn.Module):
    """A branch whose output is the same for any input."""

    def __init__(self, level: Tensor) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        return self.level.expand_as(x)


def test_the_shares_of_a_stage_are_what_the_network_loses_without_its_branches(model: StoredModel) -> None:
    waveform = pink(60_000, RATE)
    found = explain(model, waveform)
    probe = Probe(model)
    windows, loud = probe.windows(found.log_mel), probe.loud_steps(found.log_mel)
    index = model.labels.index(found.label)

    def odds(net: AudioInceptionNeXt) -> float:
        with torch.no_grad():
            return log_odds(probe.logits(net.features(windows)), loud, index)

    whole = odds(probe.net)  # type: ignore[arg-type]
    assert whole == pytest.approx(np.log(found.score / (1 - found.score)), rel=1e-6)
    assert np.abs(found.branches).min() > 1e-4  # every branch of this network matters, so that the sums mean something
    for stage in range(4):  # of one block each
        without = copy.deepcopy(probe.net)
        branches = model.net.blocks[stage].branches  # type: ignore[union-attr, index]
        without.blocks[stage].branches = nn.ModuleList(Level(typical_level(branch)) for branch in branches)  # type: ignore
        assert found.branches[stage].sum() == pytest.approx(whole - odds(without), abs=1e-5)  # type: ignore[arg-type]
    assert probe.net.blocks[0].branches[0](torch.zeros(1, 16, 2, 2)).std() > 0  # type: ignore # nothing stays switched off


def test_a_branch_without_weights_contributes_nothing() -> None:
    net = with_statistics(create_model("tiny", 3, depths=(1, 1, 2, 1)))
    with torch.no_grad():
        for number in (2, 3):  # both blocks of the third stage
            for parameter in net.blocks[number].branches[1].parameters():  # type: ignore[union-attr]
                parameter.zero_()
    found = explain(StoredModel(net, ("a", "b", "c"), mode="dense"), pink(60_000, RATE))
    assert (found.branches == 0).tolist() == [[False] * 3, [False] * 3, [False, True, False], [False] * 3]
    assert found.spans[1].tolist() == pytest.approx([0.08, 0.4, 0.8])  # (k - 1) positions, 8 frames of 5 ms apart


def test_shares_are_fair() -> None:
    """Two players that know the same share it; one that matters only together with another gets half of that."""
    worth = {frozenset(s): 0.0 for s in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))}
    for some in worth:
        worth[some] = 6.0 * bool(some & {0, 1}) + 4.0 * (some >= {1, 2})
    assert shapley_values(worth, 3) == pytest.approx([3, 5, 2])


@pytest.mark.parametrize("order", ["time-frequency", "both"])
def test_the_typical_level_is_the_mean_over_what_normalisation_saw(order: str) -> None:
    torch.manual_seed(0)
    branch = Branch(5, 3, order).eval()  # type: ignore[arg-type]
    for pair in branch.convs:
        nn.init.normal_(pair.norm.weight)  # type: ignore[union-attr, arg-type]
        nn.init.normal_(pair.norm.bias)  # type: ignore[union-attr, arg-type]
    pairs = branch.convs if order == "both" else branch.convs[-1:]
    standard = torch.randn(400_000, 1)
    means = [torch.relu(standard * p.norm.weight + p.norm.bias).mean(0) for p in pairs]  # type: ignore[union-attr, operator]
    assert torch.allclose(typical_level(branch).flatten(), sum(means), atol=0.02)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def weights(loudness_model: StoredModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The loudness model as a file, standardised so that all but loud sound is below 0."""
    model = copy.deepcopy(loudness_model)
    model.net.mean.fill_(-5.0)
    model.net.std.fill_(10.0)
    save_model(model, path := tmp_path_factory.mktemp("explained") / "model.safetensors")
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 s, faint noise with a second of loud noise from 9 s on."""
    waveform = pink(14 * RATE, RATE) * 1e-4
    waveform[9 * RATE : 10 * RATE] = pink(RATE, RATE) * 0.5
    return write_wav(tmp_path_factory.mktemp("recordings") / "long [1].wav", waveform, RATE)


def test_the_command(weights: Path, recording: Path, tmp_path: Path) -> None:
    """It explains a long recording where the label scores best, and an excerpt that is given."""
    picture = tmp_path / "why.png"
    call = ("explain", recording, "--model", weights, "--out", picture)
    found = ainext(*call, "--check", "--json").json
    assert found["label"] == "burst" and found["model"] == str(weights) and found["picture"] == str(picture)
    assert 5 < found["start"] <= 9 < 10 <= found["end"] == pytest.approx(found["start"] + 5, abs=0.01)
    assert all(8.7 < one["start"] < one["end"] < 10.3 for one in found["regions"])
    assert found["check"]["region"] > found["check"]["random"] and found["check"]["draws"] == 16
    assert np.shape(found["branches"]["stages"]) == (4, 3) and found["branches"]["kernels"] == [3, 11, 21]
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000

    part = ainext(*call, "--start", "8.5", "--end", "10.5", "--label", "nothing", "--check")
    assert part.code == 0 and "8.50 to 10.50 s" in part.out and "the map is empty" in part.out
    assert part.complaints == ["ainext: warning: --check: the map is empty, so there is no region to delete"]
    whole = explain_file(weights, recording, start=8.5, end=10.5)
    assert isinstance(whole, Explanation) and whole.start == 8.5 and whole.model == str(weights)


def test_the_picture_of_another_recording_is_not_replaced(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("day1", "day2"):
        Path(folder).mkdir()
        write_wav(Path(folder, "R.wav"), pink(RATE, RATE), RATE)
    rest = ("--model", weights)
    assert ainext("explain", "day1/R.wav", *rest).code == 0
    before = Path("R-explained.png").read_bytes()
    line = refused("explain", "day2/R.wav", *rest)
    assert "--out: R-explained.png is the result of day1/R.wav, and that of day2/R.wav would replace it" in line
    assert line.endswith("give --overwrite to allow it, or another file")
    assert Path("R-explained.png").read_bytes() == before
    assert ainext("explain", "day2/R.wav", *rest, "--overwrite").code == 0
    assert Path("R-explained.png").read_bytes() != before


def test_wrong_calls_end_in_one_line(weights: Path, recording: Path, tmp_path: Path) -> None:
    call = ("explain", recording, "--model", weights, "--out", tmp_path / "why.png")
    assert "did you mean burst?" in refused(*call, "--label", "brust")
    assert "--end 2.0: give a time after the start, which is 3 s" in refused(*call, "--start", "3", "--end", "2")
    assert "at most 30 s" in refused(*call, "--start", "0", "--end", "31")
    assert "has no sound at 20 s" in refused(*call, "--start", "20")
    assert ".safetensors" in refused("explain", recording, "--model", "some.onnx")
    assert "did you mean kitchen20?" in refused("explain", recording, "--model", "kitchen")
    assert "nowhere.wav" in refused("explain", tmp_path / "nowhere.wav", "--model", weights)
    assert "not a picture's name" in refused(*call[:-1], tmp_path / "why.txt")
    silent = write_wav(tmp_path / "silent.wav", np.zeros(12 * RATE), RATE)
    assert "digital silence" in refused("explain", silent, "--model", weights)
    assert "digital silence" in refused("explain", silent, "--model", weights, "--start", "1")
    assert not list(tmp_path.glob("*.png"))
    left = python("-c", WITHOUT.format(absent=EXTRAS) + RUN, "explain", recording)
    assert left.code == 2 and not left.out and "pip install 'audioinceptionnext[" in left.complaints[0]
    with pytest.raises(ValueError, match="shape"):
        explain(weights, np.zeros((3, 4), np.float32))
    single = StoredModel(create_model("tiny", 1, depths=(1, 1, 1, 1)), ("only",))
    with pytest.raises(AinextError, match="one class"):
        explain(single, pink(RATE, RATE))


def test_the_check_over_a_data_set(
    model: StoredModel, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes all clips of the first fold, then as many of the second as are missing; the table is the rows' mean."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    root = write_kitchen(tmp_path / "kitchen20", clips=6)
    for fold in (1, 2):
        save_model(model, tmp_path / f"{fold}.safetensors")
    paths = ["--model", f"{tmp_path}/{{fold}}.safetensors", "--root", str(root), "--out", str(tmp_path / "all.json")]
    numbers = ["--folds", "2,1", "--clips", "5", "--draws", "2"]
    monkeypatch.setattr(sys, "argv", ["explain_check.py", *paths, *numbers])
    importlib.import_module("explain_check").main()
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert [Path(one["file"]).stem for one in found["each"]] == ["3", "4", "5", "0", "1"]
    assert "5 clips of kitchen20" in printed and "kernel 21" in printed
    each = [one for one in found["each"] if one["checks"]]
    assert len(each) == 5 - found["empty_maps"] > 0
    for row in found["checks"]:
        suffix = "" if row["unit"] == "score" else "_log_odds"
        for key in ("region", "random"):
            drops = [one["checks"][row["fill"]][key + suffix] for one in each]
            assert row[key] == pytest.approx(np.mean(drops), abs=1e-4)
        assert row["interval"][0] <= row["difference"] <= row["interval"][1]
    mean = np.mean([one["branches"]["stages"] for one in each], axis=0)
    np.testing.assert_allclose(found["branches"]["mean"], mean, atol=1e-4)
    np.testing.assert_allclose(np.sum(found["branches"]["largest"], axis=1), 1)

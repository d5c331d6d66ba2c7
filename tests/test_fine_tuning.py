"""Fine-tuning that keeps what was learnt: the linear start, rates by block, what is accepted, tables of targets."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.clip import Clip
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Waveforms
from audioinceptionnext.errors import AinextError, FileError, ParameterError
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.training import linear_start
from audioinceptionnext.training.acceptance import accept, blend
from audioinceptionnext.training.background import background
from audioinceptionnext.training.fine_tuning import FineTuning, targets_of_clips
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.linear_start import (
    PENALTIES,
    _regressions,
    clip_loss,
    fold_numbers,
    frozen_features,
    solve,
    start_from_linear_solution,
)
from audioinceptionnext.training.optimiser import make_optimiser
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.soft_targets import read_soft_targets, write_soft_targets
from tests.small_sounds import LABELS, quick, same, small_net

ALONE = Hardware(threads=1)


def cloud(clips: int = 60, rows: int = 2, noise: float = 0.7) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows of features of clips of three classes that overlap, the clip of each row, and the clips' targets."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(clips) % 3
    centres = torch.randn(3, 8, generator=generator)
    clip = torch.arange(clips).repeat_interleave(rows)
    features = centres[labels[clip]] + noise * torch.randn(len(clip), 8, generator=generator)
    return features * torch.logspace(-3, 3, 8), clip, torch.nn.functional.one_hot(labels, 3).float()


def test_the_linear_solution_is_the_logistic_regression_of_mean_features() -> None:
    features, clip, targets = cloud()
    found = solve(features, clip, targets, np.arange(60) // 3 % 5)
    x = features.view(60, 2, 8).mean(1).double()
    deviation = x.std(0, correction=0)
    weight = (found.weight.double() * deviation).requires_grad_()
    bias = (found.bias.double() + found.weight.double() @ x.mean(0)).requires_grad_()
    logits = (x - x.mean(0)) / deviation @ weight.T + bias
    fit = torch.nn.functional.cross_entropy(logits, targets.double())
    (fit + found.penalty / 2 * (weight**2).sum() / 8).backward()
    assert weight.grad is not None and bias.grad is not None
    assert max(weight.grad.abs().max(), bias.grad.abs().max()) < 1e-3  # no other layer has a lower loss
    assert (logits.argmax(1) == targets.argmax(1)).float().mean() > 0.7


def test_the_penalty_is_the_best_for_clips_that_were_left_out() -> None:
    features, clip, targets = cloud()
    folds = np.arange(60) // 3 % 5
    found = solve(features, clip, targets, folds)
    assert found.loss < 0.8 * clip_loss(torch.zeros(len(clip), 3), clip, targets)  # that of knowing nothing
    nothing = solve(features, clip, targets[torch.randperm(60, generator=torch.Generator().manual_seed(1))], folds)
    assert nothing.penalty == max(PENALTIES)
    assert solve(*cloud(noise=0.01), folds).penalty == min(PENALTIES)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_loss_of_left_out_clips_is_the_mean_over_all(multi_label: bool) -> None:
    features, clip, targets = cloud(clips=30)
    folds = np.arange(30) ** 2 % 5  # of different sizes
    found = solve(features, clip, targets, folds, multi_label=multi_label)
    logits = torch.zeros(len(clip), 3)
    for number in np.unique(folds):
        inside = torch.from_numpy(np.flatnonzero(folds != number))
        left_out = torch.from_numpy(folds == number)[clip]
        means = features.view(30, 2, 8).mean(1)[inside].double()
        *_, (weight, bias) = _regressions(
            means, targets[inside].double(), PENALTIES[: PENALTIES.index(found.penalty) + 1], {}, multi_label
        )
        logits[left_out] = torch.nn.functional.linear(features[left_out], weight.float(), bias.float())
    assert found.loss == pytest.approx(clip_loss(logits, clip, targets, multi_label=multi_label), rel=1e-3)


def test_several_labels_of_a_clip_are_solved_each_on_its_own() -> None:
    features, clip, targets = cloud()
    targets = torch.cat([targets, targets[:, :1]], 1)  # the fourth label is true with the first
    found = solve(features, clip, targets, np.arange(60) // 3 % 5, multi_label=True)
    probabilities = torch.nn.functional.linear(features, found.weight, found.bias).sigmoid()
    torch.testing.assert_close(probabilities[:, 0], probabilities[:, 3])
    assert ((probabilities > 0.5) == (targets[clip] > 0)).float().mean() > 0.8


def test_folds_keep_sources_whole_and_labels_even() -> None:
    clips = [Clip(Path(f"{n}.wav"), label=n % 4, group=f"{n // 8}") for n in range(160)]
    folds = fold_numbers(clips)
    assert all(len(set(folds[n : n + 8])) == 1 for n in range(0, 160, 8))
    assert np.bincount(folds).tolist() == [32] * 5
    alone = fold_numbers([replace(clip, group=None) for clip in clips])
    counts = np.zeros((5, 4))
    np.add.at(counts, (alone, np.array([clip.label for clip in clips])), 1)
    assert (counts == 8).all()


@pytest.fixture(scope="module")
def start(root: Path) -> tuple[StoredModel, Waveforms]:
    model = StoredModel(small_net(dropout=0.0).eval(), LABELS)
    clips = load_dataset("kitchen20", root).select("1")[0]
    return model, Waveforms(clips, Reader(model.sample_rate), 0.8)


def test_the_network_starts_with_the_solution_for_its_own_features(start: tuple[StoredModel, Waveforms]) -> None:
    model, waveforms = replace(start[0], net=copy.deepcopy(start[0].net)), start[1]
    targets = targets_of_clips(waveforms.clips, 2)
    before = copy.deepcopy(model.net.state_dict())
    FineTuning(model, Recipe(linear_start=True), waveforms)
    features, clip = frozen_features(model, waveforms)
    found = solve(features, clip, targets, fold_numbers(waveforms.clips))
    torch.testing.assert_close(model.net.classifier.weight.data, found.weight)
    changed = [name for name, value in model.net.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["classifier.weight", "classifier.bias"]
    index = int((clip.bincount() == 1).nonzero()[0])  # of a clip that is taken as a whole, as the network pools it
    waveform = torch.from_numpy(waveforms.part(index, 0, waveforms.max_samples))
    with torch.no_grad():
        own = model.net(model.front_end()(waveform[None])[:, :, : len(waveform) // model.front_end().hop])
    logits = torch.nn.functional.linear(features[clip == index], found.weight, found.bias)
    torch.testing.assert_close(own, logits, rtol=1e-3, atol=1e-3)

    soft = torch.full_like(targets, 0.5)
    FineTuning(model, Recipe(linear_start=True, teacher_share=1.0), waveforms, soft_targets=soft)
    assert model.net.classifier.weight.abs().max() < 1e-3  # a teacher that knows nothing teaches nothing


def test_every_class_is_as_probable_in_background(start: tuple[StoredModel, Waveforms]) -> None:
    surest = []
    for share in (0.0, 0.9):
        model = replace(start[0], net=copy.deepcopy(start[0].net))
        torch.manual_seed(0)
        FineTuning(model, Recipe(linear_start=True, background_share=share), start[1])
        noise = background(50, round(0.8 * model.sample_rate), model.sample_rate)
        with torch.no_grad():
            surest.append(model.net(model.front_end()(noise)).softmax(1).amax(1).mean())
    assert surest[1] < surest[0] - 0.1


def test_a_new_linear_layer_gets_the_statistics_of_the_blocks_that_there_are(
    start: tuple[StoredModel, Waveforms], root: Path, tmp_path: Path
) -> None:
    """And without epochs, nothing but the linear layer changes."""
    weights = tmp_path / "weights.safetensors"
    save_model(replace(start[0], labels=("other", "labels")), weights)
    dataset = load_dataset("kitchen20", root)
    recipe = quick(linear_start=True, epochs=0, statistics=(0, 99), network="small", network_settings={})
    run = Run(dataset, *dataset.select("1"), tmp_path / "run", recipe, initial_weights=str(weights))
    made = train(run)
    assert made is not None
    model = load_model(made)
    assert model.net.config.statistics == (0,) and model.labels == dataset.labels
    own, before = model.net.state_dict(), start[0].net.state_dict()
    assert {name for name in own if not torch.equal(own[name], before[name])} == {
        "classifier.weight",
        "classifier.bias",
    }
    again = replace(run, recipe=replace(recipe, seed=1))
    with pytest.raises(FileError, match="seed"):
        train(again, resume=True)
    assert train(run, resume=True) == made
    with pytest.raises(ParameterError, match="only a table"):
        train(replace(run, out=tmp_path / "other", recipe=replace(recipe, teacher="kitchen20")))
    with pytest.raises(ParameterError, match="nothing would be learnt"):
        train(replace(run, out=tmp_path / "other", recipe=replace(recipe, linear_start=False)))


def test_clips_that_cannot_be_read_change_nothing(start: tuple[StoredModel, Waveforms], tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    model = replace(start[0], net=copy.deepcopy(start[0].net))
    broken = Waveforms([Clip(tmp_path / "a.wav", n) for n in (0, 1)], Reader(model.sample_rate), 0.8)
    FineTuning(model, Recipe(linear_start=True), broken)
    assert same(model.net.state_dict(), start[0].net.state_dict())


def test_the_accepted_weights_are_never_worse_than_the_start() -> None:
    start, end = small_net().eval(), small_net().eval()
    for parameter in end.parameters():
        parameter.data += 1.0
    assert same(blend(start, end, 0.0).state_dict(), start.state_dict())
    assert same(blend(start, end, 1.0).state_dict(), end.state_dict())

    def distance_from(place: float):  # type: ignore[no-untyped-def]
        wanted = blend(start, end, place).classifier.bias.detach()
        return lambda net: float((net.classifier.bias.detach() - wanted).abs().sum())

    assert [accept(start, end, distance_from(place)).share for place in (0.3, 0.9)] == [0.25, 1.0]
    assert accept(start, end, lambda net: 1.0).share == 0  # nothing gained, nothing changed


def test_a_start_that_is_accepted_is_that_of_all_clips(
    start: tuple[StoredModel, Waveforms], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clips = replace(start[0], net=copy.deepcopy(start[0].net)), start[1].clips
    waveforms, trial = (Waveforms(part, Reader(model.sample_rate), 0.8) for part in (clips[:8], clips[8:]))
    soft = torch.rand(12, 2, generator=torch.Generator().manual_seed(0)).softmax(1)
    tuning = FineTuning(model, Recipe(linear_start=True, teacher_share=0.5), waveforms, trial, soft)
    few = copy.deepcopy(model.net.classifier.weight.data)
    for parameter in model.net.parameters():
        parameter.data += 1.0
    tuning.accept(model)
    assert model.info["accepted_share"] == 0
    wanted = replace(start[0], net=copy.deepcopy(start[0].net))
    targets = targets_of_clips(clips, 2)
    start_from_linear_solution(wanted, (waveforms, trial), targets, targets.lerp(soft, 0.5))
    assert same(model.net.state_dict(), wanted.net.state_dict())
    assert not torch.allclose(model.net.classifier.weight, few, rtol=0.01)

    batches: list[int] = []
    front_end = linear_start.crop
    monkeypatch.setattr(linear_start, "crop", lambda *a, **o: batches.append(len(a[1])) or front_end(*a, **o))
    torch.nn.init.zeros_(model.net.classifier.weight)
    tuning = FineTuning(model, Recipe(), waveforms, trial)
    model.net.classifier.weight.data += wanted.net.classifier.weight
    tuning.accept(model)
    assert model.info["accepted_share"] > 0 and len(batches) == 1  # one front end for five candidates


def test_a_trial_that_cannot_be_read_changes_nothing(
    start: tuple[StoredModel, Waveforms], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = replace(start[0], net=copy.deepcopy(start[0].net), info={})
    (tmp_path / "a.wav").write_bytes(b"no sound")
    broken = Waveforms([Clip(tmp_path / "a.wav", 0)], Reader(model.sample_rate), 0.8)
    tuning = FineTuning(model, Recipe(), start[1], broken)
    model.net.classifier.bias.data += 1
    tuning.accept(model)
    assert "accepted_share" not in model.info and not same(model.net.state_dict(), start[0].net.state_dict())
    assert "none of the 1 training clip set aside can be read, so all of the change is kept" in capsys.readouterr().err


def test_a_run_that_would_end_worse_ends_as_it_started(
    root: Path, start: tuple[StoredModel, Waveforms], tmp_path: Path
) -> None:
    save_model(start[0], weights := tmp_path / "start.safetensors")
    dataset = load_dataset("kitchen20", root)
    training, held_out = dataset.select("1")
    soft = np.eye(2)[[clip.label for clip in training]] * 0.9 + 0.05  # of the clips set aside too
    write_soft_targets(tmp_path / "all.csv", dataset.labels, training, soft)
    changes = {"linear_start": True, "trial_share": 0.34, "teacher": str(tmp_path / "all.csv"), "teacher_share": 0.5}
    recipe = quick(network_settings={}, epochs=1, learning_rate=50.0, **changes)
    path = train(Run(dataset, training, [], tmp_path / "run", recipe, str(weights)), hardware=ALONE)
    assert path is not None
    bad = load_model(path)
    assert bad.info["accepted_share"] == 0
    body = {name: value for name, value in start[0].net.state_dict().items() if not name.startswith("classifier.")}
    assert all(torch.equal(bad.net.state_dict()[name], value) for name, value in body.items())
    clips = Waveforms(held_out, Reader(24_000))
    features, clip = frozen_features(bad, clips)
    logits = torch.nn.functional.linear(features, bad.net.classifier.weight, bad.net.classifier.bias)
    assert (
        clip_loss(logits.detach(), clip, targets_of_clips(held_out, 2)) < 0.5
    )  # the linear start tells a hiss from a whistle


def test_the_rate_falls_from_block_to_block() -> None:
    net = small_net()
    optimizer = make_optimiser(net, Recipe(learning_rate=1.0, body_rate=0.1, layer_decay=0.5))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert len(rates) == len(list(net.parameters()))
    found = {name: rates[id(p)] for name, p in net.named_parameters() if name.endswith("conv.weight")}
    for name, rate in found.items():
        block = int(name.split(".")[1]) if name.startswith("blocks.") else 0
        assert rate == pytest.approx(0.1 * 0.5 ** (3 - block)), name
    assert rates[id(net.classifier.weight)] == 1.0


def test_targets_of_a_table_are_those_that_a_run_learns_from(root: Path, tmp_path: Path) -> None:
    dataset = load_dataset("kitchen20", root)
    inside, outside = dataset.select("1")
    wrong = [replace(clip, label=0) for clip in inside]  # every whistle is labelled a hiss
    said = np.eye(2)[[clip.label for clip in inside]] * 0.9 + 0.05
    table = tmp_path / "fold-1.csv"
    write_soft_targets(table, dataset.labels, inside, said)
    np.testing.assert_allclose(read_soft_targets(table, dataset.labels, wrong), said, atol=1e-4)
    with pytest.raises(AinextError, match=r"fold-1.csv: it says nothing of 12 of the training clips, e\.g\. .*12\.wav"):
        read_soft_targets(table, dataset.labels, outside)
    with pytest.raises(AinextError, match="its columns are not path, key, start and the 2 labels of this run"):
        read_soft_targets(table, ("tap", "door"), inside)
    with pytest.raises(AinextError, match="no such file"):
        read_soft_targets(tmp_path / "fold-2.csv", dataset.labels, inside)

    recipe = quick(epochs=8, learning_rate=0.01, teacher=f"{tmp_path}/fold-{{fold}}.csv", teacher_share=1.0)
    path = train(Run(dataset, wrong, [], tmp_path / "run", recipe, details={"fold": 1}), hardware=ALONE)
    assert path is not None
    model, clips = load_model(path), Waveforms(outside, Reader(24_000))
    features, clip = frozen_features(model, clips)
    logits = torch.nn.functional.linear(features, model.net.classifier.weight, model.net.classifier.bias)
    assert clip_loss(logits.detach(), clip, targets_of_clips(outside, 2)) < 0.4

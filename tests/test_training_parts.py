"""The parts of training against their formulas: schedule, optimiser, averages, statistics, losses, crops."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.errors import FileError
from audioinceptionnext.network.frontend import LogMel
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training import averaging, progress
from audioinceptionnext.training.augment import mixup, random_gain, reverberate
from audioinceptionnext.training.averaging import MovingAverage, recompute_statistics
from audioinceptionnext.training.batch_transform import crop
from audioinceptionnext.training.frozen import freeze_norms, freeze_statistics
from audioinceptionnext.training.implementations import (
    IMPLEMENTATIONS,
    Implementation,
    as_convolutions,
    stem_alone,
)
from audioinceptionnext.training.module import RECORD, SoundClassifier
from audioinceptionnext.training.optimiser import make_optimiser, make_schedule, rate_factor
from audioinceptionnext.training.prepare import _class_weights
from audioinceptionnext.training.recipe import Recipe
from audioinceptionnext.training.run_record import Run, read_run_record
from audioinceptionnext.training.spec_augment import mask
from tests.audio_files import pink
from tests.small_sounds import LABELS, RATE, batch_of, module_of, small_net

# --- The learning rate ---


def test_warm_up_and_cosine() -> None:
    recipe = Recipe(epochs=10, warmup=0.2)  # 100 steps, 20 of them to warm up
    assert [rate_factor(recipe, step, 10) for step in (0, 9, 19, 20)] == [1 / 20, 0.5, 1.0, 1.0]
    assert rate_factor(recipe, 60, 10) == pytest.approx(0.5)
    assert rate_factor(recipe, 40, 10) == pytest.approx(0.5 + 0.5 * math.cos(math.pi / 4))
    assert rate_factor(recipe, 100, 10) == 0 == rate_factor(recipe, 500, 10)
    assert rate_factor(Recipe(epochs=10), 0, 10) == 1.0
    assert rate_factor(Recipe(epochs=2, warmup=0.25, schedule="steps", rate_at={1: 0.5}), 1, 4) == 1.0
    assert rate_factor(Recipe(epochs=2, warmup=0.25, schedule="steps", rate_at={1: 0.5}), 4, 4) == 0.5


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_rates_decay_and_groups(name: str) -> None:
    net = small_net()
    recipe = Recipe(optimizer=name, learning_rate=0.5, body_rate=0.1, weight_decay=0.3, momentum=0.7, epochs=4)
    optimizer = make_optimiser(net, recipe)
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(found) == len(list(net.parameters()))
    for key, parameter in net.named_parameters():
        group = found[id(parameter)]
        assert group["lr"] == pytest.approx(0.5 if key.startswith("classifier.") else 0.05), key
        norm_or_bias = ".norm." in key or key.endswith(".bias")
        assert group["weight_decay"] == (0 if norm_or_bias else 0.3), key
        assert group.get("momentum", 0.7) == 0.7
    schedule = make_schedule(optimizer, recipe, 5)
    assert schedule["interval"] == "step"
    for step in range(20):
        assert optimizer.param_groups[-1]["lr"] == pytest.approx(0.5 * rate_factor(recipe, step, 5), abs=1e-12)
        optimizer.step()
        schedule["scheduler"].step()


# --- Averages and statistics ---


def test_the_moving_average_is_its_formula() -> None:
    net = small_net()
    average = MovingAverage(net, 0.6)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    wanted = copy.deepcopy(net.state_dict())
    for n in range(12):
        with torch.no_grad():
            for tensor in net.state_dict().values():
                tensor.add_(torch.randn(tensor.shape) if tensor.is_floating_point() else 1)
        average.update_parameters(net)
        keep = min(0.6, (1 + n) / (10 + n))
        for key, tensor in net.state_dict().items():
            new = tensor if not tensor.is_floating_point() else keep * wanted[key] + (1 - keep) * tensor
            wanted[key] = new.clone()
    assert int(average.n_averaged) == 1 + 12
    for key, tensor in average.module.state_dict().items():
        torch.testing.assert_close(tensor, wanted[key], rtol=1e-5, atol=1e-5, msg=key)


def test_a_checkpoint_with_the_average_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"average.updates": torch.tensor(6)}, RECORD: {}}, tmp_path / "last.ckpt")
    with pytest.raises(FileError, match="not written by this version; start the run again without resuming"):
        read_run_record(tmp_path / "last.ckpt")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_precise_statistics_are_those_of_the_same_batches(implementation: Implementation) -> None:
    net = small_net()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # the last one of each block starts at 0 and lets nothing through
            nn.init.uniform_(module.weight, 0.5, 1.0)
    batches = [torch.randn(6 - n, 1, 64, 128) * (1 + n) + n for n in range(3)]
    weights = copy.deepcopy(dict(net.named_parameters()))
    assert recompute_statistics(net, lambda x: IMPLEMENTATIONS[implementation](net, x, torch.float32), batches) == 3
    assert not any(norm.momentum != 0.1 for norm in net.modules() if isinstance(norm, nn.BatchNorm2d))
    assert all(torch.equal(parameter, weights[key]) for key, parameter in net.named_parameters())

    elements: dict[str, list[Tensor]] = {}

    def note(name: str) -> Any:
        def hook(_: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            elements.setdefault(name, []).append(arguments[0].detach().double().transpose(0, 1).flatten(1))

        return hook

    plain = copy.deepcopy(net).train()
    norms = {name: norm for name, norm in plain.named_modules() if isinstance(norm, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.register_forward_pre_hook(note(name))
    with torch.no_grad():
        for batch in batches:
            plain.features(batch)
    tolerance = 1e-5 if implementation == "convolutions" else 1e-3
    for name, found in ((n, m) for n, m in net.named_modules() if n in norms):
        assert isinstance(found, nn.BatchNorm2d) and found.running_mean is not None and found.running_var is not None
        variance, mean = torch.var_mean(torch.cat(elements[name], dim=1), dim=1, correction=0)
        scale = float(variance.sqrt().max())
        torch.testing.assert_close(found.running_mean.double(), mean, rtol=tolerance, atol=tolerance * scale)
        torch.testing.assert_close(found.running_var.double(), variance, rtol=tolerance, atol=tolerance * scale**2)
    assert recompute_statistics(net, lambda x: None, []) == 0


def test_precise_statistics_of_a_process_whose_first_batch_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process has all clips of the first step, in longer crops, and none of the second."""
    own = [torch.zeros(0, 1, 64, 128), torch.randn(3, 1, 64, 128) + 2, torch.randn(2, 1, 64, 128)]
    others = [torch.randn(4, 1, 96, 128) - 1, torch.zeros(0, 1, 96, 128), torch.zeros(0, 1, 64, 128)]
    filled = [a if len(a) else b for a, b in zip(own, others, strict=True)]  # statistics are those of both
    alone, together = small_net(), small_net()
    recompute_statistics(alone, alone.features, filled)

    steps, counts = iter(filled), iter(others)
    elements = {
        length: torch.tensor(averaging._elements(alone, norms_of(alone), torch.zeros(1, 1, length, 128)))
        for length in (64, 96)
    }

    def of_both(values: Tensor) -> Tensor:
        other = next(counts)
        return values + len(other) * elements[other.shape[2]]

    monkeypatch.setattr(averaging, "summed", of_both)
    recompute_statistics(together, lambda _: together.features(next(steps)), own)
    for norm, wanted in zip(norms_of(together), norms_of(alone), strict=True):
        assert norm.running_mean is not None and norm.running_var is not None
        torch.testing.assert_close(norm.running_mean, wanted.running_mean)
        torch.testing.assert_close(norm.running_var, wanted.running_var)


def norms_of(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def test_precise_statistics_of_frozen_normalisations_need_the_stem_alone() -> None:
    nets = small_net(), small_net()
    batches = [torch.randn(4, 1, 64, 128) + n for n in range(2)]
    for net, forward in zip(nets, (as_convolutions, stem_alone), strict=True):
        freeze_norms(net)
        recompute_statistics(net, lambda x, net=net, forward=forward: forward(net, x, torch.float32), batches)
    found, wanted = (net.state_dict() for net in reversed(nets))
    assert all(torch.equal(found[key], wanted[key]) for key in wanted if "num_batches" not in key)
    assert norms_of(nets[1])[0].running_mean.abs().max() > 0  # type: ignore[union-attr]


def test_statistics_that_are_all_frozen_take_no_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SoundClassifier] = []
    monkeypatch.setattr(SoundClassifier, "training_inputs", lambda self, _: asked.append(self) or [])
    for freeze, wanted in ((freeze_statistics, 0), (freeze_norms, 1)):  # the stem's is not frozen by the second
        module = module_of(Recipe(precise_bn=2))
        freeze(module.net)
        module.trainer = SimpleNamespace(train_dataloader=None, global_step=0)  # type: ignore[assignment]
        module.recompute_statistics()
        assert len(asked) == wanted


# --- The loss ---


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")  # there is no trainer here
def test_the_loss_is_weighted_smoothed_cross_entropy() -> None:
    recipe = Recipe(precision="float32", dropout=0, label_smoothing=0.1)
    weights = torch.tensor([0.5, 2.0, 1.0])
    batch = batch_of([0, 1, 1, 2, 0], round(RATE * 0.32) - 1)  # as long as a crop, so that no place is random
    for chosen in (None, weights):
        module = module_of(recipe, chosen, classes=3)
        loss = module.training_step(batch, 0)
        assert loss is not None
        x = crop(module.batch_transform.log_mel, batch.waveforms, batch.lengths, module.model.clip_seconds)
        logits = module.net.train().forward(x)
        targets = nn.functional.one_hot(batch.labels, 3) * 0.9 + 0.1 / 3
        each = -(targets * torch.log_softmax(logits, 1)).sum(1)
        share = torch.ones(5) if chosen is None else targets @ chosen
        torch.testing.assert_close(loss, (share * each).sum() / share.sum(), rtol=1e-4, atol=1e-5)
    assert module.training_step(batch_of([]), 0) is None


def test_balanced_classes_weigh_the_same() -> None:
    clips = [Clip(Path(str(n)), label) for n, label in enumerate([0] * 30 + [1] * 10)]
    run = Run(Dataset("made", ("a", "b", "c"), tuple(clips)), clips, [], Path(), Recipe(loss_weights="balanced"))
    weights = _class_weights(run, run.recipe)
    assert weights is not None
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 2.0, 0.0]))
    assert float(weights[[clip.label for clip in clips]].mean()) == pytest.approx(1)  # the loss keeps its size
    assert _class_weights(run, Recipe()) is None


def test_the_loss_of_long_crops_is_that_of_the_mean_distribution_over_the_steps() -> None:
    module = module_of(Recipe(precision="float32", dropout=0)).eval()
    x = torch.randn(3, 1, 64 + 3 * 32, 128)
    with torch.no_grad():
        steps = torch.softmax(module.net.dense(x), 2)
        module.feature_maps = lambda net, log_mel, _: net.features(log_mel)  # type: ignore[operator]
        found = module.log_probabilities(x)
    assert steps.shape[1] == 4
    torch.testing.assert_close(found, steps.mean(1).log(), rtol=1e-4, atol=1e-5)


# --- Crops and augmentation ---


def test_a_crop_is_the_log_mel_of_that_stretch() -> None:
    log_mel = StoredModel(small_net(), LABELS).front_end()
    long, short = torch.from_numpy(pink(100_000, RATE)), torch.from_numpy(pink(3000, RATE)[:1000])
    waveforms = nn.utils.rnn.pad_sequence([long, short], batch_first=True)
    found = crop(log_mel, waveforms, torch.tensor([100_000, 1000]), 2.08, random=False)
    torch.testing.assert_close(found[:1], log_mel(long[None, :49_919]))
    alone = log_mel(short[None])  # 9 frames; then the last one is repeated
    torch.testing.assert_close(found[1:, :, :9], alone)
    torch.testing.assert_close(found[1:, :, 9:], alone[:, :, -1:].expand(-1, -1, 407, -1))
    # A random place is anywhere in the long one, and a short one is used whole.
    places = torch.stack([crop(log_mel, waveforms, torch.tensor([100_000, 1000]), 2.08)[0, 0, 0] for _ in range(5)])
    assert len(torch.unique(places, dim=0)) == 5


def test_augmentation_does_what_it_says() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 1, 100, 128)
    louder = random_gain(x, db=6, equaliser_db=0) - x
    assert louder.abs().max() <= 6 * np.log(10) / 20 + 1e-5
    assert torch.allclose(louder, louder[:, :, :1, :1].expand_as(louder), atol=1e-5)

    targets = torch.eye(4)[torch.arange(64) % 4]
    mixed, shares = mixup(x, targets, 0.4)
    assert torch.allclose(shares.sum(1), torch.ones(64))
    assert (shares.argmax(1) == targets.argmax(1)).float().mean() > 0.95  # the clip keeps the larger part
    assert torch.equal(mixup(x, targets, 0)[0], x) and not torch.equal(mixed, x)

    for dim, longest in ((2, 25), (3, 27)):
        masked = mask(x, 2, longest, dim)
        changed = (masked != x).any(dim=5 - dim).squeeze(1)  # (batch, frames or bands)
        assert 0 < changed.sum(1).float().mean() <= 2 * longest
        assert changed.sum(1).max() <= 2 * longest


def test_reverberation_adds_what_a_tail_of_noise_adds_to_the_direct_sound() -> None:
    """Compared with the mean power of waveforms convolved with many rooms of Polack's model."""
    torch.manual_seed(0)
    rate, hop, reverberation = 8_000, 0.01, 0.4  # seconds
    log_mel = LogMel(rate, 20, 10, bands=16)
    dry = torch.zeros(rate)
    dry[1_600:2_000] = torch.randn(400)
    tail = torch.randn(200, 4_800) * 10 ** (-3 * torch.arange(4_800) / rate / reverberation)
    tail /= torch.linalg.vector_norm(tail, dim=1, keepdim=True)  # as much power as the direct sound
    size = 1 << 14
    wet = torch.fft.irfft(torch.fft.rfft(tail, size) * torch.fft.rfft(dry, size), size)[:, :rate] + dry
    measured = 10 * (2 * log_mel(wet)).exp().mean((0, 3)).log10()[0]  # (frames,) dB
    found = reverberate(log_mel(dry[None]), 1, (reverberation, reverberation), (0, 0), hop)
    expected = 10 * (2 * found).exp().mean(3).log10()[0, 0]
    audible = slice(20, 70)  # from the burst to 0.5 s after it
    assert (measured - expected)[audible].abs().max() < 3 and (measured - expected)[audible].mean().abs() < 1
    assert (2 * log_mel(dry[None])).exp().mean(3).log10()[0, 0, 40] < -10  # silence without the room

    x = torch.randn(64, 1, 30, 16)
    torch.testing.assert_close(reverberate(x, 0, (0.1, 1), (-20, 0), hop), x)
    some = (reverberate(x, 0.5, (0.1, 1), (-20, 0), hop) - x).abs().amax((1, 2, 3)) > 1e-3
    assert 16 < some.sum() < 48


def test_the_time_left_counts_from_the_epoch_that_a_run_was_resumed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    trainer: Any = SimpleNamespace(current_epoch=6, max_epochs=10, num_training_batches=20)
    clock = progress._Clock(trainer)
    trainer.current_epoch, now[0] = 7, 130.0  # 25 batches in 30 s, and 55 are left
    assert clock.left(trainer, 5) == "0:01:06"
    assert progress._epoch(trainer) == "Epoch 8/10"

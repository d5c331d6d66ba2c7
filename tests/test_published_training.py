"""The two published recipes compute what the published code computed, not only what the paper says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from audioinceptionnext.data.sampling import EpochOrder
from audioinceptionnext.data.waveforms import collate
from audioinceptionnext.network import create_model
from audioinceptionnext.network.model import AudioInceptionNeXt
from audioinceptionnext.network.published import published_names
from audioinceptionnext.network.storage import StoredModel
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.optimiser import make_optimiser, make_schedule
from audioinceptionnext.training.recipe import Recipe, load_recipe
from audioinceptionnext.training.spec_augment import VERSIONS, published_mask, published_time_warp
from tests.golden import trajectory as golden
from tests.networks import log_mels

STORED = json.loads(golden.GOLDEN.read_text())
ONLY_DIFFERENCES = {"learning_rate": golden.RATE, "rate_at": golden.RATE_AT, "epochs": golden.EPOCHS, "dropout": 0.0}


def recipe(**changes: Any) -> Recipe:
    return load_recipe("epic-sounds-finetune", ONLY_DIFFERENCES | changes)


def seeded_net() -> AudioInceptionNeXt:
    settings: dict[str, Any] = {"widths": golden.WIDTHS, "depths": (1, 1, 1, 1), "dropout": 0.0}
    net = create_model("base", golden.CLASSES, clip_frames=golden.FRAMES, **settings).double()
    own = {key: golden.seeded(name, golden.shapes()[name]) for key, name in learnt_names(net).items()}
    net.load_state_dict(net.state_dict() | own)
    return net


def learnt_names(net: AudioInceptionNeXt) -> dict[str, str]:
    """Our names and the published ones, without the counters of batches."""
    return {key: name for key, name in published_names(net).items() if not name.endswith("num_batches_tracked")}


def digests(net: AudioInceptionNeXt) -> np.ndarray:
    weights = net.state_dict()
    return np.array([golden.digest(weights[key]) for key in learnt_names(net)])


def wanted(net: AudioInceptionNeXt) -> np.ndarray:
    return np.array([STORED["weights"][name] for name in learnt_names(net).values()])


def twenty_steps(
    with_recipe: Recipe, before_each: Callable[..., None] = lambda *_: None
) -> tuple[list[float], AudioInceptionNeXt]:
    net = seeded_net().train()
    optimizer = make_optimiser(net, with_recipe)
    schedule = make_schedule(optimizer, with_recipe, golden.STEPS_PER_EPOCH)["scheduler"]
    losses = []
    for step in range(golden.EPOCHS * golden.STEPS_PER_EPOCH):
        x, targets = golden.batch(step)
        before_each(net, optimizer, x, targets)
        loss = F.cross_entropy(net(x), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses, net


def test_the_stored_figures_are_those_of_the_facts() -> None:
    losses, weights = golden.trajectory()
    np.testing.assert_allclose(losses, STORED["losses"], rtol=1e-12)
    assert weights.keys() == STORED["weights"].keys()
    for name, w in weights.items():
        np.testing.assert_allclose(golden.digest(w), STORED["weights"][name], rtol=1e-9, atol=1e-11)


def test_twenty_steps_in_float64() -> None:
    losses, net = twenty_steps(recipe())
    np.testing.assert_allclose(losses, STORED["losses"], rtol=1e-12)
    np.testing.assert_allclose(digests(net), wanted(net), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "changes", [{"nesterov": False}, {"decay_biases": False}, {"weight_decay": 0.0}, {"rate_at": {2: 0.1}}]
)
def test_any_other_setting_gives_other_weights(changes: dict[str, Any]) -> None:
    _, net = twenty_steps(recipe(**changes))
    assert np.abs(digests(net) - wanted(net)).max() > 1e-7


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")  # there is no trainer here
def test_twenty_training_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses and the optimiser of a run, in float32 as a run takes its steps, each from the weights of float64.

    Left to itself, the rounding of float32 would decide which of two nearly equal values a pooling takes.
    """
    module = SoundClassifier(
        StoredModel(seeded_net().float(), tuple("abcde"), clip_seconds=0.32), recipe(), golden.STEPS_PER_EPOCH
    )
    configured = module.train().configure_optimizers()
    optimizer, schedule = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    kinds = ("lr", "weight_decay", "momentum", "nesterov")
    losses, settings = [], []

    def training_step(net: AudioInceptionNeXt, optimiser: torch.optim.Optimizer, x: Tensor, targets: Tensor) -> None:
        module.net.load_state_dict(net.state_dict())
        one_hot = F.one_hot(targets, golden.CLASSES).float()
        monkeypatch.setattr(module, "_inputs", lambda _: (x.float(), one_hot))
        loss = module.training_step(collate([])._replace(labels=targets), len(losses))
        assert loss is not None
        losses.append(loss.item())
        settings.append([[[g[key] for key in kinds] for g in one.param_groups] for one in (optimizer, optimiser)])
        optimizer.step()
        schedule.step()

    twenty_steps(recipe(), training_step)
    np.testing.assert_allclose(losses, STORED["losses"], rtol=1e-5)
    assert all(run == float64 for run, float64 in settings) and len({str(one) for one in settings}) > 1


def test_an_epoch_ends_with_its_last_full_batch() -> None:
    for processes in (1, 2):
        used = []
        for rank in range(processes):
            order = EpochOrder(23, 4, 0, rank=rank, world_size=processes, drop_last=True)
            assert len(order) == len(list(order)) == 20 // processes // 4 * 4
            used += [draw.index for draw in order]
        assert len(set(used)) == len(used) == {1: 20, 2: 16}[processes]
    whole = EpochOrder(23, 4, 0)
    assert [draw.index for draw in whole][:20] == [draw.index for draw in EpochOrder(23, 4, 0, drop_last=True)]
    with pytest.raises(ValueError, match="3 clips are no full batch of 4"):
        EpochOrder(3, 4, 0, drop_last=True)


# Augmentation. The figures are those measured of the published code (300 draws) in ../shared/reference.


def displacements(draws: int = 400, frames: int = 416, bands: int = 128) -> Tensor:
    """By how many frames the published warp moves each point: (draws, frames, bands).

    The values of the log-mel decide about the warp. So a small ramp over time on top of typical values tells where each
    value came from.
    """
    torch.manual_seed(0)
    levels = torch.randn(draws, 1, 1, 1) * 2.3 - 1.7  # mean and deviation of Kitchen20's log-mel
    ramp = torch.arange(frames, dtype=torch.float64)[:, None].expand(frames, bands) * 1e-9
    warped = published_time_warp(levels.double() + ramp, 5)
    return ((warped - levels.double())[:, 0] - ramp) / 1e-9


def test_the_published_warp_stretches_and_shears() -> None:
    moved = displacements()
    frames, middle = moved.shape[1], 64
    inside = (moved + torch.arange(frames)[:, None]).clamp(0, frames - 1)  # where a point came from
    assert 16 < float(moved.abs().mean()) < 24  # 19.4
    largest = moved.abs().amax((1, 2))
    assert 120 < float(largest.quantile(0.95)) < 200  # 156
    assert 0.08 < float((largest < 0.01).float().mean()) < 0.13  # one in ten changes nothing
    # The factor of time, from neighbouring frames: these differ by 0 where they came from beyond the ends.
    differences = inside[:, :, middle].diff(dim=1)
    factor = differences.gather(1, differences.abs().argmax(1, keepdim=True))[:, 0]
    quantiles = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=factor.dtype)
    found = factor.quantile(quantiles)
    np.testing.assert_allclose(found, [0.70, 0.97, 1.00, 1.03, 1.27], atol=0.08)
    assert 0.16 < float(((factor - 1).abs() > 0.1).double().mean()) < 0.30  # 24 %
    shear = (inside[:, 200, 127] - inside[:, 200, 0])[:, None].quantile(torch.tensor([0.05, 0.95]).double())
    assert -14 < float(shear[0]) < -5 and 5 < float(shear[1]) < 14  # -10 to +8


def test_the_textbook_warp_moves_a_few_frames() -> None:
    torch.manual_seed(0)
    frames = 416
    ramp = torch.arange(frames).double()[:, None].expand(300, 1, frames, 8)
    moved = (VERSIONS["textbook"].time_warp(ramp, 5) - ramp).abs()
    assert 0.9 < float(moved.mean()) < 1.7 and float(moved.max()) <= 5  # 1.3


@pytest.mark.parametrize(("dim", "longest", "hidden", "none"), [(3, 27, 11.5, 0.06), (2, 25, 10.6, 0.07)])
def test_the_published_masks_are_narrow(dim: int, longest: int, hidden: float, none: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 1, 64, 64)
    masked = published_mask(x, 2, longest, dim)
    changed = (masked != x).all(dim=5 - dim).sum(dim=2).float()
    single = published_mask(x, 1, longest, dim)
    assert float((single != x).all(dim=5 - dim).sum(dim=2).max()) == longest - 2  # of f = longest - 1, f - 1 at most
    overlap = 0.12 * hidden  # of two masks in 64 places instead of 128 or 416
    assert abs(float(changed.mean()) - hidden) < overlap
    assert abs(float((changed == 0).float().mean()) - none) < 0.02
    wide = VERSIONS["textbook"].mask(x, 2, longest, dim)
    assert float((wide != x).all(dim=5 - dim).sum(dim=2).float().mean()) > 1.7 * float(changed.mean())


def test_a_published_mask_has_the_mean_of_the_clip_as_it_then_is() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 1, 32, 40)
    once = published_mask(x, 1, 20, 3)
    hidden = (once != x).all(dim=2)[:, 0]  # (clips, bands)
    for clip, bands in enumerate(hidden):
        values = once[clip, 0][:, bands]
        np.testing.assert_allclose(values, np.full(values.shape, float(x[clip].mean())), atol=1e-6)
    torch.manual_seed(1)
    twice = published_mask(x, 2, 20, 3)
    torch.manual_seed(1)
    first = published_mask(x, 1, 20, 3)
    again = twice != first
    means = first.mean(dim=(2, 3), keepdim=True).expand_as(first)
    np.testing.assert_allclose(twice[again], means[again], atol=1e-6)
    assert again.any()


def test_short_clips_and_no_masks() -> None:
    x = log_mels(2, 10)
    for version in VERSIONS.values():
        assert torch.equal(version.time_warp(x, 5), x)  # no frame is 5 from both ends
        assert torch.equal(version.time_warp(x, 0), x)
        for dim in (2, 3):
            assert torch.equal(version.mask(x, 0, 27, dim), x) and torch.equal(version.mask(x, 2, 0, dim), x)
        assert version.mask(x, 2, 27, 2).shape == x.shape  # masks longer than the clip

"""Distillation: what a network learns from trained networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import AinextError
from audioinceptionnext.network.storage import load_model, save_model
from audioinceptionnext.training.batch_transform import crop
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.run_record import Run
from audioinceptionnext.training.teacher import open_teacher
from tests.small_sounds import quick, run_on

ALONE = Hardware(threads=1)


@pytest.fixture(scope="module")
def teacher(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that tells a hiss from a whistle with high confidence."""
    path = train(run_on(root, tmp_path_factory.mktemp("teacher"), epochs=8), hardware=ALONE)
    assert path is not None
    model = load_model(path)
    for values in (model.net.classifier.weight.data, model.net.classifier.bias.data):
        values.mul_(20)
    save_model(model, path)
    return path


def test_a_student_learns_from_its_teacher_in_place_of_the_labels(root: Path, teacher: Path, tmp_path: Path) -> None:
    dataset = load_dataset("kitchen20", root)
    inside, outside = dataset.select("1")
    wrong = [replace(clip, label=0) for clip in inside]  # every whistle is labelled a hiss
    right = {}
    for share in (0.0, 1.0):
        recipe = quick(epochs=8, learning_rate=0.01, teacher=str(teacher), teacher_share=share, mixup=0.2)
        path = train(Run(dataset, wrong, [], tmp_path / str(share), recipe), hardware=ALONE)
        assert path is not None
        model = load_model(path)
        front, net = model.front_end(), model.folded().eval()
        hits = 0
        for clip in outside:
            wave = torch.from_numpy(Reader(model.sample_rate).read(clip))[None]
            x = crop(front, wave, torch.tensor([wave.shape[1]]), model.clip_seconds, random=False)
            with torch.no_grad():
                hits += int(net(x).argmax()) == clip.label
        right[share] = hits / len(outside)
    assert right[0.0] == 0.5  # half of them are hisses
    assert right[1.0] > 0.9


def test_teachers_are_averaged_taken_by_fold_and_refused_if_they_do_not_fit(teacher: Path, tmp_path: Path) -> None:
    model = load_model(teacher)
    other = load_model(teacher)
    with torch.no_grad():
        other.net.classifier.bias += torch.tensor([30.0, -30.0])
    (tmp_path / "fold-2").mkdir()
    save_model(other, tmp_path / "fold-2" / "model.safetensors")
    x = torch.randn(3, 1, model.net.config.clip_frames, model.net.config.bands)
    names = (str(teacher), f"{tmp_path}/fold-{{fold}}/model.safetensors")
    alone = [open_teacher(name, model, 2)(x, torch.float32) for name in names]
    both = open_teacher(", ".join(names), model, 2)(x, torch.float32)
    torch.testing.assert_close(both, (alone[0] + alone[1]) / 2)
    torch.testing.assert_close(both.sum(1), torch.ones(3))
    assert (alone[0] - alone[1]).abs().max() > 0.05

    save_model(replace(model, multi_label=True), tmp_path / "several.safetensors")
    with pytest.raises(AinextError, match="several of its labels can be true at a time, but only one of this run's"):
        open_teacher(str(tmp_path / "several.safetensors"), model)
    with pytest.raises(AinextError, match=r"only a cross-validation gives \{fold\} a number"):
        open_teacher(names[1], model)
    with pytest.raises(AinextError, match=r"its 2 classes are not the 2 classes of this run"):
        open_teacher(names[0], replace(model, labels=("tap", "door")))
    with pytest.raises(
        AinextError, match=r"front end is 24000 Hz, 10 ms .* every 5 ms, 128 bands; this run has .* every 10"
    ):
        open_teacher(names[0], replace(model, hop_ms=10.0))
    with pytest.raises(AinextError, match=r"its front end is .* 128 bands, n_fft 2048; this run has .* n_fft 512"):
        open_teacher(names[0], replace(model, n_fft=512))

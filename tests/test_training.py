"""Training learns, stops and goes on; what it leaves can be evaluated, exported and used."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audioinceptionnext.cli import main
from audioinceptionnext.data import load_dataset
from audioinceptionnext.errors import AinextError
from audioinceptionnext.network.storage import StoredModel, load_model
from audioinceptionnext.training.augment import mask, mixup, random_gain
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.recipe import Recipe
from tests.audio_files import write_wav
from tests.test_frontend import pink

RATE = 24_000
LABELS = ("hiss", "whistle")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Kitchen20 of two classes and two folds, whose sounds anyone can tell apart."""
    folder = tmp_path_factory.mktemp("tiny kitchen")
    (folder / "audio").mkdir()
    rng = np.random.default_rng(0)
    with (folder / "meta.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "fold", "target", "category", "source_id", "take", "duration"])
        for number in range(16):
            target, fold = number % 2, 1 + number // 8
            time = np.arange(int(RATE * rng.uniform(1.5, 3))) / RATE
            noise = rng.standard_normal(len(time)) * 0.02
            sound = noise * 8 if target == 0 else noise + 0.3 * np.sin(2 * np.pi * rng.uniform(900, 1500) * time)
            name = f"{number}.wav"
            write_wav(folder / "audio" / name, sound.astype(np.float32), RATE)
            writer.writerow([name, fold, target, LABELS[target], number, "A", round(len(time) / RATE, 3)])
    return folder


def ainext(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def test_train_evaluate_export_predict(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    options = ["--variant", "tiny", "--batch", 4, "--crops", "2.08,2.6", "--learning-rate", 0.003, "--dropout", 0]
    train = ["train", "--data", "kitchen20", "--root", root, "--folds", "1", "--out", run, *options]
    assert ainext(*train, "--epochs", 8) == 0
    model = run / "model.safetensors"
    stored = load_model(model)
    assert stored.labels == LABELS
    assert stored.run == "dense"
    assert stored.info["recipes"][0]["crops"] == [2.08, 2.6]
    assert abs(float(stored.net.std) - 1) > 0.1 and abs(float(stored.net.mean)) > 0.1  # the input's, from the data
    assert capsys.readouterr().out.count("\n") == 1  # the progress went to stderr

    onnx = tmp_path / "mine.onnx"
    assert ainext("export", model, onnx) == 0
    capsys.readouterr()
    assert ainext("evaluate", "--data", "kitchen20", "--root", root, "--folds", "2", "--model", onnx, "--json") == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["clips"] == 8
    assert set(figures) >= {"data", "model", "clips", "top1", "top5", "mca", "map", "mauc", "per_class"}
    assert figures["top1"] >= 87.5  # two sounds that anyone can tell apart
    assert set(figures["per_class"]) == set(LABELS)

    assert ainext("predict", root / "audio" / "9.wav", "--model", onnx, "--json") == 0
    (heard,) = json.loads(capsys.readouterr().out)
    assert heard["clip"][0]["label"] == "whistle"

    assert ainext("evaluate", "--data", "kitchen20", "--root", root, "--model", onnx, "--run", "windows") == 2
    assert "windows" in capsys.readouterr().err


def test_a_run_that_stopped_goes_on(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its second epoch and resumed, a run ends with the weights of one left alone."""
    from audioinceptionnext.training import fit

    dataset = load_dataset("kitchen20", root)
    recipe = Recipe(variant="tiny", epochs=4, batch=4, crops=(2.08,), precision="float32")
    whole = load_model(fit.train(dataset, tmp_path / "whole", recipe, "1"))

    class Stopped(Exception):
        pass

    epochs = 0
    original = SoundClassifier.training_step

    def stopping(self: SoundClassifier, batch: object, index: int) -> torch.Tensor:
        nonlocal epochs
        epochs = self.current_epoch
        if epochs == 2:
            raise Stopped
        return original(self, batch, index)  # type: ignore[arg-type]

    monkeypatch.setattr(SoundClassifier, "training_step", stopping)
    with pytest.raises(Stopped):
        fit.train(dataset, tmp_path / "cut", recipe, "1")
    monkeypatch.setattr(SoundClassifier, "training_step", original)
    resumed = load_model(fit.train(dataset, tmp_path / "cut", recipe, "1", resume=True))
    with pytest.raises(AinextError, match="begun with epochs 4, not 5"):
        fit.train(dataset, tmp_path / "cut", replace(recipe, epochs=5), "1", resume=True)
    for key, value in whole.net.state_dict().items():
        torch.testing.assert_close(resumed.net.state_dict()[key], value, rtol=0, atol=1e-6, msg=key)


def test_calls_that_cannot_work(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [
        (["--data", "kitchen", "--root", root], "did you mean kitchen20"),
        (["--data", "kitchen20", "--root", tmp_path / "none"], "no such folder"),
        (["--data", "kitchen20", "--root", tmp_path], "meta.csv is missing"),
        (["--data", "kitchen20", "--root", root, "--folds", "7"], "has the folds 1, 2"),
        (["--data", "kitchen20", "--root", root, "--folds", "x"], "1-4"),
        (["--data", "kitchen20", "--root", root, "--resume"], "nothing to resume"),
        (["--data", "kitchen20", "--root", root, "--crops", "two"], "--crops two"),
        (["--data", "kitchen20", "--root", root, "--optimizer", "adam"], "choose adamw or sgd"),
        (["--data", "kitchen20", "--root", root, "--lr", "nan"], "learning_rate is nan"),
        (["--data", "kitchen20", "--root", root, "--crops", "nan"], "crops are (nan,)"),
        (["--data", "kitchen20", "--root", root, "--variant", "bas"], "did you mean 'base'"),
    ]
    for arguments, words in cases:
        assert ainext("train", *arguments, "--out", tmp_path / "run") == 2, arguments
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1, error


def test_a_missing_clip_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta.csv").write_text((root / "meta.csv").read_text())
    with pytest.raises(AinextError, match=r"16 of 16 clips are missing, e\.g\. .*0\.wav"):
        load_dataset("kitchen20", tmp_path)


def test_a_crop_is_the_log_mel_of_that_stretch() -> None:
    from audioinceptionnext.network import create_model

    net = create_model("tiny", 2, depths=(1, 1, 1, 1))
    module = SoundClassifier(StoredModel(net, LABELS), Recipe(variant="tiny"), 10)
    long, short = torch.from_numpy(pink(100_000, RATE)), torch.from_numpy(pink(3000, RATE)[:1000])
    waveforms = torch.nn.utils.rnn.pad_sequence([long, short], batch_first=True)
    with torch.no_grad():
        found = module.crop(waveforms, torch.tensor([100_000, 1000]), 416, random=False)
        torch.testing.assert_close(found[:1], module.log_mel(long[None, :49_919]))
        alone = module.log_mel(short[None])  # 9 frames, then the last one repeated
    torch.testing.assert_close(found[1:, :, :9], alone)
    torch.testing.assert_close(found[1:, :, 9:], alone[:, :, -1:].expand(-1, -1, 407, -1))


def test_augmentation_does_what_it_says() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 1, 100, 128)
    louder = random_gain(x, db=6, equaliser_db=0) - x
    assert louder.abs().max() <= 6 * np.log(10) / 20 + 1e-5
    assert torch.allclose(louder, louder[:, :, :1, :1].expand_as(louder), atol=1e-5)

    targets = torch.eye(4)[torch.arange(64) % 4]
    mixed, shares = mixup(x, targets, 0.4)
    assert torch.allclose(shares.sum(1), torch.ones(64))
    assert (shares.argmax(1) == targets.argmax(1)).float().mean() > 0.95  # the clip stays the larger part
    assert torch.equal(mixup(x, targets, 0)[0], x) and not torch.equal(mixed, x)

    for dim, longest in ((2, 25), (3, 27)):
        masked = mask(x, 2, longest, dim)
        changed = (masked != x).any(dim=5 - dim).squeeze(1)  # (batch, frames or bands)
        assert 0 < changed.sum(1).float().mean() <= 2 * longest
        assert changed.sum(1).max() <= 2 * longest

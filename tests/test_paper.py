"""The paper's experiment end to end on stand-in data, and its recipes compared with the published settings."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from audioinceptionnext.cli import main
from audioinceptionnext.data import Clip
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.waveforms import Waveforms, collate
from audioinceptionnext.evaluation.clip_predictions import predict_clips
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.models.load import load
from audioinceptionnext.network import LogMel, create_model
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS
from audioinceptionnext.network.published import published_model
from audioinceptionnext.network.storage import StoredModel, load_model
from audioinceptionnext.training.batch_transform import BatchTransform
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.optimiser import make_optimiser, rate_factor
from audioinceptionnext.training.recipe import Recipe, load_recipe
from examples.stand_in import write_epic_sounds, write_vggsound
from tests.audio_files import write_video, write_wav
from tests.networks import with_statistics

RATE = 24_000
# What the paper states of both recipes, and what its code adds; everything else is at the plainest setting there is,
# `Recipe`'s defaults.
BOTH = {
    "network": "base",
    "standardise": "nothing",
    "dropout": 0.5,
    "batch_size": 32,
    "drop_last": True,
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 1e-4,
    "decay_biases": True,
    "schedule": "steps",
    "precision": "float32",
    "spec_augment": "published",
    "time_warp": 5,
    "frequency_masks": [2, 27],
    "time_masks": [2, 25],
    "precise_bn": 200,
}
PAPER: dict[str, dict[str, Any]] = {
    "vggsound-pretrain": {
        "sample_rate": 16_000,
        "window_ms": 20,
        "hop_ms": 10,
        "clip_seconds": 5.119,
        "learning_rate": 0.01,
        "rate_at": {30: 0.1, 40: 0.01},
        "epochs": 50,
        "eval_clips": 2,
    },
    "epic-sounds-finetune": {
        "sample_rate": 24_000,
        "window_ms": 10,
        "hop_ms": 5,
        "clip_seconds": 2.08,
        "learning_rate": 0.001,
        "rate_at": {20: 0.1, 25: 0.01},
        "epochs": 30,
        "eval_clips": 5,
        "fine_tunes": True,
    },
}
CLIPS = [("vggsound-pretrain", 81_903, 512), ("epic-sounds-finetune", 49_919, 416)]
TOY = {"depths": [1, 1, 1, 1], "widths": [8, 8, 16, 16]}
KEYS = {"top1", "top5", "mca", "map", "mauc", "segments"}


def expected(name: str, **changes: Any) -> dict[str, Any]:
    return Recipe().as_dict() | BOTH | PAPER[name] | changes


def ainext(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([str(a) for a in arguments])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


class Runs(NamedTuple):
    root: Path  # of the stand-in data
    pretrained: Path
    finetuned: Path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Both recipes, one after the other, at toy size."""
    root = tmp_path_factory.mktemp("stand-in")
    write_vggsound(root / "vggsound", train=1, test=16, seconds=(5.0, 5.3))  # some shorter than a clip of 5.119 s
    write_epic_sounds(root / "epic-sounds", train=1, validation=1, test=12, videos=2)
    first, second = root / "pretrain", root / "finetune"
    short = ["--epochs", 1, "--set", "batch_size=64"]
    pretrain = ["train", "--data", "vggsound", "--root", root / "vggsound", "--recipe", "vggsound-pretrain"]
    assert ainext(*pretrain, *short, "--set", f"network_settings={json.dumps(TOY)}", "--out", first) == 0
    finetune = ["train", "--data", "epic-sounds", "--root", root / "epic-sounds", "--recipe", "epic-sounds-finetune"]
    assert ainext(*finetune, *short, "--from", first / "model.safetensors", "--out", second) == 0
    return Runs(root, first, second)


@pytest.mark.parametrize("name", PAPER)
def test_the_recipes_are_the_papers(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.as_dict() == expected(name)

    # ... and mean what they say.
    net = create_model(recipe.network, 3, depths=(1, 1, 1, 1), widths=(4, 4, 8, 8))
    optimizer = make_optimiser(net, recipe)
    assert type(optimizer) is torch.optim.SGD
    for group in optimizer.param_groups:
        assert (group["momentum"], group["nesterov"], group["lr"]) == (0.9, True, recipe.learning_rate)
        norms = {
            id(p) for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d) for p in module.parameters()
        }
        assert {id(p) in norms for p in group["params"]} == {group["weight_decay"] == 0}
        assert group["weight_decay"] in (1e-4, 0)
    (first, second), steps = recipe.rate_at, 7
    rates = [rate_factor(recipe, epoch * steps + step, steps) for epoch in range(recipe.epochs) for step in (0, 6)]
    assert rates == [1] * 2 * first + [0.1] * 2 * (second - first) + [0.01] * 2 * (recipe.epochs - second)


@pytest.mark.parametrize(("name", "samples", "frames"), CLIPS)
def test_a_training_step_gets_the_papers_clip_and_masks(name: str, samples: int, frames: int) -> None:
    recipe = load_recipe(name)
    assert recipe.sample_rate and recipe.window_ms and recipe.hop_ms and recipe.clip_seconds
    front_end = LogMel(recipe.sample_rate, recipe.window_ms, recipe.hop_ms)
    waveforms, lengths = torch.randn(6, samples + 999), torch.tensor([samples // 2] + 5 * [samples + 999])

    def transformed(**changes: tuple[int, int]) -> Tensor:
        torch.manual_seed(3)  # crops at the same places
        only = replace(recipe, **{"time_warp": 0, "frequency_masks": (0, 0), "time_masks": (0, 0)} | changes)
        return BatchTransform(front_end, only, recipe.clip_seconds or 0)(waveforms, lengths, torch.eye(6))[0]

    plain = transformed()
    assert plain.shape == (6, 1, frames, 128)
    end = samples // 2 // front_end.hop
    assert torch.equal(plain[0, 0, end:], plain[0, 0, end].expand(frames - end, 128))  # the last frame, repeated
    assert not torch.equal(plain[0, 0, end - 1], plain[0, 0, end])
    for masks, dim, max_masked in (("frequency_masks", 2, 2 * 25), ("time_masks", 3, 2 * 23)):
        masked = (transformed(**{masks: getattr(recipe, masks)}) != plain).all(dim=dim).sum(dim=2)
        assert 0 < masked.max() <= max_masked, masks
    x, targets = BatchTransform(front_end, recipe, recipe.clip_seconds)(waveforms, lengths, torch.eye(6))
    assert x.shape == plain.shape and torch.equal(targets, torch.eye(6))  # no mixup


@pytest.mark.parametrize(("name", "samples", "frames"), CLIPS)
def test_a_published_checkpoint_has_the_front_end_of_its_recipe(name: str, samples: int, frames: int) -> None:
    classes = {512: 309, 416: 44}[frames]
    net = create_model("base", classes, depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), clip_frames=frames)
    found, recipe = published_model(net), load_recipe(name)
    for setting in ("sample_rate", "window_ms", "hop_ms", "clip_seconds"):
        assert getattr(found, setting) == getattr(recipe, setting)
    assert found.clip_samples == samples


def test_both_recipes_train_one_from_the_other(runs: Runs) -> None:
    recipes = [yaml.safe_load((run / "recipe.yaml").read_text()) for run in (runs.pretrained, runs.finetuned)]
    assert recipes[0] == expected("vggsound-pretrain", epochs=1, batch_size=64, network_settings=TOY)
    assert recipes[1] == expected("epic-sounds-finetune", epochs=1, batch_size=64)

    first, second = (load_model(run / "model.safetensors") for run in (runs.pretrained, runs.finetuned))
    assert (len(first.labels), second.labels) == (309, EPIC_SOUNDS_LABELS)
    assert (first.sample_rate, first.window_ms, first.hop_ms, first.clip_samples) == (16_000, 20, 10, 81_903)
    assert (second.sample_rate, second.window_ms, second.hop_ms, second.clip_samples) == (24_000, 10, 5, 49_919)
    assert (first.net.config.clip_frames, second.net.config.clip_frames) == (512, 416)
    assert second.net.config.widths == (8, 8, 16, 16)  # the network is that of the weights
    assert [recipe["epochs"] for recipe in second.info["recipes"]] == [1, 1] and second.mode == "windows"
    for model in (first, second):
        assert (float(model.net.mean), float(model.net.std)) == (0, 1)  # the log-mel as it is
        assert model.net.dropout.p == 0.5 and model.temperature == 1  # the softmax as it is
    # Normalisations count batches: each epoch's 4 whole ones and 1, and as many again for precise BN, since there are
    # not 200.
    tracked = [int(model.net.state_dict()["stem.conv.norm.num_batches_tracked"]) for model in (first, second)]
    assert tracked == [2 * 4, 2 * 4 + 2 * 1]

    onnx = load(runs.finetuned / "model.onnx")
    assert onnx.metadata["clip_samples"] == "49919" and onnx.metadata["clip_frames"] == "416"
    figures = json.loads((runs.finetuned / "figures.json").read_text())
    assert figures["eval_clips"] == 5 and figures["clips"] == 44


def test_evaluation_submission(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, model = runs.root / "epic-sounds", runs.finetuned / "model.onnx"
    evaluate = ["evaluate", "--data", "epic-sounds", "--root", root, "--model", model, "--eval-clips", 5]
    validation, test, submission = tmp_path / "val.pkl", tmp_path / "test.pkl", tmp_path / "out.zip"
    assert ainext(*evaluate, "--split", "validation", "--predictions", validation, "--json", "--resamples", 0) == 0
    figures = json.loads(capsys.readouterr().out)
    content = pickle.loads(validation.read_bytes())
    assert content["interaction_output"].shape == (44, 5, 44)
    np.testing.assert_allclose(content["interaction_output"].sum(axis=2), 1, atol=1e-5)  # distributions

    capsys.readouterr()
    assert ainext("epic-sounds", "score", validation, root / "EPIC_Sounds_validation.csv", "--json") == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored.keys() == KEYS and scored["segments"] == 44
    for key in KEYS - {"segments"}:  # the mean and the sum of the clips' probabilities give the same ranks
        assert scored[key] == pytest.approx(figures[key], abs=1e-3), key

    assert ainext(*evaluate, "--split", "test", "--predictions", test) == 0
    timestamps = root / "EPIC_Sounds_recognition_test_timestamps.csv"
    capsys.readouterr()
    assert ainext("epic-sounds", "submit", validation, submission, "--timestamps", timestamps) == 2
    assert "12 of 12 segments missing" in capsys.readouterr().err and not submission.exists()
    assert ainext("epic-sounds", "submit", test, submission, "--timestamps", timestamps) == 0
    assert ainext("epic-sounds", "check", submission, timestamps, "--json") == 0
    assert json.loads(capsys.readouterr().out.split("\n", 1)[1])["problems"] == []


def test_recordings_as_files(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A WAV file and a video in place of the HDF5 file give the same predictions."""
    lists, sounds = tmp_path / "annotations", tmp_path / "sounds"
    lists.mkdir()
    sounds.mkdir()
    shutil.copy(runs.root / "epic-sounds" / "EPIC_Sounds_validation.csv", lists)
    evaluate = ["evaluate", "--data", "epic-sounds", "--root", lists, "--model", runs.finetuned / "model.onnx"]
    assert ainext(*evaluate) == 2  # neither an HDF5 file nor recordings there
    error = capsys.readouterr().err
    assert "P02_01" in error and "give the folder or the HDF5 file" in error and error.count("\n") == 1
    assert ainext(*evaluate, "--audio", tmp_path / "nowhere") == 2
    assert "--audio" in capsys.readouterr().err

    hdf5_file = runs.root / "epic-sounds" / "EPIC_audio.hdf5"
    train = ["train", "--data", "epic-sounds", "--root", lists, "--recipe", "epic-sounds-finetune", "--out", tmp_path]
    assert ainext(*train, "--audio", hdf5_file) == 2  # it must not train on the validation split
    assert "no split train" in capsys.readouterr().err

    with h5py.File(hdf5_file, "r", locking=False) as file:
        write_wav(sounds / "P02_01.wav", file["P02_01"][:], RATE)
        whole = file["P02_02"][:]
        video = write_video(tmp_path / "P02_02.mp4", samples=whole, rate=RATE, seconds=len(whole) / RATE)
        (sounds / "P02").mkdir()
        video.rename(sounds / "P02" / "P02_02.MP4")  # as EPIC-KITCHENS calls its videos
    found = []
    for audio in (sounds, hdf5_file):
        path = tmp_path / f"{audio.stem}.pkl"
        assert ainext(*evaluate, "--audio", audio, "--eval-clips", 5, "--predictions", path, "--resamples", 0) == 0
        found.append(pickle.loads(path.read_bytes()))
    files, hdf5 = found
    assert list(files["annotation_id"]) == list(hdf5["annotation_id"])
    wav = np.array([name.startswith("P02_01") for name in files["annotation_id"]])
    outputs = [content["interaction_output"] for content in found]
    np.testing.assert_allclose(outputs[0][wav], outputs[1][wav], atol=2e-4)  # 16 bits
    assert outputs[0][~wav].shape == (22, 5, 44)


def test_eval_clips_are_as_published(tmp_path: Path) -> None:
    """The evaluations in training and of the exported file, compared with the published protocol as written here."""
    torch.manual_seed(0)
    net = with_statistics(create_model("base", 5, **TOY)).eval()
    model = StoredModel(net, tuple("abcde"), clip_seconds=2.08)
    clip, count = 49_919, 5
    rng = np.random.default_rng(0)
    clips = []
    # Shorter than a clip (whole hops and not), one clip, and longer, by a number that four steps do not divide; the
    # last one ends 0.7 s beyond the end of its recording.
    for number, length in enumerate((7_200, 24_000, 24_013, clip, 100_003, 70_001)):
        loud = np.linspace(0.02, 0.4, length) ** 2
        sound = loud * rng.standard_normal(length).clip(-2, 2)
        clips.append(Clip(write_wav(tmp_path / f"{number}.wav", sound, RATE), number % 5))
    clips[-1] = replace(clips[-1], end=70_001 / RATE + 0.7, padded=True)
    reader = Reader(RATE)
    front_end = LogMel()

    def published(wave: np.ndarray, length: int) -> np.ndarray:
        found = []
        for number in range(count):
            start = int(np.linspace(0, max(0, length - (clip + 1)), count)[number])
            log_mel = front_end(torch.from_numpy(wave[None, start : start + clip]))
            log_mel = torch.cat([log_mel, log_mel[:, :, -1:].expand(-1, -1, 416 - log_mel.shape[2], -1)], dim=2)
            found.append(torch.softmax(net(log_mel), dim=1))
        return torch.stack(found).mean(0)[0].numpy()

    with torch.no_grad():
        # Predictions that differ from clip to clip, so that an error shows.
        maps = [net.features(front_end(torch.from_numpy(reader.read(one, 0, 2.08)[None]))) for one in clips]
        pooled = torch.cat([m.mean((2, 3)) for m in maps])
        net.classifier.weight.normal_().div_(pooled.std(0).clamp(min=0.2 * float(pooled.std(0).max())))
        net.classifier.bias.copy_(-net.classifier.weight @ pooled.mean(0))
        lengths = [len(reader.read(one)) for one in clips[:-1]] + [70_001 + round(0.7 * RATE)]
        wanted = np.stack([published(reader.read(one), n) for one, n in zip(clips, lengths, strict=True)])
        module = SoundClassifier(model, load_recipe("epic-sounds-finetune"), 1)
        trained = module.eval().probabilities(collate([Waveforms(clips, reader)[i] for i in range(len(clips))])).numpy()
    predictions = predict_clips(load(export_onnx(model, tmp_path / "m.onnx")), clips, reader, eval_clips=count)
    assert [steps.shape for steps in predictions.outputs] == [(count, 5)] * len(clips)
    assert np.ptp(wanted, axis=0).max() > 0.3
    np.testing.assert_allclose(predictions.probabilities, wanted, atol=1e-4)
    np.testing.assert_allclose(trained, wanted, atol=2e-3)  # float32 log-mel of 16-bit samples


def test_precise_bn_takes_the_recipes_batches_or_as_many_as_there_are() -> None:
    recipe = load_recipe("epic-sounds-finetune", {"precise_bn": 3})
    module = SoundClassifier(StoredModel(create_model("base", 2, **TOY), ("a", "b"), clip_seconds=2.08), recipe, 5)
    item = collate([])._replace(
        waveforms=torch.randn(1, 9_000), lengths=torch.tensor([9_000]), labels=torch.tensor([1])
    )
    assert [len(list(module.training_inputs([item] * batches))) for batches in (5, 2)] == [3, 2]

"""Training learns, and the model it leaves can be evaluated, exported, used and trained further."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audioinceptionnext.data import load_dataset
from audioinceptionnext.errors import AinextError
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.recipe import as_yaml, load_recipe
from audioinceptionnext.training.run_folder import LAST, MODEL
from audioinceptionnext.training.run_record import Run
from tests.audio_files import write_wav
from tests.command import ainext, last_line, plain, refused
from tests.networks import with_statistics
from tests.small_sounds import LABELS, NETWORK, RATE, content, quick, run_on, same, weights

ALONE = Hardware(threads=1, implementation="matrix-products")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights to start from: three classes, at 16 kHz, with their own input statistics."""
    torch.manual_seed(0)
    net = with_statistics(create_model("tiny", 3, **NETWORK, clip_frames=64))
    path = tmp_path_factory.mktemp("weights") / "before.safetensors"
    save_model(StoredModel(net, ("a", "b", "c"), 16_000, 20, 10, info={"recipes": [{"epochs": 1}]}), path)
    return path


def test_train_evaluate_predict(root: Path, tmp_path: Path) -> None:
    """In bf16, with crops of two lengths, so that the model has the mode dense."""
    run = tmp_path / "run"
    recipe = quick(epochs=8, precision="bf16", crops="0.64,0.96", mixup=0.2, ema=0.5, label_smoothing=0.1)
    (tmp_path / "mine.yaml").write_text(as_yaml(recipe), encoding="utf-8")
    data = ("--data", "kitchen20", "--root", root)
    trained = ainext(
        "train", *data, "--train-folds", 1, "--out", run, "--recipe", tmp_path / "mine.yaml", "--threads", 1
    )
    assert trained.code == 0
    out = plain(trained.out)  # figures and paths; the progress went to stderr
    assert "top-1" in out and str(run / "model.onnx") in out and str(run / "report" / "index.html") in out
    assert "Epoch" not in out and "12 clips to train on, 12 held out" in trained.err
    lines = [line for line in trained.err.splitlines() if line.startswith("Epoch")]
    assert [line.partition(":")[0] for line in lines] == [f"Epoch {n}/8" for n in range(1, 9)]
    assert re.search(r": loss \d.*, held-out loss \d.*, top-1 \d.*, 0:00:\d\d left$", lines[0])
    assert lines[-1].endswith("0:00:00 left")
    assert {path.name for path in run.iterdir()} >= {
        *("model.onnx", "model.safetensors", "report", "figures.json", "recipe.yaml", "run.json"),
        *("last.ckpt", "best.ckpt", "log", "tensorboard"),
    }
    assert load_recipe(str(run / "recipe.yaml")) == recipe
    assert json.loads((run / "run.json").read_text())["recipe"] == recipe.as_dict()

    stored = load_model(run / MODEL)
    assert (stored.labels, stored.mode, stored.sample_rate, stored.clip_seconds) == (LABELS, "dense", RATE, 0.64)
    assert stored.info["recipes"] == [recipe.as_dict()] and stored.info["data"] == "kitchen20"
    assert abs(float(stored.net.std) - 1) > 0.1 and abs(float(stored.net.mean)) > 0.1  # input statistics from the data

    held_out = ainext("evaluate", *data, "--folds", 2, "--model", run / "model.onnx", "--json")
    figures = held_out.json
    assert held_out.err == "" and "seen_in_training" not in figures
    assert set(figures) >= {"data", "model", "clips", "top1", "top5", "mca", "map", "mauc", "per_class"}
    assert figures["clips"] == 12 and figures["top1"] >= 90 and set(figures["per_class"]) == set(LABELS)
    kept = json.loads((run / "figures.json").read_text())
    assert figures["top1"] == pytest.approx(kept["top1"]) and figures["map"] == pytest.approx(kept["map"], abs=1e-4)
    # Over all clips, half of which trained the model, the figures are too good, and say so.
    everything = ainext("evaluate", *data, "--model", run / MODEL, "--json")
    assert everything.json["seen_in_training"] == 12 and everything.json["model"] == "run"
    assert f"{run / MODEL} was trained on 12 of these 24 clips" in everything.complaints[0]
    assert "was trained on 12 of these clips" in refused("evaluate", *data, "--model", run / MODEL, "--calibrate")
    predicted = ainext("predict", root / "audio" / "21.wav", "--model", run / "model.onnx", "--json")
    assert predicted.json[0]["clip"][0]["label"] == "whistle"
    message = refused("evaluate", *data, "--model", run / "model.onnx", "--mode", "windows")
    assert "windows" in message


def test_other_classes_get_a_fresh_linear_layer_and_the_body_is_frozen_at_first(
    root: Path, before: Path, tmp_path: Path
) -> None:
    started = load_model(before)
    own = started.net.state_dict()
    recipe = {
        "network": "base",
        "network_settings": {},
        "clip_seconds": None,
        "epochs": 2,
        "evaluate_every": 2,
        "keep": "last",
    }
    frozen = train(
        replace(run_on(root, tmp_path / "head", **recipe, head_epochs=2), initial_weights=str(before)), hardware=ALONE
    )
    assert frozen is not None
    model, found = load_model(frozen), weights(frozen)
    assert model.labels == LABELS
    assert (model.sample_rate, model.window_ms, model.hop_ms, model.clip_seconds) == (16_000, 20, 10, 0.64)
    assert model.info["recipes"][0] == {"epochs": 1} and model.info["recipes"][1]["head_epochs"] == 2
    body = {key for key in own if not key.startswith("classifier.")}
    assert all(torch.equal(found[key], own[key]) for key in body)  # bit by bit, including the input statistics
    assert found["classifier.weight"].shape[0] == 2
    untrained = 4 * 0.01  # a fresh linear layer has a standard deviation of 0.01
    assert found["classifier.bias"].any() and found["classifier.weight"].abs().max() < untrained

    moving = train(
        replace(run_on(root, tmp_path / "all", **recipe, head_epochs=1), initial_weights=str(before)), hardware=ALONE
    )
    assert moving is not None
    moved = weights(moving)
    assert all(not torch.equal(moved[key], own[key]) for key in body if key.endswith("conv.weight"))
    assert torch.equal(moved["mean"], own["mean"]) and torch.equal(moved["std"], own["std"])


def test_the_same_classes_keep_their_linear_layer(root: Path, before: Path, tmp_path: Path) -> None:
    stored = load_model(before)
    stored.net = create_model("tiny", 2, **NETWORK, clip_frames=64)
    stored.labels = LABELS
    save_model(stored, tmp_path / "same.safetensors")
    changes = {"network_settings": {}, "clip_seconds": None, "epochs": 1, "learning_rate": 0, "evaluate_every": 9}
    run = replace(run_on(root, tmp_path / "run", **changes), initial_weights=str(tmp_path / "same.safetensors"))
    model = train(run, hardware=ALONE)
    assert model is not None
    found = weights(model)
    assert all(torch.equal(found[key], value) for key, value in stored.net.named_parameters())
    run = replace(run, out=tmp_path / "another")
    with pytest.raises(AinextError, match="come with their own network; leave out the recipe's network_settings"):
        train(replace(run, recipe=replace(run.recipe, network_settings=NETWORK)), hardware=ALONE)
    with pytest.raises(AinextError, match=r"no such file|did you mean"):
        train(replace(run, initial_weights="kitchen2O"), hardware=ALONE)


def test_accumulated_gradients_are_those_of_one_large_batch(root: Path, before: Path, tmp_path: Path) -> None:
    """Only the linear layer learns here, since normalisation depends on the size of a batch."""
    found = []
    for name, batch_size, accumulate in (("large", 8, 1), ("small", 4, 2), ("smaller", 2, 4)):
        changes = {"network_settings": {}, "batch_size": batch_size, "accumulate": accumulate, "head_epochs": 2}
        # No clip is longer than this, so that no crop is at a random place.
        changes |= {"epochs": 2, "evaluate_every": 9, "sample_rate": 16_000}
        changes |= {"clip_seconds": 1.28, "warmup": 0.5, "optimizer": "sgd", "learning_rate": 0.1}
        run = replace(run_on(root, tmp_path / name, folds="all", **changes), initial_weights=str(before))
        model = train(run, hardware=ALONE)
        assert model is not None
        state = content(run.out / LAST)
        assert state["global_step"] == 6 == state["lr_schedulers"][0]["last_epoch"]
        found.append(weights(model))
    for other in found[1:]:
        for key, value in found[0].items():
            torch.testing.assert_close(other[key], value, rtol=1e-5, atol=1e-6, msg=key)


def test_an_epoch_whose_batches_do_not_fill_the_last_step(root: Path, tmp_path: Path) -> None:
    """24 clips are 5 batches of 5, or 3 steps of 2 batches; the cosine ends with the last step."""
    run = run_on(root, tmp_path / "run", folds="all", batch_size=5, accumulate=2, epochs=2, ema=0.9, warmup=0.34)
    train(run, hardware=ALONE)
    state = content(run.out / LAST)
    assert state["global_step"] == 6 and int(state["state_dict"]["average.n_averaged"]) == 1 + 6
    assert state["lr_schedulers"][0]["last_epoch"] == 6 and max(state["lr_schedulers"][0]["_last_lr"]) < 1e-12


def test_seeds_and_implementations(root: Path, tmp_path: Path) -> None:
    """The same seed gives the same weights, and both implementations train the same network."""
    settings = {"epochs": 1, "evaluate_every": 9, "mixup": 0.4}
    made = {}
    for name, seed in (("matrix-products", 0), ("again", 0), ("seed", 1), ("convolutions", 0)):
        hardware = replace(ALONE, implementation="convolutions" if name == "convolutions" else "matrix-products")
        model = train(run_on(root, tmp_path / name, seed=seed, **settings), hardware=hardware)
        assert model is not None
        made[name] = weights(model)
    assert same(made["matrix-products"], made["again"]) and not same(made["matrix-products"], made["seed"])
    for key, value in made["matrix-products"].items():
        torch.testing.assert_close(made["convolutions"][key], value, rtol=1e-2, atol=1e-3, msg=key)
    with pytest.raises(
        AinextError,
        match="implementation is matrix-products: this network with float32 can only be trained with convolutions",
    ):
        train(run_on(root, tmp_path / "cnn", network="cnn", network_settings={}), hardware=ALONE)


def test_recordings_are_mixed_in_from_a_folder(root: Path, tmp_path: Path) -> None:
    (tmp_path / "backgrounds").mkdir()
    changes = {"noise": str(tmp_path / "backgrounds"), "noise_probability": 1.0, "epochs": 1, "evaluate_every": 9}
    with pytest.raises(AinextError, match=r"noise is .*backgrounds.*"):
        train(run_on(root, tmp_path / "run", **changes), hardware=ALONE)
    write_wav(tmp_path / "backgrounds" / "hum.wav", np.sin(np.arange(8000) * 0.3) * 0.3, 8000)
    with_noise, without = (
        train(run_on(root, tmp_path / name, **changes | {"noise_probability": share}), hardware=ALONE)
        for name, share in (("with", 1.0), ("without", 0.0))
    )
    assert with_noise is not None and without is not None and not same(weights(with_noise), weights(without))


def test_calls_that_cannot_work(root: Path, tmp_path: Path) -> None:
    cases: list[tuple[tuple[object, ...], str]] = [
        (("--data", "kitchen", "--root", root), "did you mean kitchen20"),
        (("--data", "kitchen20", "--root", tmp_path / "none"), "no such folder"),
        (("--data", "kitchen20", "--root", tmp_path), "meta.csv"),
        (("--data", "kitchen20", "--root", root, "--train-folds", "7"), "has the folds 1, 2"),
        (("--data", "kitchen20", "--root", root, "--train-folds", "x"), "1-4"),
        (("--data", "kitchen20", "--root", root, "--train-folds", "1", "--train-split", "train"), "give one of them"),
        (("--data", "kitchen20", "--root", root, "--set", "crops=two"), "--set crops=two: give numbers"),
        (("--data", "kitchen20", "--root", root, "--set", "optimizer=adam"), "choose from adamw, sgd"),
        (("--data", "kitchen20", "--root", root, "--lr", "nan"), "--lr nan: give a number from 0 to 100"),
        (("--data", "kitchen20", "--root", root, "--epochs", "-1"), "--epochs"),
        (("--data", "kitchen20", "--root", root, "--threads", "0"), "--threads"),
        (("--data", "kitchen20", "--root", root, "--from", "kitchen2O"), "did you mean kitchen20"),
        (("--data", "kitchen20", "--root", root, "--from", root / "meta.csv"), "meta.csv: "),
        (("--data", "kitchen20", "--root", root, "--resume", "--overwrite"), "--overwrite: cannot be combined"),
        (("--data", "kitchen20", "--root", root, "--recipe", "rep-epic-sounds"), "--from: freeze_bn keeps"),
    ]
    for arguments, expected in cases:
        assert expected in last_line("train", *arguments, "--out", tmp_path / "run"), arguments
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"network": "bas"}, "network is bas: there is no such network; did you mean base?"),
        ({"network_settings": {"kernals": [3]}}, "kernals: this network has no such setting; did you mean kernels?"),
        ({"hop_ms": 0.01}, "window_ms is 10.0: this window and a hop of 0.01 ms do not fit"),
        ({"window_ms": 200.0}, "window_ms is 200.0: this window and a hop of 5.0 ms do not fit"),
        ({"precision": "fp16"}, "precision is fp16: it needs a GPU"),
    ],
)
def test_recipes_that_cannot_work(root: Path, tmp_path: Path, changes: dict[str, object], expected: str) -> None:
    run = run_on(root, tmp_path / "run", **changes)
    with pytest.raises(AinextError) as caught:
        train(run)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_weights_and_biases_is_an_extra(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is missed before the data set is read, and before anything is written."""
    monkeypatch.setitem(sys.modules, "wandb", None)
    call = ("train", "--data", "kitchen20", "--root", root / "none", "--out", tmp_path / "run", "--wandb")
    assert "pip install 'audioinceptionnext[wandb]'" in refused(*call)
    monkeypatch.setattr("audioinceptionnext.training.trainer.importlib.util.find_spec", lambda _: None)
    assert "log for TensorBoard needs a package that is not installed" in refused(*call)
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_fine_tunes_warns_without_weights(tmp_path: Path) -> None:
    for name in ("finetune", "epic-sounds-finetune", "epic-sounds-detect"):
        with pytest.warns(UserWarning, match="fine-tunes trained weights, but none are given"):
            build_initial_model(LABELS, replace(load_recipe(name), network="tiny"))


def test_a_folder_that_cannot_be_written(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(AinextError, match=r"run\.json: cannot be written"):
        train(run_on(root, tmp_path / "file" / "run"), hardware=ALONE)


def test_a_missing_clip_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta.csv").write_text((root / "meta.csv").read_text())
    with pytest.raises(AinextError, match=r"24 of 24 clips are missing, e\.g\. .*0\.wav"):
        load_dataset("kitchen20", tmp_path)


def test_a_run_is_described(root: Path, tmp_path: Path) -> None:
    run: Run = run_on(root, tmp_path)
    assert run.describe() == json.loads(json.dumps(run.describe()))
    moved = replace(run, training=[replace(c, path=Path("elsewhere") / c.path.name) for c in run.training])
    assert moved.describe() == run.describe()  # a folder that was moved holds the same data
    for other in (run.training[1:], [*run.training[1:], run.training[0]], [replace(run.training[0], end=0.5)]):
        assert replace(run, training=other).describe()["training_digest"] != run.describe()["training_digest"]

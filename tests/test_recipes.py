"""Recipes: files that state differences, and settings that are refused. `test_paper` has the paper's two recipes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from audioinceptionnext.cli.training_options import ImplementationName, PrecisionName, read_recipe
from audioinceptionnext.errors import AinextError
from audioinceptionnext.models.load import load
from audioinceptionnext.models.names import DEFAULT_MODEL, list_models
from audioinceptionnext.network.storage import save_model
from audioinceptionnext.training.implementations import Implementation
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.recipe import Precision, Recipe, as_yaml, load_recipe, names
from tests.command import ainext, refused


@pytest.mark.parametrize("name", names())
def test_every_recipe_prints_and_reads_back(name: str, tmp_path: Path) -> None:
    printed = ainext("recipes", name)
    assert (printed.code, printed.err) == (0, "")
    file = tmp_path / "mine.yaml"
    file.write_text(printed.out, encoding="utf-8")
    assert load_recipe(str(file)) == load_recipe(name)
    assert ainext("recipes", name, "--json").json == json.loads(json.dumps(load_recipe(name).as_dict()))
    assert name in ainext("recipes").out


def test_a_recipe_with_every_kind_of_change_reads_back(tmp_path: Path) -> None:
    changed: dict[str, Any] = {
        "rate_at": {3: 0.5, 12: 1e-6},
        "network_settings": {"kernels": [3, 11]},
        "crops": (2.08, 3.2),
    }
    changed |= {"noise": str(tmp_path), "speed": (0.9, 1.1), "noise_snr_db": (-5.0, 20.5), "frequency_masks": (1, 9)}
    changed |= {"weight_decay": 1e-5, "gradient_norm": float("inf"), "window_ms": 12.5, "network": "été"}
    file = tmp_path / "mine.yaml"
    file.write_text(as_yaml(Recipe(**changed)), encoding="utf-8")
    assert load_recipe(str(file)) == Recipe(**changed)
    # And as JSON, in which keys are text: this is how stored models and run.json hold recipes.
    assert Recipe.from_dict(json.loads(json.dumps(Recipe(**changed).as_dict()))) == Recipe(**changed)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"learning_rat": 1}, "mine.yaml: learning_rat: there is no such setting; did you mean learning_rate?"),
    ({"like": "modem"}, "did you mean modern?"),
    ({"epochs": 2.5}, "mine.yaml: epochs is 2.5: give a whole number"),
    ({"epochs": "many"}, "epochs is many: give a whole number"),
    ({"epochs": None}, "epochs: give a whole number"),
    ({"epochs": True}, "epochs is True: give a whole number"),
    ({"epochs": -1}, "mine.yaml: epochs is -1: give a number from 0 to 100000"),
    ({"statistics": "last"}, "mine.yaml: statistics is last: give numbers of blocks such as 6,10"),
    ({"dropout": True}, "dropout is True: give a number"),
    ({"dropout": "half"}, "dropout is half: give a number"),
    ({"dropout": float("nan")}, "dropout is nan"),
    ({"dropout": [0.5]}, "dropout is [0.5]: give a number"),
    ({"network": 3}, "network is 3: give text"),
    ({"optimizer": "adam"}, "optimizer is adam: choose from adamw, sgd"),
    ({"network_settings": "kernels"}, "network_settings is kernels: give settings, {key: value}"),
    ({"rate_at": {"soon": 0.1}}, "rate_at is {'soon': 0.1}: give {epoch: factor}"),
    ({"rate_at": {3: "less"}}, "rate_at is {3: 'less'}: give {epoch: factor}"),
    ({"rate_at": {-1: 0.1}}, "rate_at is {-1: 0.1}: give {epoch: factor}"),
    ({"crops": "long"}, "crops is long: give numbers such as 2.08,3.2"),
    ({"crops": [0]}, "crops is (0.0,): give lengths in seconds, above 0 and at most 60"),
    ({"crops": [float("nan")]}, "crops is (nan,)"),
    ({"frequency_masks": [2]}, "frequency_masks is (2,): give two numbers"),
    ({"frequency_masks": [2, 2.5]}, "frequency_masks is [2, 2.5]: give whole numbers"),
    ({"time_masks": [-1, 5]}, "time_masks is (-1, 5)"),
    ({"speed": [1.1, 0.9]}, "speed is (1.1, 0.9): give the slowest and the fastest"),
    ({"noise_snr_db": [20, 5]}, "noise_snr_db is (20.0, 5.0)"),
    ({"noise_snr_db": [float("nan"), 5]}, "noise_snr_db is (nan, 5.0)"),
    ({"noise": "no such place"}, "noise is no such place: no such folder; check the name"),
    ({"sample_rate": 0}, "sample_rate is 0: give a number above 0"),
    ({"clip_seconds": float("inf")}, "clip_seconds is inf"),
]


@pytest.mark.parametrize(("values", "expected"), WRONG, ids=[next(iter(values)) for values, _ in WRONG])
def test_settings_that_are_refused_are_named(values: dict[str, Any], expected: str, tmp_path: Path) -> None:
    import yaml

    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(AinextError) as caught:
        load_recipe(str(file))
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_the_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text("mixup: -1\nwarmup: 2\n")
    (tmp_path / "second.yaml").write_text("like: first.yaml\nwarmup: 0.1\n")
    with pytest.raises(AinextError, match=r"first\.yaml: mixup is -1: give a number from 0 to 100"):
        load_recipe(str(tmp_path / "second.yaml"))
    assert load_recipe(str(tmp_path / "second.yaml"), {"mixup": 0}).warmup == 0.1
    with pytest.raises(AinextError, match=r"^mixup is -2: "):
        load_recipe(str(tmp_path / "second.yaml"), {"mixup": -2})


def test_help_explains_every_setting() -> None:
    explained = set(re.findall(r"^    (\w+): \S", Recipe.__doc__ or "", re.M))
    assert explained >= set(Recipe().as_dict())


def test_files_state_differences_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / "first.yaml").write_text("like: modern\nepochs: 7\nmixup: 0\n")
    (below / "second.yaml").write_text("like: ../first.yaml\nepochs: 9\n")
    (below / "third.yml").write_text("like: second.yaml\n")
    monkeypatch.chdir(tmp_path.parent)  # paths in a file are relative to the file
    modern = load_recipe("modern")
    assert load_recipe(str(below / "third.yml")) == replace(modern, epochs=9, mixup=0.0)
    assert load_recipe(str(below / "third.yml"), {"epochs": 11}).epochs == 11
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert load_recipe(str(tmp_path / "empty.yaml")) == Recipe()

    (below / "snake.yaml").write_text("like: ../tail.yaml\n")
    (tmp_path / "tail.yaml").write_text("like: below/snake.yaml\n")
    (tmp_path / "self.yaml").write_text("like: ./self.yaml\n")
    for name in ("below/snake.yaml", "tail.yaml", "self.yaml"):
        with pytest.raises(AinextError, match="leads back to this file"):
            load_recipe(str(tmp_path / name))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a: [1", "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"- mixup\n- ema\n", "lines of the form `setting: value`"),
    ],
)
def test_files_that_are_no_recipe(content: bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(AinextError) as caught:
        load_recipe(str(file))
    assert str(caught.value).startswith(f"{file}: ") and expected in str(caught.value)
    with pytest.raises(AinextError, match=r"gone\.yaml: no such file; check the name"):
        load_recipe(str(tmp_path / "gone.yaml"))


def test_the_command_line_changes_any_setting() -> None:
    changes = [
        "mixup=0.2",
        "speed=[0.9, 1.1]",
        "crops=2.08,3.2",
        "network_settings={kernels: [11]}",
        "rate_at={3: 0.1}",
    ]
    changes += ["learning_rate=1e-3", "frequency_masks=2,27", "keep=best", "hop_ms=", "weight_decay = 0"]
    wanted: dict[str, Any] = {
        "mixup": 0.2,
        "speed": (0.9, 1.1),
        "crops": (2.08, 3.2),
        "network_settings": {"kernels": [11]},
    }
    wanted |= {"rate_at": {3: 0.1}, "learning_rate": 1e-3, "frequency_masks": (2, 27), "keep": "best", "hop_ms": None}
    wanted |= {"weight_decay": 0.0, "epochs": 3}
    found = read_recipe(None, None, changes, epochs=3, batch_size=None)
    assert found == (replace(load_recipe("modern"), **wanted), None)
    assert read_recipe(None, None, ["epochs=5"], epochs=3)[0].epochs == 3  # an option of its own takes precedence
    assert read_recipe(None, None, ["crops=3.2"])[0].crops == (3.2,)


def test_the_default_model_is_fine_tuned_unless_the_call_needs_another_start(tmp_path: Path) -> None:
    linear, finetune, modern = load_recipe("linear"), load_recipe("finetune"), load_recipe("modern")
    assert read_recipe(None, None, None) == (linear, DEFAULT_MODEL)
    assert read_recipe(None, None, ["mixup=0", "targets=steps"])[1] == DEFAULT_MODEL
    assert read_recipe(None, "kitchen20", None) == (linear, "kitchen20")
    assert read_recipe("modern", "kitchen20", None) == (modern, "kitchen20")
    # Random weights: by their word, by a network or a front end of one's own.
    assert read_recipe(None, "random", None) == (modern, None)
    assert read_recipe("finetune", "random", None) == (finetune, None)
    assert read_recipe(None, None, None, network="tiny") == (replace(modern, network="tiny"), None)
    assert read_recipe(None, None, ["network=small"]) == (modern, None)
    for change in ("network_settings={kernels: [11]}", "bands=128", "hop_ms=5", "targets=teacher"):
        recipe, weights = read_recipe(None, None, [change])
        assert (recipe.fine_tunes, recipe.mixup, weights) == (False, modern.mixup, None), change
    # And by a recipe that pretrains, or continues from weights of its own kind.
    fine = {"linear", "finetune", "specialist", "steps", "timeline"}
    assert {name for name in names() if read_recipe(name, None, None)[1]} == fine
    timeline, steps = load_recipe("timeline"), load_recipe("steps")
    assert read_recipe(None, None, None, "labels") == (timeline, DEFAULT_MODEL)
    assert read_recipe(None, None, ["scenes={}"]) == (replace(timeline, scenes={}), DEFAULT_MODEL)
    assert read_recipe(None, None, ["targets=steps"], "labels") == (steps, DEFAULT_MODEL)
    assert read_recipe(None, "kitchen20", ["targets=timeline"]) == (timeline, "kitchen20")
    assert read_recipe(None, "random", ["scenes={}"]) == (replace(steps, scenes={}), None)
    assert read_recipe(None, None, ["scenes="]) == (linear, DEFAULT_MODEL)
    assert read_recipe(None, None, None, "labels", network="tiny") == (replace(steps, network="tiny"), None)
    assert read_recipe("finetune", None, None, "labels") == (finetune, DEFAULT_MODEL)
    (tmp_path / "mine.yaml").write_text("like: finetune\nepochs: 3\n")
    assert read_recipe(str(tmp_path / "mine.yaml"), None, None) == (replace(finetune, epochs=3), DEFAULT_MODEL)
    assert read_recipe("finetune", None, None, network="tiny") == (replace(finetune, network="tiny"), None)


def test_the_command_line_offers_the_choices_of_the_library() -> None:
    assert tuple(PrecisionName) == get_args(Precision)
    assert tuple(ImplementationName) == get_args(Implementation)
    assert read_recipe(None, None, None, precision=PrecisionName.fp16)[0].as_dict()["precision"] == "fp16"


def test_the_command_line_names_what_is_wrong(tmp_path: Path) -> None:
    call = ("train", "--data", "folder", "--root", tmp_path, "--out", tmp_path / "run")
    assert "--set mixup: give SETTING=VALUE" in refused(*call, "--set", "mixup")
    assert "--set crops=[1: the value cannot be read as YAML" in refused(*call, "--set", "crops=[1")
    assert refused(*call, "--set", "mixu=0.2").startswith("ainext: --set mixu=0.2: ")
    twice = refused(*call, "--set", "mixup=0.2", "--set", "mixup =500")
    assert twice.startswith("ainext: --set mixup =500: give a number")  # the last one counts
    assert "did you mean mixup?" in refused(*call, "--set", "mixupp=1")
    assert "did you mean modern?" in refused(*call, "--recipe", "moderm")
    message = refused(*call, "--network", "base", "--from", "kitchen20")
    assert "--network base: the weights of kitchen20 come with their own network" in message
    assert refused("recipes", "modrn") == "ainext: RECIPE modrn: no such recipe; did you mean modern?"
    assert not (tmp_path / "run").exists()


def test_published_front_ends_keep_an_offset_and_ours_remove_it(tmp_path: Path) -> None:
    ours = {"modern", "digits", "distil", "kitchen20", "kitchen20-speech", "rendered"}
    for name in names():
        assert load_recipe(name).remove_dc is (True if name in ours else None)
    settings = {"depths": [1, 1, 1, 1], "widths": [4, 4, 8, 8]}
    for stated, fresh in ((None, False), (False, False), (True, True)):
        recipe = Recipe(network="tiny", network_settings=settings, remove_dc=stated)
        model = build_initial_model(("a", "b"), recipe)
        assert model.remove_dc is model.front_end().remove_dc is fresh
        save_model(model, path := tmp_path / "model.safetensors")
        for again, then in ((None, fresh), (not fresh, not fresh)):
            assert build_initial_model(("a", "b"), Recipe(remove_dc=again), str(path)).remove_dc is then
    for shipped in list_models():
        assert load(shipped, threads=1).metadata["remove_dc"] == "true"

"""Choosing some of many labels, by name, pattern or group, and thresholds by these, on every path of recognition."""

from __future__ import annotations

import csv
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audioinceptionnext import load
from audioinceptionnext.audio import decode
from audioinceptionnext.errors import ModelError, ParameterError
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.names import find_model
from audioinceptionnext.results.labels import LabelSet
from tests.audio_files import kitchen, write_wav
from tests.command import ainext, refused

NAMES = (
    "Speech",
    "Dog",
    "Cat",
    "Waves, surf",
    "Ocean",
    "Smoke detector, smoke alarm",
    "Dog, wild",
    "What?",
    "[a] sound",
)
GROUPS = {"Animal": ("Dog", "Cat", "Dog, wild"), "Dog": ("Dog", "Dog, wild"), "Water, all": ("Waves, surf", "Ocean")}
LABELS = LabelSet(NAMES, groups=GROUPS)
SMALL = "kitchen20-small"
TEACHERS = Path(__file__).parents[2] / "shared" / "teachers"


@pytest.mark.parametrize(
    ("labels", "ignore", "places"),
    [
        (None, None, range(9)),
        ("Dog", None, [1]),
        ("dog,  SPEECH ", None, [0, 1]),
        ("Waves, surf", None, [3]),  # a label with a comma is recognised whole, and so is the longest one
        ("Dog, wild,Cat", None, [2, 6]),
        ("Cat,Dog,waves,  surf", None, [1, 2, 3]),
        ("Cat,Waves,surf", None, [2, 3]),
        (["Waves ,surf"], "group : Dog", [3]),
        (["Cat", "Waves, surf,Dog"], None, [1, 2, 3]),
        ("smoke detector*", None, [5]),
        ("*o*", "dog*", [4, 5, 8]),
        ("What?", None, [7]),  # a label first, then a pattern
        ("[A]*", None, [8]),  # brackets stand for themselves
        ("group:animal", None, [1, 2, 6]),
        ("Group: Animal,Ocean", "Cat", [1, 4, 6]),
        ("group:water, all, Speech", None, [0, 3, 4]),
        ("group:*a*", "group:Dog", [2, 3, 4]),
        (None, "group:Animal,speech", [3, 4, 5, 7, 8]),
    ],
)
def test_labels_are_chosen_by_name_pattern_and_group(labels: Any, ignore: Any, places: Any) -> None:
    assert LABELS.choose(labels, ignore) == list(places)


@pytest.mark.parametrize(
    ("labels", "ignore", "line"),
    [
        ("Dgo", None, "labels: no label matches 'Dgo'; did you mean Dog?"),
        ("Dog,smoke", None, "labels: no label matches 'smoke'; did you mean Smoke detector, smoke alarm?"),
        (None, "Cart*", "ignore: no label matches 'Cart*'; did you mean Cat?"),
        ("group:Anmal", None, "labels: no group matches 'group:Anmal'; did you mean Animal?"),
        ("xyz", None, "labels: no label matches 'xyz'; choose from Speech, Dog, "),
        ("", None, "labels: give the name of a label"),
        ([], None, "labels: give the name of a label"),
        ("group:Dog", "Dog*", "ignore: this leaves no label"),
    ],
)
def test_what_matches_nothing_is_an_error_with_the_nearest_names(labels: Any, ignore: Any, line: str) -> None:
    with pytest.raises(ParameterError) as error:
        LABELS.choose(labels, ignore)
    assert str(error.value).startswith(line)


def test_a_model_without_groups_says_so() -> None:
    with pytest.raises(ParameterError, match="this model has no groups"):
        LabelSet(("a", "b")).choose("group:x")


def test_what_belongs_to_the_chosen_labels_is_kept() -> None:
    tasks, rest = {"verb": 2, "noun": 2, "place": 1}, {"verb": 1, "noun": 2}
    groups = {"x": ("a", "d"), "y": ("b",)}
    chosen = LabelSet(tuple("abcde"), tuple("ABCDE"), groups, (0.1, 0.2, 0.3, 0.4, 0.5), tasks).take([0, 2, 3])
    assert chosen == LabelSet(("a", "c", "d"), ("A", "C", "D"), {"x": ("a", "d")}, (0.1, 0.3, 0.4), rest)
    assert chosen.task_of == {"a": "verb", "c": "noun", "d": "noun"}
    best = chosen.ranked(np.array([0.2, 0.1, 0.9]), 1)
    assert [(one.label, one.task) for one in best] == [("a", "verb"), ("d", "noun")]


@pytest.mark.parametrize(
    "changes", [{"identifiers": ("x",)}, {"thresholds": (0.5,)}, {"groups": {"g": ("z",)}}, {"tasks": {"verb": 1}}]
)
def test_labels_that_do_not_fit_together_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(changes))):
        LabelSet(("a", "b"), **changes)


# In recognition


@pytest.fixture(scope="module")
def model() -> Recogniser:
    return load(SMALL, threads=1)


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    return kitchen(4)


def test_chosen_labels_keep_their_probabilities_and_others_are_gone(model: Recogniser, waveform: np.ndarray) -> None:
    every = model.predict(waveform, threshold=0.01, top_k=20)
    found = model.predict(waveform, threshold=0.01, top_k=20, labels="blender,water*,eat", ignore="eat")
    assert found.labels == ("blender", "water-flowing")
    columns = [model.labels.index(one) for one in found.labels]
    assert np.array_equal(found.probabilities, every.probabilities[:, columns])
    assert found.clip == [one for one in every.clip if one.label in found.labels]
    assert found.segments == [one for one in every.segments if one.label in found.labels] and found.segments


def test_a_recogniser_of_some_labels_is_used_like_any_other(model: Recogniser, waveform: np.ndarray) -> None:
    chosen = model.choose("blender,water*,eat")
    assert model.choose().labels == model.labels and len(model.labels) == 20
    assert chosen.thresholds == tuple(model.thresholds[model.labels.index(one)] for one in chosen.labels)
    again: Recogniser = pickle.loads(pickle.dumps(chosen.choose(ignore="eat")))
    assert again.labels == ("blender", "water-flowing")
    # Thresholds of other labels do not matter, and neither does for which of the two settings were made.
    thresholds = {"blender": 0.02, "sweep": 0.9, "water*": 0.03}
    expected = again.predict(waveform, threshold=thresholds).segments
    for settings in (model.segmentation_settings(thresholds), again.segmentation_settings(thresholds)):
        assert again.predict(waveform, settings=settings).segments == expected
    assert again.segmentation_settings(thresholds).class_thresholds == (0.02, 0.03)
    assert np.array_equal(chosen.embed(waveform), model.embed(waveform))


def test_settings_are_those_of_the_recogniser_that_predicts(model: Recogniser, waveform: np.ndarray) -> None:
    chosen = model.choose("blender,water*,eat")
    settings = chosen.segmentation_settings({"blender": 0.02, "water*": 0.9})
    found = chosen.predict(waveform, settings=settings, labels="water*,blender").segments
    assert found == chosen.predict(waveform, settings=settings, labels="blender").segments
    assert {one.label for one in found} == {"blender"}
    for use in (lambda: model.predict(waveform, settings=settings, labels="eat,water*,blender"),
                lambda: Stream(model, settings=settings)):  # fmt: skip
        with pytest.raises(ParameterError, match=f"settings: they have values for 3 labels, but {SMALL} has 20"):
            use()


def test_a_stream_of_some_labels(model: Recogniser, waveform: np.ndarray) -> None:
    def steps_of(stream: Stream) -> list[np.ndarray]:
        return [step.probabilities for step in stream.push(waveform) + stream.finish()]

    chosen = model.choose("water*,eat")
    every, found = steps_of(Stream(model)), steps_of(Stream(chosen, threshold={"blender": 0.2}))
    assert np.array_equal(found, np.take(every, [model.labels.index(one) for one in chosen.labels], axis=1))


# The command line


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("sound") / "a.wav", kitchen(4), 24_000)


def test_predict_and_listen_take_the_same_labels_and_thresholds(sound: Path, tmp_path: Path, model: Recogniser) -> None:
    path = tmp_path / "thresholds.txt"
    path.write_text("0.5\nwater* = 0.03\nblender = 0.9\n")
    options = ("--model", SMALL, "--labels", "blender,water*,eat", "--ignore", "Eat", "--threshold", path)
    options += ("--threshold", "blender=0.02")  # counts before the file
    found = ainext("predict", sound, *options, "--json").json[0]
    thresholds = {"blender": 0.02, "water*": 0.03}
    result = model.predict(sound, labels="blender,water*", threshold=thresholds)
    assert [one["label"] for one in found["clip"]] == [one.label for one in result.clip]
    assert found["segments"] == [one.as_dict() for one in result.segments] and found["segments"]
    lines = [json.loads(line) for line in ainext("listen", sound, *options, "--json").out.splitlines()]
    listened = [line for line in lines if line["event"] == "end"]
    stream = Stream(model.choose("blender,water*"), threshold=thresholds)
    steps = stream.push(decode.read(sound, 24_000)) + stream.finish()
    expected = [one.as_dict() for step in steps for one in step.segments]
    places = [{name: one[name] for name in ("start", "end", "label")} for one in listened]
    assert places == [{name: one[name] for name in ("start", "end", "label")} for one in expected]
    assert {one["label"] for one in listened} == {"blender", "water-flowing"}


def test_wrong_labels_and_thresholds_end_the_command_in_one_line(sound: Path, tmp_path: Path) -> None:
    assert "--labels: no label matches 'blendr'; did you mean blender?" in refused(
        "predict", sound, "--model", SMALL, "--labels", "blendr"
    )
    assert "--ignore: this leaves no label" in refused("report", sound, "--out", tmp_path / "r.html", "--ignore", "*")
    assert not (tmp_path / "r.html").exists()
    assert "none.txt: cannot be read" in refused("listen", sound, "--threshold", tmp_path / "none.txt")


def test_hundreds_of_labels_are_listed_by_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"label {n}" for n in range(100)]
    groups = {"Low": labels[:40], "Lowest, really": labels[:3], "High": labels[60:90]}
    (folder := tmp_path / "mine").mkdir()
    description = find_model(SMALL).description | {"name": "mine", "labels": labels, "groups": groups}
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    monkeypatch.setenv("AINEXT_MODELS", str(tmp_path))
    out = ainext("models", "mine").out
    assert "100 labels in 3 groups" in out and len(out.splitlines()) < 60
    assert "group:Low (40)\n  label 0 · label 1 ·" in out and "groups within: Lowest, really (3)" in out
    assert "group:High (30)" in out and "in no group (30)\n" in out and "group:Lowest" not in out
    flat = " ".join(out.split())
    assert all(f"{label} " in f"{flat} " for label in labels)
    assert ainext("models", "mine", "--json").json["groups"] == groups
    few = description | {"labels": ["a", "b"], "groups": {"Low": ["a"]}}
    (folder / "model.json").write_text(json.dumps(few), encoding="utf-8")
    out = ainext("models", "mine").out
    assert "2 labels in 1 group," in out and "group:Low (1)\n  a\n\nin no group (1)\n  b" in out


# In files


@pytest.mark.workshop
def test_a_multi_label_file_with_groups(tmp_path: Path) -> None:
    """From weights to segments: labels overlap, and are chosen by the groups that the file states."""
    import torch

    from audioinceptionnext.export.onnx import export_onnx
    from audioinceptionnext.network.storage import load_model, save_model
    from tests.networks import small_model

    groups, thresholds = {"Animal": ("Dog", "Waves, surf")}, (0.5, 0.2, 0.6)
    stored = replace(
        small_model(),
        labels=("Dog", "Waves, surf", "Speech"),
        multi_label=True,
        identifiers=("/m/a", "/m/b", "/m/c"),
        groups=dict(groups),
        thresholds=thresholds,
    )
    stored.net.classifier.weight.data.zero_()
    stored.net.classifier.bias.data.copy_(torch.tensor([2.0, -1.0, 0.0]))
    save_model(stored, tmp_path / "m.safetensors")
    again = load_model(tmp_path / "m.safetensors")
    assert (again.identifiers, again.groups, again.multi_label) == (("/m/a", "/m/b", "/m/c"), groups, True)
    model = load(export_onnx(again, tmp_path / "m.onnx"), threads=1)
    assert (model.identifiers, model.groups, model.thresholds) == (("/m/a", "/m/b", "/m/c"), groups, thresholds)

    noise = write_wav(tmp_path / "noise.wav", np.random.default_rng(0).standard_normal(60_000) * 0.1, 24_000)
    result = model.predict(noise)
    scores = [(one.label, round(one.score, 2)) for one in result.clip]
    assert scores == [("Dog", 0.88), ("Speech", 0.5), ("Waves, surf", 0.27)]
    everywhere = [(0.0, result.duration, label) for label in ("Dog", "Waves, surf")]
    assert [(one.start, one.end, one.label) for one in result.segments] == everywhere
    assert [one.label for one in model.predict(noise, labels="group:animal", ignore="Dog").segments] == ["Waves, surf"]
    assert [one.label for one in model.predict(noise, threshold={"group:Animal": 0.3}).segments] == ["Dog"]
    # Overlapping segments are a line, a row, a cue or a tier each.
    assert [line.split("\t")[2] for line in result.to_audacity().splitlines()] == ["Dog", "Waves, surf"]
    assert result.to_srt().count(" --> ") == result.to_elan().count("<TIER ") == len(result.to_dataframe()) == 2
    assert [row["label"] for row in csv.DictReader(result.to_csv().splitlines())] == ["Dog", "Waves, surf"]

    with pytest.raises(ParameterError, match="groups: there is no label 'Cow'"):
        replace(stored, groups={"Animal": ("Cow",)})
    content = (tmp_path / "m.onnx").read_bytes()
    assert b'["/m/a", "/m/b", "/m/c"]' in content
    with pytest.raises(ModelError, match="metadata are incomplete or damaged"):
        Recogniser(content.replace(b'["/m/a", "/m/b", "/m/c"]', b'["/m/a", "/m/b"        ]'), "m.onnx")


@pytest.mark.workshop
def test_groups_of_audioset() -> None:
    from audioinceptionnext.data.audioset import audioset_groups

    names = ("Dog", "Growling", "Cat", "Speech")
    groups = audioset_groups(names, ("/m/0bt9lr", "/m/0ghcn6", "/m/01yrx", "/m/09x0r"))
    assert groups == {
        "Animal": ("Dog", "Growling", "Cat"),
        "Domestic animals, pets": ("Dog", "Growling", "Cat"),
        "Dog": ("Dog", "Growling"),
        "Cat": ("Growling", "Cat"),
    }
    with pytest.raises(ParameterError, match="identifiers is /m/none"):
        audioset_groups(("x",), ("/m/none",))


@pytest.mark.workshop
@pytest.mark.needs("teachers")
def test_all_labels_of_audioset_are_in_its_ontology() -> None:
    from audioinceptionnext.data.audioset import audioset_groups

    with (TEACHERS / "audioset_labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names, identifiers = ([row[column] for row in rows] for column in ("display_name", "mid"))
    groups = audioset_groups(names, identifiers)
    assert len(names) == len(set(names)) == 527
    largest = [name for name, members in groups.items() if not any(set(members) < set(one) for one in groups.values())]
    assert largest == [
        *("Human sounds", "Animal", "Music", "Natural sounds", "Sounds of things", "Source-ambiguous sounds"),
        "Channel, environment and background",
    ]
    assert {name for one in largest for name in groups[one]} == set(names)  # none is left out

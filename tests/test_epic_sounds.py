"""EPIC-SOUNDS: the challenge's own figures from every form of predictions, and submissions that it would accept."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import average_precision_score, roc_auc_score

from audioinceptionnext.cli.epic_sounds import app
from audioinceptionnext.errors import AinextError, kind_of_file
from audioinceptionnext.evaluation.epic_sounds import BACKGROUND, read_ids, score_predictions
from audioinceptionnext.evaluation.metrics import ranking, score
from audioinceptionnext.evaluation.predictions import CLASSES, Predictions, read_predictions, write_predictions
from audioinceptionnext.evaluation.submission import check_submission, write_submission
from tests.command import ainext, refused

SHARED = Path(__file__).parents[2] / "shared"
ANNOTATIONS = SHARED / "data" / "epic-sounds" / "EPIC_Sounds_validation.csv"
TEST = ANNOTATIONS.with_name("EPIC_Sounds_recognition_test_timestamps.csv")
SCORES = SHARED / "reference" / "epic-sounds-scores.json"
THEIRS = {
    "top1": "all_interaction_accuracy_at_1",
    "top5": "all_interaction_accuracy_at_5",
    "mca": "all_interaction_mCA",
    "map": "all_interaction_mAP",
    "mauc": "all_interaction_mAUC",
}
IDS = tuple(f"P01_11_{number}" for number in range(120))
TARGETS = [(7 * number) % 44 for number in range(120)]
LEVELS = {"sls_pt": 2, "sls_tl": 3, "sls_td": 4}


def outputs(clips: int = 3, seed: int = 0) -> np.ndarray:
    """(120, clips, 44) float32, better than chance."""
    scores = np.random.default_rng(seed).standard_normal((len(IDS), clips, 44)).astype(np.float32)
    scores[np.arange(len(IDS)), :, TARGETS] += 1
    return scores


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "validation.csv", zip(IDS, TARGETS, strict=True), "annotation_id", "class_id")


@pytest.fixture
def timestamps(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "test.csv", ((name, 0) for name in IDS), "annotation_id", "start_sample")


def write_csv(path: Path, rows: Any, *header: str) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def save(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content))
    return path


def assert_refused(call: Callable[[], object], *texts: str) -> None:
    """``call`` raises an error of one line that contains all these texts."""
    with pytest.raises(AinextError) as error:
        call()
    message = str(error.value)
    assert "\n" not in message and len(message) < 400
    for text in texts:
        assert text in message, message


# ---------------------------------------------------------------------------------------------------------- figures


@pytest.mark.needs("reference")
@pytest.mark.parametrize(("seed", "clips"), [(0, None), (1, 5)])
def test_the_challenges_own_figures(seed: int, clips: int | None, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("seeded_predictions", SCORES.with_name("seeded_predictions.py"))
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(seeded := importlib.util.module_from_spec(spec))
    found = read_predictions(save(tmp_path / "p.pkl", seeded.predictions(seed, clips)))
    for redact in (False, True):
        theirs = json.loads(SCORES.read_text())[f"{seed}/{clips}/{'redact' if redact else 'all'}"]
        ours = score_predictions(found, ANNOTATIONS, redact)
        assert list(ours) == [*THEIRS, "segments"]
        assert ours["segments"] == (8002 if redact else 8035)
        for name, key in THEIRS.items():
            assert ours[name] == pytest.approx(theirs[key], abs=1e-9), name


def test_every_form_of_file_gives_the_same_figures(annotations: Path, tmp_path: Path) -> None:
    scores, ids = outputs(), np.array(IDS, dtype=object)
    arrays = {"interaction_output": scores, "annotation_id": ids}
    fixed_width = {"interaction_output": torch.tensor(scores), "annotation_id": np.array(IDS)}
    items = [{"interaction_output": row, "annotation_id": name} for row, name in zip(scores, IDS, strict=True)]
    tensors = [item | {"interaction_output": torch.tensor(item["interaction_output"])} for item in items]
    summed = [item | {"interaction_output": [float(x) for x in item["interaction_output"].sum(0)]} for item in items]
    # The suffix does not matter: a pickle may be called .pt.
    files = [save(tmp_path / "dict.pt", arrays), save(tmp_path / "list.pkl", summed), save(tmp_path / "clips", items)]
    files += [save(tmp_path / "tensor.pkl", fixed_width), save(tmp_path / "tensors.pkl", tensors)]
    for number, content in enumerate((arrays, fixed_width, items, tensors, summed)):
        files.append(tmp_path / f"torch{number}.pkl")
        torch.save(content, files[-1])
    torch.save(arrays, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    write_predictions(tmp_path / "ours.pkl", IDS, scores)
    files += [tmp_path / "old.pt", tmp_path / "ours.pkl"]
    expected = score_predictions(Predictions(IDS, scores), annotations)
    for file in files:
        assert score_predictions(read_predictions(file), annotations) == pytest.approx(expected, abs=1e-6), file


def test_written_predictions_are_two_numpy_arrays(tmp_path: Path) -> None:
    write_predictions(tmp_path / "deep" / "p.pkl", IDS, outputs(5))
    with (tmp_path / "deep" / "p.pkl").open("rb") as file:
        content = pickle.load(file)
    assert list(content) == ["interaction_output", "annotation_id"]
    assert all(isinstance(array, np.ndarray) for array in content.values())
    np.testing.assert_array_equal(content["interaction_output"], outputs(5))
    assert content["annotation_id"].tolist() == list(IDS)


def test_a_pickled_data_frame_is_an_annotation_file_too(annotations: Path, tmp_path: Path) -> None:
    table = pandas.read_csv(annotations)
    expected = score_predictions(Predictions(IDS, outputs()), annotations, redact_background=True)
    for number, frame in enumerate((table, table.set_index("annotation_id"))):
        frame.to_pickle(tmp_path / f"{number}.pkl")
        assert score_predictions(Predictions(IDS, outputs()), tmp_path / f"{number}.pkl", True) == expected


def test_redacted_segments_need_no_prediction(annotations: Path) -> None:
    kept = [number for number, target in enumerate(TARGETS) if target != BACKGROUND]
    part = Predictions(tuple(IDS[n] for n in kept), outputs()[kept])
    found = score_predictions(part, annotations, redact_background=True)
    assert found == score_predictions(Predictions(IDS, outputs()), annotations, redact_background=True)
    assert found["segments"] == len(kept) < len(IDS)
    assert_refused(lambda: score_predictions(part, annotations), f"{len(IDS) - len(kept)} of 120 segments missing")


@pytest.mark.parametrize("levels", [None, 4])  # 4 different scores for 500 clips: nearly all of them are tied
def test_ranking_is_scikit_learns(levels: int | None) -> None:
    rng = np.random.default_rng(3)
    scores = rng.standard_normal((500, 12)) if levels is None else rng.integers(levels, size=(500, 12)) / levels
    targets = rng.integers(11, size=500)  # no clip of the last class
    truth = targets[:, None] == np.arange(11)
    found = score(scores, targets, tuple("abcdefghijkl"))
    assert found["map"] == pytest.approx(100 * average_precision_score(truth, scores[:, :11]), abs=1e-10)
    assert found["mauc"] == pytest.approx(roc_auc_score(truth, scores[:, :11]), abs=1e-12)


def test_ties_and_single_classes() -> None:
    """Of equal scores the first class is predicted, and the order of the clips changes nothing."""
    targets = np.array([0, 1, 6, 6])
    flat = score(np.zeros((4, 7)), targets, tuple("abcdefg"))
    assert (flat["top1"], flat["top5"], flat["mauc"]) == (25, 50, 0.5)
    assert flat["map"] == pytest.approx(100 * (1 / 4 + 1 / 4 + 1 / 2) / 3)
    assert flat["mca"] == pytest.approx(100 / 3)
    alone = score(np.eye(7)[:3], np.array([0, 0, 0]), tuple("abcdefg"))
    assert alone["map"] == 100 and np.isnan(alone["mauc"])
    assert np.isnan(ranking(np.arange(3.0), np.zeros(3, bool))).all()


def test_equal_scores_rank_as_in_the_challenges_scorer(annotations: Path) -> None:
    """The highest class id first in top-1 and top-5, the lowest in the mean class accuracy."""
    targets = np.array(TARGETS)
    found = score_predictions(Predictions(IDS, np.zeros((len(IDS), 1, CLASSES), np.float32)), annotations)
    assert found["top1"] == pytest.approx(100 * np.mean(targets == CLASSES - 1))
    assert found["top5"] == pytest.approx(100 * np.mean(targets >= CLASSES - 5)) and found["top5"] > 0
    assert found["mca"] == pytest.approx(100 * (0 in targets) / len(set(TARGETS))) and found["mca"] > 0
    pairs = np.zeros((len(IDS), 1, CLASSES), np.float32)
    pairs[:, :, [3, 40]] = 1
    found = score_predictions(Predictions(IDS, pairs), annotations)
    assert found["top1"] == pytest.approx(100 * np.mean(targets == 40))
    assert found["mca"] == pytest.approx(100 * (3 in targets) / len(set(TARGETS)))


# -------------------------------------------------------------------------------------------------------- bad input


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harmed",)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"interaction_output": Harmful(), "annotation_id": ["a"]}
    torch.save(content, "a.pt")
    torch.save(content, "b.pt", _use_new_zipfile_serialization=False)
    for path in (save(Path("a.pkl"), content), save(Path("b.pkl"), Harmful()), Path("a.pt"), Path("b.pt")):
        assert_refused(lambda path=path: read_predictions(path), str(path), "mkdir")
        assert_refused(lambda path=path: score_predictions(Predictions(IDS, outputs()), path))
    assert not Path("harmed").exists()


ROW = [0.5] * 44
BAD_FILES = {
    "a number": (3, "int"),
    "an empty list": ([], "empty"),
    "another dict": ({"logits": ROW, "annotation_id": ["a"]}, "'interaction_output'", "'logits'"),
    "a list of other things": ([{"interaction_output": ROW, "annotation_id": "a"}, ROW], "item 1"),
    "43 classes": ({"interaction_output": np.zeros((1, 43)), "annotation_id": ["a"]}, "43 classes", "44"),
    "one axis": ({"interaction_output": np.zeros(44), "annotation_id": ["a"]}, "shape (44,)"),
    "no clips": ({"interaction_output": np.zeros((1, 0, 44)), "annotation_id": ["a"]}, "shape (1, 0, 44)"),
    "too few ids": ({"interaction_output": np.zeros((2, 44)), "annotation_id": ["a"]}, "1 of annotation_id for 2"),
    "ids that are numbers": ({"interaction_output": np.zeros((1, 44)), "annotation_id": [7]}, "annotation_id is 7"),
    "ids that are one text": ({"interaction_output": np.zeros((1, 44)), "annotation_id": "a"}, "not a list of ids"),
    "text": ({"interaction_output": [["x"] * 44], "annotation_id": ["a"]}, "not an array of numbers"),
    "lists of two lengths": ({"interaction_output": [ROW, ROW[1:]], "annotation_id": ["a", "b"]}, "array of numbers"),
    "items of two shapes": (
        [{"interaction_output": ROW, "annotation_id": "a"}, {"interaction_output": [ROW, ROW], "annotation_id": "b"}],
        "of b is of shape (2, 44), that of a (44,)",
    ),
    "NaN": ([{"interaction_output": [float("nan"), *ROW[1:]], "annotation_id": "P9"}], "NaN", "1 of 1 segment", "P9"),
    "an infinite sum": ({"interaction_output": np.full((1, 2, 44), 1e308), "annotation_id": ["a"]}, "infinity"),
    "an id twice": ({"interaction_output": np.zeros((3, 44)), "annotation_id": ["a", "b", "a"]}, "1 segment, e.g. a"),
    "an id that no terminal can print": (
        {"interaction_output": np.zeros((2, 44)), "annotation_id": ["\x1b[2J\n"] * 2},
        "e.g. ?[2J?",
    ),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_predictions(what: str, tmp_path: Path) -> None:
    content, *texts = BAD_FILES[what]
    assert_refused(lambda: read_predictions(save(tmp_path / "p.pkl", content)), "p.pkl", *texts)


def test_files_that_hold_something_else(tmp_path: Path) -> None:
    torch.save({"interaction_output": torch.zeros(9, 44)}, tmp_path / "whole.pt")
    contents = {
        "half.pt": (tmp_path / "whole.pt").read_bytes()[:900],
        "half.pkl": pickle.dumps(outputs())[:-9],
        "a.zip": b"PK\x03\x04 and no more",
        "a.csv": b"annotation_id,score\nP01_11_0,1\n",
        "empty": b"",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert_refused(lambda name=name: read_predictions(tmp_path / name), name)
    assert_refused(lambda: read_predictions(tmp_path / "nowhere.pkl"), "nowhere.pkl: no such file")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(protocol: int, tmp_path: Path) -> None:
    (tmp_path / "p.pkl").write_bytes(pickle.dumps([{"interaction_output": ROW, "annotation_id": "a"}], protocol))
    assert read_predictions(tmp_path / "p.pkl").ids == ("a",)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'{"abc": {"x": 1}}', "a JSON file"),  # a brace and a quote where those of .safetensors are
        (('["' + "\u00e4" * 999 + '"]').encode(), "a JSON file"),  # what is looked at ends within a letter
        ("\ufeffa,b\n".encode(), "a CSV file"),
        (b"notes\n", "a text file"),
        (b" \n", "an empty file"),
        (b"a,b\0\1", "a file of another kind"),
    ],
)
def test_files_are_known_by_their_content(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert kind_of_file(tmp_path / "file") == kind
    assert_refused(lambda: read_predictions(tmp_path / "file"), "file: ")


def test_predictions_for_other_segments(annotations: Path) -> None:
    names = (*IDS[:-2], "P99_1_0", "P99_1_1")
    assert_refused(
        lambda: score_predictions(Predictions(names, outputs(), "p.pkl"), annotations),
        "p.pkl",
        "validation.csv",
        "2 of 120 segments missing, e.g. P01_11_118",
        "2 segments unknown, e.g. P99_1_0",
    )


BAD_LISTS = {
    "annotation_id,class_id\n": ("no segments",),
    "": ("no column annotation_id", "none"),
    "annotation_id,start\na,1\n": ("no column class_id", "not published"),
    "annotation_id,class_id\na,44\n": ("class_id of a is '44'", "0 to 43"),
    "annotation_id,class_id\na,water\n": ("'water'",),
    "annotation_id,class_id\na,1\na,2\n": ("the annotation_id a", "more than once"),
    "annotation_id,class_id\na,1\nb\n": ("row 3 has 1 values",),
    "annotation_id,class_id\n,1\n": ("annotation_id is ''",),
    'annotation_id,class_id\n"a,1\n': ("neither a CSV file nor a pickle",),
    "annotation_id,class_id\na,13\n": ("no segments of another class than background",),
}


@pytest.mark.parametrize("text", BAD_LISTS)
def test_bad_annotations(text: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    one = Predictions(("a",), np.zeros((1, 1, 44)))
    assert_refused(lambda: score_predictions(one, path, redact_background=True), "list.csv", *BAD_LISTS[text])


def test_a_part_is_scored_on_request(annotations: Path, tmp_path: Path) -> None:
    part = Predictions(IDS[:100], outputs()[:100], "p.pkl")
    figures = score_predictions(part, annotations, partial=True)
    assert (figures["segments"], figures["missing"]) == (100, 20)
    rows = annotations.read_text().splitlines(keepends=True)
    kept = [row for row in rows[1:] if row.split(",")[0] in part.ids]
    (tmp_path / "part.csv").write_text("".join([rows[0], *kept]))
    same = score_predictions(part, tmp_path / "part.csv")
    assert {name: figures[name] for name in same} == same
    none = Predictions(("P99_1_0",), outputs()[:1], "p.pkl")
    assert_refused(lambda: score_predictions(none, annotations, partial=True), "1 segment unknown, e.g. P99_1_0")


@pytest.mark.parametrize("command", ["score", "submit", "check", "score-detection"])
def test_swapped_arguments_and_files_of_another_kind(
    command: str, annotations: Path, timestamps: Path, tmp_path: Path
) -> None:
    """Every command says what the file is, and none shows what a library says of it."""
    write_predictions(tmp_path / "p.pkl", IDS, outputs())
    write_submission(Predictions(IDS, outputs()), tmp_path / "sub.zip", **LEVELS)
    torch.save({"weights": torch.zeros(2)}, tmp_path / "model.pyth")
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a\x12\x07pytorch\xff\xfe")
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    (tmp_path / "a.wav").write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt ")
    kinds = {
        annotations: "a CSV file", tmp_path / "p.pkl": "a pickle", tmp_path / "sub.zip": "a challenge's submission",
        tmp_path / "model.pyth": "a torch file", tmp_path / "model.onnx": "an ONNX model", tmp_path: "a folder",
        tmp_path / "model.safetensors": "a .safetensors file", tmp_path / "a.wav": "a recording",
    }  # fmt: skip
    takes = {"score": "p.pkl", "submit": "p.pkl", "check": "sub.zip", "score-detection": "sub.zip"}[command]
    for path, kind in kinds.items():
        assert kind_of_file(path) == kind
        second = tmp_path / "out.zip" if command == "submit" else annotations
        if path.name != takes and not (command in ("score", "submit") and path.suffix == ".pyth"):
            line = refused("epic-sounds", command, path, second)
            assert f"{path}: is {kind}" in line and "Error" not in line and "codec" not in line
    if command != "submit":
        line = refused("epic-sounds", command, tmp_path / takes, tmp_path / "model.onnx")
        assert "model.onnx: is an ONNX model, not a published list" in line or command == "score-detection"
    if command == "score-detection":
        line = refused("epic-sounds", command, tmp_path / "sub.zip", annotations)
        assert "sub.zip: is a submission for the recognition challenge" in line
    if command == "check":
        (tmp_path / "\x1b[2J.json").write_text("{}")
        found = ainext("epic-sounds", command, tmp_path / "\x1b[2J.json", timestamps)
        assert found.code == 1 and "\x1b" not in found.out + found.err and "?[2J.json: 7 problems\n" in found.out
        found = ainext("epic-sounds", command, tmp_path / "sub.zip", timestamps)
        assert found.out == f"{tmp_path / 'sub.zip'}: complete and in order for the recognition challenge\n"
        found = ainext("epic-sounds", command, tmp_path / "sub.zip", timestamps, "--json")
        assert found.json["challenge"] == "recognition"


# ------------------------------------------------------------------------------------------------------- submission


def test_a_submission_is_what_the_challenge_describes(timestamps: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.zip"
    write_submission(Predictions(IDS, outputs()), path, **LEVELS)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["test.json"]
        document = json.loads(archive.read("test.json"))
    results = document.pop("results")
    head = {"version": "0.1", "challenge": "audio_based_interaction_recognition"}
    assert document == head | LEVELS | {"t_mod": 0}
    assert list(results) == list(IDS)
    for name, row in zip(IDS, outputs().sum(axis=1), strict=True):
        assert list(results[name]) == ["interaction"]
        assert list(results[name]["interaction"]) == [str(c) for c in range(44)]
        np.testing.assert_array_equal(list(results[name]["interaction"].values()), row)
    assert check_submission(path) == check_submission(path, timestamps) == []
    assert [entry.name for entry in path.parent.iterdir()] == ["out.zip"]


@pytest.mark.needs("data")
def test_the_test_set_is_complete_or_not(tmp_path: Path) -> None:
    ids = read_ids(TEST)
    scores = np.random.default_rng(0).standard_normal((len(ids), 1, 44)).astype(np.float32)
    write_submission(Predictions(ids, scores), tmp_path / "all.zip", **LEVELS)
    assert check_submission(tmp_path / "all.zip", TEST) == []
    write_submission(Predictions(ids[1:], scores[1:]), tmp_path / "part.zip", **LEVELS)
    assert check_submission(tmp_path / "part.zip", TEST) == [f"1 of 5,131 segments missing, e.g. {ids[0]}"]


def entry(**changes: Any) -> dict[str, Any]:
    return {"interaction": {str(c): 0.5 for c in range(44)} | changes}


def submission(**changes: Any) -> dict[str, Any]:
    head = {"version": "0.1", "challenge": "audio_based_interaction_recognition", "sls_pt": 0, "sls_tl": 5, "sls_td": 3}
    return head | {"t_mod": 0, "results": dict.fromkeys(IDS, entry())} | changes


BAD_SUBMISSIONS: dict[str, tuple[Any, list[str]]] = {
    "version": (submission(version=0.1), ["version is 0.1, not '0.1'"]),
    "challenge": (submission(challenge="action_recognition"), ["challenge is 'action_recognition'"]),
    "levels": (submission(sls_pt=6, sls_td=True), ["sls_pt is 6", "sls_td is True"]),
    "mode": (submission(t_mod=None), ["t_mod is None"]),
    "list": ([], ["test.json is a list"]),
    "no results": (submission(results={}), ["results is not"]),
    "classes": (
        submission(results={name: {"interaction": {"0": 1.0}} for name in IDS}),
        ['120 segments without exactly the classes "0" to "43", e.g. P01_11_0'],
    ),
    "flat": (submission(results=dict.fromkeys(IDS, ROW)), ["120 segments without"]),
    "numbers": (
        submission(results=dict.fromkeys(IDS, entry()) | {"P01_11_3": entry(**{"7": float("nan")})}),
        ["1 segment with a score that is not a finite number, e.g. P01_11_3"],
    ),
    "enormous": (submission(results=dict.fromkeys(IDS, entry(**{"7": 10**400}))), ["not a finite number"]),
    "text": (submission(results=dict.fromkeys(IDS, entry(**{"7": "1"}))), ["120 segments with a score"]),
    "ids": (
        submission(results={**dict.fromkeys(IDS[2:], entry()), "\ud800": entry()}),
        ["2 of 120 segments missing, e.g. P01_11_0", "1 segment unknown, e.g. ?"],
    ),
}


@pytest.mark.parametrize("what", BAD_SUBMISSIONS)
def test_what_the_challenge_would_refuse(what: str, timestamps: Path, tmp_path: Path) -> None:
    document, expected = BAD_SUBMISSIONS[what]
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("test.json", json.dumps(document))
    problems = check_submission(tmp_path / "out.zip", timestamps)
    assert len(problems) == len(expected), problems
    assert all(start in problem for start, problem in zip(expected, problems, strict=True)), problems


def test_submissions_that_are_no_such_file(tmp_path: Path) -> None:
    path = tmp_path / "out.zip"
    path.write_text("{}")
    assert "not a zip file" in check_submission(path)[0]
    for member, content, problem in (
        ("deep/test.json", "{}", "no test.json at its top; it holds deep/test.json"),
        ("test.json", "{", "not JSON"),
        ("test.json", "[" * 100_000, "not JSON"),
        ("test.json", '{"version": "0.1", "version": "0.1"}', "1 key occurs twice, e.g. version"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, content)
        assert problem in check_submission(path)[0]
    assert_refused(lambda: check_submission(tmp_path / "nowhere.zip"), "no such file")


def test_a_refused_submission_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "out.zip"
    path.write_text("older")
    levels = LEVELS | {"sls_td": 6}
    assert_refused(
        lambda: write_submission(Predictions(IDS, outputs()), path, **levels), "sls_td is 6: give a level from 0 to 5"
    )
    assert path.read_text() == "older" and [p.name for p in tmp_path.iterdir()] == ["out.zip"]


# ----------------------------------------------------------------------------------------------------- command line


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def run(*arguments: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = app([str(argument) for argument in arguments], standalone_mode=False)
    return Outcome(code or 0, out.getvalue(), err.getvalue())


def test_the_command_score(annotations: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.pkl"
    write_predictions(path, IDS, outputs())
    found = run("score", path, annotations, "--redact-background", "--json")
    expected = score_predictions(read_predictions(path), annotations, redact_background=True)
    assert json.loads(found.out) == expected and not found.err  # every digit
    table = run("score", path, annotations).out
    assert "120 segments" in table.replace("\n", " ") and "mAUC" in table
    write_csv(annotations, ((name, 3) for name in IDS), "annotation_id", "class_id")
    assert json.loads(run("score", path, annotations, "--json").out)["mauc"] is None  # JSON has no NaN


def test_the_commands_submit_and_check(timestamps: Path, tmp_path: Path) -> None:
    every, part, out = tmp_path / "all.pkl", tmp_path / "part.pkl", tmp_path / "out.zip"
    write_predictions(every, IDS, outputs())
    write_predictions(part, IDS[1:], outputs()[1:])
    assert_refused(
        lambda: run("submit", part, out, "--timestamps", timestamps), "1 of 120 segments missing", "nothing was written"
    )
    assert_refused(lambda: run("submit", every, tmp_path / "out.json"), "must end in .zip")
    assert not out.exists()

    found = run("submit", part, out, "--json")
    assert "not checked" in found.err
    assert json.loads(found.out) == {"file": str(out), "segments": 119, "complete": None} | LEVELS
    found = run("check", out, timestamps, "--json")
    assert found.code == 1 and len(json.loads(found.out)["problems"]) == 1

    found = run("submit", every, out, "--timestamps", timestamps, "--sls-pt", 0, "--sls-tl", 5)
    assert not found.err and "levels 0 5 4" in found.out
    assert run("check", out, timestamps).code == 0
    with pytest.raises(Exception, match="5") as error:  # Typer's own error
        run("submit", every, out, "--sls-pt", 6)
    assert getattr(error.value, "exit_code", None) == 2


def test_scoring_a_pickle_needs_no_extra(annotations: Path, tmp_path: Path) -> None:
    write_predictions(tmp_path / "p.pkl", IDS, outputs())
    code = (
        "import sys; from audioinceptionnext.cli.epic_sounds import app; "
        f"app(['score', {str(tmp_path / 'p.pkl')!r}, {str(annotations)!r}], standalone_mode=False); "
        "print(sorted({'torch', 'sklearn', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"

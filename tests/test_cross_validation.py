"""One network per fold, and figures over all clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from audioinceptionnext.data import load_dataset
from audioinceptionnext.training import cross_validation, fit
from audioinceptionnext.training.recipe import as_yaml
from audioinceptionnext.training.run_folder import LAST, MODEL, RUN
from tests.command import Outcome, ainext, last_line, refused
from tests.data_files import wav
from tests.small_sounds import LABELS, quick, write_kitchen


def leaking(folder: Path) -> Path:
    """A data set with two folds, where most sources have clips in both."""
    root = write_kitchen(folder / "kitchen20")
    head, *lines = (root / "meta.csv").read_text().splitlines()
    rows = [line.rsplit(",", 1)[0] + f",{number % 13}" for number, line in enumerate(lines)]
    (root / "meta.csv").write_text("\n".join([head, *rows]) + "\n")
    return root


def test_folds_that_keep_sources_whole_and_a_second_call(tmp_path: Path) -> None:
    root, out = leaking(tmp_path), tmp_path / "run"
    (tmp_path / "mine.yaml").write_text(as_yaml(quick(epochs=4, evaluate_every=9)), encoding="utf-8")
    call = ("cross-validate", "--data", "kitchen20", "--root", root, "--out", out, "--leak-free")
    call = (*call, "--recipe", tmp_path / "mine.yaml", "--threads", 1, "--json")
    part = ainext(*call, "--folds", "2").json
    assert set(part["folds"]) == {"2"} and part["clips"] == part["folds"]["2"]["clips"] < 24
    assert "--folds 3: kitchen20 has the folds" in last_line(*call, "--folds", "3")
    first: Outcome = ainext(*call)  # does the other fold
    assert first.json["folds"]["2"] == part["folds"]["2"]
    assert first.code == 0
    found = first.json
    assert found["clips"] == 24 and set(found["per_class"]) == set(LABELS) and set(found["folds"]) == {"1", "2"}
    folds = [json.loads((out / f"fold-{n}" / RUN).read_text()) for n in (1, 2)]
    assert [fold["fold"] for fold in folds] == [1, 2]
    assert folds[0]["clips"] == folds[1]["held_out"] and folds[0]["clips"] + folds[0]["held_out"] == 24
    each = [found["folds"][n]["top1"] for n in ("1", "2")]
    assert found["top1_mean_of_folds"] == pytest.approx(np.mean(each), abs=1e-3)
    assert found["top1_deviation_of_folds"] == pytest.approx(np.std(each, ddof=1), abs=1e-3)
    right = sum(found["folds"][str(n + 1)]["top1"] * fold["held_out"] / 100 for n, fold in enumerate(folds))
    assert found["top1"] == pytest.approx(100 * right / 24, abs=1e-2)
    assert "unseen_sources" not in found  # no source lies in both folds
    assert set(found["thresholds"]) == set(LABELS) and "temperature" in found  # for a model trained on all of it

    # Another call trains nothing again: a fold that is done is read from its files, even without its checkpoint.
    (out / "fold-1" / LAST).unlink()
    times = {n: (out / f"fold-{n}" / MODEL).stat().st_mtime_ns for n in (1, 2)}
    second = ainext(*call)
    assert second.code == 0 and second.json == found
    assert times == {n: (out / f"fold-{n}" / MODEL).stat().st_mtime_ns for n in (1, 2)}
    assert not (out / "fold-1" / LAST).exists()

    # Figures of two recipes, or of two sets of folds, are not combined.
    message = last_line(*call, "--epochs", 5)
    assert f"{out / 'fold-1' / RUN}: the run was started with epochs 4, not 5" in message
    message = last_line(*(part for part in call if part != "--leak-free"))
    assert "the run was started with" in message and "fold-1" in message

    # A second round: each fold starts from the network that was not trained on its clips.
    start, again = out / "fold-{fold}" / MODEL, tmp_path / "again"
    (tmp_path / "more.yaml").write_text(
        as_yaml(quick(epochs=1, evaluate_every=9, network_settings={})), encoding="utf-8"
    )
    more = ("cross-validate", "--data", "kitchen20", "--root", root, "--out", again, "--leak-free", "--threads", 1)
    more = (*more, "--recipe", tmp_path / "more.yaml", "--from", start)
    second_round = ainext(*more)
    assert second_round.code == 0
    assert "AudioInceptionNeXt with widths 8, 8, 16, 16 on kitchen20" in second_round.out  # the weights' own network
    started = [json.loads((again / f"fold-{n}" / RUN).read_text())["initial_weights"] for n in (1, 2)]
    assert started == [str(out / f"fold-{n}" / MODEL) for n in (1, 2)]

    # Only on request is it started over.
    changed = (*more, "--folds", "1", "--epochs", 2)
    assert "started with epochs 1, not 2" in last_line(*changed, "--resume")
    assert "--overwrite: cannot be combined" in refused(*changed, "--resume", "--overwrite")
    assert ainext(*changed, "--overwrite").code == 0
    assert json.loads((again / "fold-1" / RUN).read_text())["recipe"]["epochs"] == 2
    assert json.loads((again / "fold-2" / RUN).read_text())["recipe"]["epochs"] == 1


def test_interrupted_it_says_how_to_go_on(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, object]] = []

    def stopped(*_: object, **options: object) -> None:
        started.append(options)
        raise fit.Interrupted("interrupted; resume the run to continue from last.ckpt")

    monkeypatch.setattr(cross_validation, "train", stopped)
    call = ("cross-validate", "--data", "kitchen20", "--root", root, "--out", tmp_path / "run", "--resume")
    line = "ainext: interrupted in fold 1 (0 of 2 folds are done); resume the cross-validation to continue"
    assert refused(*call) == line
    assert not (tmp_path / "run").exists()

    # A fold that stopped before its first checkpoint, whose best weights may be there, is continued as well. Without
    # the folds that are to be started over, nothing tells the next call to keep the old ones of them.
    for name in ("fold-1/best.ckpt", "fold-2/last.ckpt", "fold-2/fold.json"):
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).touch()
    (tmp_path / "run" / "fold-1" / RUN).write_text('{"recipe": {}}')
    assert refused(*call[:-1]) == refused(*call[:-1], "--overwrite") == line
    assert not list((tmp_path / "run").glob("*/fold.json")) + list((tmp_path / "run").glob("*/last.ckpt"))
    assert [(options["resume"], options["overwrite"]) for options in started] == [
        *((False, False), (True, False), (False, True)),
    ]
    weights = tmp_path / "run" / "fold-{fold}" / MODEL
    assert "lies in the folder that is to be overwritten" in refused(*call[:-1], "--overwrite", "--from", weights)
    assert "holds a cross-validation" not in refused(*call) == line


def test_figures_that_do_not_exist_are_null_in_json() -> None:
    assert json.loads(cross_validation._as_json({"mauc": float("nan"), "folds": [1.23456]})) == {
        "mauc": None,
        "folds": [1.23456],
    }


def test_a_dataset_without_folds(tmp_path: Path) -> None:
    write_kitchen(tmp_path / "kitchen20", clips=4)
    for label in LABELS:
        (tmp_path / "classes" / label).mkdir(parents=True)
        (tmp_path / "kitchen20" / "audio" / f"{LABELS.index(label)}.wav").rename(tmp_path / "classes" / label / "1.wav")
    call = ("cross-validate", "--data", "folder", "--root", tmp_path / "classes", "--out", tmp_path / "run")
    assert "--num-folds 5: the 2 sources of folder cannot fill them" in refused(*call)
    assert "names no source" in refused(*call, "--leak-free")
    assert not (tmp_path / "run").exists()
    dealt = load_dataset("folder", tmp_path / "classes").with_folds(2)
    assert dealt.folds == (1, 2) and [sum(c.fold == n for c in dealt.clips) for n in (1, 2)] == [1, 1]


def test_label_tracks_get_a_linear_layer_by_themselves(tmp_path: Path) -> None:
    """A recipe of steps, which `train` takes for them, trains a single run."""
    for number, name in enumerate(("a", "b", "c", "d")):
        wav(tmp_path / "mine" / f"{name}.wav")
        (tmp_path / "mine" / f"{name}.txt").write_text(f"0\t0.5\t{LABELS[number % 2]}\n", encoding="utf-8")
    call = ("cross-validate", "--data", "labels", "--root", tmp_path / "mine", "--out", tmp_path / "run")
    found = ainext(*call, "--num-folds", 2, "--epochs", 1, "--threads", 1, "--json")
    assert found.code == 0, found.err
    assert set(found.json["folds"]) == {"1", "2"} and found.json["clips"] == 4

"""What a run's folder holds, whose files those are, and who may write there. Nothing is trained here."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.clip_list import NAME, is_clip_list, trained_clips
from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.plots import column
from audioinceptionnext.training.run_folder import (
    check_apart,
    check_folds,
    check_out,
    holding,
    is_run,
    remove_run,
    training_logs,
)
from audioinceptionnext.training.run_record import Run, check_same, write_description
from tests.audio_files import sine
from tests.data_files import wav, write_list
from tests.small_sounds import quick, run_on


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_the_files_of_others(root: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    wav(mine / "a.wav"), wav(mine / "b.wav")
    rows = [("path", "label"), ("a.wav", "x"), ("b.wav", "y")]
    for name in ("clips.csv", "annotations.csv"):  # the usual name, and the only list
        listed = write_list(mine / name, *rows)
        before, dataset = listed.read_bytes(), load_dataset("csv", mine)
        check_out(mine)
        write_description(Run(dataset, dataset.clips, [], mine, quick()), {"recipe": {}})
        assert listed.read_bytes() == before and load_dataset("csv", mine) == dataset
        remove_run(mine)
        assert files(mine) == {"a.wav", "b.wav", name}
        listed.unlink()

    # What only looks like a run's file is not written over, and not removed.
    for name in ("recipe.yaml", "figures.json", "model.onnx", "run.json", NAME):
        touch(out := tmp_path / name, name)
        for overwrite in (False, True):
            with pytest.raises(AinextError, match=f"holds a file {name} that is not of a run"):
                check_out(out, overwrite=overwrite)
    others = ("log/diary.txt", "report/thesis.tex", "log/version_0_backup/metrics.csv", "tensorboard/version_a/x")
    touch(tmp_path / "none", *others, "figures.json", "log/version_0/metrics.csv", "wandb/run/x", "report/index.html")
    before_all = files(tmp_path / "none")
    remove_run(tmp_path / "none")
    assert files(tmp_path / "none") == before_all

    # Of a run, all of its own files are removed.
    run = run_on(root, tmp_path / "run")
    write_description(run, run.describe())
    check_out(run.out)  # it stopped before its first checkpoint
    own = ("last.ckpt", "best.ckpt", "model.onnx", "model.safetensors", "figures.json", "tensorboard/version_0/events")
    reports = ("report/index.html", "report/mistakes/01.flac", "report/verb/predictions.csv", "report/verb/index.html")
    touch(run.out, *others, *own, *reports, "log/version_0/metrics.csv", "log/version_12/x", "wandb/run/x")
    with pytest.raises(AinextError, match=r"holds a finished run; .* resume the run .* or overwrite it"):
        check_out(run.out)
    check_out(run.out, overwrite=True)
    remove_run(run.out)
    assert files(run.out) == set(others) and not (run.out / "report" / "verb").exists()


def test_which_clips_trained_a_model(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "test")):
        for label in ("cat", "dog"):
            wav(tmp_path / "data" / part / label / "0.wav", sine(440 + 100 * number, 0.1, 8000))
    out = tmp_path / "run"
    dataset = load_dataset("folder", tmp_path / "data")
    training, held_out = dataset.select(split="train")
    write_description(Run(dataset, training, held_out, out, quick()), {"recipe": {}})

    def seen(root: Path) -> list[str]:
        data = load_dataset("folder", root)
        return [clip.path.relative_to(root).as_posix() for clip in trained_clips(out / NAME, data, data.clips)]

    assert seen(tmp_path / "data") == ["train/cat/0.wav", "train/dog/0.wav"]
    assert seen(tmp_path / "data" / "train") == ["cat/0.wav", "dog/0.wav"]
    assert seen(tmp_path / "data" / "test") == []
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    assert seen(tmp_path / "copy") == ["train/cat/0.wav", "train/dog/0.wav"]
    (tmp_path / "data").rename(tmp_path / "moved")
    assert seen(tmp_path / "moved") == ["train/cat/0.wav", "train/dog/0.wav"]
    assert is_clip_list(out / NAME) and not is_clip_list(write_list(tmp_path / NAME, ("path", "label")))


def test_which_folders_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "cv/fold-1/fold.json", "cv/figures.json", "single/last.ckpt")
    for check in (check_out, check_folds):
        with pytest.raises(AinextError, match=r"a\.wav: is a file; give a folder$"):
            check(tmp_path / "a.wav")
    for options in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(AinextError, match="holds a cross-validation; give another folder"):
            check_out(tmp_path / "cv", **options)
        with pytest.raises(AinextError, match="holds a single run; give another folder"):
            check_folds(tmp_path / "single", **options)
        check_folds(tmp_path / "cv", **options)


def test_a_run_does_not_remove_what_it_starts_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "runs/a/model.safetensors", "runs/a/hum/1.wav", "other.safetensors")
    monkeypatch.chdir(tmp_path)
    runs = Path("runs/a")
    refused = {
        "initial_weights": "runs/a/model.safetensors",
        "background": str(tmp_path / "runs/a/hum"),
        "noise": "runs/a",
    }
    refused |= {"teacher": "kitchen20, runs/a/fold-{fold}/model.safetensors"}
    for name, value in refused.items():
        with pytest.raises(AinextError, match=f"^{name} is .*: lies in the folder that is to be overwritten"):
            check_apart(runs, {name: value})
    check_apart(runs, {"initial_weights": "other.safetensors", "teacher": "kitchen20", "noise": None})
    check_apart(Path(), {"initial_weights": "kitchen20"})  # a model's name


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such locks")
def test_one_process_trains_into_a_folder(tmp_path: Path) -> None:
    """Two processes are in test_trust.py."""
    touch(out := tmp_path / "run", "run.lock")  # of a process that was killed
    with holding(out):
        assert files(out) == {"run.lock"}
    assert files(out) == set()


def test_settings_that_an_older_run_did_not_know_were_the_defaults(root: Path, tmp_path: Path) -> None:
    run = run_on(root, tmp_path)
    now, before = run.describe(), run.describe()
    del before["recipe"]["remove_dc"], before["recipe"]["eval_clips"]
    check_same(before, now, tmp_path / "last.ckpt")
    changed = replace(run, recipe=replace(run.recipe, remove_dc=True)).describe()
    with pytest.raises(AinextError, match="the run was started with remove_dc None, not True"):
        check_same(before, changed, tmp_path / "last.ckpt")


def test_the_logs_of_a_run_in_their_order(tmp_path: Path) -> None:
    for number in (10, 2, 0):
        rows = [("epoch", "step", "loss"), *((epoch, 10 * epoch, number) for epoch in range(number // 3, 4))]
        write_list(tmp_path / "log" / f"version_{number}" / "metrics.csv", *rows)
    for name in ("version_0_backup", "version_", "version_x"):
        touch(tmp_path / "log" / name, "metrics.csv")
    logs = training_logs(tmp_path)
    assert [log.parent.name for log in logs] == ["version_0", "version_2", "version_10"]
    assert column(logs, "loss", "epoch").tolist() == [[0, 2], [1, 2], [2, 2], [3, 10]]
    assert column(logs, "top1").tolist() == []
    assert not is_run(tmp_path)

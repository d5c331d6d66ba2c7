"""Training that stops for every possible reason, and what it leaves."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.sampling import EpochOrder
from audioinceptionnext.errors import AinextError
from audioinceptionnext.training import unreadable
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.recipe import as_yaml
from audioinceptionnext.training.run_folder import BEST, LAST, LOCK, MODEL, RUN, holding
from audioinceptionnext.training.run_record import Run, read_run_record
from tests.command import ainext, last_line
from tests.small_sounds import LABELS, content, quick, run_on, same, weights, write_kitchen

ALONE = Hardware(threads=1, implementation="matrix-products")
LIMIT = 300.0  # seconds that a test waits for another process, on a busy machine


# --- Killed, terminated, resumed ---


def start(*arguments: object) -> subprocess.Popen[str]:
    call = [sys.executable, "-m", "audioinceptionnext", *map(str, arguments)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")


def stop(process: subprocess.Popen[str], how: signal.Signals, checkpoint: Path, after: int = -1) -> str:
    """Send a signal once there is a checkpoint of an epoch above ``after``, and return what is printed on stderr."""
    end = time.monotonic() + LIMIT
    while not (checkpoint.is_file() and content(checkpoint)["epoch"] > after):
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)
    with pytest.raises(AinextError, match="another process is training into it"), holding(checkpoint.parent):
        pass
    process.send_signal(how)
    return process.communicate(timeout=LIMIT)[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows neither signal")
def test_killed_and_resumed_a_run_ends_with_the_weights_of_one_left_alone(root: Path, tmp_path: Path) -> None:
    random: dict[str, Any] = {"mixup": 0.4, "gain_db": 6, "noise_probability": 0.5, "time_masks": [2, 10], "ema": 0.9}
    random |= {"speed": [0.9, 1.1], "shift_seconds": 0.05, "time_warp": 3, "sampling": "balanced", "dropout": 0.3}
    recipe = quick(epochs=20, accumulate=2, warmup=0.1, precise_bn=2, evaluate_every=3, keep="best", **random)
    (tmp_path / "mine.yaml").write_text(as_yaml(recipe), encoding="utf-8")
    cut = tmp_path / "cut"
    call = ("train", "--data", "kitchen20", "--root", root, "--train-folds", "1", "--recipe", tmp_path / "mine.yaml")
    call = (*call, "--out", cut, "--loader-workers", 1, "--threads", 1)
    stop(start(*call), signal.SIGKILL, cut / LAST)
    killed_at = content(cut / LAST)["epoch"]
    (cut / f"{LAST}.part").write_bytes(b"half a checkpoint")
    printed = stop(start(*call, "--resume"), signal.SIGTERM, cut / LAST, after=killed_at)
    # A process that loads clips may complain after it, if it was about to start.
    assert f"ainext: interrupted; resume the run to continue from {cut / LAST}" in printed.splitlines()
    assert killed_at < content(cut / LAST)["epoch"] < 19, "it ended before it could be stopped"
    ended = ainext(*call, "--resume", "--json")
    assert ended.code == 0 and ended.json["clips"] == 12
    assert content(cut / LAST)["epoch"] == 19

    implementation = read_run_record(cut / LAST)["implementation"]  # it was measured at the first start, and is kept
    hardware = replace(ALONE, loader_workers=1, implementation=implementation)
    alone = train(run_on(root, tmp_path / "alone", **recipe.as_dict()), hardware=hardware)
    assert alone is not None
    assert same(weights(cut / MODEL), weights(alone))
    assert same(content(cut / LAST)["state_dict"], content(tmp_path / "alone" / LAST)["state_dict"])
    assert not list(cut.glob("*.part"))

    # Only the same run can be resumed.
    for option, value, expected in (
        ("--epochs", 21, "started with epochs 20, not 21; give the same, or another folder for the run"),
        ("--set", "mixup=0.1", "started with mixup 0.4, not 0.1"),
        ("--train-folds", 2, "started with other clips to train on"),
        ("--train-folds", "all", "started with clips 12, not 24"),
        ("--from", "kitchen20", "started with initial_weights random, not kitchen20"),
    ):
        assert f"{cut / LAST}: the run was {expected}" in last_line(*call, "--resume", option, value)
    other = write_kitchen(tmp_path / "other")
    (other / "meta.csv").write_text((other / "meta.csv").read_text().replace("hiss", "rain"))
    assert "started with other classes (2, not 2; e.g. hiss)" in last_line(*call, "--resume", "--root", other)
    (cut / LAST).write_bytes((cut / LAST).read_bytes()[:5000])
    assert f"{cut / LAST}: is damaged; start the run again without resuming" in last_line(*call, "--resume")


def test_a_finished_run_has_nothing_to_resume(root: Path, tmp_path: Path) -> None:
    """Also one that stopped early, and one whose last statistics are precise."""
    for name, changes in (("early", {"patience": 1}), ("precise", {"precise_bn": 2, "evaluate_every": 2})):
        run = run_on(root, tmp_path / name, learning_rate=0, standardise="nothing", epochs=5, **changes)
        first = train(run, hardware=ALONE)
        assert first is not None
        before, ended = weights(first), content(run.out / LAST)["epoch"]
        assert ended == (1 if name == "early" else 4)  # the first evaluation is the best, the second no better
        first.unlink()
        assert train(run, resume=True, hardware=ALONE) == first
        assert same(weights(first), before) and content(run.out / LAST)["epoch"] == ended


def test_nothing_to_resume(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_on(root, tmp_path / "run", epochs=1, evaluate_every=9)
    train(run, resume=True, hardware=ALONE)
    assert f"{run.out / LAST}: nothing to resume, so the run starts from the beginning" in capsys.readouterr().err
    assert content(run.out / LAST)["epoch"] == 0
    # What a checkpoint belongs to stands in the checkpoint itself.
    (run.out / RUN).rename(tmp_path / RUN)
    with pytest.raises(AinextError, match="started with epochs 1, not 2"):
        train(replace(run, recipe=replace(run.recipe, epochs=2)), resume=True, hardware=ALONE)
    (tmp_path / RUN).rename(run.out / RUN)

    # A run is only started over on request. Then nothing of it is left, and other files stay.
    with pytest.raises(AinextError, match="holds a run that is not finished; resume or overwrite it"):
        train(run, hardware=ALONE)
    for name in ("report/index.html", "log/version_1/metrics.csv"):
        (run.out / name).parent.mkdir()
        (run.out / name).touch()
    (run.out / "notes.txt").write_text("mine")
    again = replace(run, recipe=replace(run.recipe, seed=1))
    with pytest.raises(AinextError, match="lies in the folder that is to be overwritten"):
        train(replace(again, initial_weights=str(run.out / MODEL)), overwrite=True, hardware=ALONE)
    assert train(again, overwrite=True, hardware=ALONE) is not None
    assert not (run.out / "report").exists() and (run.out / "notes.txt").read_text() == "mine"
    assert [path.name for path in (run.out / "log").iterdir()] == ["version_0"]
    assert not (run.out / LOCK).exists()


# --- What is kept ---


def test_the_best_weights_are_kept_and_training_stops_early(root: Path, tmp_path: Path) -> None:
    # The third epoch's steps are huge: the evaluations after it are no better.
    spoilt: dict[str, Any] = {"schedule": "steps", "rate_at": {2: 1e4}, "optimizer": "sgd", "learning_rate": 0.1}
    run = run_on(root, tmp_path / "run", epochs=9, patience=2, keep="best", **spoilt)
    model = train(run, hardware=ALONE)
    assert model is not None
    best, last = (content(run.out / name) for name in (BEST, LAST))
    with (run.out / "log" / "version_0" / "metrics.csv").open() as file:
        curve = [float(row["top1"]) for row in csv.DictReader(file) if row["top1"]]
    assert best["epoch"] == curve.index(max(curve)) < last["epoch"] == len(curve) - 1 < 8
    assert len(curve) - 1 - best["epoch"] == 2  # two evaluations without a better one
    kept = {f"net.{key}": value for key, value in weights(model).items()}
    assert same(kept, best["state_dict"]) and not same(kept, last["state_dict"])
    assert not any("folded" in key for key in last["state_dict"])


def test_the_best_checkpoint_is_found_again_after_the_folder_was_moved(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From the third epoch on nothing moves but the statistics: no evaluation is better than the one before.
    run = run_on(root, tmp_path / "run", epochs=5, keep="best", schedule="steps", rate_at={2: 0})
    step = SoundClassifier.training_step

    def until_the_fourth_epoch(self: SoundClassifier, *arguments: Any) -> Any:
        if self.current_epoch == 3:
            raise KeyboardInterrupt
        return step(self, *arguments)

    monkeypatch.setattr(SoundClassifier, "training_step", until_the_fourth_epoch)
    with pytest.raises(AinextError, match=r"^interrupted; resume the run"):
        train(run, hardware=ALONE)
    monkeypatch.undo()
    best = content(run.out / BEST)
    assert content(run.out / LAST)["epoch"] == 2
    moved = replace(run, out=run.out.rename(tmp_path / "moved"))
    model = train(moved, resume=True, hardware=ALONE)
    assert model is not None and content(moved.out / LAST)["epoch"] == 4
    assert content(moved.out / BEST)["epoch"] == best["epoch"]
    assert same({f"net.{key}": value for key, value in weights(model).items()}, best["state_dict"])


# --- A loss that is not a number ---


@pytest.mark.parametrize(
    ("batch_size", "where"), [(4, "batch 2 (all of its 4 clips, e.g. "), (12, "weights are not finite")]
)
def test_a_loss_that_is_not_a_number_stops_before_the_checkpoint(
    root: Path, tmp_path: Path, batch_size: int, where: str
) -> None:
    """The third epoch's rate ruins the weights in its first step, whose own loss is still finite."""
    run = run_on(root, tmp_path / "run", batch_size=batch_size, schedule="steps", rate_at={2: 1e30}, epochs=5)
    with pytest.raises(AinextError) as caught:
        train(run, hardware=ALONE)
    message = str(caught.value)
    assert where in message and "epoch 3" in message and "lower learning rate" in message and "\n" not in message
    assert batch_size == 12 or ".wav" in message
    last = content(run.out / LAST)
    assert last["epoch"] == 1 and all(torch.isfinite(value).all() for value in last["state_dict"].values())
    assert not (run.out / MODEL).exists()


# --- A full disk ---

FULL = """
import resource, sys
from audioinceptionnext.cli import main
from audioinceptionnext.training.callbacks import AtomicCheckpointIO
write = AtomicCheckpointIO.save_checkpoint
def then_nothing_more(self, *arguments, **options):
    write(self, *arguments, **options)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, resource.RLIM_INFINITY))
AtomicCheckpointIO.save_checkpoint = then_nothing_more
main(sys.argv[1:])
"""


def test_on_a_full_disk_the_old_checkpoint_survives(root: Path, tmp_path: Path) -> None:
    """The system refuses every write beyond 50 bytes of a file from the first checkpoint on."""
    pytest.importorskip("resource", reason="the limit on a file's size is Unix's")
    (tmp_path / "mine.yaml").write_text(as_yaml(quick(epochs=4)), encoding="utf-8")
    out = tmp_path / "run"
    call = ("train", "--data", "kitchen20", "--root", root, "--recipe", tmp_path / "mine.yaml", "--out", out)
    done = subprocess.run(
        [sys.executable, "-c", FULL, *map(str, call), "--threads", "1"],
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
    )
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.startswith("ainext: ")]
    assert "Traceback" not in done.stderr and done.returncode == 2 and done.stdout == ""
    assert (
        lines.count(f"ainext: warning: {out / LAST}: not saved (file too large); the previous checkpoint is kept") == 3
    )
    assert sum("the log is not complete" in line for line in lines) == len(lines) - 4 == 2  # CSV and TensorBoard
    assert lines[-1] == f"ainext: {out / MODEL}: cannot be written: file too large"
    assert content(out / LAST)["epoch"] == 0 and not (out / MODEL).exists()
    assert not list(out.glob("*.part"))


# --- Clips that cannot be read ---


def many(root: Path, folder: Path, clips: int, bad: list[int]) -> tuple[Dataset, list[Clip]]:
    """Clips of a few recordings; those numbered in ``bad`` are text files."""
    listed = [Clip(root / "audio" / f"{n % 24}.wav", n % 2, end=0.45 + 0.0001 * n) for n in range(clips)]
    for number in bad:
        path = folder / f"bad {number}.wav"
        path.write_bytes(b"These are words and no sound at all.\n" * 50)
        listed[number] = Clip(path, number % 2)
    return Dataset("made", LABELS, tuple(listed)), listed


@pytest.mark.parametrize("keep", ["memory", "nothing"])
def test_an_unreadable_clip_is_reported_once_and_training_goes_on(
    root: Path, tmp_path: Path, keep: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if keep == "nothing":
        monkeypatch.setattr("audioinceptionnext.data.waveforms.MEMORY_LIMIT", 0)
    dataset, clips = many(root, tmp_path, 100, [41])
    run = Run(dataset, clips, clips[:8], tmp_path / "run", quick(batch_size=20, epochs=2, clip_seconds=0.32))
    assert train(run, hardware=ALONE) is not None
    printed = capsys.readouterr()
    assert printed.err.count("bad 41.wav") == 1 and printed.out == ""
    assert printed.err.index("left out: ") < printed.err.index("Epoch 1/2")
    assert "left out 1 clip that could not be read" in printed.err
    assert content(run.out / LAST)["epoch"] == 1


def test_above_a_tenth_training_stops_before_the_first_epoch_and_lists_them(root: Path, tmp_path: Path) -> None:
    dataset, clips = many(root, tmp_path, 20, [3, 11, 19])
    run = Run(dataset, clips, [], tmp_path / "run", quick(batch_size=20, epochs=2, clip_seconds=0.32))
    with pytest.raises(AinextError, match=r"^3 of 20 clips cannot be read: .*bad 3\.wav.*; .*bad 11") as caught:
        train(run, hardware=ALONE)
    assert "\n" not in str(caught.value) and not run.out.exists()


def test_a_batch_without_readable_clips(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unreadable, "MAX_SHARE", 0.5)
    recipe = quick(batch_size=4, epochs=2, accumulate=2, clip_seconds=0.32, ema=0.9, precise_bn=3)
    second = [draw.index for draw in list(EpochOrder(12, 4, recipe.seed))[4:8]]
    dataset, clips = many(root, tmp_path, 12, second)
    assert train(Run(dataset, clips, clips, tmp_path / "run", recipe), hardware=ALONE) is not None
    printed = capsys.readouterr().err
    assert printed.count("left out: ") == 4 == printed.count("not scored: ")
    state = content(tmp_path / "run" / LAST)
    assert state["epoch"] == 1 and state["global_step"] == 4
    held_out = [clips[number] for number in second]
    with pytest.raises(AinextError, match="none of the 4 held-out clips can be read"):
        train(Run(dataset, clips, held_out, tmp_path / "none", recipe), hardware=ALONE)
    assert not (tmp_path / "none").exists()  # it does not take an epoch to see


# --- Another class list ---


def test_a_model_of_other_classes_is_not_scored(root: Path) -> None:
    found = ainext("evaluate", "--data", "kitchen20", "--root", root, "--model", "kitchen20")
    message = found.complaints[-1]  # the first one warns that the model knows this data set
    assert "does not know 'hiss', a class of kitchen20; train or fine-tune" in message


def test_classes_without_clips_to_train_on_are_named(root: Path, tmp_path: Path) -> None:
    other = write_kitchen(tmp_path / "kitchen20", clips=4)
    lines = (other / "meta.csv").read_text().splitlines()
    (other / "meta.csv").write_text("\n".join([*lines[:2], lines[4], lines[3]]) + "\n")  # fold 1 has no whistle
    call = ("train", "--data", "kitchen20", "--root", other, "--train-folds", "1", "--out", tmp_path / "run")
    found = ainext(*call, "--precision", "fp16")
    assert found.code == 2 and "no clips to train on of the class whistle\n" in found.err
    assert found.err.splitlines()[-1] == "ainext: --precision fp16: it needs a GPU; give bf16 or float32"

"""Two processes train as one does with their global batch, and they end together."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from audioinceptionnext.data.sampling import EpochOrder
from audioinceptionnext.errors import AinextError
from audioinceptionnext.training import unreadable
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.recipe import as_yaml
from audioinceptionnext.training.run_folder import LAST, MODEL, RUN
from tests.small_sounds import content, quick, run_on, write_kitchen

HERE = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or not torch.distributed.is_available(), reason="gloo processes on Linux and macOS"
)

ALONE = """
import json, sys
from pathlib import Path
from audioinceptionnext.training import unreadable
from audioinceptionnext.training.fit import train
from audioinceptionnext.training.hardware import Hardware
from tests.small_sounds import run_on

root, out, changes, devices = json.loads(sys.argv[1])
unreadable.MAX_SHARE = 0.5
hardware = Hardware(devices=devices, threads=1, implementation="convolutions")
train(run_on(Path(root), Path(out), **changes), hardware=hardware)
"""


def python(*arguments: object) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, *map(str, arguments)]
    return subprocess.run(call, cwd=HERE, capture_output=True, encoding="utf-8", timeout=300)


def short_kitchen(folder: Path) -> Path:
    """A Kitchen20 without a clip that is longer than a crop, so that no crop is at a random place."""
    return write_kitchen(folder / "kitchen20", clips=32, seconds=(0.3, 0.45))


def curve(out: Path) -> list[tuple[int, float]]:
    with next(out.glob("log/version_*/metrics.csv")).open() as file:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(file) if row["loss"]]


def test_two_processes_give_the_loss_curve_and_the_weights_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With statistics over both, with class weights, and with a step in which one process can read no clip."""
    root = short_kitchen(tmp_path)
    second = [draw.index for draw in list(EpochOrder(16, 2, 0, rank=1, world_size=2))[2:4]]
    for index in second:  # all clips of the second process in the second step of the first epoch
        (root / "audio" / f"{index}.wav").write_bytes(b"no sound " * 100)
    changes: dict[str, Any] = {"clip_seconds": 0.5, "epochs": 6, "evaluate_every": 3, "precise_bn": 3, "ema": 0.9}
    changes |= {"loss_weights": "balanced", "accumulate": 2, "warmup": 0.2, "gradient_norm": 1.0}
    monkeypatch.setattr(unreadable, "MAX_SHARE", 0.5)
    train(run_on(root, tmp_path / "one", batch_size=4, **changes), hardware=Hardware(implementation="convolutions"))

    (tmp_path / "alone.py").write_text("import sys\nsys.path.insert(0, '')\n" + ALONE)
    argument = json.dumps([str(root), str(tmp_path / "two"), changes | {"batch_size": 2}, 2])
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    done = python(*launch, tmp_path / "alone.py", argument)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("left out: ") == 2 and done.stdout == ""

    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert [step for step, _ in one] == [step for step, _ in two] and len(one) >= 3
    assert [loss for _, loss in two] == pytest.approx([loss for _, loss in one], rel=1e-4)
    alone, together = (content(tmp_path / name / LAST) for name in ("one", "two"))
    assert alone["global_step"] == together["global_step"] == 12
    for key, value in alone["state_dict"].items():
        # Rounding decides which of two nearly equal values a pooling takes, and the gradient goes to that one.
        torch.testing.assert_close(together["state_dict"][key], value, rtol=1e-2, atol=2e-3, msg=key)
    assert json.loads((tmp_path / "two" / RUN).read_text())["processes"] == 2


def test_the_command_starts_its_processes_itself(tmp_path: Path) -> None:
    root = short_kitchen(tmp_path)
    (tmp_path / "mine.yaml").write_text(as_yaml(quick(clip_seconds=0.5, epochs=2, head_epochs=1)), encoding="utf-8")
    call = ("train", "--data", "kitchen20", "--root", root, "--train-folds", 1, "--recipe", tmp_path / "mine.yaml")
    call = ("-m", "audioinceptionnext", *call, "--threads", 1, "--devices", 2)
    done = python(*call, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["clips"] == 16  # the second process prints nothing
    assert done.stderr.count("16 clips to train on, 16 held out") == 1
    assert (tmp_path / "run" / MODEL).is_file() and len(list((tmp_path / "run").glob("log/version_*"))) == 1

    # Both processes end if the loss is not a number.
    ruined = ("--set", "schedule=steps", "--set", "rate_at={1: 1.0e+30}", "--set", "head_epochs=0", "--epochs", 3)
    done = python(*call, "--out", tmp_path / "ruined", *ruined)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (message,) = [line for line in done.stderr.splitlines() if line.startswith("ainext: ")]
    assert "the loss is not a number in epoch 2, batch 2 (all of its 8 clips" in message
    assert content(tmp_path / "ruined" / LAST)["epoch"] == 0


def test_torchrun_has_to_start_as_many_processes_as_the_run_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    Hardware().check_launch()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "here")
    monkeypatch.setenv("WORLD_SIZE", "4")
    Hardware(devices=2, nodes=2).check_launch()
    with pytest.raises(AinextError, match="torchrun started 4 processes, but 2 devices on 1 nodes are 2"):
        Hardware(devices=2).check_launch()

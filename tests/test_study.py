"""Studies: from a few lines of YAML to a table that can be trusted, also after a kill."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import yaml

from audioinceptionnext.evaluation import paired
from audioinceptionnext.network import create_model
from audioinceptionnext.network.model import AudioInceptionNeXt
from audioinceptionnext.studies.plan import Plan, sources
from audioinceptionnext.studies.study import load_study, names
from audioinceptionnext.training.recipe import as_yaml
from tests.small_sounds import LABELS, quick, write_kitchen
from tests.test_cli import ainext, refused


def write_study(folder: Path, **changes: Any) -> Path:
    recipe = folder / "quick.yaml"
    recipe.write_text(as_yaml(quick(epochs=3, evaluate_every=3)), encoding="utf-8")
    values = {
        "question": "Does width help?",
        "base": {"recipe": str(recipe)},
        "hear": {"as it is": {}, "longer": {"clip_seconds": 1.0, "run": "windows"}},
        "variants": {"narrow": {}, "narrow again": {"after": "narrow"}},
    }
    path = folder / "width.yaml"
    path.write_text(yaml.safe_dump(values | changes, sort_keys=False), encoding="utf-8")
    return path


def table(path: Path) -> list[dict[str, str]]:
    """Without what is measured in time and memory."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    changing = ("ms_per_clip", "ms_low", "ms_high", "peak_mb", "training_minutes")
    return [{key: value for key, value in row.items() if key not in changing} for row in rows]


def test_a_study_that_is_killed_goes_on_and_ends_with_the_same_table(tmp_path: Path) -> None:
    study, root = write_study(tmp_path), write_kitchen(tmp_path / "kitchen20", clips=12)
    options = ("--data", "kitchen20", "--root", root, "--threads", 1, "--jobs", 2, "--folds", 1)
    whole = ainext("study", study, *options, "--out", tmp_path / "whole", "--json")
    assert whole.code == 0, whole.err
    assert whole.json["failed"] == {} and len(whole.json["conclusion"]) >= 2
    rows = {(row["variant"], row["heard"]): row for row in whole.json["rows"]}
    assert set(rows) == {(v, h) for v in ("narrow", "narrow again") for h in ("as it is", "longer")}
    assert all(row["clips"] == 6 and row["runs"] == 1 and row["ms"] > 0 for row in rows.values())
    after, narrow = rows["narrow again", "as it is"], rows["narrow", "as it is"]
    assert after["gain"] == pytest.approx(after["top1"] - narrow["top1"], abs=0.02) and narrow["gain"] is None
    page = (tmp_path / "whole" / "width" / "report.html").read_text(encoding="utf-8")
    assert "Does width help?" in page and not re.search(r'(?:src|href)="(?!data:|#|results\.csv)', page)

    # Another, killed when its first run is done: as the power would, without a word.
    out = tmp_path / "killed"
    arguments = [sys.executable, "-m", "audioinceptionnext", "study", study, *options, "--out", out]
    process = subprocess.Popen(list(map(str, arguments)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(out.glob("runs/*/*/fold.json")):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*/fold.json")}
    _wait_until_nobody_works(out)
    again = ainext("study", study, *options, "--out", out)
    assert again.code == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in done} == done  # what was done was not done again
    assert table(out / "width" / "results.csv") == table(tmp_path / "whole" / "width" / "results.csv")

    # One that shares a run with it and has another that fails: a line, and the rest is there.
    study = write_study(tmp_path, hear={}, variants={"narrow": {}, "taught": {"teacher": "nobody"}})
    found = ainext("study", study, *options, "--out", out)
    assert found.code == 1
    assert "failed: taught, seed 0, fold 1: " in found.out and "1 of 2 runs to do" in found.err
    assert [row["variant"] for row in table(out / "width" / "results.csv")] == ["narrow"]


def _wait_until_nobody_works(folder: Path) -> None:
    """Runs end when the study that began them is gone."""
    for _ in range(6000):
        listed = subprocess.run(["ps", "-Ao", "args"], capture_output=True, text=True, check=True).stdout
        if not any("studies.child" in line and str(folder) in line for line in listed.splitlines()):
            return
        time.sleep(0.1)
    raise AssertionError("a run goes on without its study")


def test_the_plan_says_what_will_be_done_and_does_nothing(tmp_path: Path) -> None:
    study, root = write_study(tmp_path), write_kitchen(tmp_path / "kitchen20")
    plan = ainext(
        "study", study, "--data", "kitchen20", "--root", root, "--out", tmp_path / "o", "--plan", "--json"
    ).json
    assert [(run["variant"], run["fold"]) for run in plan["runs"]] == [
        ("narrow", None), *((variant, fold) for fold in (1, 2) for variant in ("narrow", "narrow again")),
    ]  # fmt: skip
    assert plan["seconds"] > 0 and not any(run["done"] for run in plan["runs"]) and not (tmp_path / "o").exists()


def test_interrupting_says_how_to_go_on(tmp_path: Path) -> None:
    study, root = write_study(tmp_path), write_kitchen(tmp_path / "kitchen20")
    arguments = ["study", study, "--data", "kitchen20", "--root", root, "--threads", 1, "--out", tmp_path / "o"]
    process = subprocess.Popen(
        [sys.executable, "-m", "audioinceptionnext", *map(str, arguments)], stderr=subprocess.PIPE, text=True
    )
    while not list(tmp_path.glob("o/runs/*/*/study.log")):
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=900)
    assert process.returncode == 2
    assert said.splitlines()[-1].endswith("the same command goes on"), said
    _wait_until_nobody_works(tmp_path)


@pytest.mark.parametrize("name", names())
def test_shipped_studies_can_be_built(name: str) -> None:
    study = load_study(name)
    assert len(study.variants) >= 3 and study.question.endswith("?")
    built = set()
    for variant in study.variants:
        recipe = study.recipe_of(variant, {"epochs": 1}, width=0.0625)
        assert recipe.epochs == 1
        net = create_model(recipe.model, 5, **recipe.network)
        if isinstance(net, AudioInceptionNeXt):
            whole = {"small": 16, "tiny": 8}.get(variant.settings.get("model", ""), 32)
            own = variant.settings.get("network", {}).get("widths", [whole])
            assert net.config.widths[-1] == own[-1]
        settings = {**recipe.as_dict(), "network": net.config.as_dict(), "data": variant.data, "after": variant.after}
        built.add(repr(settings))
    assert len(built) == len(study.variants)  # no two are the same


def test_studies_share_the_runs_that_are_alike(tmp_path: Path) -> None:
    given = sources(["kitchen20"], [write_kitchen(tmp_path / "kitchen20")], False, None)
    plans = [Plan(load_study(name), given, tmp_path / "out") for name in ("kernels", "order", "expansion")]
    folders = [{unit.folder for unit in plan.units} for plan in plans]
    assert len(folders[0] & folders[1] & folders[2]) == 2  # the reference, on both folds
    assert len(folders[0] | folders[1]) == len(folders[0]) + len(folders[1]) - 2
    other = Plan(load_study("order"), given, tmp_path / "out", width=0.5)
    assert not {unit.folder for unit in other.units} & folders[1]


def test_what_the_command_line_sets_goes_below_what_a_variant_is() -> None:
    study = load_study("length")
    variant = study.variant("4 s")
    recipe = study.recipe_of(variant, {"clip_seconds": 1, "mixup": 0.9}, width=0.5)
    assert recipe.clip_seconds == 4 and recipe.mixup == 0.9 and recipe.network["widths"] == [32, 64, 128, 256]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants": {"a": {"kernals": [3]}}}, "a: modern: no setting is called kernals"),
        ({"variants": {"a": {}}, "reference": "b"}, "reference 'b' is no variant; choose from a"),
        ({"variants": {"a": {"after": "b"}}}, "a: after 'b'"),
        ({"variants": {}}, "needs `variants`"),
        ({"hear": {"x": {"run": "loud"}}}, "hear: x: run is 'loud'; give dense or windows"),
        ({"varants": {}}, "a study has no varants"),
    ],
)
def test_a_study_that_is_written_wrong(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = write_study(tmp_path, **{"base": {}, **changes})
    assert said in refused("study", path, "--data", "kitchen20", "--root", tmp_path)


def test_calls_that_cannot_be(tmp_path: Path) -> None:
    root = write_kitchen(tmp_path / "kitchen20", clips=4)
    assert "kernel: no such study; did you mean kernels" in refused("study", "kernel").replace("'", "")
    assert "--data kitchen20 --root DIR" in refused("study", "kernels")
    assert "one --root for each" in refused(
        "study", "kernels", "--data", "kitchen20", "--data", "esc10", "--root", root
    )
    said = refused("study", "domains", "--data", "kitchen20", "--root", root, "--out", tmp_path / "o")
    assert "is for esc10: give it too" in said
    said = refused("study", "kernels", "--data", "kitchen20", "--root", root, "--folds", 7, "--out", tmp_path / "o")
    assert "kitchen20" in said and "7" in said
    assert not (tmp_path / "o").exists()
    assert "kernels" in ainext("study").out


def test_the_difference_of_pairs_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    ours = rng.random(60) < 0.75
    theirs = np.where(rng.random(60) < 0.2, rng.random(60) < 0.5, ours)
    found = paired.difference(ours.astype(float), theirs.astype(float), [None] * 60)
    exact = scipy.stats.permutation_test(
        (ours.astype(float), theirs.astype(float)), lambda a, b, axis: (a - b).mean(axis), permutation_type="samples",
        vectorized=True, n_resamples=20_000, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert found.p == pytest.approx(exact.pvalue, abs=0.02)
    assert found.mean == pytest.approx(ours.mean() - theirs.mean())
    same = paired.difference(ours.astype(float), ours.astype(float), [None] * 60)
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_clips_of_one_recording_count_as_one() -> None:
    """Ten copies of every clip are no ten times surer: with sources named, p and interval are those of one."""
    rng = np.random.default_rng(2)
    gains = rng.normal(0.15, 1, 40)
    alone = paired.difference(gains, np.zeros(40), [f"{i}" for i in range(40)])
    tenfold = paired.difference(np.repeat(gains, 10), np.zeros(400), [f"{i}" for i in range(40) for _ in range(10)])
    blind = paired.difference(np.repeat(gains, 10), np.zeros(400), [None] * 400)
    assert tenfold.p == alone.p and (tenfold.low, tenfold.high) == pytest.approx((alone.low, alone.high))
    assert blind.p < alone.p / 5


def test_without_a_difference_p_is_even() -> None:
    rng = np.random.default_rng(3)
    p = []
    for _ in range(100):
        groups = [str(i // 2) for i in range(60)]
        source = np.repeat(rng.normal(size=30), 2)
        p.append(paired.difference(source + rng.normal(size=60), np.zeros(60), groups).p)
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.01


def test_correction_for_several_comparisons() -> None:
    assert paired.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # by hand
    assert paired.holm([0.6, 0.7]) == [1.0, 1.0] and paired.holm([]) == []


def test_the_study_in_the_docs_runs_as_documented(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "studies" / "README.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"```yaml\n# widths\.yaml\n(.*?)```", text, re.S)
    (command,) = re.findall(r"^ainext (study widths\.yaml .*)$", text, re.M)
    (tmp_path / "widths.yaml").write_text(written, encoding="utf-8")
    kitchen = write_kitchen(tmp_path / "kitchen20", clips=12)
    for target, label in enumerate(LABELS):
        (tmp_path / "my_sounds" / label).mkdir(parents=True)
        for number in range(target, 12, 2):
            (kitchen / "audio" / f"{number}.wav").rename(tmp_path / "my_sounds" / label / f"{number}.wav")
    words = command.replace("widths.yaml", str(tmp_path / "widths.yaml")).replace(
        "my_sounds", str(tmp_path / "my_sounds")
    )
    words = words.replace(
        "--epochs 20", "--epochs 1"
    )  # one fold of five, and few blocks: the rest is as a user types it
    shallow = ("--set", "network={depths: [1, 1, 1, 1]}")
    found = ainext(*words.split(), "--folds", 1, "--threads", 1, "--out", tmp_path / "studies", *shallow)
    assert found.code == 0, found.err
    assert [row["variant"] for row in table(tmp_path / "studies" / "widths" / "results.csv")] == [
        "half",
        "quarter",
        "eighth",
    ]

"""Studies: from a few lines of YAML to the same table, even after a kill."""

from __future__ import annotations

import csv
import html
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

from audioinceptionnext.data import Clip
from audioinceptionnext.evaluation import paired
from audioinceptionnext.evaluation.paired import Difference, Estimate
from audioinceptionnext.network import create_model
from audioinceptionnext.network.model import AudioInceptionNeXt
from audioinceptionnext.studies import report_page, worker
from audioinceptionnext.studies.plan import Plan, Unit, study_data
from audioinceptionnext.studies.report_page import Circumstances
from audioinceptionnext.studies.results import Row
from audioinceptionnext.studies.runner import Runner
from audioinceptionnext.studies.session import Forecast, StudySession
from audioinceptionnext.studies.study import Study, Variant, load_study, study_names
from audioinceptionnext.training.recipe import as_yaml
from tests.command import ainext, refused
from tests.small_sounds import LABELS, quick, write_kitchen

# The command without its forecast, for which a process of its own times a step of each variant: the test of the plan
# has that one.
STUDY = """
import sys
from audioinceptionnext.cli import main
from audioinceptionnext.studies import session
session.estimate_seconds = lambda units, *_: {unit.folder: 60.0 for unit in units if not session.is_done(unit)}
main(["study", *sys.argv[1:]])
"""


@pytest.fixture
def unforeseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies in this process have no forecast either, and measure little for the costs of a variant in use."""

    def an_hour_each(units: list[Unit], *_: object) -> dict[Path, float]:
        return {unit.folder: 3600.0 for unit in units if not worker.is_done(unit)}

    monkeypatch.setattr("audioinceptionnext.studies.session.estimate_seconds", an_hour_each)
    for name in ("ROUNDS", "CALLS"):
        monkeypatch.setattr(f"audioinceptionnext.studies.cost.{name}", 2)


def in_this_process(runner: Runner, units: list[Unit]) -> None:
    """In the place of `Runner.run`, whose processes import torch and Lightning for longer than they train."""
    for unit in units:
        unit.folder.mkdir(parents=True)
        worker.run(unit, runner.threads, runner.cache)


def write_study(folder: Path, **changes: Any) -> Path:
    recipe = folder / "quick.yaml"
    recipe.write_text(as_yaml(quick(epochs=3, evaluate_every=3)), encoding="utf-8")
    values = {
        "question": "Does width help?",
        "base": {"recipe": str(recipe)},
        "predict": {"own clips": {}, "longer clips": {"clip_seconds": 1.0, "mode": "windows"}},
        "variants": {"narrow": {}, "narrow again": {"initial_weights_of": "narrow"}},
    }
    path = folder / "width.yaml"
    path.write_text(yaml.safe_dump(values | changes, sort_keys=False), encoding="utf-8")
    return path


def table(path: Path) -> list[dict[str, str]]:
    """The table without its measurements of time and memory."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    measured = ("ms_per_clip", "ms_low", "ms_high", "peak_mb", "training_minutes")
    return [{key: value for key, value in row.items() if key not in measured} for row in rows]


@pytest.mark.usefixtures("unforeseen")
def test_a_study_that_is_killed_goes_on_and_ends_with_the_same_table(tmp_path: Path) -> None:
    study, root = write_study(tmp_path), write_kitchen(tmp_path / "kitchen20", clips=12)
    options = ("--data", "kitchen20", "--root", root, "--threads", 1, "--jobs", 2, "--folds", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Runner, "run", in_this_process)
        whole = ainext("study", study, *options, "--out", tmp_path / "whole", "--json")
    assert whole.code == 0, whole.err
    assert whole.json["failed"] == {} and len(whole.json["conclusion"]) >= 2
    rows = {(row["variant"], row["prediction_mode"]): row for row in whole.json["rows"]}
    assert set(rows) == {(v, m) for v in ("narrow", "narrow again") for m in ("own clips", "longer clips")}
    assert all(row["clips"] == 6 and row["runs"] == 1 and row["ms"] > 0 for row in rows.values())
    again, narrow = rows["narrow again", "own clips"], rows["narrow", "own clips"]
    assert again["gain"] == pytest.approx(again["top1"] - narrow["top1"], abs=0.02) and narrow["gain"] is None
    page = (tmp_path / "whole" / "width" / "report.html").read_text(encoding="utf-8")
    assert "Does width help?" in page and not re.search(r'(?:src|href)="(?!data:|#|results\.csv)', page)

    # Another one is killed when its first run is done, without warning, as a power cut would.
    out = tmp_path / "killed"
    arguments = [sys.executable, "-c", STUDY, study, *options, "--out", out]
    process = subprocess.Popen(list(map(str, arguments)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while not list(out.glob("runs/*/*/fold.json")):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/*/fold.json")}
    _wait_until_no_run_is_left(out)
    resumed = ainext("study", study, *options, "--out", out)
    assert resumed.code == 0, resumed.err
    assert {path: path.stat().st_mtime_ns for path in done} == done  # what was done was not done again
    assert table(out / "width" / "results.csv") == table(tmp_path / "whole" / "width" / "results.csv")

    # A third one shares a run with it and has another that fails, which costs one line; the rest is there.
    study = write_study(tmp_path, predict={}, variants={"narrow": {}, "taught": {"teacher": "nobody"}})
    found = ainext("study", study, *options, "--out", out)
    assert found.code == 1
    assert "failed: taught, seed 0, fold 1: " in found.out and "1 of 2 runs to do" in found.err
    assert [row["variant"] for row in table(out / "width" / "results.csv")] == ["narrow"]


def _wait_until_no_run_is_left(folder: Path) -> None:
    """Runs end when the study that started them is gone."""
    for _ in range(6000):
        listed = subprocess.run(["ps", "-Ao", "args"], capture_output=True, text=True, check=True).stdout
        if not any("studies.worker" in line and str(folder) in line for line in listed.splitlines()):
            return
        time.sleep(0.1)
    raise AssertionError("a run goes on without its study")


def test_a_report_shows_names_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "<script>alert(1)</script>&\"'"
    clips = [Clip(Path(f"{number}.wav"), number % 2) for number in range(20)]
    right, nll = np.arange(20) % 3 / 2, np.ones(20)
    estimates = (Estimate(50, 40, 60), Estimate(1, 0.9, 1.1), 50.0)
    reference = Row(name, "kitchen20", "", 1, 1, clips, (name, "tap"), right, nll, 1.0, *estimates)
    other = Row(f"more {name}", "kitchen20", "", 1, 1, clips, (name, "tap"), 1 - right, nll, 1.0, *estimates)
    other.against, other.gain, other.nll_gain = name, Difference(1, 0, 2, 0.2), Difference(0, -1, 1, 0.0001)
    other.p, other.nll_p = 0.2, 0.0001
    study = Study("s", f"Why {name}?", f"About {name}.", name, (Variant(name, {}), Variant(f"more {name}", {})))
    plan = Plan(study, study_data(["kitchen20"], [tmp_path]), tmp_path, folds=name)
    curve = np.array([(1, 2.0), (2, 1.0)])
    monkeypatch.setattr(report_page, "learning_curves", lambda *_: {"loss": curve, "top1": curve})
    circumstances = Circumstances(name, "-", "-", "-", {f"failed {name}": f"because {name}"})
    path = report_page.write_report(tmp_path, plan, [reference, other], circumstances)
    page = path.read_text(encoding="utf-8")
    assert "<script>alert" not in page and page.count("<script") == page.count("</script") == 1
    text = html.unescape(re.sub("<[^>]*>", "", page))
    for shown in (f"Why {name}?", f"About {name}.", f"Folds{name}", f"more {name}: gain", f"failed {name}: because"):
        assert shown in text
    assert "0.200" in text and "<\u00a00.001" in text  # both p


def test_the_plan_lists_the_runs_and_does_none(tmp_path: Path) -> None:
    study, root = write_study(tmp_path), write_kitchen(tmp_path / "kitchen20")
    plan = ainext(
        "study", study, "--data", "kitchen20", "--root", root, "--out", tmp_path / "o", "--plan", "--json"
    ).json
    assert [(run["variant"], run["fold"]) for run in plan["runs"]] == [
        ("narrow", None), *((variant, fold) for fold in (1, 2) for variant in ("narrow", "narrow again")),
    ]  # fmt: skip
    assert plan["seconds"] > 0 and not any(run["done"] for run in plan["runs"]) and not (tmp_path / "o").exists()


def test_a_plan_begins_with_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_kitchen(tmp_path / "kitchen20")
    study = load_study(str(write_study(tmp_path)))
    for seeds, listed in ((1, 5), (4, 0)):
        units = Plan(study, study_data(["kitchen20"], [root]), tmp_path / "o", seeds).units
        forecast = Forecast(units, {unit.folder: 60.0 for unit in units[1:]}, 1)
        first, *rest = forecast.as_text().splitlines()
        assert first == f"{len(units) - 1} runs to do, about {len(units) - 1} minutes (1 of {len(units)} are done)"
        assert rest[0].startswith(f"  narrow: {3 * seeds} runs, about ") and "  narrow again: " in rest[1]
        assert sum(", seed " in line for line in rest) == listed
        monkeypatch.setattr(StudySession, "forecast", lambda self, found=forecast: found)  # which measures for long
        call = ("study", tmp_path / "width.yaml", "--data", "kitchen20", "--root", root, "--seeds", seeds)
        assert ("--json lists every run" in ainext(*call, "--plan").out) == (not listed)


def test_an_interrupted_study_says_how_to_go_on(tmp_path: Path) -> None:
    study, root = write_study(tmp_path), write_kitchen(tmp_path / "kitchen20")
    arguments = [study, "--data", "kitchen20", "--root", root, "--threads", 1, "--out", tmp_path / "o"]
    process = subprocess.Popen(
        [sys.executable, "-c", STUDY, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background has them, and what they start, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not list(tmp_path.glob("o/runs/*/*/study.log")):
        assert process.poll() is None
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 2
    assert stderr.splitlines()[-1].endswith("give the same command again to continue"), stderr
    _wait_until_no_run_is_left(tmp_path)


@pytest.mark.parametrize("name", study_names())
def test_shipped_studies_can_be_built(name: str) -> None:
    study = load_study(name)
    assert len(study.variants) >= 2 and study.question.endswith("?")
    built = set()
    for variant in study.variants:
        recipe = study.recipe_of(variant, {"epochs": 1}, width=0.0625)
        assert recipe.epochs == 1
        net = create_model(recipe.network, 5, **recipe.network_settings)
        if isinstance(net, AudioInceptionNeXt):
            whole = {"small": 16, "tiny": 8}.get(variant.settings.get("network", ""), 32)
            own = variant.settings.get("network_settings", {}).get("widths", [whole])
            assert net.config.widths[-1] == own[-1]
        settings = {**recipe.as_dict(), "network_settings": net.config.as_dict()}
        built.add(repr((settings, variant.data, variant.initial_weights_of)))
    assert len(built) == len(study.variants)  # no two are the same


def test_studies_share_the_runs_that_are_alike(tmp_path: Path) -> None:
    data = study_data(["kitchen20"], [write_kitchen(tmp_path / "kitchen20")])
    plans = [Plan(load_study(name), data, tmp_path / "out") for name in ("kernels", "order", "expansion")]
    folders = [{unit.folder for unit in plan.units} for plan in plans]
    assert len(folders[0] & folders[1] & folders[2]) == 2  # the reference, on both folds
    assert len(folders[0] | folders[1]) == len(folders[0]) + len(folders[1]) - 2
    other = Plan(load_study("order"), data, tmp_path / "out", width=0.5)
    assert not {unit.folder for unit in other.units} & folders[1]


def test_a_variants_own_settings_override_those_of_the_command_line() -> None:
    study = load_study("length")
    variant = study.variant("4 s")
    recipe = study.recipe_of(variant, {"clip_seconds": 1, "mixup": 0.9}, width=0.5)
    assert recipe.clip_seconds == 4 and recipe.mixup == 0.9 and recipe.network_settings["widths"] == [32, 64, 128, 256]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": {"a": {"kernals": [3]}}}, "a: kernals: there is no such setting"),
        ({"variants": {"a": {}}, "reference": "b"}, "reference 'b' is not a variant; choose from a"),
        ({"variants": {"a": {"initial_weights_of": "b"}}}, "a: initial_weights_of 'b' is not a variant"),
        ({"variants": {}}, "needs `variants`"),
        ({"predict": {"x": {"mode": "loud"}}}, "predict: x: mode is 'loud'; give dense or windows"),
        ({"varants": {}}, "a study has no key 'varants'; did you mean variants?"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_study(tmp_path, **{"base": {}, **changes})
    assert message in refused("study", path, "--data", "kitchen20", "--root", tmp_path)


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    root = write_kitchen(tmp_path / "kitchen20", clips=4)
    assert "kernel: no such study; did you mean kernels" in refused("study", "kernel").replace("'", "")
    assert "--data: give the data set to study, such as kitchen20, and its folder" in refused("study", "kernels")
    assert "--root: give one folder for each data set, in the same order (data sets: 2, folders: 1)" in refused(
        "study", "kernels", "--data", "kitchen20", "--data", "esc10", "--root", root
    )
    message = refused("study", "domains", "--data", "kitchen20", "--root", root, "--out", tmp_path / "o")
    assert "is for esc10; give that one and its folder too" in message
    message = refused("study", "kernels", "--data", "kitchen20", "--root", root, "--folds", 7, "--out", tmp_path / "o")
    assert "kitchen20" in message and "7" in message
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
    """Ten copies of every clip prove no more than one: with sources named, p and interval are those of one."""
    rng = np.random.default_rng(2)
    gains = rng.normal(0.15, 1, 40)
    alone = paired.difference(gains, np.zeros(40), [f"{i}" for i in range(40)])
    tenfold = paired.difference(np.repeat(gains, 10), np.zeros(400), [f"{i}" for i in range(40) for _ in range(10)])
    blind = paired.difference(np.repeat(gains, 10), np.zeros(400), [None] * 400)
    assert tenfold.p == alone.p and (tenfold.low, tenfold.high) == pytest.approx((alone.low, alone.high))
    assert blind.p < alone.p / 5


def test_p_is_exact_for_few_recordings() -> None:
    gains = np.array([1, 1, 2, -1]) / 3
    four = paired.difference(gains, np.zeros(4), list("abcd"))
    assert four.p == 8 / 16  # all signs the same, or one of the ones against the rest: 4 ways up, and 4 down
    none = paired.difference(np.array([0.1, 0.2, -0.3, 0.1, 0.2, -0.3]), np.zeros(6), list("abcdef"))
    assert none.p == 1  # although 0.1 + 0.2 is not quite 0.3 to a computer
    alone = paired.difference(gains, np.zeros(4), ["one"] * 4)
    assert (alone.mean, alone.low, alone.high, alone.p) == pytest.approx((0.25, 0.25, 0.25, 1))


def test_without_a_difference_p_is_uniform() -> None:
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


@pytest.mark.usefixtures("unforeseen")
def test_the_study_in_the_docs_runs_as_documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "run", in_this_process)
    text = (Path(__file__).parents[1] / "docs" / "studies" / "README.md").read_text(encoding="utf-8")
    (written,) = re.findall(r"```yaml\n# widths\.yaml\n(.*?)```", text, re.S)
    (command,) = re.findall(r"^ainext (study widths\.yaml .*)$", text, re.M)
    (tmp_path / "widths.yaml").write_text(written, encoding="utf-8")
    kitchen = write_kitchen(tmp_path / "kitchen20", clips=12)
    for target, label in enumerate(LABELS):
        (tmp_path / "my_sounds" / label).mkdir(parents=True)
        for number in range(target, 12, 2):
            (kitchen / "audio" / f"{number}.wav").rename(tmp_path / "my_sounds" / label / f"{number}.wav")
    # One epoch, one fold and few blocks; the rest is as a user types it.
    arguments = command.replace("widths.yaml", str(tmp_path / "widths.yaml")).replace("--epochs 20", "--epochs 1")
    arguments = arguments.replace("my_sounds", str(tmp_path / "my_sounds"))
    shallow = ("--set", "network_settings={depths: [1, 1, 1, 1]}")
    found = ainext(*arguments.split(), "--folds", 1, "--threads", 1, "--out", tmp_path / "studies", *shallow)
    assert found.code == 0, found.err
    assert [row["variant"] for row in table(tmp_path / "studies" / "widths" / "results.csv")] == [
        "half",
        "quarter",
        "eighth",
    ]

"""What an evaluation reports besides accuracy: intervals, calibration, pictures, and the report folder."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from audioinceptionnext.audio.decode import read
from audioinceptionnext.cli.figures import print_figures
from audioinceptionnext.data import Clip
from audioinceptionnext.errors import FileError, MissingDependencyError
from audioinceptionnext.evaluation.calibration import (
    calibrate,
    enough,
    expected_calibration_error,
    fit_temperature,
    log_probabilities,
    negative_log_likelihood,
    reliability,
    tempered,
)
from audioinceptionnext.evaluation.intervals import FIGURES, bootstrap, known, weighted_figures
from audioinceptionnext.evaluation.metrics import ranking, score
from audioinceptionnext.evaluation.per_class import class_table, confusion_counts, frequent_confusions
from audioinceptionnext.evaluation.plots import draw_confusion, draw_learning, png
from audioinceptionnext.evaluation.report_folder import check_can_report, write_report
from audioinceptionnext.evaluation.report_pages import index_page
from tests.audio_files import chirp, write_wav

RATE = 8000
LABELS = ("<b>tap</b>", 'pot & "pan"', "plate, bowl", "$x^2$ 'été'", "<script>alert(1)</script>&\"'")


def guesses(clips: int, classes: int, seed: int = 0, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and probabilities for them that are calibrated at sharpness 1 and overconfident above it."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(clips, classes)) * 2
    calibrated = tempered(np.exp(logits), 1)
    targets = (calibrated.cumsum(axis=1) > generator.random((clips, 1))).argmax(axis=1)
    return tempered(np.exp(logits), 1 / sharpness), targets


# Intervals


def test_weighted_ranking_is_scikit_learns_even_with_ties_and_zero_weights() -> None:
    generator = np.random.default_rng(3)
    compared = 0
    for _ in range(150):
        clips = int(generator.integers(2, 40))
        scores = generator.integers(0, generator.integers(1, 12), clips) / 7  # many are equal
        positive = generator.random(clips) < 0.4
        weights = generator.integers(0, 4, (clips, 4)).astype(float)
        if not positive.any():
            continue
        precision, auc = ranking(scores, positive, weights)
        for column, weight in enumerate(weights.T):
            if not weight[positive].sum():
                assert np.isnan(precision[column])
                continue
            assert precision[column] == pytest.approx(average_precision_score(positive, scores, sample_weight=weight))
            if not weight[~positive].sum():
                assert np.isnan(auc[column])
                continue
            assert auc[column] == pytest.approx(roc_auc_score(positive, scores, sample_weight=weight))
            compared += 1
    assert compared > 300


def test_a_weight_counts_as_that_many_copies_of_a_clip() -> None:
    probabilities, targets = guesses(120, 7)
    probabilities = probabilities.round(2)  # ties
    targets[targets == 6] = 5  # a class without a clip
    resample = np.random.default_rng(1).integers(120, size=120)
    weights = np.stack((np.ones(120), np.bincount(resample, minlength=120)), axis=1)
    found = weighted_figures(probabilities, targets, weights)
    for column, clips in enumerate((np.arange(120), resample)):
        expected = score(probabilities[clips], targets[clips], tuple("abcdefg"))
        for name in FIGURES:
            assert found[name][column] == pytest.approx(expected[name]), name


def test_intervals_contain_a_known_truth_in_about_95_of_100_samples() -> None:
    contained, repeats, accuracy = 0, 200, 0.7
    for seed in range(repeats):
        right = np.random.default_rng(seed).random(150) < accuracy
        probabilities = np.where(right[:, None], (0.8, 0.2), (0.3, 0.7))  # all clips are of class 0
        low, high = bootstrap(probabilities, np.zeros(150, int), "ab", resamples=200, seed=seed)["top1"]
        contained += low <= 100 * accuracy <= high
    assert 0.89 <= contained / repeats <= 0.99


def test_clips_of_one_recording_are_drawn_together() -> None:
    probabilities, targets = guesses(40, 4, seed=5)
    ten_times = np.repeat(probabilities, 10, axis=0), np.repeat(targets, 10)
    width = {}
    for name, groups in {"alone": None, "none": [None] * 400, "groups": [f"r{i // 10}" for i in range(400)]}.items():
        low, high = bootstrap(*ten_times, "abcd", groups, resamples=400)["top1"]
        width[name] = high - low
    assert width["none"] == width["alone"]
    assert 2.2 < width["groups"] / width["alone"] < 4.5  # ten equal clips: the square root of 10
    once = bootstrap(probabilities, targets, "abcd", resamples=400)["top1"]
    assert width["groups"] == pytest.approx(once[1] - once[0], rel=0.2)


def test_intervals_of_rare_classes_contain_the_figure_itself() -> None:
    """With two clips per class, the plain percentiles of ``map`` are 50 to 64 for a figure of 53."""
    generator = np.random.default_rng(0)
    targets = np.repeat(np.arange(60), 2)
    logits = generator.normal(size=(120, 60)) + 2 * np.eye(60)[targets]
    labels = tuple(map(str, range(60)))
    probabilities = tempered(np.exp(logits), 1)
    figures, found = score(probabilities, targets, labels), bootstrap(probabilities, targets, labels)
    for name, (low, high) in found.items():
        assert low < figures[name] < high, name
        assert high - figures[name] < 2 * (figures[name] - low), name
    assert bootstrap(probabilities, targets, labels) == found, "not repeatable"


def test_intervals_at_the_edges() -> None:
    confident = np.eye(3)[[0, 1, 2, 0]]
    assert bootstrap(confident, np.array([0, 1, 2, 0]), "abc", resamples=50)["top1"] == (100, 100)
    one_class = bootstrap(confident, np.zeros(4, int), "abc", resamples=50)
    assert np.isnan(one_class["mauc"]).all() and np.isfinite(one_class["top1"]).all()
    for targets in (np.array([0, 1]), np.array([0, 1, 2, -1]), np.array([0, 1, 2, 3])):
        with pytest.raises(ValueError):
            bootstrap(confident, targets, "abc")


def test_intervals_that_say_nothing_are_left_out() -> None:
    figures = {"top1": 80.0, "top5": 100.0, "map": 50.0}
    intervals = {"top1": (70.0, 90.0), "top5": (100.0, 100.0), "map": (55.0, 60.0)}
    assert known(figures, intervals, ["a", "b", "c", "d", None]) == {"top1": [70.0, 90.0]}
    assert known(figures, intervals, ["a", "b", "c", "d", "d", "a"]) == {}  # four recordings


# Calibration


def test_too_few_clips_or_clips_that_trained_the_model_say_nothing_of_calibration(report: Report) -> None:
    probabilities, targets = guesses(20, 5, seed=4, sharpness=2)
    assert not enough(probabilities, targets) and enough(*guesses(60, 5, seed=4, sharpness=2))
    assert not enough(np.eye(5)[np.arange(60) % 5], np.arange(60) % 5)  # it is always right
    figures = {"clips": 60, "seen_in_training": 40} | score(*guesses(60, 5, seed=4, sharpness=2), LABELS)
    folder = report(figures=figures, calibration=None, intervals={}).parent
    page = Page(folder / "index.html")
    page.check()
    assert "40 of these 60 clips trained the model" in page.text and "cannot tell how far" in page.text
    assert "Calibration error" not in page.text and not (folder / "reliability.png").exists()
    assert json.loads((folder / "metrics.json").read_text("utf-8"))["calibration"]["ece"] is None


@pytest.mark.parametrize(("more", "few"), [({"clips": 12}, "12 clips"), ({"sources": 7}, "7 recordings"), ({}, "")])
def test_intervals_of_few_clips_are_too_narrow(
    more: dict[str, int], few: str, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"clips": 60} | score(*guesses(60, 5, seed=4, sharpness=2), LABELS) | more
    intervals = {"top1": (50.0, 60.0)}
    text = index_page(
        "mine", figures, intervals=intervals, ece=None, calibration=None, table=[], confusions=[], listed_mistakes=0,
        total_mistakes=0, has_learning_curve=False,
    )  # fmt: skip
    assert (f"With only {few}, it is too narrow" in text) == bool(few) == ("too narrow" in text)
    print_figures(figures | {"intervals": intervals}, "mine")
    assert ("of so few, they are too narrow" in " ".join(capsys.readouterr().out.split())) == bool(few)


def test_calibration_error_of_a_calibrated_and_of_an_overconfident_model() -> None:
    assert expected_calibration_error(*guesses(20_000, 10)) < 0.015
    right = np.arange(1000) % 2 == 0  # at a confidence of 90 %, right in half of the cases
    probabilities = np.where(right[:, None], (0.9, 0.1), (0.1, 0.9))
    assert expected_calibration_error(probabilities, np.zeros(1000, int)) == pytest.approx(0.4)
    table = reliability(probabilities, np.zeros(1000, int), bins=10)
    assert [row.clips for row in table] == [0] * 8 + [1000, 0]  # 0.9 is the upper end of its bin
    assert (table[8].confidence, table[8].accuracy) == (pytest.approx(0.9), 0.5)
    assert np.isnan(table[0].accuracy)


def test_the_temperature_is_recovered_and_changes_no_accuracy() -> None:
    probabilities, targets = guesses(5000, 10, sharpness=2.5)
    found = calibrate(probabilities, targets)
    assert found.temperature == pytest.approx(2.5, rel=0.05)
    assert found.ece > 0.15 and found.ece_scaled < 0.03
    assert found.nll_scaled < found.nll
    assert (found.scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    # Logits differ from log probabilities by one constant per clip.
    logits = log_probabilities(probabilities) + np.random.default_rng(0).normal(size=(5000, 1))
    assert fit_temperature(logits, targets) == pytest.approx(found.temperature, rel=1e-3)
    assert calibrate(*guesses(5000, 10, sharpness=0.5)).temperature == pytest.approx(0.5, rel=0.05)


def test_the_temperature_of_steps_is_applied_before_the_mean() -> None:
    """Clips have different numbers of steps; the fitted temperature has the highest likelihood."""
    generator = np.random.default_rng(2)
    _, targets = guesses(400, 5, seed=2)
    steps = [generator.normal(size=(1 + i % 4, 5)) * 4 + 3 * np.eye(5)[target] for i, target in enumerate(targets)]

    def loss(temperature: float) -> float:
        means = [tempered(np.exp(one), temperature).mean(axis=0) for one in steps]
        return negative_log_likelihood(log_probabilities(np.array(means)), targets)

    found = fit_temperature(steps, targets)
    assert loss(found) < min(loss(found * 1.05), loss(found / 1.05), loss(1.0))


def test_the_temperature_of_a_model_that_is_always_right_stays_finite() -> None:
    confident = np.eye(3)[np.arange(30) % 3]
    assert 0.05 <= calibrate(confident, np.arange(30) % 3, ["one"] * 30).temperature <= 20
    with pytest.raises(ValueError):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, int))


# Tables and pictures


def test_confusions_and_the_table_of_classes() -> None:
    targets, predicted = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 1, 1, 0])
    counts = confusion_counts(targets, predicted, 3)
    assert counts.tolist() == [[1, 2, 0], [1, 1, 0], [0, 0, 0]]
    assert frequent_confusions(counts, "abc", 5) == [("a", "b", 2, pytest.approx(200 / 3)), ("b", "a", 1, 50.0)]
    a, b, c = class_table(np.eye(3)[predicted], targets, "abc")
    assert a[:6] == ("a", 3, pytest.approx(100 / 3), 50.0, pytest.approx(100 / 3), pytest.approx(40))
    assert (a.most_confused_with, a.confused, b.clips) == ("b", 2, 2)
    assert c == ("c", 0, None, None, None, None, None, None, 0)


@pytest.mark.parametrize("classes", [2, 44, 309])
def test_confusion_pictures_from_2_to_309_classes(classes: int) -> None:
    counts = np.eye(classes, dtype=int) * 1234
    counts[-1] = 0  # a class without a clip
    figure = draw_confusion(counts, ["$\\frac", "cut / chop " * 9] * (classes // 2) + ["音"] * (classes % 2))
    assert png(figure).startswith(b"\x89PNG")
    assert max(figure.get_size_inches()) < 16
    assert len(figure.axes[0].texts) == (1 if classes == 2 else 0)


def test_learning_curve_from_a_sparse_log(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("epoch,loss,step,top1\n0,3.0,4,\n0,2.5,9,\n0,,9,40.5\n1,2.25,14,\n1,,19,61.5\n")
    loss, top1 = draw_learning(log).axes
    assert loss.lines[0].get_ydata().tolist() == [3.0, 2.5, 2.25]
    assert top1.lines[0].get_ydata().tolist() == [40.5, 61.5]
    # A run that was resumed after step 9, and repeated step 14.
    resumed = tmp_path / "resumed.csv"
    resumed.write_text("epoch,loss,step,top1,val_loss\n1,2.0,14,,\n1,1.5,19,,\n1,,19,66.5,1.25\n")
    loss, top1 = draw_learning(log, resumed).axes
    assert loss.lines[0].get_ydata().tolist() == [3.0, 2.5, 2.0, 1.5]
    assert loss.lines[2].get_xydata().tolist() == [[19, 1.25]]  # of the held-out clips
    assert top1.lines[0].get_ydata().tolist() == [40.5, 66.5]
    for content in ("step,loss\n1,much\n", "step\n1\n", ""):
        log.write_text(content)
        with pytest.raises(FileError, match=r"metrics\.csv: not a training log"):
            draw_learning(log)
    with pytest.raises(FileError, match="no-such"):
        draw_learning(tmp_path / "no-such.csv")


# The folder


class Page(HTMLParser):
    """An HTML page, parsed. Checks that tags close in order, and collects what they refer to."""

    VOID = ("meta", "img", "br", "input")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.open, self.text = path, [], ""
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(path.read_text("utf-8"))
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append((tag, values))
        self.links += [value for name, value in attrs if name in ("href", "src") and value]
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.text += data

    def check(self) -> None:
        """The page is self-contained, all that it links to exists, and it is accessible."""
        names = [tag for tag, _ in self.tags]
        assert not {"link", "iframe", "b/", "x"} & set(names)
        for link in self.links:
            file, _, anchor = link.partition("#")
            assert "://" not in link
            assert anchor in self.ids if anchor else (self.path.parent / file).is_file(), link
        for tag, values in self.tags:
            assert tag != "img" or values.get("alt")
            assert tag != "th" or values.get("scope")
            assert tag != "audio" or ("controls" in values and values["preload"] == "none" and values["aria-label"])
            assert tag != "label" or values["for"] in self.ids
        assert len(self.ids) == len(set(self.ids))
        assert names.count("script") == 1 and names.count("h1") == 1


Report = Callable[..., Path]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A function that writes a report of 60 clips, every third of which is a part of a longer recording."""
    recording = write_wav(tmp_path / "a & <b>.wav", chirp(3, RATE), RATE)

    def read_clip(clip: Clip) -> tuple[np.ndarray, int]:
        return read(clip.path, RATE, clip.start, None if clip.end is None else clip.end - clip.start), RATE

    def write(folder: Path = tmp_path / "report", right: bool = False, **more: object) -> Path:
        probabilities, targets = guesses(60, 5, seed=4, sharpness=2)
        if right:
            targets = probabilities.argmax(axis=1)
        clips = [
            Clip(recording, int(label), 0.5, 1.25, id=f"id,{i}") if i % 3 == 0 else Clip(recording, int(label))
            for i, label in enumerate(targets)
        ]
        figures = {"data": "<i>mine</i>", "model": "tiny", "clips": 60} | score(probabilities, targets, LABELS)
        arguments = {
            "intervals": bootstrap(probabilities, targets, LABELS, resamples=50),
            "calibration": calibrate(probabilities, targets),
            "read": read_clip,
        }
        figures = more.pop("figures", figures)  # type: ignore[assignment]
        return write_report(folder, figures, probabilities, targets, LABELS, clips, **(arguments | more))  # type: ignore[arg-type]

    return write


def test_the_files_of_a_report(report: Report, tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("step,loss\n1,2\n2,1\n")
    index = report(training_logs=[log])
    folder = index.parent
    probabilities, targets = guesses(60, 5, seed=4, sharpness=2)
    wrong = int((probabilities.argmax(axis=1) != targets).sum())

    def no_constants(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    metrics = json.loads((folder / "metrics.json").read_text("utf-8"), parse_constant=no_constants)
    assert metrics["top1"] == pytest.approx(100 * (1 - wrong / 60), abs=1e-5)
    assert metrics["intervals"]["top1"][0] < metrics["top1"] < metrics["intervals"]["top1"][1]
    assert metrics["calibration"]["temperature"] > 1.3 and len(metrics["calibration"]["reliability"]) == 15
    assert metrics["confusion"]["labels"] == list(LABELS)
    assert np.sum(metrics["confusion"]["counts"]) == 60

    with (folder / "per_class.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == list(LABELS)
    assert [float(row["accuracy"]) for row in rows] == pytest.approx(list(metrics["per_class"].values()), abs=0.01)
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [LABELS[target] for target in targets]
    assert [LABELS.index(row["predicted"]) for row in rows] == probabilities.argmax(axis=1).tolist()
    assert rows[0]["id"] == "id,0" and rows[0]["name"].endswith("a & <b>.wav (0.500-1.250 s)")
    assert sum(int(row["correct"]) for row in rows) == 60 - wrong

    for name in ("confusion", "reliability", "learning"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    page = Page(index)
    page.check()
    assert "tiny on <i>mine</i>" in page.text and all(label in page.text for label in LABELS)
    assert {"metrics.json", "mistakes.html", "learning.png"} <= set(page.links)

    mistakes = Page(folder / "mistakes.html")
    mistakes.check()
    assert all(label in mistakes.text for label in LABELS)
    files = [link for link in mistakes.links if link.endswith(".flac")]
    assert len(files) == wrong == len(list((folder / "mistakes").iterdir())) < 50
    whole, part = chirp(3, RATE), chirp(3, RATE)[RATE // 2 : RATE * 5 // 4]
    seen = set()
    for file in files:
        samples = read(folder / file, RATE)
        expected = part if len(samples) == len(part) else whole
        np.testing.assert_allclose(samples, expected, atol=1e-4)
        seen.add(len(samples))
    assert len(seen) == 2
    scores = [float(row["score"]) for row in rows if row["correct"] == "0"]
    percents = [f"({100 * value:.0f}\u00a0%)" for value in sorted(scores, reverse=True)]
    places = [mistakes.text.find(percent) for percent in percents]
    assert places == sorted(places) and places[0] > 0, "the most confident come first"


def test_a_newer_report_replaces_the_older_one_and_nothing_else(report: Report, tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("step,loss\n1,2\n2,1\n")
    folder = report(training_logs=[log]).parent
    (folder / "notes.txt").write_text("mine")
    (folder / "mistakes" / "notes.txt").write_text("mine too")
    report(right=True, intervals=None, calibration=None)
    assert not (folder / "learning.png").exists()
    assert [path.name for path in (folder / "mistakes").iterdir()] == ["notes.txt"]
    assert (folder / "notes.txt").read_text() == "mine"
    assert not list(folder.glob(".report-*"))
    for name in ("index.html", "mistakes.html"):
        Page(folder / name).check()
    assert "Every clip was recognised" in Page(folder / "index.html").text


def test_a_report_that_fails_leaves_the_older_one_whole(report: Report) -> None:
    folder = report().parent
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def broken(clip: Clip) -> tuple[np.ndarray, int]:
        raise RuntimeError("the power is out")

    with pytest.raises(RuntimeError):
        report(read=broken)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_clip_that_cannot_be_read_is_listed_with_the_reason(report: Report) -> None:
    def read_missing(clip: Clip) -> tuple[np.ndarray, int]:
        raise FileError(clip.path, "no such file")

    page = Page(report(read=read_missing).parent / "mistakes.html")
    page.check()
    assert "a & <b>.wav: no such file" in page.text
    assert not [tag for tag, _ in page.tags if tag == "audio"]


def test_failures_name_the_file(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileError, match="taken"):
        report(folder=tmp_path / "taken")
    for place in (tmp_path / "taken", tmp_path / "taken" / "below"):  # both are said before any work
        with pytest.raises(FileError, match=r"is no folder|not a directory"):
            check_can_report(place)
    folder = tmp_path / "other"
    (folder / "metrics.json" / "in the way").mkdir(parents=True)
    with pytest.raises(FileError, match=r"metrics\.json: cannot be written: it is a folder"):
        report(folder=folder)
    with pytest.raises(ValueError, match="not all class indices"):
        write_report(folder, {}, np.ones((1, 2)) / 2, np.array([-1]), "ab", [Clip(folder, -1)])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"audioinceptionnext\[plot\]"):
        check_can_report(tmp_path / "new")
    assert not (tmp_path / "new").exists()

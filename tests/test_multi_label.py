"""Clips of several labels: lists, training, evaluation, and what a trained model is used for."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_fscore_support, roc_auc_score

from audioinceptionnext import load
from audioinceptionnext.benchmark import accuracy
from audioinceptionnext.benchmark.subjects import Subject
from audioinceptionnext.data import Clip, Dataset, load_dataset
from audioinceptionnext.data.annotated import annotated_recordings
from audioinceptionnext.data.clip import NONE_OF_THEM
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.sampling import balanced_multi_label_weights
from audioinceptionnext.data.waveforms import Batch
from audioinceptionnext.errors import AinextError, FileError, ModelError, ParameterError
from audioinceptionnext.evaluation.clip_predictions import ClipPredictions, predict_clips
from audioinceptionnext.evaluation.evaluate import map_labels
from audioinceptionnext.evaluation.multi_label import (
    at_temperature,
    fit_to,
    label_intervals,
    score_labels,
    true_labels,
)
from audioinceptionnext.explain.probe import Probe, log_odds, probabilities
from audioinceptionnext.export.agreement import compare
from audioinceptionnext.models.publish import write_folder
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.training import fit
from audioinceptionnext.training.augment import mix_sounds
from audioinceptionnext.training.cross_validation import CrossValidation
from audioinceptionnext.training.hardware import Hardware
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.multi_label import MultiLabelClassifier, label_shares
from audioinceptionnext.training.recipe import as_yaml
from audioinceptionnext.training.run_folder import BEST, LAST
from audioinceptionnext.training.splits import limit_per_class, split_clips
from audioinceptionnext.training.teacher import open_teacher
from tests.audio_files import write_wav
from tests.command import ainext, plain
from tests.data_files import wav
from tests.interrupted import interrupt_in_the_third_epoch
from tests.multi_label_clips import RATE, SETTINGS, SOUNDS, mixture, run_of, write_clips
from tests.small_sounds import NETWORK, batch_of, content, quick, same, small_net, weights

ALONE = Hardware(threads=1, implementation="matrix-products")


# --- Lists ---


def listed(folder: Path, header: str, *rows: str) -> Dataset:
    for name in ("a", "b", "c"):
        wav(folder / f"{name}.wav")
    path = folder / "meta.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return load_dataset("csv", path)


def named(dataset: Dataset) -> dict[str, set[str]]:
    return {clip.path.name: {dataset.labels[n] for n in clip.labels} for clip in dataset.clips}


def test_labels_are_separated_by_semicolons_and_rows_of_a_clip_are_one(tmp_path: Path) -> None:
    rows = ('a.wav,"Waves, surf; Dog;Dog",train', "b.wav,,train", "c.wav,Dog,test", "c.wav,; Cafe\u0301 ,test")
    dataset = listed(tmp_path, "path,labels,split", *rows)
    assert dataset.multi_label and dataset.labels == ("Caf\xe9", "Dog", "Waves, surf") and not dataset.problems
    assert named(dataset) == {"a.wav": {"Waves, surf", "Dog"}, "b.wav": set(), "c.wav": {"Dog", "Caf\xe9"}}
    assert [clip.label for clip in dataset.clips] == [1, NONE_OF_THEM, 0]
    assert not listed(tmp_path, "path,label", "a.wav,Dog; Cat").multi_label


def test_lists_of_fsd50k_are_read_as_they_are(tmp_path: Path) -> None:
    rows = ('a,"Bark,Dog,Animal","/m/05tny_,/m/0bt9lr,/m/0jbk",train', 'b,"Waves, surf","/m/034srq",val')
    dataset = listed(tmp_path, "fname,labels,mids,split", *rows)
    assert named(dataset) == {"a.wav": {"Bark", "Dog", "Animal"}, "b.wav": {"Waves, surf"}}
    assert dataset.splits == ("train", "validation")


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        ("path,labels", ("a.wav,",), "no row names a label; write the names into the column labels"),
        ("path,label,labels", ("a.wav,Dog,Dog",), "has a column label and a column labels; keep one of them"),
        ("path,category,labels", ("a.wav,Dog,Dog",), "has a column category and a column labels; keep one of them"),
        ("path,Labels", ("a.wav,Dog",), "has a column 'Labels'; did you mean labels?"),
        ("path,sounds", ("a.wav,Dog",), "no column label or category or class or labels; it has path, sounds"),
    ],
)
def test_wrong_lists_are_refused_in_one_line(header: str, rows: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(FileError) as refusal:
        listed(tmp_path, header, *rows)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)


def test_rows_that_contradict_each_other_are_problems(tmp_path: Path) -> None:
    rows = ("a.wav;Dog;1", "a.wav;Cat;2", "b.wav;Dog;Cat;1", 'c.wav;"Dog;Cat";2')
    dataset = listed(tmp_path, "path;labels;fold", *rows)
    assert named(dataset) == {"a.wav": {"Dog"}, "c.wav": {"Dog", "Cat"}}
    first, second = dataset.problems
    assert first.endswith("line 3: fold is '2', but '1' in line 2, of the same clip")
    assert second.endswith("line 4: 4 values for 3 columns (put a value with a semicolon in quotes)")


def test_a_comma_and_a_space_between_two_labels_is_a_problem(tmp_path: Path) -> None:
    rows = ("a.wav,Speech", 'b.wav,"Speech, Car"', "c.wav,Car", 'a.wav,"Car, passing by"')
    dataset = listed(tmp_path, "path,labels", *rows)
    assert named(dataset) == {"a.wav": {"Speech", "Car, passing by"}, "c.wav": {"Car"}}
    assert dataset.labels == ("Car", "Car, passing by", "Speech") and len(dataset.problems) == 1
    assert dataset.problems[0].endswith("line 3: 'Speech, Car' is one label here; separate labels with ;")


def test_check_counts_labels_and_clips_without_any(tmp_path: Path) -> None:
    root = write_clips(tmp_path / "clips", 8, 0)
    found = ainext("data", "check", "csv", "--root", root)
    assert found.code == 0 and "1.50 per clip, 1 with none" in plain(found.out)
    assert json.loads(ainext("data", "check", "csv", "--root", root, "--json").out)["without_label"] == 1


def several(*labels: tuple[int, ...], **more: Any) -> tuple[Clip, ...]:
    own = [(one[0], one[1:]) if one else (NONE_OF_THEM, ()) for one in labels]
    return tuple(Clip(Path(f"{n}.wav"), first, also=also, **more) for n, (first, also) in enumerate(own))


def test_parts_have_their_share_of_every_label() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.9, 0.5, 0.05])
    clips = several(*(tuple(np.flatnonzero(row).tolist()) for row in rng.random((200, 3)) < shares))
    dataset = Dataset("csv", ("often", "half", "rare"), clips, multi_label=True)
    total = true_labels(clips, 3).sum(0)
    _, held_out = split_clips(dataset, hold_out=0.2)
    assert 30 <= len(held_out) <= 60
    assert np.abs(true_labels(held_out, 3).sum(0)[1:] - 0.2 * total[1:]).max() <= 3
    folds = dataset.with_folds(4)
    for fold in folds.folds:
        part = folds.select(str(fold))[0]
        assert 40 <= len(part) <= 60 and np.abs(true_labels(part, 3).sum(0) - total / 4).max() <= 4
    limited = limit_per_class(clips, 3, kinds=dataset.kinds)
    assert (true_labels(limited, 3).sum(0) >= 3).all() and len(limited) <= 12


def test_a_segment_of_several_labels_is_one_of_each(tmp_path: Path) -> None:
    dataset = listed(tmp_path, "path,labels,start,end", "a.wav,Dog;Cat,0.02,0.05", "b.wav,,0,0.1")
    two, none = annotated_recordings(dataset.clips, Reader(8000))
    assert two.segments.tolist() == [[0.02, 0.05, 0], [0.02, 0.05, 1]] and none.segments.shape == (0, 3)


def test_a_clip_counts_for_each_of_its_labels_when_classes_are_balanced() -> None:
    drawn = balanced_multi_label_weights([(0,), (0,), (0, 1), (NONE_OF_THEM,)]).tolist()
    assert drawn == pytest.approx([1 / 3, 1 / 3, 4 / 3, 1])


# --- Training ---


def test_mixing_adds_sounds_and_keeps_the_labels_of_both() -> None:
    torch.manual_seed(0)
    low, high = torch.full((64, 1, 5, 2), -9.0), torch.full((64, 1, 5, 2), -9.0)
    low[..., 0], high[..., 1] = 1.0, 1.0  # each sounds in a band where the other does not
    targets = torch.eye(2).repeat_interleave(64, 0)
    x, mixed = mix_sounds(torch.cat([low, high]), targets, 0.4)
    assert x.max() <= 1 + 1e-6 and set(mixed.unique().tolist()) == {0.0, 1.0}
    assert torch.maximum(mixed, targets).equal(mixed)
    both = mixed.sum(1) == 2
    assert 30 < both.sum() < 70  # half of the clips have one of the other kind, most of which is not too soft
    assert (x[both].amin((1, 2, 3)) > 1 - np.log(10) - 1e-4).all()  # 20 dB
    assert mix_sounds(x, mixed, 0)[0] is x


def module(recipe: Any = None, shares: Any = (0.1, 0.5), **options: Any) -> MultiLabelClassifier:
    model = StoredModel(small_net(2, dropout=0.0), ("a", "b"), multi_label=True)
    return MultiLabelClassifier(np.array(shares), model, recipe or quick(), 10, **options)


def test_the_loss_is_the_binary_cross_entropy_of_the_mean_probability() -> None:
    one = module(class_weights=torch.tensor([1.0, 3.0]))
    x = torch.randn(3, 1, 160, 128)
    targets = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    losses, clip_weights = one._losses(x, targets, 2)
    steps = torch.sigmoid(one.logits(x))
    assert steps.shape[1] > 1
    entropy = torch.nn.functional.binary_cross_entropy
    clips = entropy(steps[:2].mean(1), targets[:2], reduction="none") @ torch.tensor([1.0, 3.0])
    background = -(torch.log(1 - steps[2]).mean(0) @ torch.tensor([1.0, 3.0]))  # each step on its own
    torch.testing.assert_close(losses, torch.cat([clips, background[None]]), rtol=1e-4, atol=1e-5)
    assert clip_weights.tolist() == [1, 1, 1]


def test_targets_are_smoothed_towards_how_frequent_a_label_is() -> None:
    batch = batch_of([0, 1, NONE_OF_THEM])._replace(also=torch.tensor([[1], [-1], [-1]]))
    one = module(quick(label_smoothing=0.1, background_share=0.3))
    assert one.true_labels(batch).tolist() == [[1, 1], [0, 1], [0, 0]]
    _, targets = one._inputs(batch)
    expected = [[0.91, 0.95], [0.01, 0.95], [0.01, 0.05], [0, 0]]  # the last one is background
    torch.testing.assert_close(targets, torch.tensor(expected))
    nothing = Batch(*(part[:0] for part in batch[:4]), [], batch.full_lengths[:0])
    assert [part.shape[0] for part in one._inputs(nothing)] == [0, 0]  # one of several processes can read no clip


def test_shares_count_each_label_of_a_clip() -> None:
    assert label_shares(several((0,), (0, 1), (), ()), 3).tolist() == [0.5, 0.25, 0]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clips(tmp_path_factory.mktemp("clips") / "clips", 32, 56)


@pytest.fixture(scope="module")
def trained(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of `ainext train` on the list."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = quick(**SETTINGS | {"epochs": 15, "evaluate_every": 8})
    (folder / "mine.yaml").write_text(as_yaml(recipe), encoding="utf-8")
    arguments = ("--data", "csv", "--root", clips, "--recipe", folder / "mine.yaml", "--threads", 1)
    found = ainext("train", *arguments, "--out", folder / "run")
    assert found.code == 0, found.err
    out = plain(found.out)
    assert (
        "mAP" in out and "top-1" not in out + plain(found.err) and "thresholds were fitted to these very clips" in out
    )
    return folder / "run"


def test_a_trained_model_says_what_it_is(trained: Path) -> None:
    stored, model = load_model(trained / "model.safetensors"), load(trained / "model.onnx")
    assert stored.multi_label and not stored.frame_wise and stored.labels == SOUNDS
    assert model.multi_label and model.labels == SOUNDS
    assert stored.thresholds is not None and model.thresholds == pytest.approx(stored.thresholds)
    description = json.loads((trained / "run.json").read_text())
    assert description["multi_label"] is True
    with next(trained.glob("log/version_*/metrics.csv")).open() as file:
        assert len([row for row in csv.DictReader(file) if row["map"]]) == 1


def test_figures_are_those_of_several_labels(trained: Path, clips: Path) -> None:
    arguments = ("--data", "csv", "--root", clips, "--split", "validation", "--model", trained / "model.onnx")
    found = ainext("evaluate", *arguments, "--json")
    assert found.code == 0, found.err
    figures, stored = found.json, json.loads((trained / "figures.json").read_text())
    assert not {"top1", "top5", "mca"} & figures.keys()
    assert set(figures["per_label"]) == set(figures["per_class"]) == set(SOUNDS) and figures["clips"] == 56
    assert figures["map"] > 80 and figures["f1"] > 70
    for label, row in figures["per_label"].items():  # those of the run are of the model as it was finished
        assert row == pytest.approx(stored["per_label"][label], abs=0.02)
        assert row["clips"] == 28
    assert stored["thresholds_fitted"]
    assert stored.get("temperature", 1) == pytest.approx(
        load_model(trained / "model.safetensors").temperature, abs=1e-4
    )
    shown = plain(ainext("evaluate", *arguments, "--resamples", 0).out)
    assert "mean F1" in shown and "Hum, low" in shown and "top-1" not in shown


def test_the_report_of_several_labels(trained: Path) -> None:
    report = trained / "report"
    names = {path.name for path in report.iterdir()}
    assert {"index.html", "mistakes.html", "metrics.json", "per_class.csv", "predictions.csv", "learning.png"} <= names
    assert not {"confusion.png", "reliability.png"} & names
    index = (report / "index.html").read_text(encoding="utf-8")
    assert "Hum, low" in index and "fitted to these very clips" in index
    assert not any(word in index for word in ("onfusion", "Top-1", "ccuracy"))
    with (report / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["name"] for row in rows}) == 56 and sum(row["true"] == "1" for row in rows) == 84
    wrong = sum(row["label"] != "" and row["true"] != row["reported"] for row in rows)
    assert (f"{wrong} decision" in index) == (wrong > 0)


def test_sounds_that_overlap_are_segments_that_overlap(trained: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    first, both = mixture(("Hiss",), 2.0, rng), mixture(("Hiss", "Hum, low"), 3.0, rng)
    path = write_wav(tmp_path / "scene.wav", np.concatenate([first, both]), RATE)
    (found,) = ainext("predict", path, "--model", trained / "model.onnx", "--json").json
    segments = {one["label"]: one for one in found["segments"] if one["label"] != "Whistle"}
    assert set(segments) == {"Hiss", "Hum, low"} and len(found["clip"]) == 3
    hiss, hum = segments["Hiss"], segments["Hum, low"]
    assert hiss["start"] < 0.5 and 1.2 < hum["start"] < 2.8 and min(hiss["end"], hum["end"]) > 4
    explained = ainext("explain", path, "--model", trained / "model.safetensors", "--label", "Hum, low", "--json",
                       "--out", tmp_path / "why.png")  # fmt: skip
    assert explained.code == 0 and explained.json["label"] == "Hum, low" and explained.json["score"] > 0.2


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_lower_precisions_are_compared_by_reported_labels(
    precision: str, trained: Path, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "small.onnx"
    arguments = ("--precision", precision, "--data", "csv", "--root", clips, "--force", "--json")
    found = ainext("export", trained / "model.safetensors", out, *arguments)
    assert found.code == 0, found.err
    agreement = found.json["agreement"]
    assert agreement["clips"] == 44 and agreement["same_labels"] > 85 and "top1" not in agreement
    assert load(out).multi_label and load(out).thresholds == load(trained / "model.onnx").thresholds


def test_agreement_is_of_labels_that_either_file_reports(trained: Path, clips: Path) -> None:
    model, dataset = trained / "model.onnx", load_dataset("csv", clips)
    waveforms = [Reader(RATE).read(clip) for clip in dataset.clips[:24]]
    found = compare(model, model, waveforms, thresholds=load(model).thresholds)
    assert found.of_labels and found.top1 == 1 and 20 <= found.counted <= 72
    assert not compare(model, model, waveforms, thresholds=[2.0] * 3).of_labels  # nothing is reported


def test_a_card_says_that_several_labels_can_be_true(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    write_folder(trained, "me/mine", tmp_path / "card")
    assert json.loads((tmp_path / "card" / "config.json").read_text())["kind"] == "multi-label"
    assert "several labels can be true" in (tmp_path / "card" / "README.md").read_text(encoding="utf-8")


def test_thresholds_and_temperature_are_fitted_again(
    trained: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = replace(load_model(trained / "model.safetensors"), temperature=3.0, thresholds=None)
    with torch.no_grad():
        model.net.classifier.bias += 4  # everything is reported
    save_model(model, tmp_path / "mine.safetensors")
    arguments = ("--data", "csv", "--root", clips, "--split", "validation", "--model", tmp_path / "mine.safetensors")
    computed = count_intervals(monkeypatch)
    found = ainext("evaluate", *arguments, "--calibrate", "--resamples", 9, "--json")
    assert found.code == 0 and "and thresholds stored" in found.err and found.json["thresholds_fitted"]
    assert computed == [56] and "intervals" in found.json
    again = load_model(tmp_path / "mine.safetensors")
    assert again.temperature == pytest.approx(found.json["temperature"], abs=1e-4) and again.temperature != 3
    rows = found.json["per_label"].values()
    assert again.thresholds == pytest.approx([row["threshold"] for row in rows], abs=1e-4)
    assert min(again.thresholds) > 0.5 and found.json["f1"] > 70


def test_a_resumed_run_is_the_same(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"epochs": 3, "mixup": 0.4, "label_smoothing": 0.1, "keep": "best", "ema": 0.5}
    changes |= {"sampling": "balanced", "loss_weights": "balanced", "batch_size": 8, "background_share": 0.2}
    run = run_of(clips, tmp_path / "stopped", **changes)
    run = replace(run, training=run.training[:16], held_out=run.held_out[:8])
    whole = fit.train(replace(run, out=tmp_path / "whole"), hardware=ALONE)
    interrupt_in_the_third_epoch(run, ALONE, monkeypatch)
    assert content(run.out / LAST)["epoch"] == 1
    resumed = fit.train(run, resume=True, hardware=ALONE)
    assert whole is not None and resumed is not None and same(weights(resumed), weights(whole))
    assert (run.out / BEST).is_file()


def count_intervals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of clips of each bootstrap from now on, which takes minutes with hundreds of labels."""
    computed: list[int] = []

    def intervals(probabilities: np.ndarray, *arguments: Any, **options: Any) -> Any:
        computed.append(len(probabilities))
        return label_intervals(probabilities, *arguments, **options)

    monkeypatch.setattr("audioinceptionnext.evaluation.multi_label.label_intervals", intervals)
    return computed


def test_cross_validation_counts_by_mean_average_precision(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untrained(run: Any, **_: Any) -> Path:
        torch.manual_seed(0)
        model = build_initial_model(run.dataset.labels, run.recipe, None, {}, run.dataset.multi_label)
        save_model(model, run.out / "model.safetensors")
        return run.out / "model.safetensors"

    monkeypatch.setattr("audioinceptionnext.training.cross_validation.train", untrained)
    computed = count_intervals(monkeypatch)
    evaluation = CrossValidation(load_dataset("csv", clips), tmp_path, quick(**SETTINGS)).run()
    figures = evaluation.figures
    assert figures["clips"] == 88 and "top1" not in figures and set(figures["thresholds"]) == set(SOUNDS)
    folds = [fold["map"] for fold in figures["folds"].values()]
    assert figures["map_mean_of_folds"] == pytest.approx(np.mean(folds)) and len(folds) == 2
    thresholds = [*figures["thresholds"].values()]
    assert figures["thresholds_fitted"] and thresholds != [0.5] * 3 and computed == [88]
    assert [row["threshold"] for row in figures["per_label"].values()] == thresholds
    assert figures["f1"] == score_labels(evaluation.predictions, SOUNDS, thresholds)["f1"]
    written = json.loads((tmp_path / "figures.json").read_text())
    assert (written["f1"], written["thresholds"]) == (figures["f1"], figures["thresholds"])
    assert evaluation.report(tmp_path / "report").is_file()


# --- Figures ---


def predictions_of(true: np.ndarray, seed: int = 0, steps: int = 3) -> ClipPredictions:
    """Probabilities that lean towards the truth."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * true[:, None] - 1 + rng.normal(0, 1.5, (len(true), steps, true.shape[1]))
    outputs = list((1 / (1 + np.exp(-logits))).astype(np.float32))
    clips = several(*(tuple(np.flatnonzero(row).tolist()) for row in true))
    return ClipPredictions(list(clips), outputs)


def test_figures_equal_those_of_scikit_learn() -> None:
    true = np.random.default_rng(1).random((80, 4)) < [0.5, 0.2, 0.1, 0]
    found = predictions_of(true)
    thresholds = np.array([0.8, 0.7, 0.6, 0.9])
    figures = score_labels(found, ("a", "b", "c", "never"), thresholds.tolist(), resamples=50)
    reported = np.stack([steps.max(0) for steps in found.outputs]) >= thresholds
    for c, label in enumerate("abc"):
        row, scores = figures["per_label"][label], found.probabilities[:, c]
        precision, recall, f1, _ = precision_recall_fscore_support(true[:, c], reported[:, c], average="binary")
        assert row["clips"] == true[:, c].sum() and row["threshold"] == thresholds[c]
        assert row["average_precision"] == pytest.approx(100 * average_precision_score(true[:, c], scores))
        assert row["auc"] == pytest.approx(roc_auc_score(true[:, c], scores))
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx([100 * precision, 100 * recall, 100 * f1])
    never = figures["per_label"]["never"]
    assert (never["clips"], never["average_precision"], never["auc"], never["recall"]) == (0, None, None, None)
    assert figures["map"] == pytest.approx(np.mean([figures["per_class"][label] for label in "abc"]))
    low, high = figures["intervals"]["map"]
    assert low < figures["map"] < high


def test_the_temperature_undoes_overconfidence_and_thresholds_find_the_best_f1() -> None:
    true = np.random.default_rng(1).random((400, 3)) < 0.3
    found = predictions_of(true, steps=1)
    sharper = at_temperature(found, 0.25)
    (first, thresholds), (second, again) = fit_to(found, [0.5] * 3), fit_to(sharper, [0.5] * 3)
    assert first is not None and second is not None and thresholds is not None
    assert second == pytest.approx(4 * first, rel=0.01) and again == pytest.approx(thresholds, abs=0.011)

    def f1(values: list[float]) -> float:
        return score_labels(at_temperature(found, first), "abc", values)["f1"]

    assert f1(thresholds) >= max(f1([value] * 3) for value in (0.2, 0.4, 0.6, 0.8)) - 1
    assert fit_to(ClipPredictions(found.clips[:40], found.outputs[:40]), [0.5] * 3) == (None, None)  # too few


def test_labels_that_are_never_true_keep_their_thresholds_and_move_nothing() -> None:
    true = np.random.default_rng(1).random((200, 5)) < [0.3, 0, 0.3, 0.3, 0]
    found, kept = predictions_of(true), [0, 2, 3]
    clips = several(*(tuple(np.flatnonzero(row).tolist()) for row in true[:, kept]))
    alone = ClipPredictions(list(clips), [steps[:, kept] for steps in found.outputs])
    temperature, thresholds = fit_to(found, [0.5, 0.31, 0.5, 0.5, 0.77])
    assert thresholds is not None and (thresholds[1], thresholds[4]) == (0.31, 0.77)
    assert (temperature, [thresholds[n] for n in kept]) == fit_to(alone, [0.5] * 3)
    silent = [replace(clip, label=NONE_OF_THEM, also=()) for clip in found.clips]
    assert fit_to(ClipPredictions(silent, found.outputs), [0.5] * 5) == (None, None)


def test_a_temperature_is_fitted_to_a_part_of_very_many_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    found = predictions_of(np.random.default_rng(1).random((400, 3)) < 0.3)
    whole = fit_to(found, [0.5] * 3)[0]
    monkeypatch.setattr("audioinceptionnext.evaluation.multi_label.MAX_VALUES", 1800)  # half of them
    part = fit_to(found, [0.5] * 3)[0]
    assert part != whole and part == pytest.approx(whole, rel=0.3)
    assert {steps.dtype for steps in at_temperature(found, 0.05).outputs} == {np.dtype(np.float32)}


# --- From one kind to the other ---


@pytest.mark.parametrize("before", [False, True])
def test_weights_of_the_other_kind_give_all_but_the_linear_layer(before: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = StoredModel(create_model("tiny", 3, **NETWORK), SOUNDS, multi_label=before, temperature=2.0)
    torch.nn.init.ones_(model.net.classifier.bias)
    save_model(model, path := tmp_path / "start.safetensors")
    for kind in (False, True):
        torch.manual_seed(2)
        new = build_initial_model(SOUNDS, quick(network_settings={}), str(path), {}, kind)
        assert new.multi_label == kind and new.temperature == 1 and new.thresholds is None
        old, own = model.net.state_dict(), new.net.state_dict()
        assert all(torch.equal(own[key], value) for key, value in old.items() if not key.startswith("classifier."))
        assert torch.equal(own["classifier.weight"], old["classifier.weight"]) == (kind == before)


def test_teachers_are_of_the_same_kind(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = StoredModel(small_net(3, dropout=0.0), SOUNDS, multi_label=True)
    save_model(model, path := tmp_path / "teacher.safetensors")
    x = torch.randn(2, 1, 64, 128)
    found = open_teacher(str(path), model)(x, torch.float32)
    with torch.no_grad():
        expected = torch.sigmoid(model.folded().eval().dense(x)).mean(1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(ParameterError, match="several of its labels can be true at a time, but only one of this run's"):
        open_teacher(str(path), replace(model, multi_label=False))
    save_model(replace(model, multi_label=False), path)
    with pytest.raises(ParameterError, match="several of this run's labels can be true at a time, but only one of its"):
        open_teacher(str(path), model)


def test_wrong_combinations_are_refused_in_one_line(clips: Path) -> None:
    dataset = load_dataset("csv", clips)
    model: Any = SimpleNamespace(name="mine", labels=SOUNDS, tasks={}, multi_label=False)
    with pytest.raises(ModelError, match="mine: finds one label per clip, but several of those of csv can be true"):
        map_labels(model, dataset, dataset.clips)
    with pytest.raises(AinextError, match="csv: several of its labels can be true at once, with which a study"):
        dataset.check_one_label("a study")
    single = replace(dataset, multi_label=False, clips=several((0,), (1,), (2,)))
    model.multi_label = True
    assert map_labels(model, single, single.clips)[1] == single.clips  # one label of several is no contradiction


def test_a_benchmark_scores_several_labels_by_mean_average_precision(trained: Path, clips: Path) -> None:
    path = str(trained / "model.safetensors")
    stored, dataset = load_model(path), load_dataset("csv", clips)
    subject = Subject(stored, path, trained=True)
    held_out, _ = dataset.select(split="validation")
    accuracy.check_can_score(dataset, held_out, {"tiny": subject})
    with pytest.raises(ModelError, match="is multi-label, which has no top-1"):
        accuracy.check_can_score(replace(dataset, multi_label=False), held_out, {"tiny": subject})
    with pytest.raises(ModelError, match="finds one label per clip, but several of those of csv can be true"):
        one = Subject(replace(stored, multi_label=False), path, trained=True)
        accuracy.check_can_score(dataset, held_out, {"tiny": one})

    net = stored.folded()

    def logits(log_mel: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net.dense(torch.from_numpy(log_mel)[:, None]).numpy()

    measured: Any = SimpleNamespace(subject=subject, nanoseconds={1: [1]}, number=1, accuracy={})
    measured.process = SimpleNamespace(request=logits)
    bench: Any = SimpleNamespace(running=[measured])
    held_out = held_out[:16]
    assert accuracy.score(bench, dataset, held_out, lambda _: None) == []
    expected = score_labels(predict_clips(load(trained / "model.onnx"), held_out, Reader(RATE)), SOUNDS, [0.5] * 3)
    assert measured.accuracy == {"map": pytest.approx(expected["map"], abs=0.1), "clips": 16}


# --- Explanations ---


def test_log_odds_are_those_of_the_label_alone() -> None:
    logits, loud = torch.randn(4, 3) * 3, torch.tensor([True, True, False, True])
    p = probabilities(logits, loud, multi_label=True)
    np.testing.assert_allclose(p, torch.sigmoid(logits[loud].double()).mean(0))
    for index in range(3):
        assert log_odds(logits, loud, index, True) == pytest.approx(np.log(p[index] / (1 - p[index])))
    assert Probe(StoredModel(small_net(1), ("only",), multi_label=True)).net is not None  # one label is a decision too

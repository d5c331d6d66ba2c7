"""Several tasks: a verb and a noun of each clip, from the loss to the figures."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F

from audioinceptionnext.audio import decode
from audioinceptionnext.data import UNLABELLED
from audioinceptionnext.data.waveforms import Item, collate
from audioinceptionnext.errors import AinextError, ModelError, ParameterError
from audioinceptionnext.evaluation.joint import joint_accuracy
from audioinceptionnext.export.agreement import compare
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.stream import Stream
from audioinceptionnext.models.load import load
from audioinceptionnext.network import create_model
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from audioinceptionnext.network.tasks import log_softmax, softmax, targets_of, undecided
from audioinceptionnext.training.initial_model import build_initial_model
from audioinceptionnext.training.module import SoundClassifier
from audioinceptionnext.training.recipe import as_yaml
from audioinceptionnext.training.teacher import Teacher, open_teacher
from examples.stand_in import write_epic_kitchens
from tests.audio_files import write_wav
from tests.command import ainext, last_line, refused
from tests.small_sounds import NETWORK, batch_of, module_of, quick, small_net

TASKS = {"verb": 2, "noun": 3}
LABELS = ("take", "wash", "tap", "pan", "lid")


def two_tasks(**changes: object) -> SoundClassifier:
    model = StoredModel(small_net(5, dropout=0.0), LABELS, tasks=dict(TASKS))
    module = SoundClassifier(model, quick(**changes), 10)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    module._trainer = object()  # type: ignore[assignment]
    return module


# The loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("classes", [2, 7, 44, 309])
def test_without_tasks_nothing_changes(classes: int, smoothing: float) -> None:
    labels = torch.randint(classes, (16,), generator=torch.Generator().manual_seed(0))
    before = F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes
    assert torch.equal(targets_of(labels[:, None], classes, {}, smoothing), before)
    assert torch.equal(undecided(classes, {}), torch.zeros(1).new_full((classes,), 1 / classes))
    logits = torch.randn(3, 4, classes)
    assert torch.equal(log_softmax(logits, {}), torch.log_softmax(logits, 2))
    assert torch.equal(softmax(logits, {}), torch.softmax(logits, 2))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_over_the_tasks(smoothing: float) -> None:
    logits = torch.randn(6, 5, dtype=torch.float64)
    labels = torch.tensor([[0, 2], [1, 4], [0, 3], [1, 2], [0, 4], [1, 3]])
    targets = targets_of(labels, 5, TASKS, smoothing)
    loss = -(targets * log_softmax(logits, TASKS)).sum(1).mean()
    parts = [
        F.cross_entropy(part, own, label_smoothing=smoothing)
        for part, own in ((logits[:, :2], labels[:, 0]), (logits[:, 2:], labels[:, 1] - 2))
    ]
    assert loss.item() == pytest.approx(sum(parts).item() / 2, rel=1e-7)  # type: ignore[union-attr]
    assert targets.sum(1).tolist() == pytest.approx([1] * 6)
    assert undecided(5, TASKS).tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6])


def test_a_batch_carries_all_labels() -> None:
    items = [Item(torch.zeros(3), 0, 0, 3, (3,)), Item(torch.zeros(2), 1, 1, 2, (2, 4)), Item(torch.zeros(1), 1, 2, 1)]
    batch = collate(items)
    assert batch.labels.tolist() == [0, 1, 1]
    assert batch.also.tolist() == [[3, UNLABELLED], [2, 4], [UNLABELLED, UNLABELLED]]
    assert collate([Item(torch.zeros(3), 0, 0, 3)]).also.shape == (1, 0)


def test_background_favours_no_label_of_either_task_and_a_teacher_speaks_of_both() -> None:
    module = two_tasks(background_share=0.5, mixup=0.4, label_smoothing=0.1)
    batch = batch_of([0, 1, 0, 1])._replace(also=torch.tensor([[2], [3], [4], [2]]))
    x, targets = module._inputs(batch)
    assert len(x) == len(targets) == 6
    for row in targets[4:]:
        assert row.tolist() == pytest.approx([1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6])
    assert targets[:, :2].sum(1).tolist() == pytest.approx([0.5] * 6)
    predicted = Teacher([module.net.eval()], TASKS)(x, torch.float32)
    for part in (predicted[:, :2], predicted[:, 2:]):
        assert part.sum(1).tolist() == pytest.approx([1] * 6)


def test_the_accuracy_of_each_task_and_of_both(monkeypatch: pytest.MonkeyPatch) -> None:
    module = two_tasks()
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.__setitem__(name, float(value)))
    right_verbs, right_nouns = [0, 1, 1, 0], [2, 4, 3, 3]
    probabilities = torch.zeros(4, 5)
    probabilities[range(4), [0, 1, 1, 1]] = 1.0
    probabilities[range(4), [2, 4, 2, 3]] = 1.0
    monkeypatch.setattr(module, "probabilities", lambda _: probabilities)
    module.validation_step(batch_of(right_verbs)._replace(also=torch.tensor(right_nouns)[:, None]), 0)
    assert logged.pop("val_loss") == pytest.approx(2 / 8 * np.log(1e12))  # two of eight labels have no probability
    assert logged == {"top1": 50.0, "top1_verb": 75.0, "top1_noun": 75.0}
    logged.clear()
    plain = module_of(quick())
    monkeypatch.setattr(plain, "log", lambda name, value, **_: logged.__setitem__(name, float(value)))
    monkeypatch.setattr(plain, "probabilities", lambda _: torch.tensor([[0.9, 0.1], [0.8, 0.2]]))
    plain.validation_step(batch_of([0, 1]), 0)
    assert logged == {"top1": 50.0, "val_loss": pytest.approx(-np.log([0.9, 0.2]).mean())}


def test_the_linear_layer_is_kept_for_the_same_tasks_only(tmp_path: Path) -> None:
    save_model(StoredModel(small_net(5, dropout=0.0), LABELS, tasks=dict(TASKS)), path := tmp_path / "m.safetensors")
    weight = load_model(path).net.classifier.weight
    recipe = quick(network_settings={}, clip_seconds=0.32)
    kept = build_initial_model(LABELS, recipe, str(path), TASKS)
    assert torch.equal(kept.net.classifier.weight, weight) and kept.tasks == TASKS
    for tasks in ({}, {"verb": 3, "noun": 2}):
        fresh = build_initial_model(LABELS, recipe, str(path), tasks)
        assert not torch.equal(fresh.net.classifier.weight, weight) and fresh.tasks == tasks
        with pytest.raises(ParameterError, match="classes"):
            open_teacher(str(path), fresh)


# Joint figures


def test_the_accuracy_of_actions_is_that_over_all_pairs() -> None:
    rng = np.random.default_rng(0)
    verbs, nouns = rng.dirichlet(np.ones(7), 400), rng.dirichlet(np.ones(12), 400)
    true = [rng.integers(7, size=400), rng.integers(12, size=400)]
    pairs = (verbs[:, :, None] * nouns[:, None]).reshape(400, -1)
    ranked = np.argsort(-pairs, axis=1)[:, :5] == (true[0] * 12 + true[1])[:, None]
    wanted = {"top1": 100 * ranked[:, 0].mean(), "top5": 100 * ranked.any(1).mean()}
    assert joint_accuracy([verbs, nouns], true) == pytest.approx(wanted)
    assert wanted["top5"] > 0
    # Three tasks, of which one has a single label.
    assert joint_accuracy([verbs, np.ones((400, 1)), nouns], [true[0], true[0] * 0, true[1]]) == pytest.approx(wanted)


# Exported files


def test_probabilities_of_each_task_sum_to_1(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = create_model("tiny", 5, **NETWORK)
    net.classifier.bias.data.copy_(torch.tensor([4.0, 0.0, 4.0, 0.0, 0.0]))
    path = export_onnx(StoredModel(net, LABELS, tasks=dict(TASKS), temperature=1.5), tmp_path / "m.onnx")
    model = load(str(path))
    assert model.tasks == TASKS and not model.multi_label and json.loads(model.metadata["tasks"]) == TASKS
    waveform = (np.random.default_rng(0).standard_normal(100_000) * 0.1).astype(np.float32)
    probabilities, logits = ort.InferenceSession(path).run(["probabilities", "logits"], {"waveform": waveform[None]})
    assert np.abs(probabilities[0, :, :2].sum(1) - 1).max() < 1e-6
    assert np.abs(probabilities[0, :, 2:].sum(1) - 1).max() < 1e-6
    assert np.abs(probabilities - softmax(torch.from_numpy(logits), TASKS).numpy()).max() < 1e-6
    # The best labels of all tasks; segments of different tasks overlap.
    result = model.predict(waveform)
    for task, size in TASKS.items():  # each has a ranking of its own
        scores = [one.score for one in result.clip if one.task == task]
        assert len(scores) == size and scores == sorted(scores, reverse=True) and sum(scores) == pytest.approx(1)
    assert {(one.label, one.start, one.end) for one in result.segments} == {
        (label, 0, result.duration) for label in ("take", "tap")
    }


def test_files_agree_if_they_do_in_every_task(tmp_path: Path) -> None:
    paths = []
    for bias in ([4.0, 0, 4, 0, 0], [4.0, 0, 0, 4, 0]):  # the same verb, but another noun
        net = create_model("tiny", 5, **NETWORK)
        net.classifier.weight.data.zero_()
        net.classifier.bias.data.copy_(torch.tensor(bias))
        model = StoredModel(net.eval(), LABELS, tasks=dict(TASKS))
        paths.append(export_onnx(model, tmp_path / f"{len(paths)}.onnx"))
    noise = np.random.default_rng(0).standard_normal((3, 50_000)).astype(np.float32) * 0.1
    assert compare(paths[0], paths[0], noise, tasks=[2, 3]).top1 == 1
    assert compare(paths[0], paths[1], noise, tasks=[2, 3]).top1 == 0


# Bad input


def test_what_tasks_cannot_do_is_refused_in_one_line(tmp_path: Path) -> None:
    root = write_epic_kitchens(tmp_path / "kitchen", 12, 2, 2, verbs=2, nouns=3)
    data = ("--data", "epic-kitchens", "--root", root)
    assert "cross-validation is not possible" in refused(
        "cross-validate", *data, "--num-folds", 200, "--out", tmp_path / "folds"
    )
    line = last_line("train", *data, "--out", tmp_path / "run", "--set", "loss_weights=balanced")
    assert "loss_weights" in line and "cannot be balanced" in line
    save_model(StoredModel(small_net(5), LABELS, tasks=dict(TASKS)), model := tmp_path / "m.safetensors")
    line = refused("evaluate", *data, "--split", "validation", "--model", model, "--calibrate")
    assert "calibration is not possible" in line
    line = last_line("evaluate", *data, "--split", "validation", "--model", "digits")
    assert "has labels of one task only, unlike epic-kitchens" in line
    with pytest.raises(AinextError, match="models of several tasks cannot be explained"):
        from audioinceptionnext.explain.probe import Probe

        Probe(load_model(model))
    content = export_onnx(load_model(model), tmp_path / "m.onnx").read_bytes()
    with pytest.raises(ModelError, match="metadata are incomplete or damaged"):
        Recogniser(content.replace(b'{"verb": 2, "noun": 3}', b'{"verb": 2, "noun": 4}'), "m.onnx")


# From lists to figures


def test_train_evaluate_and_predict(tmp_path: Path) -> None:
    root = write_epic_kitchens(tmp_path / "kitchen", 48, 12, 3, verbs=2, nouns=3)
    data = ("--data", "epic-kitchens", "--root", root)
    checked = ainext("data", "check", "epic-kitchens", "--root", root, "--json")
    assert checked.code == 0 and checked.json["parts"] == {"test": 3, "train": 48, "validation": 12}
    assert [one["clips"] for one in checked.json["classes"][:3]] == [30, 30, 0]
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(as_yaml(quick(epochs=6, evaluate_every=3, label_smoothing=0.1)), encoding="utf-8")
    out = tmp_path / "run"
    trained = ainext("train", *data, "--train-split", "train", "--recipe", recipe, "--out", out, "--json")
    assert trained.code == 0, trained.err
    assert "48 clips to train on, 12 held out" in trained.err
    found = trained.json
    assert found["top1"] == found["action"]["top1"] and "temperature" not in found
    log = (next(out.glob("log/version_*/metrics.csv"))).read_text().splitlines()[0].split(",")
    assert {"top1", "top1_verb", "top1_noun"} <= set(log)
    model = out / "model.safetensors"
    assert load_model(model).tasks == {"verb": 97, "noun": 300}

    options = ("--split", "validation", "--resamples", "20", "--report", tmp_path / "report")
    evaluated = ainext("evaluate", *data, "--model", model, *options, "--json")
    assert evaluated.code == 0, evaluated.err
    figures = evaluated.json
    assert figures["clips"] == 12 and figures["data"] == "epic-kitchens"
    assert (figures["top1"], figures["top5"]) == (figures["action"]["top1"], figures["action"]["top5"])
    for task in ("verb", "noun"):
        assert {"top1", "top5", "mca", "map", "mauc", "per_class", "intervals"} == set(figures[task])
    assert set(figures["verb"]["per_class"]) == {"verb-0", "verb-1"}
    assert figures["action"]["top1"] <= min(figures["verb"]["top1"], figures["noun"]["top1"])
    assert figures["verb"]["top1"] == found["verb"]["top1"]
    index = Path(figures["report"]).read_text(encoding="utf-8")
    assert 'href="verb/index.html"' in index and (tmp_path / "report" / "noun" / "mistakes.html").is_file()
    assert "noun-2" in (tmp_path / "report" / "noun" / "per_class.csv").read_text()
    shown = ainext("evaluate", *data, "--model", out / "model.onnx", "--split", "validation", "--resamples", "0")
    assert "action: top-1" in shown.out and "verb-1" in shown.out and "noun-2" in shown.out

    # Each task has a ranking of its own, and labels and segments say of which they are.
    write_wav(sound := tmp_path / "a.wav", np.random.default_rng(0).standard_normal(24_000) * 0.1, 24_000)
    call = ("predict", sound, "--model", out / "model.onnx", "--top-k", 2, "--threshold", 0.01)
    (item,) = ainext(*call, "--json").json
    assert [one["task"] for one in item["clip"]] == ["verb", "verb", "noun", "noun"]
    for first, second in (item["clip"][:2], item["clip"][2:]):
        assert first["label"].startswith(first["task"]) and first["score"] >= second["score"]
    assert {one["task"] for one in item["segments"]} == {"verb", "noun"}
    stream = Stream(load(out / "model.onnx"), threshold=0.01)
    steps = [*stream.push(decode.read(sound, 24_000)), *stream.finish()]
    assert {(one.label, one.task) for step in steps for one in step.segments} == {
        (one["label"], one["task"]) for one in item["segments"]
    }
    (some,) = ainext(*call, "--labels", "verb-1,noun-*", "--ignore", "noun-2", "--json").json
    assert [one["task"] for one in some["clip"]] == ["verb", "noun", "noun"] and some["clip"][0]["label"] == "verb-1"
    kept = [one for one in item["segments"] if one["label"] == "verb-1" or one["task"] == "noun"]
    assert some["segments"] == [one for one in kept if one["label"] != "noun-2"]
    chosen = Stream(load(out / "model.onnx").choose("noun-*"), threshold=0.01)
    steps = [*chosen.push(decode.read(sound, 24_000)), *chosen.finish()]
    assert {one.task for step in steps for one in step.segments} == {"noun"}
    header, *rows = ainext(*call, "--format", "csv").out.splitlines()
    assert header == "file,start,end,label,score,task" and len(rows) == len(item["segments"])
    assert all(row.split(",")[-1] == row.split(",")[3].split("-")[0] for row in rows)
    table = ainext(*call).out
    assert table.index("verb:") < table.index("verb-") < table.index("noun:")

    # The test list has no classes: its predictions are for the challenge.
    pickled = tmp_path / "test.pkl"
    assert ainext("evaluate", *data, "--model", model, "--split", "test", "--predictions", pickled).code == 0
    content = pickle.loads(pickled.read_bytes())
    assert content["verb_output"].shape == (3, 97) and content["noun_output"].shape == (3, 300)
    assert list(content["narration_id"]) == ["P03_01_0", "P03_01_1", "P03_01_2"]
    assert np.abs(content["noun_output"].sum(1) - 1).max() < 1e-5

"""Rows are measured side by side, and their figures are consistent. How fast they are is not tested."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from audioinceptionnext.benchmark import accuracy, hardware, measurement, plot, roofline, subjects, tables
from audioinceptionnext.benchmark import rows as rows_module
from audioinceptionnext.benchmark.rows import OURS, ROWS, Row, choose_rows
from audioinceptionnext.benchmark.subjects import Preparation, Subject, open_subjects, rendered_log_mels, settle
from audioinceptionnext.data import load_dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.evaluation.evaluate import evaluate, open_model
from audioinceptionnext.export.onnx import export_onnx
from audioinceptionnext.network import count_macs, count_parameters, create_model, fold
from audioinceptionnext.network.base import Network
from audioinceptionnext.network.registry import build_network
from audioinceptionnext.network.storage import StoredModel, load_model, save_model
from tests.command import ainext, refused
from tests.networks import log_mels
from tests.small_sounds import LABELS as KITCHEN_LABELS

KEYS = ("name", "parameters", "gmac", "ms_per_clip", "realtime_factor", "peak_rss_mb", "ratio")  # of the interface
QUICK = ("--rounds", "1", "--threads", "1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(subjects, "INPUT_CLIPS", 6)
    monkeypatch.setattr(subjects, "CALIBRATION_CLIPS", 4)
    monkeypatch.setattr(measurement, "TURN_S", 0.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with random weights for the small kitchen's two classes, and clips of half a second."""
    torch.manual_seed(0)
    net = create_model("tiny", 2, depths=(1, 1, 1, 1), clip_frames=104).eval()
    stored = StoredModel(net, KITCHEN_LABELS, mode="dense", temperature=1.3)
    settle(net, torch.from_numpy(rendered_log_mels(stored, 4))[:, None])
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    save_model(stored, path)
    return path


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in document["rows"]}


def test_rows_side_by_side(trained: Path, tmp_path: Path) -> None:
    chart = tmp_path / "p.png"
    outcome = ainext(
        "benchmark", "--model", trained, "--rows", "1,2,4-6", "--batch-sizes", "2,1", *QUICK, "--chart", chart, "--json"
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    found = outcome.json
    assert found["skipped"] == [] and found["threads"] == 1 and found["rounds"] == 1
    assert found["machine"].startswith(found["details"]["cpu"])
    rows = found["rows"]
    assert [row["name"] for row in rows] == [ROWS[i].name for i in (0, 1, 3, 4, 5)]
    net = load_model(trained).net
    for row in rows:
        assert set(KEYS) <= set(row)
        own = net if row["number"] == 1 else fold(net)
        assert row["parameters"] == count_parameters(own)
        assert row["gmac"] == pytest.approx(count_macs(own) / 1e9, rel=1e-5)
        by_size = row["by_batch_size"]
        assert list(by_size) == ["2", "1"] and row["ms_per_clip"] == by_size["2"]["ms_per_clip"]
        assert row["spread"][0] <= row["ms_per_clip"] <= row["spread"][1]
        assert row["ratio"] == pytest.approx(rows[0]["ms_per_clip"] / row["ms_per_clip"], rel=1e-4)
        assert row["realtime_factor"] == pytest.approx(520 / row["ms_per_clip"], rel=1e-4)
        assert by_size["1"]["peak_rss_mb"] <= by_size["2"]["peak_rss_mb"]
        assert row["agreement"]["inputs"] == 6
    # Folding agrees up to rounding, float16 nearly, int8 less: none of them is the first row in disguise.
    differences = [row["agreement"]["relative"] for row in rows]
    assert max(differences[:3]) < 1e-4 < differences[3] < differences[4] < 0.5
    assert [row["agreement"]["top1"] for row in rows[:3]] == [100] * 3
    # The memory is the row's own: ONNX Runtime's process never loads torch.
    assert rows[2]["peak_rss_mb"] < rows[1]["peak_rss_mb"]
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_as_a_table_and_in_markdown(trained: Path) -> None:
    outcome = ainext("benchmark", "--model", trained, "--rows", "onnx runtime float16", "--batch-sizes", "1", *QUICK)
    assert outcome.code == 0 and "round 1 of 1" in outcome.err
    assert "folded, ONNX Runtime float16" in outcome.out and "same top-1" in outcome.out
    outcome = ainext(
        "benchmark", "--model", trained, "--rows", "5", "--batch-sizes", "1", *QUICK, "--format", "markdown"
    )  # fmt: skip
    lines = [line for line in outcome.out.splitlines() if line.startswith("|")]
    assert len(lines) == 3 and len({line.count("|") for line in lines}) == 1
    assert "1 CPU thread, 1 interleaved rounds" in outcome.out


@pytest.mark.parametrize("mode", ["dense", "windows"])
def test_clips_are_predicted_as_evaluate_predicts_them(trained: Path, root: Path, tmp_path: Path, mode: str) -> None:
    stored = load_model(trained)
    stored.mode = mode  # type: ignore[assignment]
    save_model(stored, path := tmp_path / "m.safetensors")
    dataset = load_dataset("kitchen20", root)
    clips, _ = dataset.select("2")
    expected = evaluate(dataset, clips, open_model(str(path)), resamples=0)
    prepared = Preparation(tmp_path, open_subjects([str(path)]))
    reader, front_end = Reader(stored.sample_rate), stored.front_end()
    with measurement.Bench(
        [(2, ROWS[1]), (4, ROWS[3])], prepared, hardware.pinned_cores(1), (2,), lambda _: None
    ) as bench:
        bench.open(cuda=False)
        bench.run(1)
        for clip, wanted in zip(clips, expected.predictions.probabilities, strict=True):
            log_mel = accuracy.log_mel_of(stored, front_end, reader.read(clip))
            for measured in bench.measured:
                np.testing.assert_allclose(accuracy.clip_probabilities(measured, log_mel), wanted, atol=1e-3)
        assert accuracy.score(bench, dataset, clips, lambda _: None) == []
    for measured in bench.measured:
        assert measured.accuracy == {"accuracy": pytest.approx(expected.figures["top1"]), "clips": len(clips)}


def test_accuracy_from_the_command(trained: Path, root: Path) -> None:
    data = ("--data", "kitchen20", "--root", root, "--folds", "2")
    outcome = ainext("benchmark", "--model", trained, "--rows", "6", *QUICK, "--batch-sizes", "2", *data, "--json")
    assert outcome.code == 0, outcome.err
    (int8,) = outcome.json["rows"]
    assert int8["clips"] == 12 and 0 <= int8["accuracy"] <= 100


def test_rows_that_cannot_run_are_skipped_with_a_reason(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Row("broken", OURS, "steam")
    absent = Row("absent", OURS, "abacus")
    monkeypatch.setattr(rows_module, "ROWS", (absent, ROWS[4]))
    monkeypatch.setitem(rows_module.REQUIREMENTS, "abacus", ("abacus_of_nobody", "pip install beads"))
    outcome = ainext("benchmark", "--model", trained, *QUICK, "--batch-sizes", "1", "--json")
    assert outcome.code == 0  # nothing failed: the row needs what is not installed
    reason = "abacus_of_nobody is not installed: pip install beads"
    assert outcome.json["skipped"] == [{"name": "absent", "reason": reason, "failed": False}]
    assert f"skipped absent: {reason}" in outcome.err.splitlines()
    monkeypatch.setattr(rows_module, "ROWS", (broken, ROWS[4]))
    outcome = ainext("benchmark", "--model", trained, *QUICK, "--batch-sizes", "1", "--json")
    assert outcome.code == 1
    assert list(by_name(outcome.json)) == [ROWS[4].name] and outcome.json["ratio_to"] == ROWS[4].name
    assert outcome.json["skipped"] == [{"name": "broken", "reason": "KeyError: 'steam'", "failed": True}]


def test_a_row_that_dies_keeps_its_rounds(trained: Path, tmp_path: Path) -> None:
    prepared = Preparation(tmp_path, {OURS: Subject(load_model(trained), "m", trained=True)})
    logged: list[str] = []
    rows = [(4, ROWS[3]), (5, ROWS[4])]
    with measurement.Bench(rows, prepared, hardware.pinned_cores(1), (1,), logged.append) as bench:
        bench.open(cuda=False)
        bench.run(1)
        os.kill(bench.measured[0].process._process.pid, signal.SIGKILL)
        bench.run(2)
        document = tables.document(bench, (1,), hardware.describe_hardware([0]), "here")
    assert [len(m.nanoseconds[1]) for m in bench.measured] == [1, 3]
    assert [row["name"] for row in document["rows"]] == [ROWS[3].name, ROWS[4].name]
    (skipped,) = document["skipped"]
    assert skipped["name"] == ROWS[3].name and "killed" in skipped["reason"] and skipped["failed"]


@pytest.mark.needs("openvino")
def test_openvino_agrees_with_torch(trained: Path, tmp_path: Path) -> None:
    prepared = Preparation(tmp_path, {OURS: Subject(load_model(trained), "m", trained=True)})
    row = Row("OpenVINO", OURS, "openvino")
    with measurement.Bench([(1, row)], prepared, hardware.pinned_cores(1), (1, 2), lambda _: None) as bench:
        bench.open(cuda=False)
        assert not bench.skipped
        (found,) = bench.measured
        np.testing.assert_allclose(found.logits, found.reference, rtol=1e-3, atol=1e-3)
        longer = np.random.default_rng(0).normal(-4, 2, (1, 200, 128)).astype(np.float32)
        logits = found.process.request(longer)
    with torch.no_grad():
        expected = found.subject.stored.net.dense(torch.from_numpy(longer)[:, None])
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


def test_choosing_rows() -> None:
    cpu = [row for row in ROWS if row.device == "cpu"]
    assert [row for _, row in choose_rows(None, cuda=False)] == cpu
    assert [row for _, row in choose_rows(None, cuda=True)] == list(ROWS)
    assert [number for number, _ in choose_rows("4-5,1,OpenVINO bf16", cuda=False)] == [
        1, 4, 5, *(i for i, row in enumerate(ROWS, start=1) if "OpenVINO bf16" in row.name),
    ]  # fmt: skip
    for rows in ("99", "tensorflow", "", "3-1"):
        with pytest.raises(ParameterError, match=r"rows is .*: no such row; choose from 1: published"):
            choose_rows(rows, cuda=False)
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert rows_module.why_unavailable(replace(ROWS[0], device="cuda"), cuda=False) == "torch finds no CUDA device here"


def test_wrong_calls_are_refused(trained: Path, root: Path, tmp_path: Path) -> None:
    assert refused("benchmark", "--batch-sizes", "1,no").startswith("ainext: --batch-sizes 1,no: give whole numbers")
    assert "may use" in refused("benchmark", "--threads", 100_000)
    assert "ends in .png" in refused("benchmark", "--chart", tmp_path / "p.jpeg")
    assert "nowhere does not exist; create it first" in refused("benchmark", "--chart", tmp_path / "nowhere" / "p.png")
    assert "give --data as well" in refused("benchmark", "--folds", 5)
    assert "give --root as well" in refused("benchmark", "--data", "kitchen20")
    assert "two" not in refused("benchmark", "--model", "nobody")
    data = ("--data", "kitchen20", "--root", root)
    assert "random weights have no accuracy" in refused("benchmark", "--model", "tiny", *data)
    assert "measured in the same rows" in refused("benchmark", "--model", trained, "--model", trained)
    stored = load_model(trained)
    save_model(replace(stored, labels=("hiss", "hum")), other := tmp_path / "o.safetensors")
    assert "does not know the class 'whistle' of kitchen20" in refused("benchmark", "--model", other, *data)


def test_random_weights_are_settled(tmp_path: Path) -> None:
    """As created, base gives the same output for every input, which could not tell one backend from another."""
    prepared = Preparation(tmp_path, open_subjects(["tiny"]))
    logits = prepared.reference(OURS)
    assert logits.shape == (6, 44) and len(set(logits.argmax(1))) > 1 and 0.5 < logits.std() < 20
    again = Preparation(tmp_path, open_subjects(["tiny"])).reference(OURS)
    np.testing.assert_array_equal(logits, again)


def test_the_parts_add_up_to_the_whole(files: dict[str, Path], tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", log_mels(1, 416)[:, 0].numpy())
    limits = roofline.measure(hardware.pinned_cores(1), files["log-mel"], tmp_path / "in.npy", seconds=0.001)
    metadata = ort.InferenceSession(files["log-mel"]).get_modelmeta().custom_metadata_map
    computed = sum(part["gflop"] for part in limits["parts"]) / 2
    assert 0.97 < computed / float(metadata["gmac"]) < 1.001  # without the taps that only see padding
    stages = [f"stage {n}, {kind}" for n in range(1, 5) for kind in ("1x1 products", "depthwise kernels")]
    assert [part["part"] for part in limits["parts"]] == [
        "stem, convolution", "stem, pooling", *stages, "sums and the rest",
    ]  # fmt: skip
    by_part = {part["part"]: part for part in limits["parts"]}
    assert by_part["stage 1, depthwise kernels"]["calls"] == 6  # three branches of two
    assert by_part["stage 1, depthwise kernels"]["intensity"] < by_part["stage 4, 1x1 products"]["intensity"]
    assert limits["peak_gflops"]["float32"] > 0 and min(gb for _, gb in limits["bandwidth"]) > 0
    assert "stage 3, 1x1 products" in roofline.text(json.loads(json.dumps(limits)))
    known_limits = {"peak_gflops": {"float32": 100.0}, "bandwidth": [(1000, 20.0), (4000, 5.0)]}
    assert roofline.roof_gflops(known_limits, 2, 900) == 40
    assert roofline.roof_gflops(known_limits, 2, 1e9) == 10
    assert roofline.roof_gflops(known_limits, 1000, 900) == 100


def test_the_pareto_front() -> None:
    points = [(3.0, 70.0), (1.0, 60.0), (2.0, 75.0), (4.0, 80.0), (5.0, 80.0)]
    assert plot.pareto_front(points, higher_is_better=True) == [(1, 60), (2, 75), (4, 80)]
    assert plot.pareto_front(points, higher_is_better=False) == [(1, 60)]


# --- MobileNetV2 ---


def mobilenet(**changes: Any) -> Network:
    torch.manual_seed(0)
    net = create_model("mobilenet", 5, **{"multiplier": 0.25, "dropout": 0.0} | changes)
    settle(net, log_mels(4, 448))
    return net


def test_mobilenet_has_the_published_size() -> None:
    """torchvision's has 2,223,872 parameters before its linear layer, 576 of them for two more colour channels."""
    net = create_model("mobilenet", 44)
    assert count_parameters(net) == 2_223_872 - 576 + 1280 * 44 + 44
    assert net.dropout.p == 0.2 and net.clip_steps == 13
    with pytest.raises(ValueError, match="multiplier is 0"):
        create_model("mobilenet", 44, multiplier=0)


def test_mobilenet_does_what_our_network_does(tmp_path: Path) -> None:
    """It is described, built, folded, made dense, saved and exported."""
    net, ours = mobilenet(), create_model("tiny", 5, depths=(1, 1, 1, 1)).eval()
    described = json.loads(json.dumps(net.config.as_dict()))
    again = build_network(described)
    assert again.config == net.config and described["architecture"] == "mobilenet"
    folded = fold(net)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        torch.testing.assert_close(net.dense(log_mels())[:, 0], net(log_mels()))
        for frames in (416, 417, 448, 449, 1000):
            assert net.dense(log_mels(1, frames)).shape == ours.dense(log_mels(1, frames)).shape
        torch.testing.assert_close(folded.dense(log_mels(2, 500)), net.dense(log_mels(2, 500)), rtol=1e-3, atol=1e-3)
        long = log_mels(1, 1600)  # away from the edges, a step gives the same wherever it is
        whole, part = net.dense(long)[0], net.dense(long[:, :, 320:1440])[0]
        torch.testing.assert_close(whole[18:22], part[8:12], rtol=1e-3, atol=1e-3)
    save_model(StoredModel(net, tuple("abcde"), mode="dense"), tmp_path / "m.safetensors")
    path = export_onnx(load_model(tmp_path / "m.safetensors"), tmp_path / "m.onnx", input="log-mel")
    x = log_mels(2, 700)
    (logits,) = ort.InferenceSession(path).run(["logits"], {"log_mel": x[:, 0].numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(logits, net.dense(x), rtol=1e-3, atol=1e-3)


def test_a_step_of_mobilenets_training_changes_every_weight_and_lowers_the_loss() -> None:
    net = mobilenet().train()
    before = {key: value.clone() for key, value in net.named_parameters()}
    statistics = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.momentum for norm in statistics} == {0.1}
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    x, y = log_mels(8, 448), torch.arange(8) % 5
    losses = []
    for _ in range(6):
        loss = nn.functional.cross_entropy(net.pooled_logits(net.features(x)).mean(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert not [key for key, value in net.named_parameters() if torch.equal(value, before[key])]


def test_baselines_take_the_same_input_as_ours(trained: Path, tmp_path: Path) -> None:
    prepared = Preparation(tmp_path, open_subjects([str(trained)]))
    subject = prepared.subject("mobilenet")
    config = subject.stored.net.config
    assert (config.clip_frames, config.num_classes, subject.clip_seconds) == (104, 2, 0.52) and not subject.trained
    assert prepared.reference("mobilenet").shape == (6, 2)
    assert count_parameters(subject.stored.net) == prepared.size(Row("", "mobilenet", "eager", folded=False))[0]
